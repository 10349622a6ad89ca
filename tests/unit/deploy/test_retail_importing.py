"""When the opening stock counts as taken in: at the positions inventory tells, and not before."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from deploy.local.retail.importing import (
    DELIVERIES,
    Positions,
    StockNotTaken,
    positions_after,
    until_committed,
)
from services.chassis.messages import Record, TopicPartition

ZERO, ONE = TopicPartition(DELIVERIES, 0), TopicPartition(DELIVERIES, 1)


def record(partition: int, offset: int, event_id: str, source: str = "retail-import") -> Record:
    headers = (("ce_id", event_id.encode()), ("ce_source", source.encode()))
    return Record(DELIVERIES, partition, offset, 0, b"k", b"v", headers)


@dataclass
class Inventory:
    """Tells one set of positions after the other; looking again is what moves the clock."""

    told: list[Positions]
    now_s: float = 0.0
    slept: list[float] = field(default_factory=list)

    async def committed(self) -> Positions:
        return self.told.pop(0) if len(self.told) > 1 else self.told[0]

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


async def waited(inventory: Inventory, within_s: float = 1.0) -> int:
    await until_committed(
        {ZERO: 5, ONE: 3},
        inventory.committed,
        within_s=within_s,
        sleep=inventory.sleep,
        monotonic_s=lambda: inventory.now_s,
    )
    return len(inventory.slept)


def test_the_target_is_behind_our_last_delivery_of_each_partition() -> None:
    """Deliveries of others, or of another import, are nothing to wait for."""
    records = [
        record(0, 3, "a/received"),
        record(0, 4, "b/received"),
        record(0, 9, "other/received"),
        record(1, 1, "c/received"),
        record(1, 2, "a/received", source="warehouse"),
        Record(DELIVERIES, 1, 7, 0, None, None, ()),
    ]
    ours = frozenset({"a/received", "b/received", "c/received"})
    assert positions_after(records, ours) == {ZERO: 5, ONE: 2}


async def test_waiting_ends_when_every_partition_is_reached() -> None:
    """One that lags, or has told nothing yet, is waited for; further is as good."""
    told: list[Positions] = [{}, {ZERO: 5}, {ZERO: 5, ONE: 2}, {ZERO: 8, ONE: 3}]
    assert await waited(Inventory(told)) == 3


async def test_waiting_ends_in_a_fault_that_says_what_to_do() -> None:
    """Inventory is down: nobody waits for ever, and no order is sent."""
    with pytest.raises(StockNotTaken) as fault:
        await waited(Inventory([{ZERO: 4}]))
    assert "within 1 s: group baton.inventory has not read" in fault.value.what
    assert fault.value.mend.startswith("baton status; then import again")


async def test_nothing_to_wait_for_asks_once() -> None:
    """An import without stock goes on at once."""
    inventory = Inventory([{}])
    await until_committed({}, inventory.committed, within_s=1.0, sleep=inventory.sleep)
    assert inventory.slept == []
