"""A small company in memory: logs, processes over real SQLite, faults where a test wants them.

Everything between the log and the database is the product's: admission, transaction, inbox,
outbox, participant or saga shell. Kafka is lists of records, the clock is moved by hand, and
each step is one call, so that a test says in which order the world happens.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from schemas.billing import (
    AuthorisePayment,
    PaymentAuthorised,
    PaymentDeclined,
    PaymentVoided,
    VoidPayment,
)
from schemas.catalogue import load_catalogue
from schemas.common import Money
from schemas.topics import topics_read_by
from services.chassis import sqlite
from services.chassis.admission import Admission
from services.chassis.bus_publish import partition_of
from services.chassis.codec import Codec
from services.chassis.envelope import Cause, Maker
from services.chassis.handlers import Answer, Handler, answers, done, refused
from services.chassis.items import Application, Applied, Item, S, arrival
from services.chassis.messages import Outgoing, Record, TopicPartition
from services.chassis.outbox import outgoing
from services.chassis.participant import Participant
from services.chassis.store import Plan, Write
from services.chassis.tables import Table
from services.chassis.transaction import SQL, Batch, Setting, Tick, Transaction

T = TypeVar("T")
CATALOGUE = load_catalogue()
CODEC = Codec(CATALOGUE)
CHASSIS = Path(sqlite.__file__).parent / "migrations"
NOW_US = 1_763_900_000_000_000
SECOND_US = 1_000_000
COMMANDS = "billing.payment.commands.v1"
ORDERS = "orders.order.events.v1"
REPLIES = "billing.replies.v1"


class Killed(BaseException):
    """The process died here; what it had not committed is gone."""


class HandClock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.us = NOW_US

    def now_us(self) -> int:
        return self.us

    def monotonic_s(self) -> float:
        return self.us / SECOND_US

    def move(self, seconds: float) -> None:
        self.us += round(seconds * SECOND_US)


class DirectStore:
    """The product's SQLite transactions without a thread between; faults are raised in order.

    `faults`: what the next runs raise, None for none. `kill`: before or after the next commit.
    """

    def __init__(
        self, file: str = ":memory:", migrations: Mapping[str, Path] | None = None
    ) -> None:
        self.connection = sqlite3.connect(file, isolation_level=None)
        for owner, folder in {"chassis": CHASSIS, **(migrations or {})}.items():
            sqlite._migrate(owner, folder, self.connection)
        self.faults: list[Exception | None] = []
        self.kill = ""
        self.runs = 0

    async def run(self, plan: Callable[[], Plan[T]]) -> T:
        await asyncio.sleep(0)
        return self.drive(plan)

    def drive(self, plan: Callable[[], Plan[T]]) -> T:
        self.runs += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        kill, self.kill = self.kill, ""
        result = sqlite._drive(partial(_killed_before, plan, kill), self.connection)
        if kill == "after":
            raise Killed
        return result

    async def read(self, sql: str, params: Sequence[object] = ()) -> list[dict[str, object]]:
        return sqlite._rows(sql, params, self.connection)  # type: ignore[arg-type]

    async def log_bytes(self) -> int:
        return 0  # there is no write-ahead log in memory

    def rows(self, sql: str, *params: object) -> list[tuple[object, ...]]:
        return self.connection.execute(sql, params).fetchall()

    def write(self, sql: str, *params: object) -> None:
        self.connection.execute(sql, params)

    async def close(self) -> None:
        self.connection.close()


def _killed_before(plan: Callable[[], Plan[T]], kill: str) -> Plan[T]:
    result = yield from plan()
    if kill == "before":
        raise Killed
    return result


class Kafka:
    """Logs of records; every topic has as many partitions, and murmur2 places a key."""

    def __init__(self, partitions: int = 1) -> None:
        self.partitions = partitions
        self.logs: dict[TopicPartition, list[Record]] = {}

    def place(self, key: str) -> int:
        return partition_of(key, self.partitions)

    def publish(self, out: Outgoing, timestamp_ms: int = 1) -> Record:
        return self.append(out.topic, out.key.encode(), out.value, out.headers, timestamp_ms)

    def append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp_ms: int = 1,
    ) -> Record:
        place = TopicPartition(topic, partition_of((key or b"").decode("latin-1"), self.partitions))
        log = self.logs.setdefault(place, [])
        record = Record(topic, place.partition, len(log), timestamp_ms, key, value, tuple(headers))
        log.append(record)
        return record

    def all(self, topic: str) -> list[Record]:
        places = [TopicPartition(topic, each) for each in range(self.partitions)]
        return [record for place in places for record in self.logs.get(place, [])]

    def end(self, place: TopicPartition) -> int:
        return len(self.logs.get(place, []))


@dataclass
class Member(Generic[S]):
    """One process: its application over its database, and where it stands in each log."""

    name: str
    application: Application[S]
    kafka: Kafka
    clock: HandClock
    store: DirectStore
    never_queued: frozenset[str] | None = None
    release: str = "1.0"
    next: dict[TopicPartition, int] = field(default_factory=dict)
    unsent: list[tuple[int, Outgoing]] = field(default_factory=list)

    def __post_init__(self) -> None:
        topics = topics_read_by(self.name)
        self.admission = Admission(CODEC, CATALOGUE, topics)
        queue = {} if self.never_queued is None else {"never_queued": self.never_queued}
        self.setting = Setting(self.kafka.place, self.admission, self.name, self.release, **queue)
        self.places = [
            TopicPartition(topic.name, each)
            for topic in topics
            for each in range(self.kafka.partitions)
        ]
        self.start()

    def start(self) -> None:
        """As after a restart: positions and unsent rows are what the database says."""

        def begin() -> Plan[None]:
            yield Write(SQL["offsets.begin"], [(*place, 0) for place in self.places])

        self.store.drive(begin)
        rows = self.store.rows("SELECT topic, partition, next FROM offsets")
        self.next = {TopicPartition(str(t), int(p)): int(n) for t, p, n in rows}  # type: ignore[call-overload]
        self.unsent = sqlite_outgoing(self.store)

    def waiting(self, limit: int = 1000) -> list[Record]:
        """What the logs hold beyond the position, partition by partition."""
        return [
            record
            for place, at in sorted(self.next.items())
            for record in self.kafka.logs.get(place, [])[at : at + limit]
        ]

    def batch(self, records: Iterable[Record] = (), items: Iterable[Item] = ()) -> Batch:
        batch = Batch(self.clock.now_us())
        for record in records:
            place = TopicPartition(record.topic, record.partition)
            believed, _ = batch.advances.get(place, (self.next[place], 0))
            batch.advances[place] = (believed, record.offset + 1)
            batch.items.append(arrival(record, self.admission.admit(record)))
        batch.items.extend(items)
        return batch

    def apply(self, batch: Batch) -> Applied:
        """One transaction; then what it leaves is remembered, as the product's intake does."""
        applied = self.store.drive(
            lambda: Transaction(batch, self.application, self.setting).plan()
        )
        self.next.update({place: new for place, (_, new) in batch.advances.items()})
        self.unsent.extend(applied.out)
        return applied

    def take(self, *records: Record) -> Applied:
        return self.apply(self.batch(records))

    def give(self, *items: Item) -> Applied:
        return self.apply(self.batch(items=items))

    def consume(self, limit: int = 1000) -> Applied:
        return self.take(*self.waiting(limit))

    def tick(self, *partitions: int) -> Applied:
        ticks = [Tick(each, self.clock.now_us()) for each in partitions or (0,)]
        return self.apply(Batch(self.clock.now_us(), ticks=ticks))

    def redrive(self, key: str) -> Applied:
        return self.apply(Batch(self.clock.now_us(), redrive=key))

    def relay(self) -> list[Record]:
        """Publishes what is unsent, in order, and marks it."""
        sent = [self.kafka.publish(out) for _, out in self.unsent]
        numbers = [seq for seq, _ in self.unsent]
        self.unsent = []
        if numbers:
            self.apply(Batch(self.clock.now_us(), sent=numbers))
        return sent

    def dead(self, columns: str = "kind, reason, topic, offset, state") -> list[tuple[object, ...]]:
        return self.store.rows(f"SELECT {columns} FROM dead_letters ORDER BY seq")

    def parked(self) -> list[str]:
        rows = self.store.rows(
            "SELECT name FROM parked_keys JOIN keys ON keys.id = key ORDER BY name"
        )
        return [str(name) for (name,) in rows]


