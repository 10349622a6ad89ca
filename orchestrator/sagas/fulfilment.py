"""From an accepted order to goods on their way: stock, payment, shipment, capture, dispatch.

Capturing the payment is the pivot: before it everything can be taken back, after it the order
only goes forward. Charges are part of the amount and no stock; a product that stands on several
lines is summed. An order without customer is a guest's. No clock, no Kafka, no database.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.saga import (
    Attention,
    Compensatable,
    Outcome,
    Pivot,
    Refusal,
    Retriable,
    Saga,
    hours,
    minutes,
    seconds,
)
from schemas.billing import AuthorisePayment, CapturePayment, PaymentAuthorised, VoidPayment
from schemas.common import Item, Money
from schemas.inventory import ReleaseStock, ReserveStock
from schemas.orchestrator import (
    OrderCancellationRefused,
    OrderCancelled,
    OrderFulfilled,
    OrderNeedsAttention,
)
from schemas.orders import OrderCancellationRequested, OrderPlaced
from schemas.shipping import BookShipment, CancelShipment, DispatchShipment, ShipmentBooked


@dataclass(frozen=True, slots=True)
class Order:
    """What fulfilment needs of an order; the last two are known once their steps are done."""

    order_id: str
    customer_id: str | None
    items: tuple[Item, ...]
    amount: Money
    country: str
    payment_method: str
    authorisation_id: str = ""
    tracking: str = ""

    @classmethod
    def from_event(cls, placed: OrderPlaced) -> Order:
        units: dict[str, int] = {}
        for line in placed.lines:
            units[line.sku] = units.get(line.sku, 0) + line.quantity
        return cls(
            order_id=placed.order_id,
            customer_id=placed.customer_id,
            items=tuple(Item(sku, quantity) for sku, quantity in units.items()),
            amount=Money(placed.total_minor, placed.currency),
            country=placed.country,
            payment_method=placed.payment_method,
        )


def reserve_stock(order: Order) -> ReserveStock:
    return ReserveStock(order.order_id, order.items)


def release_stock(order: Order) -> ReleaseStock:
    return ReleaseStock(order.order_id)


def authorise_payment(order: Order) -> AuthorisePayment:
    return AuthorisePayment(order.order_id, order.customer_id, order.amount, order.payment_method)


def void_payment(order: Order) -> VoidPayment:
    return VoidPayment(order.order_id, order.amount)


def authorisation(order: Order, reply: PaymentAuthorised) -> Order:
    return replace(order, authorisation_id=reply.authorisation_id)


def book_shipment(order: Order) -> BookShipment:
    return BookShipment(order.order_id, order.country, order.items)


def cancel_shipment(order: Order) -> CancelShipment:
    return CancelShipment(order.order_id)


def tracking(order: Order, reply: ShipmentBooked) -> Order:
    return replace(order, tracking=reply.tracking)


def capture_payment(order: Order) -> CapturePayment:
    return CapturePayment(order.order_id, order.amount, order.authorisation_id)


def dispatch_shipment(order: Order) -> DispatchShipment:
    return DispatchShipment(order.order_id, order.tracking)


def order_fulfilled(order: Order, outcome: Outcome) -> OrderFulfilled:
    return OrderFulfilled(
        order.order_id, order.customer_id, outcome.start_id, order.amount, order.tracking
    )


def order_cancelled(order: Order, outcome: Outcome) -> OrderCancelled:
    return OrderCancelled(
        order.order_id, order.customer_id, outcome.start_id, outcome.reason, outcome.detail
    )


def order_needs_attention(order: Order, attention: Attention) -> OrderNeedsAttention:
    return OrderNeedsAttention(order.order_id, attention.step, attention.reason, attention.attempt)


def cancellation_refused(order: Order, refusal: Refusal) -> OrderCancellationRefused:
    return OrderCancellationRefused(order.order_id, refusal.request_id, refusal.reason)


FULFILMENT = Saga[Order](
    "fulfilment",
    version=1,
    starts_on=OrderPlaced,
    key="order_id",
    data=Order.from_event,
    cancelled_by=OrderCancellationRequested,
    steps=[
        Compensatable("stock", reserve_stock, undo=release_stock, within=seconds(30)),
        Compensatable(
            "payment",
            authorise_payment,
            undo=void_payment,
            within=minutes(2),
            keep=authorisation,
        ),
        Compensatable(
            "shipment", book_shipment, undo=cancel_shipment, within=minutes(2), keep=tracking
        ),
        Pivot("capture", capture_payment, within=minutes(2)),
        Retriable("dispatch", dispatch_shipment, within=hours(1)),
    ],
    completed=order_fulfilled,
    compensated=order_cancelled,
    attention=order_needs_attention,
    cancellation_refused=cancellation_refused,
)
