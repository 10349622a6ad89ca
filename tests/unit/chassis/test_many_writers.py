"""Several processes of one program on one PostgreSQL: each place where one writer was assumed.

Stores of their own, transactions and relays of the product; what is raced is raced for real.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from company import (
    CATALOGUE,
    CODEC,
    COMMANDS,
    HANDLERS,
    NOW_US,
    TALLY,
    TALLY_SQL,
    HandClock,
    Kafka,
    command,
)
from test_relay import Broker

from schemas.billing import AuthorisePayment, PaymentAuthorised
from schemas.topics import topics_read_by
from services.chassis.admission import Admission
from services.chassis.envelope import Maker
from services.chassis.handlers import Answer, answers, done
from services.chassis.items import arrival
from services.chassis.messages import Outgoing, TopicPartition
from services.chassis.outbox import Outbox
from services.chassis.participant import Participant
from services.chassis.postgres import PostgresStore, open_store
from services.chassis.relay import Relay
from services.chassis.store import Conflict, Plan, Select, Statement, Write
from services.chassis.transaction import SQL, Batch, Setting, Tick, Transaction
from tests.postgres_server import PostgresServer

NAP = Statement("nap", "", "SELECT 1 FROM pg_sleep(0.05)")
MAKER = Maker("billing", CODEC, CATALOGUE)


@pytest.fixture
def migrations(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_initial.sql").write_text(f"{TALLY_SQL};\n")
    return {"billing": folder}


@pytest.fixture
async def three(
    postgres_server: PostgresServer, migrations: dict[str, Path]
) -> AsyncIterator[list[PostgresStore]]:
    url = postgres_server.make()
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_store(url, migrations)) for _ in range(3)]


class Process:
    """One process of billing: what it believes is its own, the database is everybody's."""

    def __init__(
        self, store: PostgresStore, kafka: Kafka, handlers: Sequence[object] = HANDLERS
    ) -> None:
        self.store, self.kafka = store, kafka
        self.application = Participant(MAKER, kafka.place, handlers, (TALLY,))  # type: ignore[arg-type]
        topics = topics_read_by("billing")
        self.admission = Admission(CODEC, CATALOGUE, topics)
        self.setting = Setting(kafka.place, self.admission)
        self.places = [TopicPartition(topic.name, 0) for topic in topics]

    async def begin(self) -> None:
        def plan() -> Plan[None]:
            yield Write(SQL["offsets.begin"], [(*place, 0) for place in sorted(self.places)])

        await self.store.run(plan)

    async def apply(self, batch: Batch) -> object:
        return await self.store.run(
            lambda: Transaction(batch, self.application, self.setting).plan()
        )

    def batch(self, *messages: Outgoing, at: int | None = None) -> Batch:
        """`at`: the offset that is believed; without one, what no log brought."""
        batch = Batch(NOW_US)
        for message in messages:
            record = self.kafka.publish(message)
            batch.items.append(arrival(record, self.admission.admit(record)))
        if at is not None:
            batch.advances[TopicPartition(COMMANDS, 0)] = (at, at + len(messages))
        return batch


async def test_a_record_is_applied_by_one_owner_only(three: list[PostgresStore]) -> None:
    """Three that believe in the same offset: one wins, the others roll back all they wrote."""
    kafka = Kafka()
    processes = [Process(store, kafka) for store in three]
    for each in processes:
        await each.begin()
    for at in range(20):
        batch = processes[0].batch(command(f"o{at}"), at=at)
        results = await asyncio.gather(
            *[each.apply(batch) for each in processes], return_exceptions=True
        )
        assert sorted(type(each).__name__ for each in results) == [
            "Applied",
            "Conflict",
            "Conflict",
        ]
    rows = await three[0].read("SELECT done, count(*) AS n FROM tally GROUP BY done")
    assert rows == [{"done": 1, "n": 20}]
    assert await three[0].read("SELECT count(*) AS n FROM outbox") == [{"n": 20}]


async def test_one_command_by_two_logs_has_one_effect_and_one_reply(
    three: list[PostgresStore],
) -> None:
    """No offset is shared, so the key's lock is what makes the second see the first's inbox."""
    kafka = Kafka()
    processes = [Process(store, kafka) for store in three]
    for at in range(20):
        batch = processes[0].batch(command(f"o{at}"))
        await asyncio.gather(*[each.apply(batch) for each in processes])
    assert await three[0].read("SELECT sum(done) AS done FROM tally") == [{"done": 20}]
    said = await three[0].read("SELECT id, attempt FROM outbox ORDER BY id, attempt")
    assert len(said) == 60
    assert [row["attempt"] for row in said] == [1, 2, 3] * 20
    assert await three[0].read("SELECT count(*) AS n FROM keys") == [{"n": 20}]


def one_for_all(_: AuthorisePayment) -> tuple[str]:
    return ("hot",)


def count_up(cmd: AuthorisePayment, rows: Mapping[str, object]) -> Answer:
    before = rows.get("hot") or TALLY.row("hot")
    after = TALLY.row("hot", before.done + 1)  # type: ignore[attr-defined]
    return done(PaymentAuthorised(cmd.order_id, "a", cmd.amount), after)