def sqlite_outgoing(store: DirectStore) -> list[tuple[int, Outgoing]]:
    rows = store.rows(
        "SELECT seq, topic, record_key, id, value, headers, attempt FROM outbox"
        " WHERE sent_us IS NULL ORDER BY seq"
    )
    return outgoing(rows)  # type: ignore[arg-type]


# A service of one table: it counts what was done, so that a second effect is seen.


@dataclass(frozen=True, slots=True)
class Tally:
    order_id: str
    done: int = 0
    undone: int = 0
    note: str = ""


TALLY = Table(Tally, "tally", key="order_id")
TALLY_SQL = """CREATE TABLE tally (order_id TEXT PRIMARY KEY, done INTEGER NOT NULL,
    undone INTEGER NOT NULL, note TEXT NOT NULL CHECK (note <> 'illegal'),
    version INTEGER NOT NULL)"""


def order_id(command: AuthorisePayment | VoidPayment) -> tuple[str]:
    return (command.order_id,)


class Broken(Exception):
    """What a handler of these tests raises."""


def authorise(command: AuthorisePayment, rows: Mapping[str, Tally]) -> Answer:
    """tok_broken raises, tok_illegal breaks a rule of the schema, tok_no is refused."""
    method = command.payment_method
    if method == "tok_broken":
        raise Broken(command.order_id)
    if method == "tok_no":
        return refused(PaymentDeclined(command.order_id, "insufficient_funds"))
    before = rows.get(command.order_id) or Tally(command.order_id)
    note = "illegal" if method == "tok_illegal" else method
    after = Tally(before.order_id, before.done + 1, before.undone, note)
    return done(PaymentAuthorised(command.order_id, f"a-{after.done}", command.amount), after)


