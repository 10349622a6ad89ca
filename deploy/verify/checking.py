"""Which invariants there are, what each promises, and who checks it: I-1 to I-14, I-16, S-19.

`check` is pure and never raises for what the evidence holds: a column that cannot be read makes
its invariant one that could not be checked. I-15 and I-17 on are shown by tests, not by books.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deploy.verify.audits import audit_is_whole
from deploy.verify.effects import all_or_nothing, once_each
from deploy.verify.evidence import Evidence
from deploy.verify.facts import Facts, Malformed
from deploy.verify.gauges import true_to_the_logs
from deploy.verify.histories import journals, none_left_behind
from deploy.verify.letters import told_and_earned
from deploy.verify.logs import bad_records, nothing_lost, outbox_is_topics
from deploy.verify.money import money, paid_before_shipped
from deploy.verify.outcomes import all_agree, one_outcome_each, one_saga_each
from deploy.verify.stock import stock
from deploy.verify.verdicts import Inquiry, Verdict

Check = Callable[[Facts, Inquiry], None]

CHECKS: Sequence[tuple[str, str, Check]] = (
    ("I-1", "each order that was placed has one saga, each saga one start", one_saga_each),
    ("I-2", "each ended saga has one outcome, and an end never changes", one_outcome_each),
    ("I-3", "nothing is lost between logs and consumers", nothing_lost),
    ("I-4", "completed: every step has its effect; cancelled: none has", all_or_nothing),
    ("I-5", "each command has its effect once, each undo exactly where it must", once_each),
    ("I-6", "every amount is accounted for, in our books and the provider's", money),
    ("I-7", "nothing left the house unpaid, nobody cancelled was charged", paid_before_shipped),
    ("I-8", "what came in is on the shelf, promised or gone", stock),
    ("I-9", "each saga's journal is a path of its declared graph", journals),
    ("I-10", "no open saga is left behind", none_left_behind),
    ("I-11", "everybody knows the same outcome of each order", all_agree),
    ("I-12", "what was decided to be said is what the topics hold", outbox_is_topics),
    ("I-13", "every bad record is accounted for", bad_records),
    ("I-14", "letters and points agree with the outcomes", told_and_earned),
    ("I-16", "metrics and readiness tell the truth", true_to_the_logs),
    ("S-19", "what operators did is as it was written", audit_is_whole),
)


def check(evidence: Evidence, only: Sequence[str] = ()) -> list[Verdict]:
    """A verdict of each invariant, or of those named."""
    facts = Facts(evidence)
    return [
        _checked(facts, name, claim, look)
        for name, claim, look in CHECKS
        if not only or name in only
    ]


def _checked(facts: Facts, name: str, claim: str, look: Check) -> Verdict:
    finding = Inquiry(name, claim)
    try:
        look(facts, finding)
    except Malformed as fault:
        finding.cannot(str(fault))
    return finding.verdict()
