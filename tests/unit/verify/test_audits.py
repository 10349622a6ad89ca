"""S-19: the audit that the console writes, judged by a checker that shares no code with it."""

from __future__ import annotations

import pytest

from deploy.verify.checking import check
from deploy.verify.evidence import Evidence, tables_of
from deploy.verify.verdicts import Ruling, Verdict
from orchestrator.operate.auditing import MIGRATIONS, Act, Audit
from tests.unit.chassis.company import DirectStore, HandClock

ACT = Act("ann", "cli", "retry", "fulfilment:ö-1", 'he said "now"\n\x01', "k-1")


@pytest.fixture
async def kept() -> DirectStore:
    """Two acts whose words JSON must escape; without the triggers that would forbid a lie."""
    store = DirectStore(migrations={"console": MIGRATIONS})
    audit = Audit(store, HandClock())  # type: ignore[arg-type]
    for _ in range(2):
        async with audit.acting(ACT) as became:
            became.result = "applied"
    for trigger in ("audit_stands", "audit_stays"):
        store.write(f"DROP TRIGGER {trigger}")
    return store


def judged(store: DirectStore) -> Verdict:
    tables = {"console": tables_of("console", store.connection)}
    (verdict,) = check(Evidence([], tables, 0), only=["S-19"])
    return verdict


async def test_an_audit_as_it_was_written_is_whole(kept: DirectStore) -> None:
    """Both writings of the rule agree, and the last hash is told."""
    verdict = judged(kept)

    ((head,),) = kept.rows("SELECT hash FROM audit WHERE seq = 4")
    assert (verdict.status, verdict.checked) == (Ruling.OK, {"acts": 4})
    assert verdict.notes == (f"the audit ends at line 4 with {head}",)


@pytest.mark.parametrize(
    ("lie", "found"),
    [
        ("UPDATE audit SET actor = 'eve' WHERE seq = 2", "line 2 of the audit is not as it was"),
        ("UPDATE audit SET at_us = 1 WHERE seq = 4", "line 4 of the audit is not as it was"),
        ("DELETE FROM audit WHERE seq = 3", "line 3 of the audit is missing"),
        ("DELETE FROM audit WHERE seq = 1", "line 1 of the audit is missing"),
    ],
)
async def test_a_line_that_was_touched_is_told(kept: DirectStore, lie: str, found: str) -> None:
    """Changed or taken out, wherever."""
    kept.write(lie)

    verdict = judged(kept)

    assert verdict.status is Ruling.VIOLATED
    assert str(verdict.violations[0]).startswith(found)


def test_without_a_console_there_is_nothing_to_check() -> None:
    """Said, and no fault."""
    (verdict,) = check(Evidence([], {}, 0), only=["S-19"])

    assert (verdict.status, verdict.notes) == (
        Ruling.NOTHING,
        ("no database of the console was there",),
    )
