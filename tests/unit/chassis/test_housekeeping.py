"""What Kafka is told of a process's positions, and what retention takes away."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from company import COMMANDS, NOW_US, SECOND_US, DirectStore, HandClock

from services.chassis import housekeeping, retention, sqlite
from services.chassis.bus import BrokerSilent
from services.chassis.housekeeping import Housekeeping
from services.chassis.messages import Record, TopicPartition
from services.chassis.positions import Positions
from services.chassis.settings import Settings
from services.chassis.store import Plan, Select
from services.chassis.transaction import SQL

PLACE, OTHER = TopicPartition(COMMANDS, 0), TopicPartition(COMMANDS, 1)


class Group:
    """A consumer group's coordinator: keeps what it is told; `silent` so many times before."""

    def __init__(self) -> None:
        self.told: dict[TopicPartition, int] = {}
        self.through: dict[TopicPartition, int] = {}
        self.silent = 0

    async def read_through(self, place: TopicPartition) -> int:
        return self.through.get(place, -1)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self.silent:
            self.silent -= 1
            raise BrokerSilent("broker", 1.0)
        self.told.update(offsets)


class Acknowledged:
    """The relay as housekeeping sees it."""

    def __init__(self) -> None:
        self.acked_through = 0


class House:
    """The housekeeping of a process that reads two partitions."""

    def __init__(self) -> None:
        self.store, self.clock, self.group = DirectStore(), HandClock(), Group()
        self.relay, self.positions = Acknowledged(), Positions()
        self.settings = Settings(service="billing", kafka_bootstrap_servers="k:1", home=Path())
        self.keeping = Housekeeping(
            self.store,
            self.group,
            self.positions,
            self.relay,  # type: ignore[arg-type]
            self.settings,
            self.clock,
            self._trim,
        )

    async def _trim(self) -> int:
        return 0

    def load(self, *places: TopicPartition) -> None:
        self.positions.generation += 1
        starts = dict.fromkeys(places, 0)
        self.positions.loaded(self.store.drive(lambda: self.positions.load(starts)))

    def take(self, place: TopicPartition, offset: int, said: int | None = None) -> None:
        self.positions.handed(Record(*place, offset, 1, b"k", b"v", ()))
        self.positions.committed(place, offset + 1)
        self.positions.said_through(said)


@pytest.fixture
def house() -> House:
    return House()


async def test_what_a_former_life_did_not_tell_is_told_after_loading(house: House) -> None:
    """A quiet partition whose reader died before its last commit is not behind for ever."""
    house.store.write("INSERT INTO offsets VALUES (?, 0, 7, '')", COMMANDS)
    house.store.write(
        "INSERT INTO outbox (seq, key, id, attempt, topic, record_key, value, headers, made_us)"
        " VALUES (3, 1, 'm', 1, 't', 'k', x'', x'', 1)"
    )
    house.load(PLACE)
    await house.keeping.commit()
    assert house.group.told == {}, "what it led to is not published yet"
    house.relay.acked_through = 3
    await house.keeping.commit()
    assert house.group.told == {PLACE: 7}


async def test_what_kafka_did_not_hear_is_told_again(house: House) -> None:
    """A commit that failed is made again, and never over a later one."""
    house.load(PLACE, OTHER)
    house.take(PLACE, 0)
    house.group.silent = 1
    await house.keeping.commit()
    assert house.group.told == {}
    house.take(PLACE, 1)
    await house.keeping.commit()
    assert house.group.told == {PLACE: 2, OTHER: 0}


async def test_a_marker_at_the_end_of_a_log_is_told_as_read(house: House) -> None:
    """A transaction's marker is no record: without this, timers that wait for us wait for ever."""
    house.load(PLACE, OTHER)
    house.take(PLACE, 0, said=4)
    house.group.through = {PLACE: 2, OTHER: 1}
    await house.keeping.commit()
    await house.keeping.pass_markers()
    assert house.group.told == {PLACE: 0, OTHER: 1}, "what PLACE led to is not published yet"
    house.relay.acked_through = 4
    await house.keeping.commit()
    house.positions.handed(Record(*PLACE, 1, 1, b"k", b"v", ()))
    await house.keeping.pass_markers()
    assert house.group.told == {PLACE: 1, OTHER: 1}, "a record is being applied"
    house.positions.committed(PLACE, 2)
    house.positions.said_through(None)
    house.group.through = {PLACE: 3, OTHER: 1}
    await house.keeping.commit()
    await house.keeping.pass_markers()
    assert house.group.told == {PLACE: 3, OTHER: 1}


async def test_what_was_not_heard_is_forgotten_with_its_assignment(house: House) -> None:
    """A failure that ends after a new assignment does not tell of a partition that is gone."""
    house.load(PLACE, OTHER)
    offsets = house.positions.committable(0)
    before = house.positions.generation
    house.load(PLACE)
    house.positions.unheard(offsets, before)
    assert house.positions.committable(0) == {PLACE: 0}


DAY_US = 86_400 * SECOND_US


