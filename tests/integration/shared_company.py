"""A company whose programs share the databases of one PostgreSQL, with several processes each.

Its rows are asked of psql, with nothing of the product between.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, cast

from deploy.local.stack import COPIED
from schemas.orders import OrderPlaced
from tests.conftest import missing
from tests.integration.books import PHASES, deliver, phases
from tests.integration.running_company import WITHOUT_CONSOLE, Company, running_company
from tests.postgres_server import HOW, NoPostgres, PostgresServer

CORE: Final = ("inventory", "billing", "shipping")
TWICE: Final = (*WITHOUT_CONSOLE, "orchestrator-2", *(f"{name}-2" for name in CORE))
THRICE: Final = (*TWICE, "orchestrator-3", "console")
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
