"""Reading: who holds partitions lets go of them, and what stops one stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
from company import COMMANDS, DirectStore, HandClock

from services.chassis import reading
from services.chassis.bus import BatchUnreadable, OffsetOutside, PartitionStopped, TopicMadeAnew
from services.chassis.messages import Record, TopicPartition
from services.chassis.positions import Positions
from services.chassis.reading import Reading
from services.chassis.repair import accept
from services.chassis.store import Plan, Unavailable, Write
from services.chassis.transaction import SQL

FIRST, SECOND = TopicPartition(COMMANDS, 0), TopicPartition(COMMANDS, 1)


class Logs:
    """A reader of two partitions, of ten records each; as the real one, what it holds or has
    not sought it withholds, and a new position does not let go of what is held.
    """

    def __init__(self) -> None:
        self.generation = 1
        self.alive = True
        self.places = frozenset({FIRST, SECOND})
        self.at: dict[TopicPartition, int] = {}
        self.held: set[TopicPartition] = set()
        self.faults: list[PartitionStopped] = []
        self.polls = 0
        self.topic_id = "first"

    async def rebuild(self) -> None:
        raise AssertionError("nothing ends this reader")

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        assert (max_records, timeout_s) == (4, 0.5)
        await asyncio.sleep(0)
        self.polls += 1
        if self.faults:
            fault = self.faults.pop()
            del self.at[fault.tp]
            raise fault
        found: list[Record] = []
        for place in sorted(self.at.keys() - self.held):
            at = self.at[place]
            self.at[place] = min(at + 2, 10)
            found += [Record(*place, each, 1, b"k", b"v", ()) for each in range(at, self.at[place])]
        return found

    def assignment(self) -> frozenset[TopicPartition]:
        return self.places

    async def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        self.at.update(positions)

    async def end_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 10)

    async def log_starts(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 0)

    async def topic_ids(self) -> dict[str, str]:
        return {COMMANDS: self.topic_id} if self.topic_id else {}

    def pause(self, places: Iterable[TopicPartition]) -> None:
        self.held.update(places)

    def resume(self, places: Iterable[TopicPartition]) -> None:
        self.held.difference_update(places)


class Desk:
    """Where records are put; full when a test says so."""

    def __init__(self) -> None:
        self.full = False
        self.records: list[Record] = []

    @property
    def backlog(self) -> int:
        return len(self.records)

    def put_records(self, records: Sequence[Record]) -> None:
        self.records += records

    def drop_records(self) -> None:
        self.records.clear()
        self.full = False

    def redrive(self, key: str) -> object:
        raise AssertionError(key)

    def offsets(self, place: TopicPartition) -> list[int]:
        return [each.offset for each in self.records if each.partition == place.partition]


class Reloads:
    """A relay that is only told to begin anew."""

    def __init__(self) -> None:
        self.times = 0

    def reload(self) -> None:
        self.times += 1


class Room:
    def __init__(self) -> None:
        self.logs, self.desk, self.relay = Logs(), Desk(), Reloads()
        self.store, self.positions = DirectStore(), Positions()
        self.reading = Reading(
            self.store,
            self.logs,
            self.positions,
            self.desk,
            self.relay,  # type: ignore[arg-type]
            None,
            HandClock(),
            batch_max=4,
            decode=bytes,
        )

    @asynccontextmanager
    async def reads(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.reading.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def polled(self, times: int) -> None:
        """Until so many polls have come back from now on."""
        until = self.logs.polls + times + 1
        async with asyncio.timeout(3):
            while self.logs.polls < until:  # noqa: ASYNC110 - the product's task takes its turns
                await asyncio.sleep(0)


@pytest.fixture
def room() -> Room:
    return Room()


async def test_reading_goes_on_after_a_lost_race_while_it_held(room: Room) -> None:
    """Memory is dropped and positions are loaded again: nothing is held any more."""
    async with room.reads():
        await room.polled(2)
        room.desk.full = True
        await room.polled(2)
        assert room.logs.held == {FIRST, SECOND}
        room.positions.distrust()
        await room.polled(6)
    assert room.logs.held == set()
    assert (room.desk.offsets(FIRST), room.desk.offsets(SECOND)) == ([*range(10)], [*range(10)])
    assert room.relay.times == 2


@pytest.mark.parametrize(
    "fault", [BatchUnreadable(FIRST, 2, "broken"), OffsetOutside(FIRST, 2, 3, 10)]
)
async def test_what_stops_a_partition_is_told_and_stops_no_other(
    room: Room, fault: PartitionStopped
) -> None:
    """The alarm names the place; its timers keep still, and all else is read on."""
    async with room.reads():
        await room.polled(1)
        room.logs.faults = [fault]
        await room.polled(6)
    assert room.positions.stopped == {FIRST: str(fault)}
    assert room.positions.partitions == {1}
    assert room.desk.offsets(SECOND) == [*range(10)]


async def test_a_position_outside_its_log_is_not_sought(room: Room) -> None:
    """Its partition is stopped from the start; the stored position stays what it was."""

    def put() -> Plan[None]:
        yield Write(SQL["offsets.begin"], [(*FIRST, 11)])

    room.store.drive(put)
    async with room.reads():
        await room.polled(6)
    assert set(room.positions.stopped) == {FIRST}
    assert (room.positions.partitions, dict(room.positions.all)) == ({1}, {SECOND: 0})
    assert (room.desk.offsets(FIRST), room.desk.offsets(SECOND)) == ([], [*range(10)])


async def test_a_position_in_a_topic_that_was_made_anew_is_not_sought(room: Room) -> None:
    """However far the new log reaches; until somebody accepts it, partition by partition."""
    async with room.reads():
        await room.polled(1)
    room.logs.topic_id, room.logs.at = "second", {}
    room.positions.distrust()
    async with room.reads():
        await room.polled(2)
    assert room.positions.stopped == {
        place: str(TopicMadeAnew(place, 0)) for place in (FIRST, SECOND)
    }
    assert (room.positions.partitions, room.logs.at) == (set(), {})
    room.store.drive(lambda: accept(FIRST, 0, 0))
    room.positions.distrust()
    async with room.reads():
        await room.polled(2)
    assert set(room.positions.stopped) == {SECOND}
    assert dict(room.positions.all) == {FIRST: 0}


async def test_a_topic_made_anew_under_a_running_reader_stops_it(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen once, within half a minute and without a new assignment."""
    clock, distrusts = HandClock(), list[float]()
    monkeypatch.setattr(room.reading, "_clock", clock)
    distrust = room.positions.distrust
    monkeypatch.setattr(
        room.positions, "distrust", lambda: (distrusts.append(clock.monotonic_s()), distrust())
    )
    began_s = clock.monotonic_s()
    async with room.reads():
        await room.polled(1)
        room.logs.topic_id = "second"
        for seconds in (29, 1, 30, 30):
            clock.move(seconds)
            await room.reading.look_at_topics()
            await room.polled(2)
    assert distrusts == [began_s + 30]
    assert room.positions.stopped == {
        place: str(TopicMadeAnew(place, 0)) for place in (FIRST, SECOND)
    }