async def test_a_row_that_many_orders_share_counts_every_one(three: list[PostgresStore]) -> None:
    """Stock, totals, days: loaded under a lock, so no update is lost and none is refused."""
    kafka = Kafka()
    handlers = (answers(AuthorisePayment, count_up, loads=TALLY.row, by=one_for_all),)
    processes = [Process(store, kafka, handlers) for store in three]
    batches = [
        [each.batch(command(f"o{who}-{at}")) for at in range(20)]
        for who, each in enumerate(processes)
    ]

    async def work(each: Process, mine: list[Batch]) -> None:
        for batch in mine:
            await each.apply(batch)

    await asyncio.gather(*map(work, processes, batches))
    assert await three[0].read("SELECT done, version FROM tally") == [{"done": 60, "version": 60}]


async def test_a_timer_is_fired_once_by_whoever_is_first(three: list[PostgresStore]) -> None:
    """Three that believe they own the partition: each due row is taken by one, none is left."""
    kafka = Kafka()
    processes = [Process(store, kafka) for store in three]
    for each in processes:
        await each.begin()
    names = [f"o{at:02}" for at in range(50)]

    def due() -> Plan[None]:
        yield Write(SQL["keys.add"], [(name,) for name in names])
        rows = yield Select(SQL["keys.find"], (names,))
        timers = [(key, "t", 0, NOW_US - 1, 1, "", "") for _, key, _ in rows]
        yield Write(SQL["timers.set"], timers, expect=len(names))

    await three[0].run(due)
    held = dict.fromkeys(processes[0].places, (0, 0))
    fired: list[int] = []

    async def tick(each: Process) -> None:
        for _ in range(40):
            batch = Batch(NOW_US, advances=dict(held), ticks=[Tick(0, NOW_US, 3)])
            try:
                applied = await each.apply(batch)
            except Conflict:
                continue
            fired.append(applied.fired)  # type: ignore[attr-defined]

    await asyncio.gather(*map(tick, processes))
    assert sum(fired) == 50
    assert await three[0].read("SELECT * FROM timers") == []


def said(key: str, message_id: str) -> Outgoing:
    return Outgoing("t", key, message_id, b"v", ())


def saying(*messages: Outgoing, slowly: bool = False) -> Callable[[], Plan[Outbox]]:
    """A transaction that says these, under the lock of one key."""

    def plan() -> Plan[Outbox]:
        outbox = Outbox(0)
        for each in messages:
            yield Write(SQL["keys.add"], [(each.key,)])
            yield Select(SQL["keys.lock"], ([each.key],))
            outbox.add(1, each)
        outbox.numbered = yield from outbox.write()  # type: ignore[attr-defined]
        if slowly:
            yield Select(NAP)
        return outbox

    return plan


async def test_no_row_is_skipped_however_late_it_is_committed(three: list[PostgresStore]) -> None:
    """Numbers are given before commits: eight writers at once, and relays that poll miss none."""
    brokers = [Broker() for _ in three]
    relays = [
        Relay(store, broker, HandClock(), lambda _: None)
        for store, broker in zip(three, brokers, strict=True)
    ]
    running = [asyncio.create_task(relay.run()) for relay in relays]

    async def write(who: int) -> None:
        store, relay = three[who % 3], relays[who % 3]
        for at in range(25):
            made = said(f"k{who}", f"{who}-{at:02}")
            outbox = await store.run(saying(made, slowly=at % 5 == 0))
            relay.offer(outbox.numbered, outbox.behind)  # type: ignore[attr-defined]

    await asyncio.gather(*[write(who) for who in range(8)])
    for relay in relays:
        await relay.drained()
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    heard = {entry for broker in brokers for entry in broker.log}
    assert heard == {(f"k{who}", f"{who}-{at:02}") for who in range(8) for at in range(25)}


async def test_what_another_process_has_not_got_out_goes_before_ours(
    three: list[PostgresStore],
) -> None:
    """One said m1 and died; m2 of the same key is not sent from memory until m1 is."""
    one, other, _ = three
    broker = Broker()
    relay = Relay(other, broker, HandClock(), lambda _: None)
    running = asyncio.create_task(relay.run())
    await relay.drained()
    await one.run(saying(said("k", "m1"), said("elsewhere", "x")))
    outbox = await other.run(saying(said("k", "m2")))
    assert outbox.behind == [1]
    relay.offer(outbox.numbered, outbox.behind)  # type: ignore[attr-defined]
    await relay.drained()
    assert broker.log == [("k", "m1"), ("elsewhere", "x"), ("k", "m2")]
    ours = await other.run(saying(said("k", "m3")))
    relay.offer(ours.numbered, ours.behind)  # type: ignore[attr-defined]
    await relay.drained()
    assert broker.log[3:] == [("k", "m3")]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_row_committed_behind_a_higher_number_is_not_lost_from_memory(
    three: list[PostgresStore],
) -> None:
    """A relay that loads while a lower number is under way keeps it when it is offered."""
    one, other, _ = three
    broker = Broker()
    relay = Relay(one, broker, HandClock(), lambda _: None)
    slow = asyncio.create_task(one.run(saying(said("a", "slow"), slowly=True)))
    await asyncio.sleep(0)
    await other.run(saying(said("b", "first")))
    running = asyncio.create_task(relay.run())
    outbox = await slow
    relay.offer(outbox.numbered, outbox.behind)  # type: ignore[attr-defined]
    await relay.drained()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert sorted(broker.log) == [("a", "slow"), ("b", "first")]
