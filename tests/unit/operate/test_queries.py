"""The console's queries: SQLite and PostgreSQL understand each, and answer alike.

A new query is found here by its name; a parameter of a new name needs a value in GIVEN.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import NamedTuple

import asyncpg
import pytest
import pytest_asyncio
from orchestra import SECOND, T0, Orchestra, orchestra
from pydantic import SecretStr
from stage import free_port

from orchestrator.engine.machine import Verb
from orchestrator.gauges import Open, look
from orchestrator.operate.database import SQL, Database, Found
from orchestrator.operate.reading import Reading
from orchestrator.operate.saga_telling import SQL as TELLING
from orchestrator.operate.saga_telling import SagaOrder, operator_verb
from orchestrator.operate.sagas import Views
from orchestrator.sagas import SAGAS
from services.chassis.clock import SystemClock
from services.chassis.postgres import place
from services.chassis.store import Plan, Statement, Unavailable, Value, Write
from tests.postgres_server import PostgresServer

GIVEN: dict[str, Value] = {
    "key": "o-2",
    "us": T0 + SECOND,
    "id": 4,
    "limit": 10,
    "window": 1_000,
    "phases": '["running", "completed", "compensating"]',
    "definitions": '["fulfilment"]',
    "reasons": '["insufficient_funds"]',
    "before": T0 + SECOND,
    "began": 0,
    "since": 0,
    "definition": "fulfilment",
    "ids": "[1, 3]",
    "from": "o-",
    "upto": "o-\U0010ffff",
    "saga": 3,
    "sagas": "[1, 3]",
    "after": 1,
}
# What is told apart by texts in one query and by numbers in another.
OTHERWISE: dict[str, dict[str, Value]] = {"verbs.told": {"ids": '["console/k-1"]'}}
READ = SQL | TELLING
NULLS = ("definitions", "reasons")
# Of PostgreSQL alone: which transactions are under way.
UNLIKE = {"following", "oldest"}
PARKED = (
    "INSERT INTO keys (name) VALUES ('o-6')",
    """
    INSERT INTO parked_keys SELECT id, 'unknown_schema', 'deadbeef', 7 FROM keys
    WHERE name IN ('o-6', 'o-4')
    """,
    """
    INSERT INTO dead_letters (key, kind, reason, detail, stage, topic, partition, "offset",
        timestamp_ms, headers, at_us, state)
    SELECT id, 'parked', 'unknown_schema', 'deadbeef', 'decode', 'orders.order.events.v1', 0, 9, 7,
        CAST('[]' AS BLOB), 7, 'open' FROM keys WHERE name = 'o-6'
    """,
)
LINE = "INSERT INTO journal SELECT nextval('journal_seq_seq'), 1, 1, 1" + ", ''" * 12

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Both(NamedTuple):
    sqlite: Database
    postgres: Database


async def play(playing: Orchestra) -> None:
    """Sagas in every phase that a query tells apart, and a key that waits for a person."""
    await playing.complete("o-1")
    await playing.place_order("o-4")
    await playing.cancel("o-2")
    playing.wait(2)
    await playing.complete("o-7")
    await playing.decline("o-3")
    verb = operator_verb("o-3", "fulfilment:o-3", SagaOrder(Verb.NOTE, "seen", "ann"))
    await playing.tell(verb, "console/k-1")

    def park() -> Plan[None]:
        for each in PARKED:
            yield Write(Statement(each, each, each.replace("BLOB", "BYTEA")), [()])

    await playing.store.run(park)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Both]:
    file, url = tmp_path_factory.mktemp("queries") / "orchestrator.db", postgres_server.make()
    async with AsyncExitStack() as stack:
        for place in (file, url):
            await play(await stack.enter_async_context(orchestra(place)))
        yield Both(
            await stack.enter_async_context(Database(file)),
            await stack.enter_async_context(Database(SecretStr(url))),
        )


def plainly(rows: list[Found]) -> list[dict[str, object]]:
    """JSON as what it says: the two write it with other spaces."""
    return [
        {
            name: json.loads(value) if name == "timers" else value
            for name, value in row.items()
            if name not in UNLIKE
        }
        for row in rows
    ]


@pytest.mark.parametrize("given", [GIVEN, {**GIVEN, **dict.fromkeys(NULLS)}], ids=["all", "nulls"])
@pytest.mark.parametrize("name", READ)
async def test_every_query_has_the_same_answer_on_both_databases(
    both: Both, name: str, given: dict[str, Value]
) -> None:
    """The same sagas were played on both, and each query finds some of them."""
    asked, given = READ[name], given | OTHERWISE.get(name, {})
    used = {word: given[word] for word in re.findall(r":([a-z]+)", asked.sql)}
    ours = plainly(await both.sqlite.read(asked, used))
    theirs = plainly(await both.postgres.read(asked, used))

    assert ours
    assert theirs == ours


async def test_gauges_say_the_same_on_both_databases(both: Both) -> None:
    """What is open, how old, stuck and late, read by the orchestrator itself."""
    ours, theirs = [await look(place, SAGAS, T0 + 60 * SECOND) for place in both]

    assert ours == theirs
    assert ours == Open(
        Counter({("fulfilment", "awaiting_stock"): 1, ("fulfilment", "undoing_stock"): 1}),
        {("fulfilment", "awaiting_stock"): 60.0, ("fulfilment", "undoing_stock"): 58.0},
        Counter(
            {
                ("fulfilment", "awaiting_stock", "contract"): 1,
                ("fulfilment", "undoing_stock", "late_timer"): 1,
            }
        ),
        {("fulfilment", "contract"): 60.0, ("fulfilment", "late_timer"): 58.0},
        {"fulfilment": 50.0},
        1,
    )


async def test_what_cannot_be_read_is_told_without_the_password(
    postgres_server: PostgresServer,
) -> None:
    """A server that is away, a database that is not there, one that nobody has begun."""
    port = free_port()
    places = {
        f"postgresql://postgres@127.0.0.1:{port}/orchestrator": "ConnectionRefusedError: ",
        place(postgres_server.url_of("nowhere")): "InvalidCatalogNameError: ",
        place(postgres_server.make()): "UndefinedTableError: ",
    }
    for shown, why in places.items():
        async with Database(SecretStr(shown.replace("@", ":s3cret@"))) as database:
            with pytest.raises(Unavailable) as refused:
                await database.read(SQL["journal.last"])
        assert str(refused.value).startswith(f"{shown}: {why}")
        assert "s3cret" not in str(refused.value)


async def test_a_database_that_was_made_anew_is_another_one(
    postgres_server: PostgresServer,
) -> None:
    """What was counted of the former one is forgotten with it."""
    url = postgres_server.make()
    async with Database(SecretStr(url)) as database:
        reading = Reading(database, Views(SAGAS), SystemClock())
        async with orchestra(url) as playing:
            await playing.complete("o-1")
        before = await reading.finished_counts()
        again = await reading.finished_counts()
        generation = database.generation
        postgres_server.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public", url)
        async with orchestra(url) as playing:
            await playing.cancel("o-2")
        after = await reading.finished_counts()

    assert (before, again) == ({("fulfilment", "completed", ""): 1}, before)
    assert after == {("fulfilment", "compensated", "insufficient_funds"): 1}
    assert database.generation == generation + 1


async def test_a_line_of_the_journal_is_not_passed_over_while_it_may_still_appear(
    postgres_server: PostgresServer,
) -> None:
    """Its number was given to a transaction that commits after one with a higher number."""
    url = postgres_server.make()
    async with Database(SecretStr(url)) as database, orchestra(url) as playing:
        reading = Reading(database, Views(SAGAS), SystemClock())
        await playing.place_order("o-1")
        slow = await asyncpg.connect(url)
        try:
            begun = slow.transaction()
            await begun.start()
            await slow.execute(LINE)
            await playing.place_order("o-2")
            meanwhile = await reading.journal_since(0, 10)
            await begun.commit()
        finally:
            await slow.close()
        afterwards = await reading.journal_since(0, 10)

    assert [line["seq"] for line in meanwhile] == [1]
    assert [line["seq"] for line in afterwards] == [1, 2, 3]


async def test_a_number_of_the_journal_that_nobody_kept_holds_nothing_up(
    postgres_server: PostgresServer,
) -> None:
    """Its transaction was rolled back."""
    url = postgres_server.make()
    async with Database(SecretStr(url)) as database, orchestra(url) as playing:
        reading = Reading(database, Views(SAGAS), SystemClock())
        await playing.place_order("o-1")
        postgres_server.sql(f"BEGIN; {LINE}; ROLLBACK", url)
        await playing.place_order("o-2")
        lines = await reading.journal_since(0, 10)

    assert [line["seq"] for line in lines] == [1, 3]
