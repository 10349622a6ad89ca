"""What Kafka is told of a process's positions, and what retention takes away."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from company import COMMANDS, DirectStore, HandClock

from services.chassis.bus import BrokerSilent
from services.chassis.housekeeping import Housekeeping
from services.chassis.messages import Record, TopicPartition
from services.chassis.positions import Positions
from services.chassis.settings import Settings

PLACE, OTHER = TopicPartition(COMMANDS, 0), TopicPartition(COMMANDS, 1)


class Group:
    """A consumer group's coordinator: keeps what it is told; `silent` so many times before."""

    def __init__(self) -> None:
        self.told: dict[TopicPartition, int] = {}
        self.silent = 0

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
    house.store.write("INSERT INTO offsets VALUES (?, 0, 7)", COMMANDS)
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


async def test_what_was_not_heard_is_forgotten_with_its_assignment(house: House) -> None:
    """A failure that ends after a new assignment does not tell of a partition that is gone."""
    house.load(PLACE, OTHER)
    offsets = house.positions.committable(0)
    before = house.positions.generation
    house.load(PLACE)
    house.positions.unheard(offsets, before)
    assert house.positions.committable(0) == {PLACE: 0}
