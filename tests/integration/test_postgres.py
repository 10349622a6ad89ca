"""Several processes of each program on one PostgreSQL: whatever is stopped, cut or restarted,
every order ends once and all books agree.

Two orchestrators and two of each core service; the others alone. With three, longer and disturbed
by the clock: `test_postgres_long.py`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from deploy.local.stack import COPIED
from tests.cut_wire import cut_wire
from tests.integration.books import check_books, many_orders, phases, placed
from tests.integration.running_company import until
from tests.integration.shared_company import (
    TWICE,
    Shared,
    check_journal,
    company_on,
    done,
    held,
    nothing,
    own_server,
    waits,
)
from tests.postgres_server import PostgresServer

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

ORDERS: Final = 60
AS_PLACED: Final = {"fulfilled": 42, "cancelled": 18}


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    with own_server() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared(
    server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shared]:
    async with company_on(server.url, tmp_path_factory.mktemp("shared")) as running:
        yield running


async def test_two_of_each_share_the_work_and_the_books_agree(shared: Shared) -> None:
    """Both orchestrators read, both speak, and nothing is done twice."""
    orders = many_orders("two", 2 * ORDERS)
    await shared.publish(*placed(*orders))
    assert await check_books(shared, orders) == {name: 2 * n for name, n in AS_PLACED.items()}
    check_journal(shared)
    for name in ("orchestrator", "orchestrator-2", "billing", "billing-2"):
        samples = await shared.metrics(name)
        read = sum(n for (metric, _), n in samples.items() if metric.endswith("consumed_total"))
        assert read > 0, name


@pytest.mark.parametrize(
    "inside", ["a transaction", pytest.param("no transaction", marks=pytest.mark.costly)]
)
async def test_a_stopped_orchestrator_that_wakes_up_changes_nothing(
    shared: Shared, server: PostgresServer, inside: str
) -> None:
    """Its partitions are another's by then: what it still believes is compared and refused."""
    orders = many_orders(f"zombie-{inside.replace(' ', '-')}", ORDERS)
    half = ORDERS // 2
    pid = shared.pid("orchestrator")
    others = shared.pid("orchestrator-2")
    with held(server, "journal") if inside == "a transaction" else nothing():
        await shared.publish(*placed(*orders[:half]))
        if inside == "a transaction":
            await until(lambda: waits(server, pid), "the orchestrator waits in its transaction")
        else:
            await until(lambda: phases(shared).get(orders[0].order_id), "it is at work")
        os.kill(pid, signal.SIGSTOP)
    try:
        await shared.publish(*placed(*orders[half:]))
        await until(lambda: done(shared, orders) == ORDERS, "the other one does all the work")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert await check_books(shared, orders) == AS_PLACED
    check_journal(shared)
    assert shared.pid("orchestrator-2") == others
    await shared.ready("orchestrator", "orchestrator-2")


async def test_a_server_restarted_again_and_again_loses_nothing(
    shared: Shared, server: PostgresServer
) -> None:
    """Five crashes of the database while orders run; no process ends for it."""
    orders = many_orders("restart", 2 * ORDERS)
    pids = {name: shared.pid(name) for name in TWICE if name.partition("-")[0] in COPIED}
    await shared.publish(*placed(*orders))
    for crash in range(5):
        await until(lambda least=crash * 15: done(shared, orders) >= least, "orders go on")
        await asyncio.to_thread(server.restart)
    assert await check_books(shared, orders) == {name: 2 * n for name, n in AS_PLACED.items()}
    check_journal(shared)
    assert {name: shared.pid(name) for name in pids} == pids


@pytest.mark.costly
@pytest.mark.parametrize("lost", ["COMMIT", "its answer"])
async def test_a_wire_cut_at_commits_applies_nothing_twice(lost: str, tmp_path: Path) -> None:
    """Every thirteenth commit of any process dies on the way there or on the way back."""
    orders = many_orders("cut", 20)
    with own_server() as server:
        async with cut_wire(server.url, before=lost == "COMMIT", every=13) as wire:
            assert urlsplit(wire.url).port != server.port
            async with company_on(wire.url, tmp_path / "home") as company:
                await company.publish(*placed(*orders))
                assert await check_books(company, orders) == {"fulfilled": 14, "cancelled": 6}
                check_journal(company)
        assert wire.cuts >= 50
