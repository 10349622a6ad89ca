"""A database is replaced by an older copy under load, and the company ends as if it were not.

What it forgot is out in the world: commands were carried out, replies given, outcomes published.
Then the same of a topic: its records are deleted under a reader, or it is made anew.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.local.copies import backup
from deploy.local.stack import SERVICES
from schemas.orders import OrderCancellationRequested, OrderPlaced
from tests.chaos.campaign import not_verified
from tests.integration.books import check_books, many_orders, phases, placed
from tests.integration.running_company import (
    Company,
    Sent,
    message,
    plainly,
    until,
)

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]
COSTLY = pytest.mark.costly

BATON = (sys.executable, "-m", "orchestrator.operate.cli")
KILLED = ("orchestrator", *SERVICES)


async def baton(company: Company, *words: str, code: int = 0) -> str:
    """What the verb printed, standard error last."""
    process = await asyncio.create_subprocess_exec(
        *BATON,
        *words,
        env=plainly(BATON_HOME=str(company.home.root)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == code, said.decode()
    return said.decode()


def cancellations(orders: list[OrderPlaced]) -> list[Sent]:
    """Of every seventh order, on its way or not."""
    return [
        message(
            OrderCancellationRequested(
                each.order_id, f"{each.order_id}-r", "changed_mind", datetime.now(UTC)
            ),
            f"{each.order_id}/cancellation",
        )
        for each in orders[::7]
    ]


async def load_with_a_copy_in_between(
    company: Company, prefix: str, copy: Path
) -> list[OrderPlaced]:
    """Some orders have ended, some are under way and some come later than the copy."""
    early, late = many_orders(f"{prefix}-early", 60), many_orders(f"{prefix}-late", 40)
    await company.publish(*placed(*early))
    await until(lambda: phases(company).keys() & {o.order_id for o in early}, "some have begun")
    taken = backup(company.home, copy)
    assert {row["database"] for row in taken} == set(KILLED)
    await company.publish(*placed(*late), *cancellations(early), *cancellations(late))
    await until(lambda: ended_of(company, late) > 10, "some that came later have ended, too")
    return [*early, *late]


def ended_of(company: Company, orders: list[OrderPlaced]) -> int:
    found = phases(company)
    return sum(found.get(each.order_id) in ("completed", "compensated") for each in orders)


async def kill_all(company: Company) -> None:
    """All at once, and they stay dead."""
    for name in KILLED:
        pid = company.keeper(name).status().pid
        if pid is not None:
            os.killpg(pid, signal.SIGKILL)
    await asyncio.gather(*(company.keeper(name).stop() for name in KILLED))


async def begin_all(company: Company) -> None:
    for name in KILLED:
        company.keeper(name).begin()
    await company.ready(*KILLED)


@pytest.mark.parametrize(
    "service",
    ["orchestrator", *(pytest.param(each, marks=COSTLY) for each in ("billing", "inventory"))],
)
async def test_a_database_from_an_older_copy_catches_up(
    disturbed: Company, service: str, tmp_path: Path
) -> None:
    """Every order has its one outcome, nobody is needed, and all books agree."""
    copy = tmp_path / "copy"
    orders = await load_with_a_copy_in_between(disturbed, service, copy)
    await kill_all(disturbed)
    told = await baton(
        disturbed,
        *("restore", "--service", service, "--from", str(copy), "--reason", "a test", "-o", "json"),
    )
    (row,) = json.loads(told[told.index("[") : told.index("]") + 1])
    assert row["spoken"] > 0
    assert (row["sagas_reminded"] > 0) == (service == "orchestrator")
    await begin_all(disturbed)
    assert (await check_books(disturbed, orders)).total() == len(orders)
    query = "SELECT what FROM repairs WHERE reason = 'a test'"
    assert disturbed.rows(service, query) == [("restore",)]


@pytest.mark.costly
async def test_two_databases_from_copies_of_different_moments_catch_up(
    disturbed: Company, tmp_path: Path
) -> None:
    """What one forgot the other had heard, and the other way round; everything holds again."""
    copies = {"orchestrator": tmp_path / "first", "billing": tmp_path / "second"}
    orders = await load_with_a_copy_in_between(disturbed, "two-first", copies["orchestrator"])
    orders += await load_with_a_copy_in_between(disturbed, "two-second", copies["billing"])
    await kill_all(disturbed)
    for service, copy in copies.items():
        words = ("--service", service, "--from", str(copy), "--reason", "two at once")
        await baton(disturbed, "restore", *words)
    await begin_all(disturbed)
    assert (await check_books(disturbed, orders)).total() == len(orders)
    assert await not_verified(disturbed) == []


async def test_an_older_copy_is_found_out_and_refused(disturbed: Company, tmp_path: Path) -> None:
    """Without `baton restore` the process ends, and says what to type; a running one is safe."""
    said = await baton(disturbed, "restore", "--service", "crm", "--reason", "x", code=6)
    assert "crm runs" in said
    assert "baton down" in said
    copy, file = tmp_path / "copy", disturbed.home.database("crm")
    await disturbed.keeper("crm").stop()
    shutil.copy(file, copy)
    await disturbed.begin("crm")
    orders = many_orders("refused", 10)
    await disturbed.publish(*placed(*orders))
    await check_books(disturbed, orders)
    await disturbed.keeper("crm").stop()
    shutil.copy(copy, file)
    disturbed.keeper("crm").begin()
    await until(
        lambda: "baton restore --service crm --reason WHY" in disturbed.home.log("crm").read_text(),
        "crm says what to type",
    )
    await disturbed.keeper("crm").stop()
    await baton(disturbed, "restore", "--service", "crm", "--reason", "found out")
    await disturbed.begin("crm")
    await check_books(disturbed, orders)
