"""`baton verify` on the real company: it holds after a crash, exported, and after it stopped.

The checker is told nothing by these tests: it finds topics and databases as an operator's shell
does. What is tampered with is a copy, by the plain SQLite and the plain text it consists of.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.local import child
from deploy.local.home import Home
from deploy.local.state import read_state
from schemas.orders import OrderPlaced
from tests.integration.bad_records import CASES
from tests.integration.books import check_books, deliver, many_orders, moving, placed
from tests.integration.running_company import (
    WITHOUT_CONSOLE,
    Company,
    plainly,
    running_company,
    until,
)
from tests.integration.verifying import WELL, Row, statuses, verify

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]


@dataclass(frozen=True)
class Looked:
    """A company of its own: what was found while it ran, and its folder after it was stopped."""

    home: Path
    ends: Counter[str]
    running: tuple[int, dict[str, Row]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def looked(tmp_path_factory: pytest.TempPathFactory) -> Looked:
    """Killed as a whole under load, and started again."""
    root = tmp_path_factory.mktemp("looked")
    orders = await placed_and_all_killed(Home(root))
    late = many_orders("still", 10)
    async with running_company(root) as company:
        await company.publish(*placed(*late))
        await company.publish(*(case.sent for case in CASES if case.name in {"json", "registry"}))
        ends = await check_books(company, [*orders, *late])
        running = await verify(root, "--wait", "60")
    return Looked(root, ends, running)


async def placed_and_all_killed(home: Home) -> list[OrderPlaced]:
    """Supervisor, broker, services and sandboxes, while these orders were on their way."""
    orders = many_orders("all", 60)
    up = await up_elsewhere(home)
    try:
        await until(lambda: is_up(home), "the company is up")
        state = read_state(home)
        assert state is not None
        company = Company(home, state.bootstrap, state.addresses)
        await deliver(company)
        await company.publish(*placed(*orders))
        await until(lambda: moving(company, orders), "orders are on their way")
    finally:
        up.send_signal(signal.SIGSTOP)  # or it would start again what is killed first
        for pid in child.find_strays(home).values():
            os.killpg(pid, signal.SIGKILL)
        await up.wait()
    return orders


async def up_elsewhere(home: Home) -> asyncio.subprocess.Process:
    """`baton up` as a process of its own, which leads its own session."""
    home.prepare()
    names = ",".join(WITHOUT_CONSOLE)
    with home.log("supervisor").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orchestrator.operate.cli", "up", "--only", names),
            env=plainly(BATON_HOME=str(home.root)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def is_up(home: Home) -> bool:
    state = read_state(home)
    return state is not None and state.is_ready


async def test_everything_killed_at_once_goes_on_at_the_next_start(looked: Looked) -> None:
    """And every order has its one outcome, in everybody's books."""
    assert looked.ends == {"fulfilled": 49, "cancelled": 21}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def exported(looked: Looked, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "export"
    assert await verify(looked.home, "--export", str(folder)) == (0, {})
    return folder


async def test_the_running_company_holds(looked: Looked) -> None:
    """Every invariant, dead letters and metrics among them."""
    code, verdicts = looked.running

    assert statuses(verdicts) == WELL
    assert code == 0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stopped(looked: Looked) -> tuple[int, dict[str, Row]]:
    """Its Kafka alone is started, read, and stopped again."""
    return await verify(looked.home)


async def test_a_stopped_company_holds_in_all_but_its_metrics(
    stopped: tuple[int, dict[str, Row]],
) -> None:
    code, verdicts = stopped[0], dict(stopped[1])

    told = statuses(verdicts)
    assert told.pop("I-16") == (
        "could not check",
        ["nothing runs; counters live only as long as their process"],
    )
    assert told | {"I-16": "ok"} == WELL
    assert code == 0


async def test_an_export_holds_as_what_it_was_taken_of(
    looked: Looked, exported: Path, stopped: tuple[int, dict[str, Row]]
) -> None:
    """The same verdicts, word for word."""
    assert await verify(looked.home, "--from", str(exported)) == stopped


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
