"""`baton verify` on the real company: it holds while it runs, exported, and after it stopped.

The checker is told nothing by these tests: it finds topics and databases as an operator's shell
does. What is tampered with is a copy, by the plain SQLite and the plain text it consists of.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.bad_records import CASES
from tests.integration.books import check_books, deliver, many_orders, placed
from tests.integration.running_company import running_company
from tests.integration.verifying import ALL, Row, statuses, verify

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]


@dataclass(frozen=True)
class Looked:
    """A company of its own: what was found while it ran, and its folder after it was stopped."""

    home: Path
    running: tuple[int, dict[str, Row]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def looked(tmp_path_factory: pytest.TempPathFactory) -> Looked:
    root = tmp_path_factory.mktemp("looked")
    async with running_company(root) as company:
        await deliver(company)
        orders = many_orders("still", 10)
        await company.publish(*placed(*orders))
        await company.publish(*(case.sent for case in CASES if case.name in {"json", "registry"}))
        await check_books(company, orders)
        running = await verify(root, "--wait", "60")
    return Looked(root, running)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def exported(looked: Looked, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "export"
    assert await verify(looked.home, "--export", str(folder)) == (0, {})
    return folder


async def test_the_running_company_holds(looked: Looked) -> None:
    """Every invariant, dead letters and metrics among them."""
    code, verdicts = looked.running

    assert statuses(verdicts) == dict.fromkeys(ALL, "ok")
    assert code == 0


async def test_a_stopped_company_holds_in_all_but_its_metrics(looked: Looked) -> None:
    """Its Kafka alone is started, read, and stopped again."""
    code, verdicts = await verify(looked.home)

    told = statuses(verdicts)
    assert told.pop("I-16") == (
        "could not check",
        ["nothing runs; counters live only as long as their process"],
    )
    assert told == dict.fromkeys(ALL[:-1], "ok")
    assert code == 0


async def test_an_export_holds_as_what_it_was_taken_of(looked: Looked, exported: Path) -> None:
    """The same verdicts, word for word."""
    assert await verify(looked.home, "--from", str(exported)) == await verify(looked.home)


def double_a_capture(export: Path) -> None:
    with closing(sqlite3.connect(export / "databases" / "billing.db")) as ledger, ledger:
        ledger.execute(
            "INSERT INTO posting SELECT order_id || '/captured-again', order_id, 'captured-again',"
            " currency, debit, credit, amount_minor, 1 FROM posting"
            " WHERE posting_id = 'still-0/captured'"
        )


def lose_an_outcome(export: Path) -> None:
    file = export / "topics" / "orders.order.outcomes.v1.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    kept = [line for line in lines if line["key"] != "c3RpbGwtMA=="]
    assert len(kept) == len(lines) - 1
    file.write_text("".join(f"{json.dumps(line)}\n" for line in kept))


@pytest.mark.parametrize(
    ("tamper", "violated"),
    [
        (double_a_capture, {
            "I-5": "the ledger has still-0/captured-again, a movement nobody knows",
            "I-6": "billing says 2250 authorised, 2250 captured, 0 voided, 0 "
                            "refunded, its ledger 2250 authorised, 4500 captured, 0 voided, 0 "
                            "refunded"}),
        (lose_an_outcome, {
            "I-2": "is completed and no outcome was ever said",
            "I-3": "orders applied orchestrator fulfilment:still-0/outcome, which no topic holds",
            "I-12": "orchestrator sent fulfilment:still-0/outcome, which orders.order.outcomes.v1 "
                    "does not hold",
        }),
    ],
)  # fmt: skip
async def test_what_was_tampered_with_is_found(
    exported: Path, tmp_path: Path, tamper: Callable[[Path], None], violated: Mapping[str, str]
) -> None:
    """By the invariants it breaks and by no other, with the order's id; the exit code is 1."""
    copy = tmp_path / "copy"
    shutil.copytree(exported, copy)
    tamper(copy)

    code, verdicts = await verify(tmp_path, "--from", str(copy))

    found = {}
    for name, row in verdicts.items():
        violations = row["violations"]
        assert isinstance(violations, list)
        if violations:
            found[name] = (violations[0]["key"], violations[0]["what"])
    assert found == {name: ("still-0", what) for name, what in violated.items()}
    assert code == 1
