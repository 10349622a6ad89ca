"""S-19: the audit of what operators did is a whole chain: no line changed, put in or taken out.

The rule of the chain is written a second time here. Lines cut off at the end leave a whole chain:
its last hash is told, to be compared with one that was noted elsewhere.
"""

from __future__ import annotations

import hashlib
import json

from deploy.verify.evidence import Act
from deploy.verify.facts import Facts
from deploy.verify.verdicts import Inquiry

CONSOLE = "console"
FIRST = "0" * 64


def audit_is_whole(facts: Facts, finding: Inquiry) -> None:
    if not facts.has(CONSOLE):
        finding.note("no database of the console was there")
        return
    head, at = FIRST, 0
    for row in sorted(facts.rows(CONSOLE, Act)):
        finding.saw("acts")
        if row.seq != at + 1:
            finding.wrong(f"line {at + 1} of the audit is missing")
        elif row.hash != _digest(head, row):
            finding.wrong(f"line {row.seq} of the audit is not as it was written")
        head, at = row.hash, row.seq
    if at:
        finding.note(f"the audit ends at line {at} with {head}")


def _digest(before: str, row: Act) -> str:
    said = json.dumps(list(row[:-1]), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(f"{before}\n{said}".encode()).hexdigest()
