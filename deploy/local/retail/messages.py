"""What the import says, as contract messages with the ids they always have.

Pure. Invariant: bodies and ids follow from the file and the selection alone, so that importing
the same again says the same again, and every consumer knows it for a duplicate.
"""

from __future__ import annotations

from datetime import datetime

from deploy.local.retail.orders import Order
from deploy.local.retail.rules import CURRENCY
from deploy.local.retail.stock import Delivery
from schemas.common import Charge, Item, Line
from schemas.customers import CustomerRegistered
from schemas.inventory import GoodsReceived
from schemas.orders import OrderPlaced

SOURCE = "retail-import"


def order_placed(order: Order) -> OrderPlaced:
    return OrderPlaced(
        order_id=order.order_id,
        customer_id=order.customer_id,
        currency=CURRENCY,
        lines=tuple(
            Line(line.code, line.quantity, line.unit_price_minor, line.name) for line in order.lines
        ),
        country=order.country,
        placed_at=order.placed_at,
        charges=tuple(Charge(charge.code, charge.amount_minor) for charge in order.charges),
        payment_method=order.payment_method,
    )


def customer_registered(customer_id: str, first: Order) -> CustomerRegistered:
    """The data set has no names and no addresses; these are made up and reach nobody."""
    return CustomerRegistered(
        customer_id=customer_id,
        name=f"Customer {customer_id}",
        email=f"customer-{customer_id}@example.invalid",
        country=first.country,
        registered_at=first.placed_at,
    )


def goods_received(delivery: Delivery, received_at: datetime) -> GoodsReceived:
    items = tuple(Item(code, units) for code, units in delivery.items)
    return GoodsReceived(delivery.delivery_id, items, received_at)


def id_of(message: OrderPlaced | CustomerRegistered | GoodsReceived) -> str:
    match message:
        case OrderPlaced():
            return f"{message.order_id}/placed"
        case CustomerRegistered():
            return f"customer-{message.customer_id}/registered"
        case GoodsReceived():
            return f"{message.delivery_id}/received"
