"""What analytics does with all that happens: facts into rows, rows into totals.

The rules are in `domain`. News of an order changes the order's row and, by the difference, its
day; the event id is the fact's identity, so a fact told twice counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeAlias

from schemas.analytics import EraseProfile, ProfileErased, ProfileStarted, StartProfile
from schemas.billing import PaymentCaptured, PaymentRefunded, PaymentVoided
from schemas.inventory import GoodsReceived, StockLow
from schemas.orchestrator import (
    CustomerNeedsAttention,
    CustomerOnboarded,
    CustomerRefused,
    OrderCancellationRefused,
    OrderCancelled,
    OrderFulfilled,
    OrderNeedsAttention,
)
from schemas.orders import OrderCancellationRequested, OrderPlaced
from schemas.shipping import ShipmentDispatched
from services.analytics.domain import (
    Day,
    Delivery,
    OrderFacts,
    Outcome,
    Paid,
    Payment,
    Placed,
    Product,
    Profile,
    cancellation_asked,
    cancellation_refused,
    day_of,
    days_named,
    dispatched,
    ended,
    erased,
    low,
    needed_attention,
    onboarding,
    paid,
    placed,
    received,
    recount,
    started,
)
from services.chassis.handlers import Answer, Change, Handler, answers, changed, done, reacts

Days = Mapping[str, Day]
Orders = Mapping[str, OrderFacts]
Profiles = Mapping[str, Profile]
OfPayment: TypeAlias = PaymentCaptured | PaymentVoided | PaymentRefunded
OfOrder: TypeAlias = (
    OrderPlaced
    | OrderCancellationRequested
    | OrderFulfilled
    | OrderCancelled
    | OrderNeedsAttention
    | OrderCancellationRefused
    | OfPayment
    | ShipmentDispatched
)
OfCustomer: TypeAlias = (
    StartProfile | EraseProfile | CustomerOnboarded | CustomerRefused | CustomerNeedsAttention
)

_PAYMENTS: Mapping[type, Payment] = {
    PaymentCaptured: Payment.CAPTURED,
    PaymentVoided: Payment.VOIDED,
    PaymentRefunded: Payment.REFUNDED,
}


def order_id(event: OfOrder) -> tuple[str]:
    return (event.order_id,)


def customer_id(message: OfCustomer) -> tuple[str]:
    return (message.customer_id,)


def delivery_id(event: GoodsReceived) -> tuple[str]:
    return (event.delivery_id,)


def sku(event: StockLow) -> tuple[str]:
    return (event.sku,)


def days_of(event: OfOrder, orders: Orders) -> tuple[str, ...]:
    named = days_named(orders.get(event.order_id))
    if isinstance(event, OrderPlaced):
        named.add(day_of(_text(event.placed_at)))
    return tuple(sorted(named))


def day_received(event: GoodsReceived, _deliveries: Mapping[str, Delivery]) -> tuple[str]:
    return (day_of(_text(event.received_at)),)


def order_placed(event: OrderPlaced, orders: Orders, days: Days, event_id: str) -> Change:
    told = Placed(
        placed_at=_text(event.placed_at),
        country=event.country,
        currency=event.currency,
        amount_minor=event.total_minor,
        units=sum(line.quantity for line in event.lines),
    )
    return _changed(event, orders, days, placed(_known(orders, event), event_id, told))


def order_fulfilled(event: OrderFulfilled, orders: Orders, days: Days) -> Change:
    outcome = Outcome(kind="fulfilled", reason="")
    return _changed(
        event, orders, days, ended(_known(orders, event), outcome, event.placed_event_id)
    )


def order_cancelled(event: OrderCancelled, orders: Orders, days: Days) -> Change:
    outcome = Outcome(kind="cancelled", reason=event.reason)
    return _changed(
        event, orders, days, ended(_known(orders, event), outcome, event.placed_event_id)
    )


def order_stuck(event: OrderNeedsAttention, orders: Orders, days: Days) -> Change:
    return _changed(event, orders, days, needed_attention(_known(orders, event), event.attempt))


def cancellation_requested(event: OrderCancellationRequested, orders: Orders, days: Days) -> Change:
    return _changed(
        event, orders, days, cancellation_asked(_known(orders, event), event.request_id)
    )


def cancellation_denied(event: OrderCancellationRefused, orders: Orders, days: Days) -> Change:
    return _changed(
        event, orders, days, cancellation_refused(_known(orders, event), event.request_id)
    )


def payment_moved(event: OfPayment, orders: Orders, days: Days, event_id: str) -> Change:
    told = Paid(
        kind=_PAYMENTS[type(event)],
        amount_minor=event.amount.amount_minor,
        currency=event.amount.currency,
    )
    return _changed(event, orders, days, paid(_known(orders, event), event_id, told))


def shipment_dispatched(event: ShipmentDispatched, orders: Orders, days: Days) -> Change:
    return _changed(event, orders, days, dispatched(_known(orders, event)))


def goods_received(event: GoodsReceived, deliveries: Mapping[str, Delivery], days: Days) -> Change:
    units = sum(item.quantity for item in event.items)
    delivery = Delivery(event.delivery_id, day_of(_text(event.received_at)), units)
    counted = received(days, deliveries.get(event.delivery_id), delivery)
    return changed(delivery, *counted) if counted else changed()


def stock_low(event: StockLow, products: Mapping[str, Product]) -> Change:
    known = products.get(event.sku)
    row = low(known, event.sku, event.free, event.threshold)
    return changed() if row == known else changed(row)


def start_profile(cmd: StartProfile, profiles: Profiles) -> Answer:
    known = profiles.get(cmd.customer_id)
    row = started(known, cmd.customer_id, cmd.country)
    return done(ProfileStarted(cmd.customer_id), *(() if row == known else (row,)))


def erase_profile(cmd: EraseProfile, profiles: Profiles) -> Answer:
    known = profiles.get(cmd.customer_id)
    if known is None:
        return done(ProfileErased(cmd.customer_id))
    row = erased(known)
    return done(ProfileErased(cmd.customer_id), *(() if row == known else (row,)))


def customer_onboarded(event: CustomerOnboarded, profiles: Profiles) -> Change:
    return _onboarding(profiles, event, "onboarded", "")


def customer_refused(event: CustomerRefused, profiles: Profiles) -> Change:
    return _onboarding(profiles, event, "refused", event.reason)


def customer_stuck(event: CustomerNeedsAttention, profiles: Profiles) -> Change:
    return _onboarding(profiles, event, "needs_attention", event.reason)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _known(orders: Orders, event: OfOrder) -> OrderFacts:
    return orders.get(event.order_id) or OrderFacts(event.order_id)


def _changed(event: OfOrder, orders: Orders, days: Days, after: OrderFacts) -> Change:
    before = orders.get(after.order_id)
    counted = recount(days, days_of(event, orders), before, after)
    return changed(*(() if before == after else (after,)), *counted)


def _onboarding(profiles: Profiles, event: OfCustomer, state: str, reason: str) -> Change:
    known = profiles.get(event.customer_id)
    row = onboarding(known, event.customer_id, state, reason)
    return changed() if row == known else changed(row)


def _counts(event: type, fn: Callable[..., Change], *, with_id: bool = False) -> Handler:
    return reacts(
        event, fn, loads=OrderFacts, by=order_id, then=Day, whose=days_of, with_id=with_id
    )


HANDLERS = (
    answers(StartProfile, start_profile, loads=Profile, by=customer_id),
    answers(EraseProfile, erase_profile, undoes=StartProfile, loads=Profile, by=customer_id),
    _counts(OrderPlaced, order_placed, with_id=True),
    _counts(OrderCancellationRequested, cancellation_requested),
    _counts(OrderFulfilled, order_fulfilled),
    _counts(OrderCancelled, order_cancelled),
    _counts(OrderNeedsAttention, order_stuck),
    _counts(OrderCancellationRefused, cancellation_denied),
    _counts(PaymentCaptured, payment_moved, with_id=True),
    _counts(PaymentVoided, payment_moved, with_id=True),
    _counts(PaymentRefunded, payment_moved, with_id=True),
    _counts(ShipmentDispatched, shipment_dispatched),
    reacts(
        GoodsReceived, goods_received, loads=Delivery, by=delivery_id, then=Day, whose=day_received
    ),
    reacts(StockLow, stock_low, loads=Product, by=sku),
    reacts(CustomerOnboarded, customer_onboarded, loads=Profile, by=customer_id),
    reacts(CustomerRefused, customer_refused, loads=Profile, by=customer_id),
    reacts(CustomerNeedsAttention, customer_stuck, loads=Profile, by=customer_id),
)
