"""What is looked at, as plain values: records of topics, rows of databases, samples of metrics.

Each class of rows names the columns that are read and nothing else; `TABLES` says in which
database which of them stand. `tables_of` reads a database in one transaction and closes nothing.
Knows no Kafka; what a row means is the checks' affair.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar, cast

Place = tuple[str, int]
Headers = Sequence[tuple[str, bytes]]
R = TypeVar("R", bound=tuple[object, ...])


class Record(NamedTuple):
    """One record of a log. Any tuple of these seven will do."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Offset(NamedTuple):
    topic: str
    partition: int
    next: int


class Inbox(NamedTuple):
    key: str
    source: str
    id: str
    at_us: int


class Outbox(NamedTuple):
    seq: int
    id: str
    topic: str
    record_key: str
    value: bytes
    made_us: int
    sent_us: int | None
    blocked: str | None


class Spoken(NamedTuple):
    """What a former life of a restored database said, as `baton restore` read it back."""

    key: str
    id: str
    topic: str


class Timer(NamedTuple):
    key: str
    name: str
    due_us: int | None


class Operation(NamedTuple):
    key: str
    source: str
    operation: str
    status: str
    reply: bytes | None
    undo_reply: bytes | None


class Parked(NamedTuple):
    key: str
    reason: str


class DeadLetter(NamedTuple):
    seq: int
    key: str | None
    kind: str
    reason: str
    stage: str
    topic: str
    partition: int
    offset: int
    value: bytes | None
    at_us: int
    state: str


class Saga(NamedTuple):
    id: int
    key: str
    saga_id: str
    definition: str
    phase: str
    paused: int
    steps: str
    version: int
    start_id: str
    attention: str
    attentions: int
    started_us: int
    updated_us: int


class Line(NamedTuple):
    """Of the journal."""

    seq: int
    saga: int
    version: int
    at_us: int
    what: str
    result: str
    from_state: str
    to_state: str
    step: str
    cause_id: str
    cause_source: str


class Act(NamedTuple):
    """A line of the console's audit, in the order in which it is chained."""

    seq: int
    at_us: int
    actor: str
    via: str
    action: str
    target: str
    reason: str
    request: str
    result: str
    hash: str


class PlacedOrder(NamedTuple):
    order_id: str
    bodies: str
    told_as: str
    accepted: str | None
    outcome: str


class Submission(NamedTuple):
    idempotency_key: str
    order_id: str


class Shelf(NamedTuple):
    sku: str
    on_hand: int
    reserved: int
    gone: int


class Reservation(NamedTuple):
    order_id: str
    units: str
    status: str


class Received(NamedTuple):
    delivery_id: str
    units: str


class Payment(NamedTuple):
    order_id: str
    currency: str
    status: str
    authorised_minor: int
    captured_minor: int
    voided_minor: int
    refunded_minor: int


class Posting(NamedTuple):
    posting_id: str
    order_id: str
    kind: str
    currency: str
    debit: str
    credit: str
    amount_minor: int


class Account(NamedTuple):
    customer_id: str
    status: str


class Shipment(NamedTuple):
    order_id: str
    pieces: int
    status: str


class Customer(NamedTuple):
    customer_id: str
    record: str
    orders: int
    fulfilled: int
    cancelled: int
    points: int


class CustomerOrder(NamedTuple):
    order_id: str
    customer_id: str | None
    accepted: str | None
    outcome: str


class OrderFacts(NamedTuple):
    order_id: str
    accepted: str | None
    outcome: str


class Profile(NamedTuple):
    customer_id: str
    state: str


class OrderMail(NamedTuple):
    order_id: str
    facts: str
    letters: str


class CustomerMail(NamedTuple):
    customer_id: str
    outcome: str
    letters: str


class Provided(NamedTuple):
    """A payment in the provider's own book."""

    order_id: str
    authorisation_id: str | None
    currency: str
    authorised: int
    captured: int
    voided: int
    refunded: int
    state: str