def outbox_row(store: DirectStore, seq: int, sent_us: int | None, blocked: str | None) -> None:
    store.write(
        "INSERT INTO outbox VALUES (?, ?, ?, 1, 't', 'k', x'', x'', 1, ?, ?)",
        seq,
        seq,
        f"m{seq}",
        sent_us,
        blocked,
    )


def dead_row(store: DirectStore, seq: int, state: str, at_us: int) -> None:
    store.write(
        "INSERT INTO dead_letters (seq, key, kind, reason, detail, stage, topic, partition,"
        " offset, timestamp_ms, record_key, value, headers, at_us, state)"
        " VALUES (?, 1, 'parked', 'r', 'd', 's', 't', 0, ?, 1, x'', x'', x'', ?, ?)",
        seq,
        seq,
        at_us,
        state,
    )


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small slices, and no breath between them."""
    monkeypatch.setattr(retention, "SLICE", 3)
    monkeypatch.setattr(housekeeping, "_BREATH_S", 0.0)


@pytest.mark.usefixtures("slices")
async def test_one_sweep_takes_all_that_was_sent_long_ago(house: House) -> None:
    """Slice after slice; what is unsent, young or last stays."""
    old = NOW_US - (house.settings.outbox_days + 1) * DAY_US
    for seq in range(1, 4500):
        outbox_row(house.store, seq, None if seq in (2, 2500) else old, None)
    outbox_row(house.store, 4500, NOW_US, None)
    outbox_row(house.store, 4501, old, None)
    await house.keeping.sweep()
    kept = house.store.rows("SELECT seq FROM outbox ORDER BY seq")
    assert kept == [(2,), (2500,), (4500,), (4501,)]


@pytest.mark.usefixtures("slices")
async def test_settled_dead_letters_go_and_open_ones_stay(house: House) -> None:
    """Only what nobody waits for any more, and only after its days."""
    old = NOW_US - (house.settings.dead_letter_days + 1) * DAY_US
    states = ("rejected", "open", "redriven", "discarded", "rejected", "rejected")
    for seq, state in enumerate(states, 1):
        dead_row(house.store, seq, state, old)
    dead_row(house.store, 7, "rejected", NOW_US)
    dead_row(house.store, 8, "redriven", old)
    await house.keeping.sweep()
    assert house.store.rows("SELECT seq, state FROM dead_letters") == [(2, "open"), (7, "rejected")]


async def test_attempts_of_what_was_passed_are_forgotten(house: House) -> None:
    """An attempt is kept as long as its record may be read again."""
    house.load(PLACE, OTHER)
    house.store.write("UPDATE offsets SET next = 5 WHERE partition = 0")
    for place, offset in ((PLACE, 4), (PLACE, 5), (OTHER, 0)):
        house.store.write("INSERT INTO attempts VALUES (?, ?, ?, 1)", *place, offset)
    await house.keeping.sweep()
    kept = house.store.rows("SELECT partition, offset FROM attempts ORDER BY partition")
    assert kept == [(0, 5), (1, 0)]


@pytest.mark.usefixtures("slices")
async def test_the_inbox_is_gone_through_within_an_hour(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many keys there are, sixty sweeps see each of them once."""
    monkeypatch.setattr(retention, "KEYS_A_SLICE", 2)
    old = NOW_US - (house.settings.inbox_days + 1) * DAY_US
    for key in range(1, 500):
        house.store.write("INSERT INTO keys VALUES (?, ?)", key, str(key))
        house.store.write("INSERT INTO inbox VALUES (?, 's', 'old', ?)", key, old)
        house.store.write("INSERT INTO inbox VALUES (?, 's', 'new', ?)", key, NOW_US)
    for _ in range(60):
        await house.keeping.sweep()
    assert house.store.rows("SELECT DISTINCT id FROM inbox") == [("new",)]


async def test_a_program_brings_its_own_retention(house: House) -> None:
    """Its rules are asked again until they say that nothing is left, and are told the settings."""
    asked = list[tuple[object, int]]()

    def rule(settings: Settings, now_us: int) -> Plan[bool]:
        asked.append((settings, now_us))
        yield Select(SQL["keys.last"])
        return len(asked) < 3

    house.keeping.rules = (*house.keeping.rules, rule)
    await house.keeping.sweep()
    assert asked == [(house.settings, NOW_US)] * 3


SCANNED_ONCE = {
    "outbox.blocked": (),
    "outbox.waiting": ("[]",),
    "outbox.sweep": (9, 9),
    "dead.pending": (),
    "dead.settled": (9, 9),
}


@pytest.mark.parametrize("name", SCANNED_ONCE)
def test_what_is_asked_often_goes_by_an_index(house: House, name: str) -> None:
    """Nothing that grows with history or backlog is read from its beginning to its end."""
    sql, _ = sqlite._dialect(SQL[name].sql)
    plan = house.store.rows(f"EXPLAIN QUERY PLAN {sql}", *SCANNED_ONCE[name])
    steps = [str(step) for *_, step in plan]
    scans = [each for each in steps if each.startswith(("SCAN outbox", "SCAN dead_letters"))]
    assert all("INDEX outbox_blocked" in each or "_pending" in each for each in scans), steps
    assert not any("outbox_unsent" in each for each in steps), steps
