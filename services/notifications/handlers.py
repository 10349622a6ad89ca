"""What notifications makes of each event: the fact into its row, and the letter that is due.

The rules are in `domain`, the mail server in `gateway`. Every event of an order loads the order
and then its customer; a registration loads the customer and then the orders that waited for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from schemas.customers import CustomerRegistered
from schemas.orchestrator import CustomerOnboarded, CustomerRefused, OrderCancelled, OrderFulfilled
from schemas.orders import OrderPlaced
from schemas.shipping import ShipmentDispatched
from services.chassis.handlers import Call, Change, Result, changed, reacts, sends
from services.notifications import domain, gateway
from services.notifications.domain import Customer, Kind, Letter, OrderMail

Orders = Mapping[str, OrderMail]
Customers = Mapping[str, Customer]
OrderEvent = OrderPlaced | ShipmentDispatched | OrderFulfilled | OrderCancelled
CustomerEvent = CustomerRegistered | CustomerOnboarded | CustomerRefused


def order_id(event: OrderEvent) -> tuple[str]:
    return (event.order_id,)


def customer_id(event: CustomerEvent) -> tuple[str]:
    return (event.customer_id,)


def about(call: Call) -> tuple[str]:
    return (str(call.body["about"]),)


def addressees(message: OrderEvent | Call, orders: Orders) -> tuple[str, ...]:
    """Whoever the row or the event names: which of them counts, the domain decides."""
    named = [order.customer_id for order in orders.values()]
    named.append(getattr(message, "customer_id", None))
    return tuple(dict.fromkeys(each for each in named if each is not None))


def waiting_orders(event: CustomerRegistered, customers: Customers) -> tuple[str, ...]:
    customer = customers.get(event.customer_id)
    return tuple(customer.waiting) if customer else ()


def order_placed(event: OrderPlaced, orders: Orders, customers: Customers) -> Change:
    pieces = sum(line.quantity for line in event.lines)
    order = domain.learn(
        orders.get(event.order_id), event.order_id, Kind.RECEIVED, str(pieces), event.customer_id
    )
    return _advance(order, customers)


def shipment_dispatched(event: ShipmentDispatched, orders: Orders, customers: Customers) -> Change:
    order = domain.learn(
        orders.get(event.order_id), event.order_id, Kind.DISPATCHED, event.tracking, None
    )
    return _advance(order, customers)


def order_fulfilled(event: OrderFulfilled, orders: Orders, customers: Customers) -> Change:
    order = domain.learn(
        orders.get(event.order_id), event.order_id, Kind.FULFILLED, event.tracking,
        event.customer_id,
    )  # fmt: skip
    return _advance(order, customers)


def order_cancelled(event: OrderCancelled, orders: Orders, customers: Customers) -> Change:
    order = domain.learn(
        orders.get(event.order_id), event.order_id, Kind.CANCELLED, event.reason,
        event.customer_id,
    )  # fmt: skip
    return _advance(order, customers)


def order_mailed(call: Call, orders: Orders, customers: Customers, result: Result) -> Change:
    """What was learnt meanwhile is told next."""
    order = orders[about(call)[0]]
    kind = str(call.body["kind"])
    letters = domain.settle(order.letters, kind, delivered=gateway.REFUSED not in result)
    return _advance(replace(order, letters=letters), customers)


def _advance(order: OrderMail, customers: Customers) -> Change:
    if order.customer_id is None:
        return changed(order)
    customer = customers.get(order.customer_id)
    if customer is None or not customer.email:
        waiting = domain.await_address(customer, order)
        return changed(order, *([waiting] if waiting else []))
    order, letter = domain.next_letter(order, customer)
    return changed(order, calls=_calls("order_mail", [letter]))


def customer_registered(event: CustomerRegistered, customers: Customers, orders: Orders) -> Change:
    known = customers.get(event.customer_id)
    customer = domain.register(known, event.customer_id, event.name, event.email)
    if customer is None:
        return changed()
    mine = [each for each in orders.values() if each.customer_id == event.customer_id]
    told = [domain.next_letter(order, customer) for order in mine]
    customer, welcome = domain.customer_letter(customer)
    return changed(
        customer,
        *(order for order, _ in told),
        calls=(
            *_calls("customer_mail", [welcome]),
            *_calls("order_mail", [letter for _, letter in told]),
        ),
    )


def customer_onboarded(event: CustomerOnboarded, customers: Customers) -> Change:
    return _decided(customers, event.customer_id, Kind.WELCOME, "")


def customer_refused(event: CustomerRefused, customers: Customers) -> Change:
    return _decided(customers, event.customer_id, Kind.DECLINED, event.reason)


def _decided(customers: Customers, customer: str, kind: Kind, detail: str) -> Change:
    row = domain.decide_customer(customers.get(customer), customer, kind, detail)
    row, letter = domain.customer_letter(row)
    return changed(row, calls=_calls("customer_mail", [letter]))


def customer_mailed(call: Call, customers: Customers, result: Result) -> Change:
    customer = customers[about(call)[0]]
    kind = str(call.body["kind"])
    letters = domain.settle(customer.letters, kind, delivered=gateway.REFUSED not in result)
    return changed(replace(customer, letters=letters))


def _calls(name: str, letters: Iterable[Letter | None]) -> tuple[Call, ...]:
    return tuple(
        Call(
            name,
            {
                "about": each.about,
                "kind": each.kind,
                "to": each.to,
                "subject": each.subject,
                "text": each.text,
            },
            id=each.id,
        )
        for each in letters
        if each is not None
    )


HANDLERS = (
    reacts(
        OrderPlaced, order_placed, loads=OrderMail, by=order_id, then=Customer, whose=addressees
    ),
    reacts(
        ShipmentDispatched,
        shipment_dispatched,
        loads=OrderMail,
        by=order_id,
        then=Customer,
        whose=addressees,
    ),
    reacts(
        OrderFulfilled,
        order_fulfilled,
        loads=OrderMail,
        by=order_id,
        then=Customer,
        whose=addressees,
    ),
    reacts(
        OrderCancelled,
        order_cancelled,
        loads=OrderMail,
        by=order_id,
        then=Customer,
        whose=addressees,
    ),
    reacts(
        CustomerRegistered,
        customer_registered,
        loads=Customer,
        by=customer_id,
        then=OrderMail,
        whose=waiting_orders,
    ),
    reacts(CustomerOnboarded, customer_onboarded, loads=Customer, by=customer_id),
    reacts(CustomerRefused, customer_refused, loads=Customer, by=customer_id),
    sends(
        "order_mail",
        call=gateway.deliver,
        record=order_mailed,
        loads=OrderMail,
        by=about,
        then=Customer,
        whose=addressees,
    ),
    sends(
        "customer_mail",
        call=gateway.deliver,
        record=customer_mailed,
        loads=Customer,
        by=about,
    ),
)
