"""One seed's world: the company, what is done to it, and waiting until all is well again.

Orders are placed and faults happen for a simulated minute (an outage for an hour); then everything
is healed, parked keys are tried again, what is paused is resumed, and the company must come to
rest: every saga ended, nothing unsent, nothing unread. That it does not within `REST_WITHIN_S` is
a violation.
"""

from __future__ import annotations

from collections import Counter
from contextvars import Context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from random import Random
from typing import ClassVar

from orchestrator.program import PROGRAM
from schemas.catalogue import load_catalogue
from schemas.common import Item, Line
from schemas.customers import CustomerRegistered
from schemas.inventory import GoodsReceived
from schemas.orders import OrderCancellationRequested, OrderPlaced
from schemas.topics import topics_read_by
from services.analytics.__main__ import SERVICE as ANALYTICS
from services.billing.__main__ import SERVICE as BILLING
from services.chassis import failpoints, positions
from services.chassis.assembly import Program
from services.chassis.codec import Codec
from services.chassis.envelope import Cause, Maker
from services.chassis.settings import Settings
from services.crm.__main__ import SERVICE as CRM
from services.inventory.__main__ import SERVICE as INVENTORY
from services.notifications.__main__ import SERVICE as NOTIFICATIONS
from services.orders.__main__ import SERVICE as ORDERS
from services.shipping.__main__ import SERVICE as SHIPPING
from tests.simulation.bus import Broker
from tests.simulation.checks import violations
from tests.simulation.faults import broker_up, happen
from tests.simulation.loop import Deadlock, Killed, SimulatedLoop, pause
from tests.simulation.member import BASE_US, Member, hook
from tests.simulation.operator import resume_all
from tests.simulation.outside import Books, Mood
from tests.simulation.scenario import HOUR_S, Fault, Scenario
from tests.simulation.store import Database, Template, template

REST_WITHIN_S = 6 * HOUR_S
WHEN = datetime(2026, 1, 1, tzinfo=UTC)
ENVIRONMENT = {
    "KAFKA_BOOTSTRAP_SERVERS": "localhost:1",
    "BATON_PAYMENT_URL": "http://simulated",
    "BATON_CARRIER_URL": "http://simulated",
    "BATON_SMTP_HOST": "simulated",
}


class Violation(Exception):
    """Something that must always hold did not."""


@cache
def programs() -> dict[str, Program[object]]:
    services = (INVENTORY, BILLING, SHIPPING, ORDERS, CRM, ANALYTICS, NOTIFICATIONS)
    return {PROGRAM.name: PROGRAM, **{each.name: each.program() for each in services}}


def template_of(name: str) -> Template:
    return template(name, next(iter(programs()[name].migrations.values())))


@cache
def codec() -> Codec:
    return Codec(load_catalogue())


@cache
def settings(name: str, batch_max: int, tick_s: float) -> Settings:
    given = {**ENVIRONMENT, "BATON_BATCH_MAX": str(batch_max), "BATON_TIMER_TICK_S": str(tick_s)}
    return programs()[name].settings.read(given, service=name)


