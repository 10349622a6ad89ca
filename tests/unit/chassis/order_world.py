"""Every order in which a small company may live through one order, enumerated.

Real shell, real participants with their own rules and tables, real transactions; logs, the outside
and the clock are in memory. One step is one process hearing one record, one call of a gateway
coming back, or one timer firing. A process is a function of what it heard, in its order: that
history names a state, so states reached on several ways are gone on from once.
Here a decision is published as it commits: what an unsent outbox does is another test's matter.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from company import CATALOGUE, CODEC, NOW_US, DirectStore, HandClock, Kafka, Member
from outside import Deal, Outside

from orchestrator.engine.shell import Shell
from orchestrator.engine.store import MIGRATIONS as SAGA_TABLES
from orchestrator.saga import Saga
from orchestrator.sagas import SAGAS
from schemas.common import Item, Line
from schemas.customers import CustomerRegistered
from schemas.inventory import GoodsReceived
from schemas.orders import OrderCancellationRequested, OrderPlaced
from services.analytics import handlers as analytics
from services.analytics import store as analytics_store
from services.billing import handlers as billing
from services.billing import store as billing_store
from services.chassis.envelope import Cause, Maker
from services.chassis.handlers import Handler
from services.chassis.items import Begun, Returned
from services.chassis.messages import Record, TopicPartition
from services.chassis.participant import Participant
from services.chassis.tables import Table
from services.chassis.transaction import Tick
from services.crm import handlers as crm
from services.crm import store as crm_store
from services.inventory import handlers as inventory
from services.inventory import store as inventory_store
from services.shipping import handlers as shipping
from services.shipping import store as shipping_store

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
SHOP = Maker("shop", CODEC, CATALOGUE)
ORDERS = "orders.order.events.v1"
STOCKED = 10
PRICE = 700
Parts = tuple[Sequence[Handler], Sequence[Table], Path]
SERVICES: dict[str, Parts] = {
    "inventory": (inventory.HANDLERS, inventory_store.TABLES, inventory_store.MIGRATIONS),
    "billing": (billing.HANDLERS, billing_store.TABLES, billing_store.MIGRATIONS),
    "shipping": (shipping.HANDLERS, shipping_store.TABLES, shipping_store.MIGRATIONS),
    "crm": (crm.HANDLERS, crm_store.TABLES, crm_store.MIGRATIONS),
    "analytics": (analytics.HANDLERS, analytics_store.TABLES, analytics_store.MIGRATIONS),
}
FULFILLING = ("inventory", "billing", "shipping")


def service(name: str, kafka: Kafka, clock: HandClock, file: str = ":memory:") -> Member[object]:
    """The real service of that name, without its HTTP interface and its gateway."""
    handlers, tables, migrations = SERVICES[name]
    application = Participant(Maker(name, CODEC, CATALOGUE), kafka.place, handlers, tables)
    store = DirectStore(file, {name: migrations})
    return Member(name, application, kafka, clock, store)  # type: ignore[arg-type]


def orchestrator(
    kafka: Kafka,
    clock: HandClock,
    sagas: Sequence[Saga[object]] = SAGAS,
    file: str = ":memory:",
) -> Member[object]:
    shell = Shell(sagas, Maker("orchestrator", CODEC, CATALOGUE))
    store = DirectStore(file, {"orchestrator": SAGA_TABLES})
    return Member("orchestrator", shell, kafka, clock, store)  # type: ignore[arg-type]


def placed(order: str = "o-1", **changes: object) -> OrderPlaced:
    """Two units of `s` on two lines, together for PRICE."""
    given = {
        "order_id": order,
        "customer_id": "c-1",
        "currency": "GBP",
        "lines": (Line("s", 1, 350), Line("s", 1, 350)),
        "country": "France",
        "placed_at": WHEN,
    }
    return OrderPlaced(**(given | changes))  # type: ignore[arg-type]


def cancellation(order: str = "o-1", request: str = "r-1") -> OrderCancellationRequested:
    return OrderCancellationRequested(order, request, "changed_mind", WHEN)


def registered(customer: str) -> CustomerRegistered:
    return CustomerRegistered(customer, "Ada", "ada@example.invalid", "France", WHEN)


@dataclass(frozen=True)
class Saved:
    """One process, the logs and the outside, as they were before a step."""

    member: Member[object]
    database: sqlite3.Connection
    next: dict[TopicPartition, int]
    ends: dict[TopicPartition, int]
    calls: tuple[Begun, ...]
    deals: dict[str, Deal]
    results: dict[str, object]
    heard: dict[str, tuple[str, ...]]
    sent: list[int]
    now_us: int
    fires: int
    repeats: int


class World:
    """What may go wrong, in all: `fires` timers although their reply could still come, or stands
    there unread; `repeats` records of commands and replies that come into their log once more.
    `eager` processes hear at once: allowed where nothing that they may hear meanwhile concerns
    the same rows.
    """

    def __init__(
        self,
        *events: object,
        members: Sequence[str] = FULFILLING,
        sagas: Sequence[Saga[object]] = SAGAS,
        fires: int = 0,
        repeats: int = 0,
        eager: Sequence[str] = (),
    ) -> None:
        self.kafka, self.clock, self.outside = Kafka(), HandClock(), Outside()
        self.members = {name: service(name, self.kafka, self.clock) for name in members}
        self.publish("d-1", GoodsReceived("d-1", (Item("s", STOCKED),), WHEN))
        self.members["inventory"].consume()
        self.orchestrator = orchestrator(self.kafka, self.clock, sagas)
        self.members["orchestrator"] = self.orchestrator
        self.calls: tuple[Begun, ...] = ()
        self.fires, self.repeats, self.eager = fires, repeats, eager
        self.heard: dict[str, tuple[str, ...]] = dict.fromkeys((*self.members, "logs"), ())
        self.sent: dict[str, list[int]] = {name: [] for name in self.members}
        for at, event in enumerate(events):
            self.publish(f"e-{at}", event)

    def publish(self, message_id: str, event: object) -> None:
        self.kafka.publish(SHOP.event(event, message_id, NOW_US, Cause()))

    def steps(self) -> list[tuple[str, str]]:
        """All that may happen next: whose step, and what it hears."""
        found = [
            (name, place.topic)
            for name, member in self.members.items()
            for place, at in sorted(member.next.items())
            if at < self.kafka.end(place)
        ]
        found += [(begun.idempotency_key, "returned") for begun in self.calls]
        if self.fires and self._due_us() is not None:
            found.append(("orchestrator", "timer"))
        if self.repeats:
            found += [
                (f"{place.topic}#{record.offset}", "again")
                for place, log in sorted(self.kafka.logs.items())
                for record in log
                if place.topic.endswith((".replies.v1", ".commands.v1"))
            ]
        at_once = [step for step in found if self.of(step) in self.eager]
        return at_once[:1] or found

    def _due_us(self) -> int | None:
        rows = self.orchestrator.store.rows("SELECT min(due_us) FROM timers")
        return None if rows[0][0] is None else int(str(rows[0][0]))

    def of(self, step: tuple[str, str]) -> str:
        """The process that takes this step; a log is nobody's."""
        who, what = step
        if what == "again":
            return "orchestrator"
        return _caller(self._call(who)) if what == "returned" else who

    def _call(self, key: str) -> Begun:
        return next(each for each in self.calls if each.idempotency_key == key)

    def take(self, step: tuple[str, str]) -> None:
        who, what = step
        if what == "again":
            self._again(who)
            return
        name = self.of(step)
        self.heard[name] = (*self.heard[name], "/".join(step))
        if what == "timer":
            due_us = self._due_us()
            assert due_us is not None
            self.clock.us = max(self.clock.us, due_us)
            self.fires -= 1
            self.hear(name, ticks=[Tick(0, self.clock.us)])
        elif what == "returned":
            self.hear(name, begun=[self._call(who)])
        else:
            place = TopicPartition(what, 0)
            self.hear(name, [self.kafka.logs[place][self.members[name].next[place]]])

    def hear(
        self,
        name: str,
        records: Sequence[Record] = (),
        begun: Sequence[Begun] = (),
        ticks: Sequence[Tick] = (),
    ) -> None:
        """One transaction, which marks what the one before it said; then what it says is said."""
        member = self.members[name]
        batch = member.batch(records, [Returned(each, self.outside.call(each)) for each in begun])
        batch.sent, batch.ticks = self.sent[name], ticks
        applied = member.apply(batch)
        assert applied.errors == []
        self.calls = (*(each for each in self.calls if each not in begun), *applied.calls)
        self.sent[name] = [seq for seq, _ in member.unsent]
        for _, out in member.unsent:
            self.kafka.publish(out)
        member.unsent = []

    def calls_of(self, name: str) -> list[Begun]:
        return [each for each in self.calls if _caller(each) == name]

    def _again(self, which: str) -> None:
        topic, _, offset = which.partition("#")
        log = self.kafka.logs[TopicPartition(topic, 0)]
        self.repeats -= 1
        self.heard["logs"] = (*self.heard["logs"], f"{which}@{len(log)}")
        record = log[int(offset)]
        self.kafka.append(topic, record.key, record.value, record.headers)

    def name(self) -> object:
        """What this state is: every process's history, and what the logs were given besides."""
        return tuple(self.heard.values())

    def save(self, name: str) -> Saved:
        member, database = self.members[name], sqlite3.connect(":memory:")
        member.store.connection.backup(database)
        return Saved(
            member,
            database,
            dict(member.next),
            {place: len(log) for place, log in self.kafka.logs.items()},
            self.calls,
            dict(self.outside.deals),
            dict(self.outside.results),
            dict(self.heard),
            self.sent[name],
            self.clock.us,
            self.fires,
            self.repeats,
        )

    def restore(self, saved: Saved) -> None:
        member = saved.member
        saved.database.backup(member.store.connection)
        saved.database.close()
        member.next = dict(saved.next)
        for place, log in self.kafka.logs.items():
            del log[saved.ends.get(place, 0) :]
        self.calls = saved.calls
        self.outside.deals = dict(saved.deals)
        self.outside.results = dict(saved.results)  # type: ignore[arg-type]
        self.heard, self.sent[member.name] = dict(saved.heard), saved.sent
        self.clock.us, self.fires, self.repeats = saved.now_us, saved.fires, saved.repeats

    def bodies(self, topic: str) -> list[object]:
        return [CODEC.decode(each.value or b"") for each in self.kafka.all(topic)]

    def rows(self, name: str, sql: str) -> list[tuple[object, ...]]:
        return self.members[name].store.rows(sql)


