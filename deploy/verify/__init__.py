"""An independent checker: does an installation keep what Baton promises?

Reads topics, databases and the sandboxes' books, and says of each invariant whether it holds.
Shares no code with what it checks: what a message, a table or a saga ought to be is written here
once more, from the design's words. `check` is pure and takes plain data; whoever tests the
product in memory hands in lists and connections (`evidence.tables_of`).
"""

from deploy.verify.checking import check
from deploy.verify.evidence import Evidence, Record
from deploy.verify.verdicts import Ruling, Verdict, Violation

__all__ = ["Evidence", "Record", "Ruling", "Verdict", "Violation", "check"]
