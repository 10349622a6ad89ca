"""A batch that cannot be written, item by item, so that the one at fault is found and set aside.

Pure: from a batch come smaller ones. Invariant: no record is left out; the one at fault is
parked, and one that not even parking can write is left to the caller, who must not go past it.
"""

from __future__ import annotations

from collections.abc import Iterator

from services.chassis.admission import Refused
from services.chassis.items import Arrived, TurnedAway
from services.chassis.messages import TopicPartition
from services.chassis.positions import Positions
from services.chassis.store import Constraint
from services.chassis.transaction import Batch, Tick


def is_single(batch: Batch) -> bool:
    return bool(batch.redrive) or len(batch.items) + len(batch.ticks) == 1


def singles(batch: Batch, positions: Positions) -> Iterator[Batch]:
    """One at a time, each with its step from the position as it is when its turn comes."""
    for item in batch.items:
        single = Batch(batch.now_us, [item])
        if isinstance(item, (Arrived, TurnedAway)):
            place = TopicPartition(item.record.topic, item.record.partition)
            at = positions.all.get(place)
            if at is None:
                continue  # stopped by one before it
            single.advances = {place: (at, item.record.offset + 1)}
        yield single
    for tick in batch.ticks:
        held = {place: (at, at) for place, at in positions.of(tick.partition).items()}
        yield Batch(batch.now_us, advances=held, ticks=[tick])


def instead_of(batch: Batch, error: Exception) -> Batch | None:
    """What is committed in place of a single one that failed; None where nothing can be."""
    if batch.redrive:
        if batch.redrive_max == 1:
            return None
        return Batch(batch.now_us, redrive=batch.redrive, redrive_max=1)
    if batch.ticks:
        (tick,) = batch.ticks
        if tick.put_off:
            return None
        calmer = Tick(tick.partition, tick.until_us, fires_max=1, put_off=tick.fires_max == 1)
        return Batch(batch.now_us, advances=batch.advances, ticks=[calmer])
    item = batch.items[0]
    if not isinstance(item, Arrived):
        return None
    detail = str(error) if isinstance(error, Constraint) else type(error).__name__
    refused = Refused("constraint", detail, "handle", final=False)
    turned = TurnedAway(item.record, refused, item.key)
    return Batch(batch.now_us, [turned], advances=batch.advances)