async def test_brokers_that_tell_no_ids_are_no_fault(room: Room) -> None:
    """Neither from the beginning nor when they tell none any more."""
    async with room.reads():
        await room.polled(1)
    room.logs.topic_id = ""
    room.positions.distrust()
    async with room.reads():
        await room.polled(2)
    assert room.positions.stopped == {}


class Calls:
    """Gateways that are only told which calls are theirs."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def forget(self) -> None:
        self.told.append("forget")

    def begin(self, calls: Sequence[object]) -> None:
        self.told.append(f"begin {len(calls)}")


@pytest.mark.parametrize("failing", [1, 2, 3])
async def test_half_taken_up_is_taken_up_again(
    room: Room, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Whichever look into the database fails: positions, calls under way, what a start tries."""
    monkeypatch.setattr(reading, "_BACKOFF_FIRST_S", 0.0)
    calls = Calls()
    room.reading._gateways = calls  # type: ignore[assignment]
    room.store.faults = [*[None] * failing, Unavailable("the wire was cut")]
    async with room.reads():
        await room.polled(1)
    twice = ["forget", "begin 0"] if failing > 1 else ["forget"]
    assert calls.told == [*twice, "forget", "begin 0"]
    assert not room.positions.distrusted
    assert room.desk.offsets(FIRST)[0] == 0
