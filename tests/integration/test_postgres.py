"""Several processes of each program on one PostgreSQL: whatever is stopped, cut or restarted,
every order ends once and all books agree.

Two orchestrators and two of each core service; the others alone. What is looked at is asked of
psql, with nothing of the product between.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from deploy.local.stack import COPIED
from schemas.orders import OrderPlaced
from tests.conftest import missing
from tests.cut_wire import cut_wire
from tests.integration.books import PHASES, check_books, deliver, many_orders, phases, placed
from tests.integration.running_company import (
    WITHOUT_CONSOLE,
    Company,
    running_company,
    until,
)
from tests.postgres_server import HOW, NoPostgres, PostgresServer

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

CORE: Final = ("inventory", "billing", "shipping")
TWICE: Final = (*WITHOUT_CONSOLE, "orchestrator-2", *(f"{name}-2" for name in CORE))
ORDERS: Final = 60
AS_PLACED: Final = {"fulfilled": 42, "cancelled": 18}
SESSION_MS: Final = "6000"
SERVER: dict[str, PostgresServer] = {}


class Shared(Company):
    """A company whose databases lie on the one server; the sandboxes keep their files."""

    def rows(self, process: str, sql: str, *given: object) -> list[tuple[object, ...]]:
        if process not in COPIED:
            return super().rows(process, sql, *given)
        for value in given:
            literal = str(value) if isinstance(value, int) else "'" + str(value) + "'"
            sql = sql.replace("?", literal, 1)
        sql = re.sub(r"\b(\w+) ->> ", r"\1::json ->> ", sql)
        server = SERVER["here"]
        lines = server.sql(
            f"SELECT coalesce(json_agg(found), '[]') FROM ({sql}) AS found",
            server.url_of(process),
        )
        said = "\n".join("\t".join(line) for line in lines)
        found = json.loads(said, object_pairs_hook=lambda pairs: tuple(v for _, v in pairs))
        return cast("list[tuple[object, ...]]", found)

    def pid(self, name: str) -> int:
        pid = self.keeper(name).status().pid
        assert pid is not None
        return pid


@contextmanager
def own_server() -> Iterator[PostgresServer]:
    """Of this file alone, because it is restarted; with a database for each program."""
    with tempfile.TemporaryDirectory(prefix="baton-postgres-") as folder:
        try:
            server = PostgresServer(Path(folder))
            server.begin()
        except NoPostgres as fault:
            missing(f"no PostgreSQL could be started: {fault}. {HOW}")
        for name in COPIED:
            server.make(name)
        SERVER["here"] = server
        yield server
        server.end("immediate")


@asynccontextmanager
async def company_on(
    url: str, folder: Path, only: tuple[str, ...] = TWICE
) -> AsyncIterator[Shared]:
    server = url.rpartition("/")[0]
    async with running_company(
        folder,
        only=only,
        company=Shared,
        BATON_POSTGRES=server,
        BATON_SESSION_TIMEOUT_MS=SESSION_MS,
    ) as running:
        assert isinstance(running, Shared)
        await deliver(running)
        yield running


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


def done(company: Company, orders: list[OrderPlaced]) -> int:
    found = phases(company)
    return sum(found.get(each.order_id) in PHASES for each in orders)


def check_journal(company: Company) -> None:
    """Versions without a gap or a repetition, commands made once, one outcome a saga."""
    torn = company.rows(
        "orchestrator",
        "SELECT saga FROM (SELECT saga, version, lag(version) OVER (PARTITION BY saga ORDER BY seq)"
        " AS before FROM journal) AS line WHERE version NOT IN (before, before + 1)",
    )
    assert torn == []
    twice = company.rows(
        "orchestrator",
        "SELECT id, attempt FROM outbox GROUP BY id, attempt HAVING count(*) > 1",
    )
    assert twice == []


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


@contextmanager
def held(server: PostgresServer, table: str) -> Iterator[None]:
    """Nobody can write this table of the orchestrator's until it ends."""
    psql = subprocess.Popen(
        [server.programs / "psql", "-X", "-q", "-A", "-t", server.url_of("orchestrator")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert psql.stdin is not None
    assert psql.stdout is not None
    with psql:
        psql.stdin.write(f"BEGIN;\nLOCK TABLE {table} IN SHARE MODE;\nSELECT 'held';\n")
        psql.stdin.flush()
        assert psql.stdout.readline() == "held\n"
        yield
        psql.stdin.write("COMMIT;\n")


@contextmanager
def nothing() -> Iterator[None]:
    yield


def waits(server: PostgresServer, pid: int) -> bool:
    return (
        server.sql(
            f"SELECT 1 FROM pg_stat_activity WHERE application_name = 'baton-{pid}'"
            " AND wait_event_type = 'Lock'"
        )
        != []
    )
