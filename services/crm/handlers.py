"""What crm does with commands about customers and with the news of their orders.

The rules are in `domain`. News of an order changes the order's row and, by the difference, the
totals of its customer; the event id is the fact's identity, so a fact told twice counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC
from typing import TypeAlias

from schemas.billing import PaymentCaptured, PaymentRefunded, PaymentVoided
from schemas.crm import (
    CloseCustomerRecord,
    CustomerRecordClosed,
    CustomerRecordOpened,
    OpenCustomerRecord,
)
from schemas.orchestrator import OrderCancelled, OrderFulfilled
from schemas.orders import OrderPlaced
from services.chassis.handlers import Answer, Change, Handler, answers, changed, done, reacts
from services.crm.domain import (
    Customer,
    CustomerOrder,
    Outcome,
    Paid,
    Payment,
    Placed,
    close_record,
    customers_named,
    ended,
    open_record,
    paid,
    placed,
    recount,
)

Customers = Mapping[str, Customer]
Orders = Mapping[str, CustomerOrder]
OfPayment: TypeAlias = PaymentCaptured | PaymentVoided | PaymentRefunded
OfOrder: TypeAlias = OrderPlaced | OrderFulfilled | OrderCancelled | OfPayment

_PAYMENTS: Mapping[type, Payment] = {
    PaymentCaptured: Payment.CAPTURED,
    PaymentVoided: Payment.VOIDED,
    PaymentRefunded: Payment.REFUNDED,
}


def customer_id(command: OpenCustomerRecord | CloseCustomerRecord) -> tuple[str]:
    return (command.customer_id,)


def order_id(event: OfOrder) -> tuple[str]:
    return (event.order_id,)


def customers_of(event: OfOrder, orders: Orders) -> tuple[str, ...]:
    named = customers_named(orders.get(event.order_id))
    told = getattr(event, "customer_id", None)
    return tuple(sorted(named if told is None else {*named, told}))


def open_customer_record(cmd: OpenCustomerRecord, customers: Customers) -> Answer:
    known = customers.get(cmd.customer_id)
    row = open_record(known, cmd.customer_id, cmd.country, cmd.name)
    return done(CustomerRecordOpened(cmd.customer_id), *(() if row == known else (row,)))


def close_customer_record(cmd: CloseCustomerRecord, customers: Customers) -> Answer:
    known = customers.get(cmd.customer_id)
    if known is None:
        return done(CustomerRecordClosed(cmd.customer_id))
    row = close_record(known)
    return done(CustomerRecordClosed(cmd.customer_id), *(() if row == known else (row,)))


def order_placed(event: OrderPlaced, orders: Orders, customers: Customers, event_id: str) -> Change:
    told = Placed(
        customer_id=event.customer_id,
        amount_minor=event.total_minor,
        currency=event.currency,
        placed_at=event.placed_at.astimezone(UTC).isoformat(timespec="microseconds"),
    )
    return _changed(event, orders, customers, placed(_known(orders, event), event_id, told))


def order_fulfilled(event: OrderFulfilled, orders: Orders, customers: Customers) -> Change:
    outcome = Outcome(kind="fulfilled", customer_id=event.customer_id, reason="")
    after = ended(_known(orders, event), outcome, event.placed_event_id)
    return _changed(event, orders, customers, after)


def order_cancelled(event: OrderCancelled, orders: Orders, customers: Customers) -> Change:
    outcome = Outcome(kind="cancelled", customer_id=event.customer_id, reason=event.reason)
    after = ended(_known(orders, event), outcome, event.placed_event_id)
    return _changed(event, orders, customers, after)


def payment_moved(event: OfPayment, orders: Orders, customers: Customers, event_id: str) -> Change:
    told = Paid(
        kind=_PAYMENTS[type(event)],
        amount_minor=event.amount.amount_minor,
        currency=event.amount.currency,
    )
    return _changed(event, orders, customers, paid(_known(orders, event), event_id, told))


def _known(orders: Orders, event: OfOrder) -> CustomerOrder:
    return orders.get(event.order_id) or CustomerOrder(event.order_id)


def _changed(event: OfOrder, orders: Orders, customers: Customers, after: CustomerOrder) -> Change:
    before = orders.get(after.order_id)
    counted = recount(customers, customers_of(event, orders), before, after)
    return changed(*(() if before == after else (after,)), *counted)


def _follows(event: type, fn: Callable[..., Change], *, with_id: bool = True) -> Handler:
    return reacts(
        event,
        fn,
        loads=CustomerOrder,
        by=order_id,
        then=Customer,
        whose=customers_of,
        with_id=with_id,
    )


HANDLERS = (
    answers(OpenCustomerRecord, open_customer_record, loads=Customer, by=customer_id),
    answers(
        CloseCustomerRecord,
        close_customer_record,
        undoes=OpenCustomerRecord,
        loads=Customer,
        by=customer_id,
    ),
    _follows(OrderPlaced, order_placed),
    _follows(OrderFulfilled, order_fulfilled, with_id=False),
    _follows(OrderCancelled, order_cancelled, with_id=False),
    _follows(PaymentCaptured, payment_moved),
    _follows(PaymentVoided, payment_moved),
    _follows(PaymentRefunded, payment_moved),
)
