"""Kafka as its clients see it: logs, groups, one reader and one publisher a process.

What Kafka may do to a client, this does when the seed says so: a batch that is refused, one whose
answer is lost, copies, gaps between offsets, a member that learns of its assignment late. What it
never does, this never does: a partition's records change, or come out of order.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from random import Random
from typing import TYPE_CHECKING

from services.chassis import failpoints
from services.chassis.bus import BrokerSilent, ClientLost
from services.chassis.bus_publish import partition_of
from services.chassis.messages import Headers, Outgoing, Record, TopicPartition
from tests.simulation.loop import never, pause

if TYPE_CHECKING:
    from tests.simulation.member import Member

# A poll that finds nothing twice lasts until something happens.
_IDLE_S = 1_000.0
SILENCE_S, LONG_SILENCE_S = 3.0, 45.0


@dataclass
class Manners:
    """What the broker does to its clients; each a chance per batch or per message, 0 is never."""

    refuse: float = 0.0
    unknown: float = 0.0
    late: float = 0.0
    twice: float = 0.0
    drop: float = 0.0
    delay: float = 0.0
    sparse: float = 0.0
    lost_client: float = 0.0
    latency_s: float = 0.02
    together_s: float = 0.0

    def way_s(self, roll: float, now_s: float) -> float:
        """How long something is on its way; what lands in one `together_s` lands at once."""
        late_s = self.latency_s * roll
        if not self.together_s:
            return late_s
        return ceil((now_s + late_s) / self.together_s) * self.together_s - now_s

    def calm(self) -> None:
        self.refuse = self.unknown = self.late = self.twice = self.drop = 0.0
        self.delay = self.sparse = self.lost_client = 0.0


@dataclass
class Log:
    """`end` may lie behind the last record: there stands a marker that is no record."""

    records: list[Record] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    end: int = 0

    def since(self, offset: int, limit: int) -> list[Record]:
        at = bisect_left(self.offsets, offset)
        return self.records[at : at + limit]

    @property
    def needed(self) -> int:
        """The offset after the last record."""
        return self.offsets[-1] + 1 if self.offsets else 0


class Broker:
    def __init__(
        self, partitions: int, random: Random, count: Callable[[str], None], trace: list[object]
    ) -> None:
        self.partitions, self.random, self.count, self.trace = partitions, random, count, trace
        self.manners = Manners()
        self.up = True
        self.silence_s = SILENCE_S  # how long a client waits for a broker that is down
        self.logs: dict[TopicPartition, Log] = {}
        self.groups: dict[str, Group] = {}
        self.committed: dict[str, dict[TopicPartition, int]] = {}
        self.underway = 0  # messages that will be appended later
        self.not_in_order: set[str] = set()  # ids that the seed dropped or delayed
        self._listening: dict[str, list[Reader]] = {}

    def go_down(self) -> None:
        """Who waits in a poll will be told."""
        self.up = False
        for readers in self._listening.values():
            for reader in readers:
                reader.nudge()

    def log(self, place: TopicPartition) -> Log:
        found = self.logs.get(place)
        if found is None:
            found = self.logs[place] = Log()
        return found

    def all(self, topic: str) -> list[Record]:
        return [
            record
            for each in range(self.partitions)
            for record in self.log(TopicPartition(topic, each)).records
        ]

    def append(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        named = (key or b"").decode("latin-1")
        place = TopicPartition(topic, partition_of(named, self.partitions))
        log = self.log(place)
        now_ms = round(asyncio.get_running_loop().time() * 1000)
        record = Record(topic, place.partition, log.end, now_ms, key, value, headers)
        log.records.append(record)
        log.offsets.append(log.end)
        log.end += 1
        if self.manners.sparse and self.random.random() < self.manners.sparse:
            log.end += 1
            self.count("sparse")
        self.trace.append(("log", topic, place.partition, record.offset, named, _id_of(headers)))
        for reader in self._listening.get(topic, ()):
            reader.wake()

    def listen(self, reader: Reader, topics: Iterable[str]) -> None:
        for topic in topics:
            self._listening.setdefault(topic, []).append(reader)

    def unlisten(self, reader: Reader) -> None:
        for readers in self._listening.values():
            if reader in readers:
                readers.remove(reader)

    def take(self, out: Outgoing) -> None:
        """One acknowledged message, and what becomes of it."""
        roll, manners = self.random.random, self.manners
        key, kind = out.key.encode(), out.topic.split(".")[-2]
        healed = kind in ("commands", "replies")  # sent again until they are answered
        if healed and manners.drop and roll() < manners.drop:
            self.count("drop")
            self.not_in_order.add(out.id)
            return
        if healed and manners.delay and roll() < manners.delay:
            self.count("delay")
            self.not_in_order.add(out.id)
            # Beyond the time that a step is given, too: then an undo overtakes its do.
            self.later(self.random.choice((6, 6, 150)) * roll(), out)
            return
        self.append(out.topic, key, out.value, out.headers)
        if manners.twice and roll() < manners.twice:
            self.count("twice")
            self.append(out.topic, key, out.value, out.headers)

    def later(self, seconds: float, out: Outgoing) -> None:
        self.underway += 1

        def land() -> None:
            self.underway -= 1
            self.append(out.topic, out.key.encode(), out.value, out.headers)

        asyncio.get_running_loop().call_later(seconds, land)


def _id_of(headers: Headers) -> str:
    for name, value in headers:
        if name == "ce_id":
            return value.decode("latin-1")
    return ""


class Group:
    """Who reads what. A member may learn late that its partitions are another's now."""

    def __init__(self, broker: Broker, topics: Sequence[str]) -> None:
        self._broker, self._topics = broker, topics
        self.readers: list[Reader] = []
        self.tardy: dict[Reader, float] = {}
        self._deals = 0

    def join(self, reader: Reader) -> None:
        self.readers.append(reader)
        self._deal()

    def leave(self, reader: Reader) -> None:
        if reader in self.readers:
            self.readers.remove(reader)
            self._deal()

    def _deal(self) -> None:
        """Range: partition i of every topic goes to one member."""
        self._deals += 1
        n = len(self.readers)
        for at, reader in enumerate(self.readers):
            share = [
                p for p in range(self._broker.partitions) if p * n // self._broker.partitions == at
            ]
            mine = frozenset(TopicPartition(topic, p) for topic in self._topics for p in share)
            late_s = self.tardy.pop(reader, 0.0) or 0.05
            asyncio.get_running_loop().call_later(late_s, self._tell, reader, mine, self._deals)

    def _tell(self, reader: Reader, mine: frozenset[TopicPartition], deal: int) -> None:
        """A share that another deal has overtaken is told no more."""
        if reader.alive and deal > reader.deal:
            reader.deal = deal
            reader.told(mine)