@dataclass
class World:
    scenario: Scenario
    trace: list[object] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    results: dict[str, int] = field(default_factory=dict)
    armed: list[Fault] = field(default_factory=list)
    poisoned: set[tuple[str, str]] = field(default_factory=set)
    offsets_s: dict[str, float] = field(default_factory=dict)
    members: dict[str, list[Member]] = field(default_factory=dict)
    lives: Counter[str] = field(default_factory=Counter)
    down: set[str] = field(default_factory=set)
    books: Books = field(default_factory=Books)
    mood: Mood = field(default_factory=Mood)
    SCARCE: ClassVar[int] = 6
    PLENTY: ClassVar[int] = 10_000

    def __post_init__(self) -> None:
        scenario = self.scenario
        self.random = Random(f"world {scenario.seed}")
        self.failure: BaseException | None = None
        self.loop = SimulatedLoop(Random(f"turns {scenario.seed}"), self._faulty)
        self.codec = codec()
        self.count = partial(self._count)
        self.broker = Broker(scenario.partitions, self.random, self._count, self.trace)
        self.broker.manners.latency_s = scenario.latency_s
        self.broker.manners.together_s = scenario.together_s
        for kind, rate in scenario.rates.items():
            if kind.startswith("gateway_"):
                setattr(self.mood, kind.removeprefix("gateway_"), rate)
            else:
                setattr(self.broker.manners, kind, rate)
        self.databases = {name: Database(template_of(name)) for name in scenario.services}
        self._shop = Maker("shop", self.codec, load_catalogue())
        self.console = Maker("console", self.codec, load_catalogue())
        self.verbs = 0

    def run(self) -> None:
        """Raises Violation, with the trace told until then in `trace`."""
        before, failpoints.hook = failpoints.hook, hook
        guarded, positions.GUARDED_RECORDS = positions.GUARDED_RECORDS, self.scenario.guarded
        try:
            # In a context of its own: the one of a test would be carried into every task.
            Context().run(self.loop.run_until_complete, self._whole())
        except Deadlock as error:
            raise Violation("deadlock: nobody waits for time, and nobody can run") from error
        finally:
            for members in self.members.values():
                for member in members:
                    member.dead = True
            failpoints.hook, positions.GUARDED_RECORDS = before, guarded
            self.loop.close()
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Nobody asks its databases anything any more."""
        for database in self.databases.values():
            database.close()

    def _count(self, kind: str) -> None:
        self.faults[kind] += 1
        self.trace.append(("fault", round(self.loop.now_s, 3), kind))

    def fail(self, what: str, cause: BaseException | None = None) -> None:
        if self.failure is None:
            self.failure = Violation(what)
            self.failure.__cause__ = cause

    def _faulty(self, error: BaseException) -> None:
        self.fail(f"a task ended by {error!r}", error)

    def start(self, name: str) -> Member:
        self.lives[name] += 1
        self.down.discard(name)
        program = programs()[name]
        scenario = self.scenario
        own = settings(name, scenario.batch_max, scenario.tick_s)
        member = Member(self, program, own, self.databases[name], self.lives[name])
        self.members.setdefault(name, []).append(member)
        return member

    def may_die(self, member: Member) -> bool:
        """Not one that has died twice already at a record and is at it again.

        A third time makes the record a dead letter by design, which looks like a loss.
        """
        return self.databases[member.name].one("SELECT max(tries) FROM attempts") < 3

    def kill(self, member: Member, away_s: float) -> None:
        """It is started again after a while, unless another life of it is there."""
        member.kill()
        self.members[member.name].remove(member)
        self.loop.call_later(away_s, self.start_if_none, member.name)

    def start_if_none(self, name: str) -> None:
        if not self.members[name] and name not in self.down:
            self.start(name)

    def reached(self, member: Member, name: str) -> None:
        """A failpoint: the process may die here."""
        for fault in self.armed:
            if fault.moment != name or fault.target not in (member.name, "any"):
                continue
            if self.may_die(member):
                self.armed.remove(fault)
                self.kills[name] += 1
                self._count("crash")
                self.kill(member, fault.value * 8)
                raise Killed

    def raises(self, service: str, key: str) -> bool:
        if (service, key) not in self.poisoned:
            return False
        self._count("poison_handler")
        return True

    async def _whole(self) -> None:
        scenario = self.scenario
        for name in scenario.services:
            self.start(name)
        self._opening()
        for order in scenario.orders:
            self.loop.call_later(order.at_s, self._place, order)
        for fault in scenario.faults:
            self.loop.call_later(fault.at_s, happen, self, fault)
        # Without a fault left to come there is nothing to wait for.
        ends_s = [each.over_s for each in scenario.faults]
        await pause(max([20 + each.at_s for each in scenario.orders] + ends_s, default=0))
        self._heal()
        await self._rest()
        for found in violations(self):
            raise Violation(found)

    def _opening(self) -> None:
        goods = (Item("plenty", self.PLENTY), Item("scarce", self.SCARCE))
        self.publish(GoodsReceived("d1", goods, WHEN), "d1")
        for customer in self.scenario.customers:
            event = CustomerRegistered(customer, "N", f"{customer}@example.org", "France", WHEN)
            self.publish(event, f"{customer}/registered")

    def _place(self, order: object) -> None:
        line = Line(order.sku, order.quantity, 100)
        body = OrderPlaced(
            order.id, order.customer, "GBP", (line,), order.country, WHEN, (), order.method
        )
        self.publish(body, f"{order.id}/placed")
        if self.random.random() < 0.1:
            self.publish(body, f"{order.id}/placed")

    def cancel(self, order: str, number: int) -> None:
        body = OrderCancellationRequested(order, f"{order}-x{number}", "changed my mind", WHEN)
        self.publish(body, f"{order}/cancel/{number}")

    def publish(self, body: object, message_id: str) -> None:
        out = self._shop.event(body, message_id, BASE_US, Cause())
        self.broker.append(out.topic, out.key.encode(), out.value, out.headers)

    def _heal(self) -> None:
        self.trace.append(("heal", self.loop.now_s))
        self.armed.clear()
        self.poisoned.clear()
        self.down.clear()
        self.broker.manners.calm()
        broker_up(self)
        self.mood.calm()
        for name in self.scenario.services:
            self.databases[name].away_until_s = 0.0
            self.start_if_none(name)

    async def _rest(self) -> None:
        until_s = self.loop.now_s + REST_WITHIN_S
        pause_s, why = 1.0, ""
        while self.loop.now_s < until_s and self.failure is None:
            await pause(pause_s)
            pause_s = min(pause_s * 1.3, 60)
            why = self._restless()
            if not why:
                return
        raise self.failure or Violation(f"I-10 liveness: {why} after {REST_WITHIN_S:.0f} s of calm")

    def _restless(self) -> str:
        """What is still to be done, or nothing."""
        if self.broker.underway:
            return "messages are still under way"
        for name, database in self.databases.items():
            if why := self._busy(name, database):
                return f"{name} {why}"
        resume_all(self)
        left = self.databases["orchestrator"].rows(
            "SELECT saga_id, phase, steps FROM sagas"
            " WHERE phase NOT IN ('completed', 'compensated')"
        )
        return f"sagas have not ended: {left[:3]}" if left else ""

    def _busy(self, name: str, database: Database) -> str:
        if not self.members[name]:
            self.start_if_none(name)
            return "is down"
        rows = database.rows("SELECT name, reason FROM parked_keys JOIN keys ON keys.id = key")
        for key, _ in rows:
            parts = self.members[name][0].parts
            if parts is not None:
                parts.intake.redrive(str(key))
        if rows:
            return f"has parked {rows}"
        if database.one("SELECT count(*) FROM outbox WHERE sent_us IS NULL"):
            return "has unsent messages"
        if database.one("SELECT count(*) FROM operations WHERE status LIKE '%calling'"):
            return "is calling"
        return self._unread(name, database)

    def _unread(self, name: str, database: Database) -> str:
        rows = database.rows("SELECT topic, partition, next FROM offsets")
        at = {(str(topic), partition): next_ for topic, partition, next_ in rows}
        read = {topic.name for topic in topics_read_by(name)}
        for (topic, partition), log in self.broker.logs.items():
            if topic in read and int(str(at.get((topic, partition), 0))) < log.needed:
                return f"has not read {topic}[{partition}]"
        return ""
