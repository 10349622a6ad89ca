"""Stock: what lies on the shelves, who it is promised to, and what has left.

Knows neither messages nor rows' storage. Invariants that live here: for every product
on_hand + reserved + gone = received, and none of them is ever negative; an order's goods are
reserved whole or not at all; a reservation ends once, released or gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

LOW_STOCK_UNITS = 10
"""A product is low when this many units or fewer are still free."""


class StockFault(Exception):
    """What was asked contradicts what is stored; nothing was changed."""


class ReservationHeld(StockFault):
    """The order still holds goods, or they have left: it cannot reserve a second time."""


class DispatchedAfterRelease(StockFault):
    """The order's goods left although they had been released for other orders."""


class DeliveryChanged(StockFault):
    """The delivery was received before with other contents."""


class Status(StrEnum):
    RESERVED = "reserved"  # none, released -> reserved
    RELEASED = "released"  # reserved -> released
    GONE = "gone"  # reserved, left_early -> gone
    LEFT_EARLY = "left_early"  # none -> left_early: the goods' leaving was heard of first


@dataclass(frozen=True, slots=True)
class Shelf:
    """One product. `on_hand` are the free units; what is reserved no longer counts in it."""

    sku: str
    on_hand: int = 0
    reserved: int = 0
    gone: int = 0

    def __post_init__(self) -> None:
        if min(self.on_hand, self.reserved, self.gone) < 0:
            raise StockFault(
                f"product {self.sku}: on hand {self.on_hand}, reserved {self.reserved}, "
                f"gone {self.gone}: none of them may be negative"
            )

    @property
    def received(self) -> int:
        return self.on_hand + self.reserved + self.gone

    def receive(self, units: int) -> Shelf:
        return replace(self, on_hand=self.on_hand + units)

    def reserve(self, units: int) -> Shelf:
        return replace(self, on_hand=self.on_hand - units, reserved=self.reserved + units)

    def release(self, units: int) -> Shelf:
        return replace(self, on_hand=self.on_hand + units, reserved=self.reserved - units)

    def ship(self, units: int) -> Shelf:
        return replace(self, reserved=self.reserved - units, gone=self.gone + units)


@dataclass(frozen=True, slots=True)
class Reservation:
    """The goods of one order, units by product."""

    order_id: str
    units: dict[str, int]
    status: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as it was added to the shelves, units by product."""

    delivery_id: str
    units: dict[str, int]


def units_by_sku(items: Iterable[tuple[str, int]]) -> dict[str, int]:
    """An order may name a product twice; stock counts the sum."""
    need: dict[str, int] = {}
    for sku, quantity in items:
        need[sku] = need.get(sku, 0) + quantity
    return need


def _short_skus(need: Mapping[str, int], shelves: Mapping[str, Shelf]) -> tuple[str, ...]:
    """The products with fewer free units than needed; a product never received has none."""
    return tuple(
        sorted(sku for sku, units in need.items() if shelves.get(sku, Shelf(sku)).on_hand < units)
    )


@dataclass(frozen=True, slots=True)
class Moved:
    """What changed together: the reservation and its products' shelves."""

    reservation: Reservation
    shelves: tuple[Shelf, ...]


@dataclass(frozen=True, slots=True)
class Short:
    """Refused whole: these products have too few free units. Sorted."""

    skus: tuple[str, ...]


def reserve(
    held: Reservation | None, order_id: str, need: dict[str, int], shelves: Mapping[str, Shelf]
) -> Moved | Short:
    """Reserve all that is needed, or nothing. Goods known to have left go straight on."""
    if held is not None and held.status in (Status.RESERVED, Status.GONE):
        raise ReservationHeld(
            f"order {order_id} is already {held.status}; release it before it reserves again"
        )
    short = _short_skus(need, shelves)
    if short:
        return Short(short)
    promised = tuple(shelves[sku].reserve(units) for sku, units in need.items())
    if held is not None and held.status == Status.LEFT_EARLY:
        gone = tuple(shelf.ship(need[shelf.sku]) for shelf in promised)
        return Moved(Reservation(order_id, need, Status.GONE), gone)
    return Moved(Reservation(order_id, need, Status.RESERVED), promised)


def release(held: Reservation | None, shelves: Mapping[str, Shelf]) -> Moved | None:
    """Give reserved goods back; None where nothing is reserved (never, no longer, or gone)."""
    if held is None or held.status != Status.RESERVED:
        return None
    freed = tuple(shelves[sku].release(units) for sku, units in held.units.items())
    return Moved(replace(held, status=Status.RELEASED), freed)


def leave(held: Reservation | None, order_id: str, shelves: Mapping[str, Shelf]) -> Moved | None:
    """Reserved goods are gone; None when they already were."""
    if held is None:
        return Moved(Reservation(order_id, {}, Status.LEFT_EARLY), ())
    if held.status == Status.RELEASED:
        raise DispatchedAfterRelease(
            f"order {order_id}: its goods left after they had been released; "
            "count the shelves, then discard this event"
        )
    if held.status != Status.RESERVED:
        return None
    shipped = tuple(shelves[sku].ship(units) for sku, units in held.units.items())
    return Moved(replace(held, status=Status.GONE), shipped)


def fell_low(before: Mapping[str, Shelf], after: Iterable[Shelf]) -> tuple[Shelf, ...]:
    """The shelves whose free units came down to the threshold just now, by product."""
    fallen = (
        shelf for shelf in after if shelf.on_hand <= LOW_STOCK_UNITS < before[shelf.sku].on_hand
    )
    return tuple(sorted(fallen, key=lambda shelf: shelf.sku))
