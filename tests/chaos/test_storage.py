"""A database that cannot be written is a pause: the process stays, says so, and goes on by itself.

No file may grow by the kernel's word, the disk is full by its own, somebody else's transaction
holds the lock, and the file may not be written when the process starts.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.chaos.campaign import not_verified
from tests.chaos.lives import kill_now
from tests.companies import fill
from tests.integration.books import check_books, many_orders, phases, placed
from tests.integration.running_company import Company, until

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]
COSTLY = pytest.mark.costly

ORDERS_EACH = 40
AS_PLACED = {"fulfilled": 28, "cancelled": 12}


async def database_check(company: Company, process: str) -> tuple[int, str]:
    """Status of /readyz, and what it says of the database."""
    address = company.addresses[f"{process} metrics"].removesuffix("/metrics")
    async with httpx.AsyncClient(timeout=10) as client:
        answer = await client.get(f"{address}/readyz")
    (said,) = (each["reason"] for each in answer.json()["checks"] if each["name"] == "database")
    return answer.status_code, said


@contextmanager
def nothing_may_grow(company: Company, process: str) -> Iterator[None]:
    pid = company.keeper(process).status().pid
    assert pid is not None
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def somebody_writes(company: Company, process: str) -> Iterator[None]:
    """A transaction from outside that does not end, as of a careless tool."""
    with closing(sqlite3.connect(company.home.database(process), timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.rollback()


@pytest.mark.parametrize(
    "process",
    ["orchestrator", *(pytest.param(each, marks=COSTLY) for each in ("inventory", "billing"))],
)
@pytest.mark.parametrize(
    ("kept_from_writing", "reason"),
    [
        (nothing_may_grow, "OperationalError: disk I/O error"),
        (somebody_writes, "OperationalError: database is locked"),
    ],
)
async def test_a_database_that_cannot_be_written_is_waited_for(
    disturbed: Company, process: str, kept_from_writing: object, reason: str
) -> None:
    """Not ready and told why, nothing read in vain, no restart; what came meanwhile is done."""
    orders = many_orders(f"{kept_from_writing.__name__}-{process}", ORDERS_EACH)  # type: ignore[attr-defined]
    half = ORDERS_EACH // 2
    before = disturbed.keeper(process).status()
    assert await database_check(disturbed, process) == (200, "writable")
    await disturbed.publish(*placed(*orders[:half]))
    await until(lambda: orders[0].order_id in phases(disturbed), "orders are on their way")
    with kept_from_writing(disturbed, process):  # type: ignore[operator]
        await disturbed.publish(*placed(*orders[half:]))
        await until(
            lambda: says(disturbed, process, (503, reason)), f"{process} says that it cannot write"
        )
    await until(lambda: says(disturbed, process, (200, "writable")), f"{process} goes on")
    assert await check_books(disturbed, orders) == AS_PLACED
    after = disturbed.keeper(process).status()
    assert (after.pid, after.restarts) == (before.pid, before.restarts)


async def says(company: Company, process: str, what: tuple[int, str]) -> bool:
    return await database_check(company, process) == what


async def test_a_full_disk_is_waited_for(disturbed: Company, small_disk: Path) -> None:
    """Full by the disk's own word: told, nothing lost, and everything holds once there is room."""
    keeper, database = disturbed.keeper("inventory"), disturbed.home.database("inventory")
    orders = many_orders("full", ORDERS_EACH)
    await keeper.stop()
    shutil.move(database, small_disk / database.name)
    database.symlink_to(small_disk / database.name)
    try:
        await disturbed.begin("inventory")
        before = keeper.status()
        filler = fill(small_disk)
        await disturbed.publish(*placed(*orders))
        full = (503, "OperationalError: database or disk is full")
        await until(lambda: says(disturbed, "inventory", full), "inventory says that it is full")
        filler.unlink()
        await until(lambda: says(disturbed, "inventory", (200, "writable")), "inventory goes on")
        assert await check_books(disturbed, orders) == AS_PLACED
        assert await not_verified(disturbed) == []
        after = keeper.status()
        assert (after.pid, after.restarts) == (before.pid, before.restarts)
    finally:
        await keeper.stop()
        database.unlink()
        shutil.move(small_disk / database.name, database)
        await disturbed.begin("inventory")


async def test_a_database_without_permission_is_told_and_taken_up_when_it_is_given(
    disturbed: Company,
) -> None:
    """The process cannot start; its supervisor tries again until it can."""
    keeper = disturbed.keeper("billing")
    plain, database = keeper.spec, disturbed.home.database("billing")
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everything, and there is no setpriv to take that away")
        as_others = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
        keeper.spec = replace(plain, argv=(*as_others, *plain.argv))
    orders = many_orders("forbidden", ORDERS_EACH)
    await disturbed.publish(*placed(*orders))
    await until(lambda: orders[0].order_id in phases(disturbed), "orders are on their way")
    try:
        database.chmod(0o400)
        await kill_now(disturbed, "billing")
        await until(lambda: reason_of_the_end(disturbed), "billing says why it cannot start")
        said = reason_of_the_end(disturbed)
        database.chmod(0o600)
        await disturbed.ready("billing")
        assert await check_books(disturbed, orders) == AS_PLACED
    finally:
        keeper.spec = plain
    assert said == (
        f"{database} cannot be written: Permission denied. Let the user of this process write it,"
        " or name another file in BATON_DATABASE."
    )


def reason_of_the_end(company: Company) -> str:
    """What the last end of billing was for, once it has failed to start."""
    keeper = company.keeper("billing").status()
    lines = company.home.log("billing").read_text().splitlines()
    ends = [line for line in lines if "the database cannot be used" in line]
    return str(json.loads(ends[-1])["reason"]) if ends and keeper.exit_code == 2 else ""