class Carried(NamedTuple):
    """A shipment in the carrier's own book."""

    order_id: str
    tracking: str | None
    pieces: int
    state: str


class Call(NamedTuple):
    """A request that a sandbox answered for good."""

    key: str
    status: int | None


class Mail(NamedTuple):
    message_id: str


CHASSIS: Mapping[type[tuple[object, ...]], str] = {
    Offset: "offsets",
    Inbox: "inbox",
    Outbox: "outbox",
    Spoken: "spoken",
    Timer: "timers",
    Operation: "operations",
    Parked: "parked_keys",
    DeadLetter: "dead_letters",
}
TABLES: Mapping[str, Mapping[type[tuple[object, ...]], str]] = {
    "orchestrator": {**CHASSIS, Saga: "sagas", Line: "journal"},
    "orders": {**CHASSIS, PlacedOrder: "placed_order", Submission: "submission"},
    "inventory": {**CHASSIS, Shelf: "shelf", Reservation: "reservation", Received: "delivery"},
    "billing": {**CHASSIS, Payment: "payment", Posting: "posting", Account: "account"},
    "shipping": {**CHASSIS, Shipment: "shipment"},
    "crm": {**CHASSIS, Customer: "customer", CustomerOrder: "customer_order"},
    "analytics": {**CHASSIS, OrderFacts: "order_facts", Profile: "profile"},
    "notifications": {**CHASSIS, OrderMail: "order_mail", CustomerMail: "customer"},
    "console": {Act: "audit"},
    "payment": {Provided: "payment", Call: "call"},
    "carrier": {Carried: "booking", Call: "call"},
    "mail": {Mail: "mail"},
}
Tables = Mapping[type[tuple[object, ...]], Sequence[tuple[object, ...]]]


@dataclass(frozen=True, slots=True)
class Keeps:
    """For how many days a process keeps what it may forget, as its settings say by default."""

    inbox_days: int = 30
    outbox_days: int = 7
    journal_days: int = 365
    letter_days: int = 90


@dataclass(frozen=True, slots=True)
class Surface:
    """What a running process says of itself: samples by name and labels; ready or why not."""

    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]
    ready: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """An installation as it was when it was looked at.

    `ends`: first and next offset of each partition that is known, empty logs too; without it they
    are taken from the records. `moved`: why topics and databases are not of one moment.
    `unread`: what of the logs could not be read. `surfaces`: only of a running installation.
    """

    records: Sequence[Record]
    tables: Mapping[str, Tables]
    taken_us: int
    ends: Mapping[Place, tuple[int, int]] = field(default_factory=dict)
    moved: str = ""
    unread: Sequence[str] = ()
    surfaces: Mapping[str, Surface] | None = None
    keeps: Keeps = Keeps()

    def rows(self, process: str, kind: type[R]) -> Sequence[R]:
        return cast("Sequence[R]", self.tables[process][kind])


def tables_of(process: str, database: sqlite3.Connection) -> Tables:
    """All that is checked of a process, in one short transaction."""
    ours = not database.in_transaction
    if ours:
        database.execute("BEGIN")
    try:
        return {kind: _rows(database, kind, name) for kind, name in TABLES[process].items()}
    finally:
        if ours:
            database.execute("ROLLBACK")


def _rows(
    database: sqlite3.Connection, kind: type[tuple[object, ...]], table: str
) -> Sequence[tuple[object, ...]]:
    columns = ", ".join(_column(name, table) for name in kind._fields)  # type: ignore[attr-defined]
    found = database.execute(f"SELECT {columns} FROM {table}").fetchall()  # noqa: S608  our own names
    make = cast("Callable[[tuple[object, ...]], tuple[object, ...]]", kind._make)  # type: ignore[attr-defined]
    return list(map(make, found))


def _column(name: str, table: str) -> str:
    """Business keys are numbers in most tables; their names stand once, in `keys`."""
    if name == "key" and table != "call":
        return f"(SELECT name FROM keys WHERE keys.id = {table}.key)"  # noqa: S608  as above
    return name
