"""Timers fire when everything that could make them needless was heard, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import pytest
from company import COMMANDS, NOW_US, REPLIES, SECOND_US, DirectStore, HandClock

from services.chassis import timers as timers_module
from services.chassis.bus import BrokerSilent
from services.chassis.messages import Record, TopicPartition
from services.chassis.positions import Positions
from services.chassis.store import Plan, Write
from services.chassis.timers import Timers
from services.chassis.transaction import SQL, Tick

DUE = "SELECT 1 FROM timers WHERE partition = ? AND due_us <= ?"
GROUP = "baton.billing"


class Broker:
    """Log ends and what a group committed; `silent` answers neither."""

    def __init__(self) -> None:
        self.ends: dict[TopicPartition, int] = {}
        self.read: dict[TopicPartition, int] = {}
        self.through: dict[TopicPartition, int] = {}
        self.silent = False
        self.asked = 0

    async def end_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        self.asked += 1
        if self.silent:
            raise BrokerSilent("broker", 1.0)
        return {place: self.ends.get(place, 0) for place in places}

    async def read_through(self, place: TopicPartition) -> int:
        return self.through.get(place, 0)

    async def committed(self, group: str) -> Mapping[TopicPartition, int]:
        assert group == GROUP
        self.asked += 1
        if self.silent:
            raise BrokerSilent("broker", 1.0)
        return dict(self.read)


class Watch:
    """The timers of a process that reads replies and commands others, on two partitions."""

    def __init__(self, awaited: Mapping[str, str] | None = None) -> None:
        self.store, self.clock, self.broker = DirectStore(), HandClock(), Broker()
        self.positions = Positions()
        self.fired: list[Tick] = []
        self.timers = Timers(
            self.store,
            self.positions,
            self.broker,  # type: ignore[arg-type]
            self.broker,
            self.clock,
            awaited={COMMANDS: GROUP} if awaited is None else awaited,
            fire=self.fired.append,
        )
        self.assign(0, 1)

    def assign(self, *partitions: int) -> None:
        starts = {TopicPartition(REPLIES, each): 0 for each in partitions}
        self.positions.generation += 1
        self.positions.loaded(self.store.drive(lambda: self.positions.load(starts)))

    def reply(self, partition: int = 0) -> None:
        place = TopicPartition(REPLIES, partition)
        self.broker.ends[place] = self.broker.ends.get(place, 0) + 1

    def consume(self) -> None:
        for place in list(self.positions.all):
            self.positions.committed(place, self.broker.ends.get(place, 0))

    def command(self, partition: int = 0) -> None:
        place = TopicPartition(COMMANDS, partition)
        self.broker.ends[place] = self.broker.ends.get(place, 0) + 1

    def billing_reads(self) -> None:
        self.broker.read = {p: n for p, n in self.broker.ends.items() if p.topic == COMMANDS}

    def set(self, key: int, due_s: float, within_s: float = 30, *, partition: int = 0) -> None:
        def put() -> Plan[None]:
            yield Write(SQL["keys.add"], [(f"k{key}",)])
            due_us = NOW_US + round(due_s * SECOND_US)
            yield Write(
                SQL["timers.set"],
                [(key, "t", partition, due_us, round(within_s * SECOND_US), COMMANDS, "m")],
            )

        self.store.drive(put)

    def due(self) -> list[float]:
        """Seconds after the beginning at which each timer is due."""
        rows = self.store.rows("SELECT due_us FROM timers ORDER BY key")
        return [(int(str(us)) - NOW_US) / SECOND_US for (us,) in rows]

    async def tick(self, times: int = 1) -> list[int]:
        """Partitions in which so many ticks fired something."""
        found = list[int]()
        for _ in range(times):
            before = len(self.fired)
            await self.timers.tick()
            found += [
                each.partition
                for each in self.fired[before:]
                if self.store.rows(DUE, each.partition, each.until_us)
            ]
        return found


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers_module, "_CATCH_UP_MAX_S", -1.0)
    monkeypatch.setattr(timers_module, "_LOOK_AGAIN_S", 0.0)


async def test_a_timer_fires_in_its_partition_when_all_was_heard(watch: Watch) -> None:
    """Heard, read by the other side, and due: its partition fires with what was due then."""
    await watch.tick()
    watch.set(1, 10)
    watch.command()
    watch.billing_reads()
    assert await watch.tick(2) == []
    watch.clock.move(10)
    assert set(await watch.tick(2)) == {0}
    assert watch.fired[-1] == Tick(0, NOW_US + 10 * SECOND_US)


async def test_nothing_fires_while_a_reply_stands_unread_in_the_log(watch: Watch) -> None:
    """A record below the mark seen at this tick holds the whole partition; others fire."""
    await watch.tick()
    watch.set(1, 10)
    watch.set(2, 10, partition=1)
    watch.reply()
    watch.clock.move(10)
    assert set(await watch.tick(3)) == {1}
    watch.consume()
    assert 0 in await watch.tick(2)


async def test_a_log_that_ends_in_a_marker_counts_as_heard_once_reading_is_there(
    watch: Watch,
) -> None:
    """A foreign transaction leaves a marker and no record: nothing will ever be applied for it."""
    await watch.tick()
    watch.set(1, 10)
    watch.clock.move(10)
    place = TopicPartition(REPLIES, 0)
    watch.reply()
    assert await watch.tick(3) == []
    watch.broker.through[place] = 1
    watch.positions.handed(Record(REPLIES, 0, 0, 0, b"k", b"", ()))
    assert await watch.tick(3) == []
    watch.positions.committed(place, 1)
    watch.reply()
    watch.broker.through[place] = 2
    assert set(await watch.tick(2)) == {0}


async def test_nothing_fires_while_the_broker_is_silent_nor_at_once_after(watch: Watch) -> None:
    """After an hour of silence what is overdue has its whole interval again."""
    await watch.tick()
    watch.set(1, 10, within_s=30)
    watch.broker.silent = True
    watch.clock.move(3600)
    assert await watch.tick(5) == []
    watch.broker.silent = False
    assert await watch.tick(3) == []
    assert watch.due() == [3630]
    watch.clock.move(30)
    assert set(await watch.tick(2)) == {0}


async def test_after_an_hour_down_no_overdue_timer_fires_before_its_interval(watch: Watch) -> None:
    """A start hears first, whatever waits in the log, then grants what was overdue its time."""
    watch.set(1, 10)
    watch.set(2, 5000)
    for _ in range(3):
        watch.reply()
    watch.clock.move(3600)
    assert await watch.tick(3) == []
    assert watch.due() == [10, 5000]
    watch.consume()
    assert await watch.tick(3) == []
    assert watch.due() == [3630, 5000]


async def test_an_assignment_grants_anew(watch: Watch) -> None:
    """What was overdue when the partition came here has its interval from then on."""
    await watch.tick()
    watch.set(1, 10)
    watch.clock.move(20)
    watch.positions.distrust()
    assert await watch.tick() == []
    watch.assign(0, 1)
    assert await watch.tick(3) == []
    assert watch.due() == [50]


async def test_a_busy_neighbour_does_not_keep_a_partition_deaf(watch: Watch) -> None:
    """A partition hears from the start on, though others have timers due all the time."""
    watch.set(1, 0)
    watch.clock.move(1)
    await watch.tick(3)
    watch.set(2, 10, partition=1)
    watch.clock.move(9)
    assert 1 in await watch.tick(2)


async def test_an_hours_outage_of_the_other_side_is_no_try(watch: Watch) -> None:
    """Timers whose command is unread start again, for the whole hour and from its very start."""
    await watch.tick()
    watch.set(1, 10)
    watch.command()
    watch.billing_reads()
    watch.clock.move(10)
    assert 0 in await watch.tick(2)
    watch.store.write("DELETE FROM timers")
    watch.clock.move(50)
    await watch.tick()
    watch.set(2, 90)
    watch.command()
    for _ in range(120):
        watch.clock.move(30)
        assert await watch.tick(2) == []
    watch.billing_reads()
    due_s = watch.due()[0]
    assert due_s > 3600
    watch.clock.move(due_s - (watch.clock.us - NOW_US) / SECOND_US)
    assert set(await watch.tick(2)) == {0}


async def test_steady_traffic_does_not_hold_a_timer_for_ever(watch: Watch) -> None:
    """A reader a moment behind has read what stood there a tick ago: that is enough."""
    await watch.tick()
    watch.set(1, 10)
    watch.clock.move(9)
    fired = list[int]()
    for _ in range(5):
        watch.clock.move(1)
        watch.billing_reads()
        watch.command()
        fired += await watch.tick()
    assert 0 in fired


async def test_a_partition_with_a_stopped_log_fires_nothing(watch: Watch) -> None:
    """What stands behind a position outside its log was not heard: its partition keeps still."""
    await watch.tick()
    watch.set(1, 10)
    watch.set(2, 10, partition=1)
    watch.positions.deaf.add(0)
    watch.clock.move(10)
    assert set(await watch.tick(3)) == {1}


async def test_idle_timers_ask_the_broker_nothing(watch: Watch) -> None:
    """Once all is heard and nothing is due, a tick costs one look into the database."""
    await watch.tick()
    asked = watch.broker.asked
    watch.set(1, 1000)
    await watch.tick(5)
    assert watch.broker.asked == asked


async def test_the_loop_goes_on_after_a_silent_broker(watch: Watch) -> None:
    """A silence ends no task, and what it left overdue is granted anew."""
    await watch.tick()
    watch.set(1, 10)
    watch.clock.move(10)
    watch.broker.silent = True
    task = asyncio.create_task(watch.timers.run(0.0))
    async with asyncio.timeout(3):
        while watch.broker.asked < 3:  # noqa: ASYNC110 - the product's task takes its turns
            await asyncio.sleep(0)
        watch.broker.silent = False
        while watch.due() == [10]:  # noqa: ASYNC110
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (watch.due(), watch.fired) == ([40], [])
