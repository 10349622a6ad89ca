"""Repair verbs on a PostgreSQL: the same, beside no session of the program; copies are its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from stage import Said, Terminal, free_port

from services.chassis import postgres
from services.chassis.postgres import open_store, place
from tests.postgres_server import PostgresServer

TOPIC = "billing.replies.v1"
BECAUSE = ("--reason", "a test")
REPUBLISH = ("-o", "json", "outbox", "republish", "--topic", TOPIC, *BECAUSE)


@pytest.fixture
def url(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of billing's database, which this shell's BATON_POSTGRES has: one reply was sent."""
    made = postgres_server.make("billing")
    monkeypatch.setenv("BATON_POSTGRES", made.rpartition("/")[0])
    asyncio.run(begun(made))
    postgres_server.sql(
        "INSERT INTO outbox VALUES"
        f" (1, 1, 'm-1', 1, '{TOPIC}', 'o-1', '', '', 1, 1000000, NULL),"
        " (2, 1, 'm-2', 1, 'billing.payment.events.v1', 'o-1', '', '', 1, 1000000, NULL)",
        made,
    )
    yield made
    postgres_server.sql("DROP DATABASE billing WITH (FORCE)")


async def begun(url: str) -> None:
    async with open_store(url, {}):
        pass


@asynccontextmanager
async def process_of(url: str) -> AsyncIterator[None]:
    async with open_store(url, {}):
        yield


def test_republishing_waits_for_no_process_of_the_program(
    terminal: Terminal,
    url: str,
    postgres_server: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside one it only counts; programs that have no database there are passed over."""
    monkeypatch.setattr(postgres, "_GONE_WITHIN", 2)
    rows = [{"service": "billing", "topic": TOPIC, "rows": 1}]
    with asyncio.Runner() as runner:
        process = process_of(url)
        runner.run(process.__aenter__())
        counted = terminal.type(*REPUBLISH, "--dry-run")
        refused = terminal.type(*REPUBLISH)
        runner.run(process.__aexit__(None, None, None))
    unsent = "SELECT seq FROM outbox WHERE sent_us IS NULL"
    before = postgres_server.sql(unsent, url)
    done = terminal.type(*REPUBLISH)

    assert (counted.code, json.loads(counted.out)) == (0, rows)
    said = f"✖ billing runs, and {place(url)} is its own\n  → baton down\n"
    assert (refused, before) == (Said(6, "", said), [])
    assert (done.code, json.loads(done.out)) == (0, rows)
    assert postgres_server.sql(unsent, url) == [("1",)]
    assert postgres_server.sql("SELECT what, detail, reason FROM repairs", url) == [
        ("republish", f"{TOPIC}, each partition, since the beginning", "a test")
    ]


def test_a_process_that_starts_during_a_repair_begins_after_it(url: str) -> None:
    """It waits in its migrations, so it reads nothing of what is being repaired."""

    async def race() -> list[str]:
        order: list[str] = []

        async def start() -> None:
            await begun(url)
            order.append("begun")

        async with postgres.open_alone(url) as store:
            starting = asyncio.create_task(start())
            waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            async with asyncio.timeout(30):
                while not await store.read(waits):  # noqa: ASYNC110
                    await asyncio.sleep(0)
            order.append("repaired")
        await starting
        return order

    assert asyncio.run(race()) == ["repaired", "begun"]


def test_a_server_that_is_away_is_told_not_passed_over(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An absent database is another program's; an absent server is nobody's."""
    port = free_port()
    monkeypatch.setenv("BATON_POSTGRES", f"postgresql://eve:s3cret@127.0.0.1:{port}")

    said = terminal.type(*REPUBLISH)

    assert (said.code, said.out) == (1, "")
    shown = f"postgresql://eve@127.0.0.1:{port}/orchestrator"
    assert said.err.startswith(f"✖ {shown}: ConnectionRefusedError: ")
    assert "s3cret" not in said.err


def test_copies_are_the_servers_own_tools(terminal: Terminal, url: str, tmp_path: Path) -> None:
    """Refused with what to type instead, in which no password stands."""
    copy = tmp_path / "copy"
    programs = "orchestrator orders inventory billing shipping crm analytics notifications"
    assert terminal.type("backup", str(copy)) == Said(
        6,
        "",
        "✖ the databases lie on a server, whose own tool copies each at one moment;"
        " the console's is a file\n"
        f"  → mkdir {copy}; for each in {programs}; do pg_dump --format=custom"
        f' --file={copy}/$each.dump "$BATON_POSTGRES/$each"; done;'
        f' sqlite3 {tmp_path}/home/data/console.db ".backup {copy}/console.db"\n',
    )
    assert not copy.exists()
    words = ("restore", "--service", "billing", "--from", str(copy), *BECAUSE)
    assert terminal.type(*words) == Said(
        6,
        "",
        f"✖ {place(url)} lies on a server, whose own tool puts a copy in place\n"
        f'  → pg_restore --clean --if-exists --dbname="$BATON_POSTGRES/billing" {copy}/billing.dump'
        " && baton restore --service billing --reason WHY\n",
    )
