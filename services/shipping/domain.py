"""The rules of a shipment: it is booked once, and then either cancelled or dispatched.

What left is never called back and what was cancelled never leaves. Knows no carrier, no message
and no database. A refusal is a value; `Impossible` is a fault: no honest reply exists for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Impossible(Exception):
    """A command whose only reply would be a lie; a person must look at order and carrier."""


class ShipmentStatus(StrEnum):
    REFUSED = "refused"  # → booked, when it is asked for again
    BOOKED = "booked"  # → cancelled | dispatched
    CANCELLED = "cancelled"
    DISPATCHED = "dispatched"


@dataclass(frozen=True, slots=True)
class Shipment:
    """`reason` is the carrier's, for what it refused."""

    order_id: str
    country: str
    pieces: int
    status: str
    tracking: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    reason: str


def may_book(shipment: Shipment | None) -> Refused | None:
    if shipment is None or shipment.status == ShipmentStatus.REFUSED:
        return None
    return Refused(f"already_{shipment.status}")


def nothing_to_cancel(shipment: Shipment | None) -> bool:
    """True only when it is known; in doubt the carrier is asked. Raises for what has left."""
    if shipment is None:
        return False
    if shipment.status == ShipmentStatus.DISPATCHED:
        raise Impossible(
            f"order {shipment.order_id} has left as {shipment.tracking}: it cannot be cancelled,"
            " it can only come back as a return"
        )
    return shipment.status == ShipmentStatus.REFUSED


def cancelled(shipment: Shipment | None) -> Shipment | None:
    """None when there is nothing of ours to change; the carrier keeps its own tombstone."""
    if shipment is None or shipment.status == ShipmentStatus.CANCELLED:
        return None
    return replace(shipment, status=ShipmentStatus.CANCELLED.value)


def must_dispatch(shipment: Shipment | None, order_id: str, tracking: str) -> bool:
    """Whether it still has to leave. Raises where it never can."""
    if shipment is None:
        raise Impossible(f"order {order_id} was never booked: it cannot be dispatched")
    if shipment.tracking != tracking:
        raise Impossible(f"order {order_id} is booked as {shipment.tracking}, not as {tracking}")
    if shipment.status not in (ShipmentStatus.BOOKED, ShipmentStatus.DISPATCHED):
        raise Impossible(f"order {order_id} is {shipment.status}: it cannot be dispatched")
    return shipment.status == ShipmentStatus.BOOKED


def dispatched(shipment: Shipment) -> Shipment:
    return replace(shipment, status=ShipmentStatus.DISPATCHED.value)