def _caller(begun: Begun) -> str:
    return "shipping" if begun.call.name in ("book", "cancel", "dispatch") else "billing"


Look = Callable[[World], None]
PROVING = os.environ.get("HYPOTHESIS_PROFILE") == "prove"


def costly(case: object) -> object:
    """A case of a parametrised test that takes its time: only `make prove` has it."""
    return pytest.param(case, marks=pytest.mark.costly)


def explore(world: World, always: Look, at_end: Look) -> int:
    """Goes every way there is; looks at each state once. How many states there were."""
    seen: set[object] = set()

    def visit() -> None:
        state = world.name()
        if state in seen:
            return
        seen.add(state)
        always(world)
        steps = world.steps()
        if not steps:
            at_end(world)
        for step in steps:
            saved = world.save(world.of(step))
            world.take(step)
            visit()
            world.restore(saved)

    visit()
    return len(seen)


def run_through(world: World) -> None:
    """The first step of all that may be taken, until there is none."""
    while steps := world.steps():
        world.take(steps[0])


def journal(world: World, saga: str) -> list[tuple[int, str, str, str, str]]:
    """Version, what, result, from and to, line by line."""
    rows = world.rows(
        "orchestrator",
        "SELECT journal.version, what, result, from_state, to_state FROM journal"
        f" JOIN sagas ON sagas.id = saga WHERE saga_id = '{saga}' ORDER BY seq",
    )
    return cast("list[tuple[int, str, str, str, str]]", rows)
