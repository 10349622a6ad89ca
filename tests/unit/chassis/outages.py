"""A company of processes that can be down, over a Kafka that can be away, one order at a time.

What is committed, what is published and what is read are separate steps here, positions are told
to Kafka as the product tells them, and the orchestrator's timers are the product's own. Time moves
by hand; a process that is down takes no step, and begins again from its database alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from company import CODEC, NOW_US, HandClock, Kafka, Member
from order_world import FULFILLING, SHOP, STOCKED, WHEN, orchestrator, service
from outside import Outside

from orchestrator.program import PROGRAM
from schemas.common import Item
from schemas.inventory import GoodsReceived
from services.chassis.bus import BrokerSilent
from services.chassis.envelope import Cause
from services.chassis.items import Begun, Returned
from services.chassis.messages import Record, TopicPartition
from services.chassis.positions import Positions
from services.chassis.reading import _calling
from services.chassis.timers import Timers
from services.chassis.transaction import Tick


@dataclass
class Logs:
    """Kafka as processes see it: its logs, what groups told it, and whether it answers."""

    kafka: Kafka
    up: bool = True
    told: dict[str, dict[TopicPartition, int]] = field(default_factory=dict)

    async def end_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        self._answer()
        return {place: self.kafka.end(place) for place in places}

    async def committed(self, group: str) -> Mapping[TopicPartition, int]:
        self._answer()
        return dict(self.told.get(group, {}))

    def _answer(self) -> None:
        if not self.up:
            raise BrokerSilent("kafka", 1.0)


class Process:
    """One member with what it knows of its place in the logs; `up` says whether it lives."""

    def __init__(self, member: Member[object], logs: Logs, awaited: Mapping[str, str]) -> None:
        self.member, self.logs, self.awaited = member, logs, awaited
        self.up = True
        self.ticks: list[Tick]
        self.calls: list[Begun]
        self.begin()

    @property
    def connected(self) -> bool:
        return self.up and self.logs.up

    def begin(self) -> None:
        """As a start does: everything from the database, and nothing heard yet."""
        member = self.member
        member.start()
        self.ticks = []
        self.calls = member.store.drive(lambda: _calling([0], CODEC.decode))
        self.positions = Positions()
        starts = dict.fromkeys(member.places, 0)
        self.positions.loaded(member.store.drive(lambda: self.positions.load(starts)))
        self.timers = Timers(
            member.store,
            self.positions,
            self,  # type: ignore[arg-type]
            self.logs,
            member.clock,
            awaited=self.awaited,
            fire=self.put_tick,
        )

    def put_tick(self, tick: Tick) -> None:
        self.ticks.append(tick)

    async def end_offsets(self, places: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return await self.logs.end_offsets(places)

    async def read_through(self, place: TopicPartition) -> int:
        """What it polls it applies at once, so it never has read further than that."""
        return self.positions.all[place]

    def take(self, records: Sequence[Record] = (), items: Sequence[Returned] = ()) -> None:
        """One transaction of all that waits, as the intake makes it; nothing is said yet."""
        batch = self.member.batch(records, items)
        batch.ticks, self.ticks = tuple(self.ticks), []
        for tick in batch.ticks:
            for place, at in self.positions.of(tick.partition).items():
                batch.advances.setdefault(place, (at, at))
        applied = self.member.apply(batch)
        assert applied.errors == []
        for place, (_, new) in batch.advances.items():
            self.positions.committed(place, new)
        self.positions.said_through(applied.out[-1][0] if applied.out else None)
        self.calls += applied.calls

    def hear(self) -> None:
        if self.connected:
            self.take(self.member.waiting())

    def returned(self, outside: Outside) -> None:
        if self.up and self.calls:
            calls, self.calls = self.calls, []
            self.take(items=[Returned(each, outside.call(each)) for each in calls])

    def say(self) -> None:
        if self.connected:
            last = max([seq for seq, _ in self.member.unsent], default=1 << 62)
            self.member.relay()
            told = self.logs.told.setdefault(f"baton.{self.member.name}", {})
            told.update(self.positions.committable(last))

    async def tick(self) -> None:
        if self.up:
            await self.timers.tick()
            if self.ticks:
                self.take()


class Firm:
    """`awaited`: whose readers the orchestrator's timers wait for, as the product's do."""

    def __init__(self, *events: object, awaited: Mapping[str, str] = PROGRAM.awaited) -> None:
        self.kafka, self.clock, self.outside = Kafka(), HandClock(), Outside()
        self.logs = Logs(self.kafka)
        members = [orchestrator(self.kafka, self.clock)]
        members += [service(name, self.kafka, self.clock) for name in FULFILLING]
        self.members = {member.name: member for member in members}
        goods = GoodsReceived("d-1", (Item("s", STOCKED),), WHEN)
        for at, event in enumerate((goods, *events)):
            self.kafka.publish(SHOP.event(event, f"e-{at - 1}", NOW_US, Cause()))
        self.processes = {
            name: Process(member, self.logs, awaited if name == "orchestrator" else {})
            for name, member in self.members.items()
        }

    @property
    def orchestrator(self) -> Process:
        return self.processes["orchestrator"]

    def round(self) -> Iterator[str]:
        """Everybody hears, asks outside, and speaks, in small steps; says whose step it was."""
        for name, process in self.processes.items():
            process.hear()
            yield f"{name} heard"
            process.returned(self.outside)
            yield f"{name} was answered"
            process.say()
            yield f"{name} spoke"

    async def until(self, whose: str) -> None:
        """After this step, for the first time."""
        for said in self.round():
            if said == whose:
                return

    async def until_unsent(self, message_id: str) -> None:
        """This message stands in the outbox of who made it."""
        await self._until(lambda ids: ids in self._unsent(), message_id)

    async def until_unread(self, message_id: str) -> None:
        """This message stands in its log, and nobody has read it."""
        await self._until(lambda ids: ids in self._unread(), message_id)

    async def _until(self, there: object, message_id: str) -> None:
        for _ in range(20):
            for _ in self.round():
                if there(message_id):  # type: ignore[operator]
                    return
                await self.orchestrator.tick()
        raise AssertionError(message_id)

    def _unsent(self) -> set[str]:
        return {out.id for member in self.members.values() for _, out in member.unsent}

    def _unread(self) -> set[str]:
        records = [record for member in self.members.values() for record in member.waiting()]
        return {dict(record.headers)["ce_id"].decode() for record in records}

    async def an_hour_without(self, *who: str) -> None:
        """They are down for an hour, in which everybody else goes on; then they begin again."""
        self.logs.up = "kafka" not in who
        for name in set(who) - {"kafka"}:
            self.processes[name].up = False
        for seconds in (*[20] * 9, *[300] * 11, 120):
            self.clock.move(seconds)
            for _ in self.round():
                await self.orchestrator.tick()
        self.logs.up = True
        for name in set(who) - {"kafka"}:
            self.processes[name].up = True
            self.processes[name].begin()

    async def until_over(self) -> None:
        """Slowly: a second passes at each step, and the timers look at every one of them."""
        for _ in range(30):
            for _ in self.round():
                self.clock.move(1)
                await self.orchestrator.tick()
            if self.fate() in ("completed", "compensated") and not self._unread():
                return
        raise AssertionError(self.fate())

    def fate(self) -> str:
        rows = self.rows("orchestrator", "SELECT phase FROM sagas")
        return str(rows[0][0]) if rows else ""

    def fired(self) -> list[tuple[object, ...]]:
        """Lines of the journal that only a timer writes."""
        return self.rows(
            "orchestrator",
            "SELECT what, step, from_state FROM journal"
            " WHERE what LIKE 'timer%' OR what = 'timed_out' ORDER BY seq",
        )

    def said(self, message_id: str) -> int:
        """How often this message stands in the logs."""
        return sum(
            dict(record.headers)["ce_id"].decode() == message_id
            for log in self.kafka.logs.values()
            for record in log
        )

    def rows(self, name: str, sql: str) -> list[tuple[object, ...]]:
        return self.members[name].store.rows(sql)

    def bodies(self, topic: str) -> list[object]:
        return [CODEC.decode(each.value or b"") for each in self.kafka.all(topic)]
