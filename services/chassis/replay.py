"""A batch that cannot be written, item by item, so that the one at fault is found and set aside.

Pure: from a batch come smaller ones. Invariant: no record is left out; the one at fault is
parked, and one that not even parking can write is left to the caller, who must not go past it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from services.chassis.admission import Refused
from services.chassis.items import Arrived, Item, Returned, TurnedAway, Unrecorded
from services.chassis.messages import TopicPartition
from services.chassis.positions import Positions
from services.chassis.store import Constraint
from services.chassis.transaction import Batch, Tick
from services.chassis.unrecorded import refused_by


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
        unfit = _refused(error) if batch.redrive_max == 1 else None
        return None if batch.unfit else replace(batch, redrive_max=1, unfit=unfit)
    if batch.ticks:
        (tick,) = batch.ticks
        if tick.put_off:
            return None
        calmer = Tick(tick.partition, tick.until_us, fires_max=1, put_off=tick.fires_max == 1)
        return Batch(batch.now_us, advances=batch.advances, ticks=[calmer])
    item, refused = batch.items[0], _refused(error)
    instead: Item | None = None
    if isinstance(item, Returned):
        instead = Unrecorded(item, refused_by(item.begun, refused.reason, refused.detail))
    elif isinstance(item, Arrived):
        instead = TurnedAway(item.record, refused, item.key)
    return None if instead is None else Batch(batch.now_us, [instead], batch.advances)


def _refused(error: Exception) -> Refused:
    detail = str(error) if isinstance(error, Constraint) else type(error).__name__
    return Refused("constraint", detail, "handle", final=False)
