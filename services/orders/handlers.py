"""What orders does with submissions, with orders placed by anybody, and with outcomes.

The rules are in `domain`; here messages become its words and its words become messages. An event
of our own comes back on the topic like anybody else's, and only then has an event id.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeAlias

from schemas.common import Charge, Line
from schemas.orchestrator import (
    OrderCancellationRefused,
    OrderCancelled,
    OrderFulfilled,
    OrderNeedsAttention,
)
from schemas.orders import OrderCancellationRequested, OrderPlaced
from services.chassis.handlers import (
    Change,
    Response,
    accepted,
    changed,
    declined,
    reacts,
    requests,
)
from services.orders.domain import (
    Acknowledged,
    AskCancellation,
    Body,
    ChargeBody,
    LineBody,
    Order,
    Outcome,
    Submission,
    SubmitOrder,
    ask_cancellation,
    cancellation_refused,
    cancellation_requested,
    ended,
    expected,
    needs_attention,
    placed,
    submit,
)

Orders = Mapping[str, Order]
OfOrder: TypeAlias = (
    OrderPlaced
    | OrderCancellationRequested
    | OrderFulfilled
    | OrderCancelled
    | OrderNeedsAttention
    | OrderCancellationRefused
    | AskCancellation
)


def order_id(message: OfOrder) -> tuple[str]:
    return (message.order_id,)


def idempotency_key(request: SubmitOrder) -> tuple[str]:
    return (request.idempotency_key,)


def order_submitted(request: SubmitOrder, _used: Mapping[str, Submission]) -> tuple[str]:
    return (request.order_id,)


def text_of(moment: datetime) -> str:
    """ISO 8601 in UTC, always with microseconds, so that times sort as text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def body_of(event: OrderPlaced) -> Body:
    return Body(
        customer_id=event.customer_id,
        currency=event.currency,
        lines=[
            LineBody(
                sku=line.sku,
                quantity=line.quantity,
                unit_price_minor=line.unit_price_minor,
                name=line.name,
            )
            for line in event.lines
        ],
        country=event.country,
        placed_at=text_of(event.placed_at),
        charges=[ChargeBody(code=c.code, amount_minor=c.amount_minor) for c in event.charges],
        payment_method=event.payment_method,
    )


def event_of(order: str, body: Body) -> OrderPlaced:
    return OrderPlaced(
        order_id=order,
        customer_id=body["customer_id"],
        currency=body["currency"],
        lines=tuple(Line(**line) for line in body["lines"]),
        country=body["country"],
        placed_at=datetime.fromisoformat(body["placed_at"]),
        charges=tuple(Charge(**charge) for charge in body["charges"]),
        payment_method=body["payment_method"],
    )


def order_posted(request: SubmitOrder, used: Mapping[str, Submission], orders: Orders) -> Response:
    result = submit(request, used.get(request.idempotency_key), orders.get(request.order_id))
    if not isinstance(result, tuple):
        return declined(result)
    return accepted(
        Acknowledged(request.order_id, again=False),
        *result,
        emits=(event_of(request.order_id, request.body),),
    )


def cancellation_posted(request: AskCancellation, orders: Orders) -> Response:
    result = ask_cancellation(request, orders.get(request.order_id))
    if not isinstance(result, Order):
        return declined(result)
    event = OrderCancellationRequested(
        request.order_id,
        request.request_id,
        request.reason,
        datetime.fromisoformat(request.requested_at),
    )
    return accepted(Acknowledged(request.order_id, again=False), result, emits=(event,))


def order_placed(event: OrderPlaced, orders: Orders, event_id: str) -> Change:
    return _changed(orders, placed(_known(orders, event), body_of(event), event_id))


def cancellation_asked(event: OrderCancellationRequested, orders: Orders) -> Change:
    order = _known(orders, event)
    when = text_of(event.requested_at)
    return _changed(orders, cancellation_requested(order, event.request_id, event.reason, when))


def order_fulfilled(event: OrderFulfilled, orders: Orders) -> Change:
    outcome = Outcome(
        kind="fulfilled",
        amount_minor=event.amount.amount_minor,
        currency=event.amount.currency,
        tracking=event.tracking,
    )
    return _changed(orders, ended(_known(orders, event), outcome, event.placed_event_id))


def order_cancelled(event: OrderCancelled, orders: Orders) -> Change:
    outcome = Outcome(kind="cancelled", reason=event.reason, detail=event.detail)
    return _changed(orders, ended(_known(orders, event), outcome, event.placed_event_id))


def order_stuck(event: OrderNeedsAttention, orders: Orders) -> Change:
    order = _known(orders, event)
    return _changed(orders, needs_attention(order, event.step, event.reason, event.attempt))


def cancellation_denied(event: OrderCancellationRefused, orders: Orders) -> Change:
    order = _known(orders, event)
    return _changed(orders, cancellation_refused(order, event.request_id, event.reason))


def _known(orders: Orders, message: OfOrder) -> Order:
    return orders.get(message.order_id) or expected(message.order_id)


def _changed(orders: Orders, order: Order) -> Change:
    return changed() if orders.get(order.order_id) == order else changed(order)


HANDLERS = (
    requests(
        SubmitOrder,
        order_posted,
        loads=Submission,
        by=idempotency_key,
        then=Order,
        whose=order_submitted,
    ),
    requests(AskCancellation, cancellation_posted, loads=Order, by=order_id),
    reacts(OrderPlaced, order_placed, loads=Order, by=order_id, with_id=True),
    reacts(OrderCancellationRequested, cancellation_asked, loads=Order, by=order_id),
    reacts(OrderFulfilled, order_fulfilled, loads=Order, by=order_id),
    reacts(OrderCancelled, order_cancelled, loads=Order, by=order_id),
    reacts(OrderNeedsAttention, order_stuck, loads=Order, by=order_id),
    reacts(OrderCancellationRefused, cancellation_denied, loads=Order, by=order_id),
)
