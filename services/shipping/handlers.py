"""What shipping does with each command: rows in, a call or an answer and changed rows out.

The rules are in `domain`, the carrier in `gateway`. Each command is asked (may it be?), called,
and recorded. Cancelling and dispatching have no refusal, so what is impossible raises.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.shipping import (
    BookShipment,
    CancelShipment,
    DispatchShipment,
    ShipmentBooked,
    ShipmentCancelled,
    ShipmentDispatched,
    ShipmentRefused,
)
from services.chassis.handlers import Answer, Call, Result, asks, done, refused
from services.chassis.keyed_http import REFUSED
from services.shipping import domain, gateway
from services.shipping.domain import Impossible, Shipment, ShipmentStatus

Shipments = Mapping[str, Shipment]


def order_id(cmd: BookShipment | CancelShipment | DispatchShipment) -> tuple[str]:
    return (cmd.order_id,)


def _pieces(cmd: BookShipment) -> int:
    return sum(item.quantity for item in cmd.items)


def ask_booking(cmd: BookShipment, shipments: Shipments) -> Call | Answer:
    refusal = domain.may_book(shipments.get(cmd.order_id))
    if refusal is not None:
        return refused(ShipmentRefused(cmd.order_id, refusal.reason))
    return Call("book", {"order_id": cmd.order_id, "country": cmd.country, "pieces": _pieces(cmd)})


def record_booking(cmd: BookShipment, shipments: Shipments, result: Result) -> Answer:
    refusal = domain.may_book(shipments.get(cmd.order_id))
    if REFUSED in result:
        reason = str(result[REFUSED])
        reply = ShipmentRefused(cmd.order_id, reason)
        if refusal is not None:
            return refused(reply)
        return refused(reply, _shipment(cmd, ShipmentStatus.REFUSED, reason=reason))
    tracking = str(result["tracking"])
    if refusal is not None:
        raise Impossible(
            f"order {cmd.order_id}: the carrier booked {tracking}, our books say"
            f" {refusal.reason}; compare both"
        )
    booked = _shipment(cmd, ShipmentStatus.BOOKED, tracking=tracking)
    return done(ShipmentBooked(cmd.order_id, tracking), booked)


def _shipment(
    cmd: BookShipment, status: ShipmentStatus, *, tracking: str = "", reason: str = ""
) -> Shipment:
    return Shipment(cmd.order_id, cmd.country, _pieces(cmd), status.value, tracking, reason)


def ask_cancellation(cmd: CancelShipment, shipments: Shipments) -> Call | Answer:
    if domain.nothing_to_cancel(shipments.get(cmd.order_id)):
        return done(ShipmentCancelled(cmd.order_id))
    return Call("cancel", {"order_id": cmd.order_id})


def record_cancellation(cmd: CancelShipment, shipments: Shipments, result: Result) -> Answer:
    if REFUSED in result:
        raise Impossible(f"order {cmd.order_id}: the carrier will not cancel: {result[REFUSED]}")
    shipment = domain.cancelled(shipments.get(cmd.order_id))
    return done(ShipmentCancelled(cmd.order_id), *([shipment] if shipment else []))


def ask_dispatch(cmd: DispatchShipment, shipments: Shipments) -> Call | Answer:
    shipment = shipments.get(cmd.order_id)
    if domain.must_dispatch(shipment, cmd.order_id, cmd.tracking):
        return Call("dispatch", {"order_id": cmd.order_id})
    return done(ShipmentDispatched(cmd.order_id, cmd.tracking))


def record_dispatch(cmd: DispatchShipment, shipments: Shipments, result: Result) -> Answer:
    """The event goes out once: with the command that made the goods leave."""
    if REFUSED in result:
        raise Impossible(f"order {cmd.order_id}: the carrier will not dispatch: {result[REFUSED]}")
    shipment, reply = shipments.get(cmd.order_id), ShipmentDispatched(cmd.order_id, cmd.tracking)
    if not domain.must_dispatch(shipment, cmd.order_id, cmd.tracking) or shipment is None:
        return done(reply)
    return done(reply, domain.dispatched(shipment), emits=(reply,))


HANDLERS = (
    asks(
        BookShipment,
        ask=ask_booking,
        call=gateway.book,
        record=record_booking,
        loads=Shipment,
        by=order_id,
    ),
    asks(
        CancelShipment,
        ask=ask_cancellation,
        call=gateway.cancel,
        record=record_cancellation,
        undoes=BookShipment,
        loads=Shipment,
        by=order_id,
    ),
    asks(
        DispatchShipment,
        ask=ask_dispatch,
        call=gateway.dispatch,
        record=record_dispatch,
        loads=Shipment,
        by=order_id,
    ),
)