def void(command: VoidPayment, rows: Mapping[str, Tally]) -> Answer:
    before = rows.get(command.order_id)
    reply = PaymentVoided(command.order_id, command.amount)
    if before is None:
        return done(reply)
    after = Tally(before.order_id, before.done, before.undone + 1, before.note)
    return done(reply, after)


HANDLERS = (
    answers(AuthorisePayment, authorise, loads=Tally, by=order_id),
    answers(VoidPayment, void, undoes=AuthorisePayment, loads=Tally, by=order_id),
)
ORCHESTRATOR = Maker("orchestrator", CODEC, CATALOGUE)


def command(
    order: str, method: str = "tok_ok", *, undo: bool = False, at: int = 1, step: str = "pay"
) -> Outgoing:
    """A command as the orchestrator makes it; `at` is the attempt, the id is the same."""
    operation = f"fulfilment:{order}/{step}"
    amount = Money(100, "GBP")
    body: object = (
        VoidPayment(order, amount) if undo else AuthorisePayment(order, None, amount, method)
    )
    message_id = f"{operation}/{'undo' if undo else 'do'}"
    cause = Cause(f"fulfilment:{order}", f"{order}/placed", operation)
    made = ORCHESTRATOR.message(COMMANDS, order, body, message_id, NOW_US, cause)
    return Outgoing(made.topic, made.key, made.id, made.value, made.headers, at)


def billing(
    kafka: Kafka | None = None,
    handlers: Sequence[Handler] = HANDLERS,
    *,
    never_queued: frozenset[str] | None = None,
    file: str = ":memory:",
) -> Member[object]:
    """A process named billing with these handlers over one table."""
    kafka, store = kafka or Kafka(), DirectStore(file)
    store.write(TALLY_SQL.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
    maker = Maker("billing", CODEC, CATALOGUE)
    application = Participant(maker, kafka.place, handlers, (TALLY,))
    return Member("billing", application, kafka, HandClock(), store, never_queued)  # type: ignore[arg-type]