class Reader:
    """One life of a member of a group; a `Reads` of the chassis."""

    def __init__(self, broker: Broker, member: Member, topics: Sequence[str]) -> None:
        self.generation, self.alive, self.deal = 0, False, 0
        self._broker, self._member, self._topics = broker, member, topics
        self._group = broker.groups.setdefault(member.name, Group(broker, topics))
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._at: dict[TopicPartition, int] = {}
        self._held: set[TopicPartition] = set()
        self._waiter: asyncio.Future[None] | None = None
        self._waking = False
        self._idle = False

    async def rebuild(self) -> None:
        await self._answered()
        self.leave()
        self.alive = True
        self._broker.listen(self, self._topics)
        self._group.join(self)

    def leave(self) -> None:
        self.alive = False
        self._broker.unlisten(self)
        self._group.leave(self)
        self.told(frozenset())

    def told(self, assigned: frozenset[TopicPartition]) -> None:
        self.generation += 1
        self._assigned = assigned
        self._at.clear()
        self._held.clear()
        self.wake()

    def tardy(self, seconds: float) -> None:
        """The next change of its assignment reaches it so late."""
        self._group.tardy[self] = seconds

    def assignment(self) -> frozenset[TopicPartition]:
        return self._assigned

    def wake(self) -> None:
        if self._waiter is not None and not self._waking:
            self._waking = True
            loop, broker = asyncio.get_running_loop(), self._broker
            late_s = broker.manners.way_s(broker.random.random(), loop.time())
            loop.call_later(late_s, self._woken, self._waiter)

    def nudge(self) -> None:
        """A poll under way ends, as in time it would."""
        if self._waiter is not None:
            self._woken(self._waiter)

    @property
    def holds(self) -> bool:
        return bool(self._held)

    def _woken(self, waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            waiter.set_result(None)

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        await self._alive()
        broker = self._broker
        if not broker.up:
            await pause(broker.silence_s)
            raise BrokerSilent("simulated", broker.silence_s)
        if broker.manners.lost_client and broker.random.random() < broker.manners.lost_client:
            broker.count("lost_client")
            self.leave()
            raise ClientLost("the simulation takes the client away")
        found = self._take(max_records)
        if not found:
            await self._wait(_IDLE_S if self._idle else timeout_s)
            await self._alive()
            found = self._take(max_records)
        self._idle = not found
        return found

    async def _wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        self._waking = False
        timer = loop.call_later(seconds, self._woken, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _take(self, max_records: int) -> list[Record]:
        """Some of the partitions, in any order, of each as much as the seed gives."""
        if not self._broker.up:
            return []
        random, logs, found = self._broker.random, self._broker.logs, list[Record]()
        behind = [
            place
            for place, at in self._at.items()
            if logs[place].end > at and place not in self._held
        ]
        random.shuffle(behind)
        few = random.random() < 0.2
        for place in behind:
            log, at = logs[place], self._at[place]
            records = log.since(at, min(max_records - len(found), 2 if few else 500))
            found += records
            self._at[place] = (
                log.end
                if not records or records[-1] is log.records[-1]
                else (records[-1].offset + 1)
            )
            if len(found) >= max_records or (few and random.random() < 0.5):
                break
        return found

    async def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        await self._alive()
        for place, at in positions.items():
            if place in self._assigned:
                self._at[place] = at
                self._broker.log(place)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        self._held.update(self._assigned.intersection(partitions))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        self._held.difference_update(partitions)
        self.wake()

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        await self._answered()
        return {place: self._broker.log(place).end for place in partitions}

    async def log_starts(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        await self._answered()
        return dict.fromkeys(partitions, 0)

    async def topic_ids(self) -> dict[str, str]:
        await self._answered()
        return {topic: f"the only {topic}" for topic in self._topics}

    async def read_through(self, place: TopicPartition) -> int:
        return self._at.get(place, -1)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self._answered()
        mine = {place: at for place, at in offsets.items() if place in self._assigned}
        self._broker.committed.setdefault(f"baton.{self._member.name}", {}).update(mine)

    async def close(self) -> None:
        self.leave()

    async def _alive(self) -> None:
        if self._member.dead:
            await never()
        if not self.alive:
            raise ClientLost("this reader is not running")

    async def _answered(self) -> None:
        if self._member.dead:
            await never()
        if not self._broker.up:
            await pause(self._broker.silence_s)
            raise BrokerSilent("simulated", self._broker.silence_s)


class Publisher:
    """The producer of one life; a `Sends` of the chassis."""

    def __init__(self, broker: Broker, member: Member) -> None:
        self.alive = False
        self._broker, self._member = broker, member

    async def rebuild(self) -> None:
        await self._answered()
        self.alive = True

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        await self._answered()
        broker, roll = self._broker, self._broker.random.random
        if not self.alive:
            raise ClientLost("this publisher is not running")
        manners = broker.manners
        if manners.refuse and roll() < manners.refuse:
            broker.count("refuse")
            self.alive = False
            raise BrokerSilent("simulated", 1.0, "refused")
        landed = list(messages)
        unknown = manners.unknown and roll() < manners.unknown
        if unknown:
            self.alive = False
            landed = self._prefix(messages)
            broker.count("unknown")
        for out in landed:
            broker.take(out)
        failpoints.reached("relay_after_send")
        await pause(manners.latency_s * roll())
        await self._answered()
        if unknown:
            raise ClientLost("the answer to a batch is lost")

    def _prefix(self, messages: Sequence[Outgoing]) -> list[Outgoing]:
        """Of each partition a beginning arrives; the rest never, or late."""
        broker, cut, landed = self._broker, dict[tuple[str, int], bool](), list[Outgoing]()
        late = broker.manners.late and broker.random.random() < broker.manners.late
        for out in messages:
            lane = out.topic, partition_of(out.key, broker.partitions)
            if lane not in cut or not cut[lane]:
                cut[lane] = broker.random.random() < 0.4
            if not cut[lane]:
                landed.append(out)
            elif late:
                broker.count("late")
                broker.later(5 * broker.random.random(), out)
        return landed

    async def close(self) -> None:
        self.alive = False

    async def _answered(self) -> None:
        if self._member.dead:
            await never()
        if not self._broker.up:
            self.alive = False
            await pause(self._broker.silence_s)
            raise BrokerSilent("simulated", self._broker.silence_s)


class Others:
    """What the groups told Kafka; a `Looks` of the chassis."""

    def __init__(self, broker: Broker, member: Member) -> None:
        self._broker, self._member = broker, member

    async def committed(self, group: str) -> Mapping[TopicPartition, int]:
        if self._member.dead:
            await never()
        if not self._broker.up:
            raise BrokerSilent("simulated", 1.0)
        return dict(self._broker.committed.get(group, {}))

    async def close(self) -> None: ...
