"""What inventory does with each message: rows in, answer and changed rows out.

The rules are in `domain`; the chassis loads and writes the rows and answers duplicates. The
reservation is loaded before the shelves, because an order holds at most one of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.inventory import (
    GoodsReceived,
    OutOfStock,
    ReleaseStock,
    ReserveStock,
    StockLow,
    StockReleased,
    StockReserved,
)
from schemas.shipping import ShipmentDispatched
from services.chassis.handlers import (
    Answer,
    Change,
    answers,
    changed,
    done,
    reacts,
    refused,
)
from services.inventory.domain import (
    LOW_STOCK_UNITS,
    Delivery,
    DeliveryChanged,
    Moved,
    Reservation,
    Shelf,
    Short,
    fell_low,
    leave,
    release,
    reserve,
    units_by_sku,
)

Reservations = Mapping[str, Reservation]
Shelves = Mapping[str, Shelf]


def order_id(message: ReserveStock | ReleaseStock | ShipmentDispatched) -> tuple[str]:
    return (message.order_id,)


def delivery_id(event: GoodsReceived) -> tuple[str]:
    return (event.delivery_id,)


def _needed(message: ReserveStock | GoodsReceived) -> dict[str, int]:
    return units_by_sku((item.sku, item.quantity) for item in message.items)


def skus(message: ReserveStock | GoodsReceived, _rows: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(_needed(message))


def reserved_skus(
    message: ReleaseStock | ShipmentDispatched, reservations: Reservations
) -> tuple[str, ...]:
    held = reservations.get(message.order_id)
    return tuple(held.units) if held else ()


def reserve_stock(cmd: ReserveStock, reservations: Reservations, shelves: Shelves) -> Answer:
    held = reservations.get(cmd.order_id)
    match reserve(held, cmd.order_id, _needed(cmd), shelves):
        case Short(short):
            return refused(OutOfStock(cmd.order_id, short))
        case Moved(reservation, after):
            low = fell_low(shelves, after)
            return done(
                StockReserved(cmd.order_id),
                reservation,
                *after,
                emits=tuple(StockLow(s.sku, s.on_hand, LOW_STOCK_UNITS) for s in low),
            )


def release_stock(cmd: ReleaseStock, reservations: Reservations, shelves: Shelves) -> Answer:
    freed = release(reservations.get(cmd.order_id), shelves)
    if freed is None:
        return done(StockReleased(cmd.order_id))
    return done(StockReleased(cmd.order_id), freed.reservation, *freed.shelves)


def goods_left(event: ShipmentDispatched, reservations: Reservations, shelves: Shelves) -> Change:
    left = leave(reservations.get(event.order_id), event.order_id, shelves)
    if left is None:
        return changed()
    return changed(left.reservation, *left.shelves)


def goods_received(
    event: GoodsReceived, deliveries: Mapping[str, Delivery], shelves: Shelves
) -> Change:
    """The delivery id decides, not the event's: a delivery told twice is added once."""
    delivery = Delivery(event.delivery_id, _needed(event))
    known = deliveries.get(event.delivery_id)
    if known == delivery:
        return changed()
    if known is not None:
        raise DeliveryChanged(
            f"delivery {event.delivery_id} was received before with other contents; "
            "publish the difference under a delivery id of its own"
        )
    added = (shelves.get(sku, Shelf(sku)).receive(n) for sku, n in delivery.units.items())
    return changed(delivery, *added)


HANDLERS = (
    answers(ReserveStock, reserve_stock, loads=Reservation, by=order_id, then=Shelf, whose=skus),
    answers(
        ReleaseStock,
        release_stock,
        undoes=ReserveStock,
        loads=Reservation,
        by=order_id,
        then=Shelf,
        whose=reserved_skus,
    ),
    reacts(GoodsReceived, goods_received, loads=Delivery, by=delivery_id, then=Shelf, whose=skus),
    reacts(
        ShipmentDispatched,
        goods_left,
        loads=Reservation,
        by=order_id,
        then=Shelf,
        whose=reserved_skus,
    ),
)
