"""Customers: who they are, what they ordered, and the points they earned.

Knows no message types. An order's row keeps each fact once, under the id of the event that told
it; a customer's totals change by what the order's row is worth now minus what it was worth before.
So facts may come in any order and more than once, and points are granted once per order.
One point is one whole major unit of currency captured for a fulfilled order (GBP 12.99 is 12,
JPY 1299 is 1299); a refund takes none back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypedDict

_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
_DECIMALS = {
    **dict.fromkeys(_NO_DECIMALS.split(), 0),
    **dict.fromkeys(_THREE_DECIMALS.split(), 3),
}
"""ISO 4217: how many decimals an amount has, where that is not two."""

Amounts = dict[str, int]
"""Minor units by currency."""


class OutcomeChanged(Exception):
    """An order has one outcome for ever; another one came. Nothing was changed."""


class Record(StrEnum):
    NONE = "none"  # the customer orders, but was not onboarded (yet)
    OPEN = "open"
    CLOSED = "closed"  # name and country are erased


class Payment(StrEnum):
    CAPTURED = "captured"
    VOIDED = "voided"
    REFUNDED = "refunded"


class Placed(TypedDict):
    """What crm keeps of an OrderPlaced. `placed_at` is ISO 8601 in UTC, so it sorts as text."""

    customer_id: str | None
    amount_minor: int
    currency: str
    placed_at: str


class Paid(TypedDict):
    """`kind` is a Payment."""

    kind: str
    amount_minor: int
    currency: str


class Outcome(TypedDict):
    """`kind` is `fulfilled` or `cancelled`; `reason` is empty when fulfilled."""

    kind: str
    customer_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class CustomerOrder:
    """One order. `placed` and `payments` are facts by the id of the event that told them.

    `customer_id` derives from them: the outcome's, else that of the earliest OrderPlaced.
    """

    order_id: str
    customer_id: str | None = None
    accepted: str | None = None
    outcome: Outcome | None = None
    placed: dict[str, Placed] = field(default_factory=dict)
    payments: dict[str, Paid] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer's record and totals. Amounts are minor units by currency."""

    customer_id: str
    record: str = Record.NONE
    country: str = ""
    name: str = ""
    orders: int = 0
    fulfilled: int = 0
    cancelled: int = 0
    points: int = 0
    captured: Amounts = field(default_factory=dict)
    refunded: Amounts = field(default_factory=dict)


def placed(order: CustomerOrder, event_id: str, told: Placed) -> CustomerOrder:
    return _settled(replace(order, placed={**order.placed, event_id: told}))


def ended(order: CustomerOrder, outcome: Outcome, accepted: str | None) -> CustomerOrder:
    """`outcome` names its kind and its customer; `accepted` is the event id of the order's body."""
    if order.outcome is None:
        return _settled(replace(order, outcome=outcome, accepted=accepted))
    if (order.outcome, order.accepted) != (outcome, accepted):
        raise OutcomeChanged(
            f"order {order.order_id} ended as {order.outcome['kind']}; an outcome "
            f"{outcome['kind']} contradicts it: compare with the saga, then discard one of them"
        )
    return order


def paid(order: CustomerOrder, event_id: str, told: Paid) -> CustomerOrder:
    payments = {**order.payments, event_id: told}
    return replace(order, payments=dict(sorted(payments.items())))


def customers_named(order: CustomerOrder | None) -> set[str]:
    """Every customer that this order may be counted for, now or after its next fact."""
    if order is None:
        return set()
    named = {order.customer_id, *(told["customer_id"] for told in order.placed.values())}
    return {each for each in named if each is not None}


def recount(
    customers: Mapping[str, Customer],
    named: Iterable[str],
    before: CustomerOrder | None,
    after: CustomerOrder,
) -> tuple[Customer, ...]:
    """The customers that differ after the order's row changed; a guest is none.

    Whoever is named gets a row, counted or not: so the rows do not tell what came first.
    """
    changed = {name: Customer(name) for name in named if name not in customers}
    for order, sign in ((before, -1), (after, 1)):
        if order is None or order.customer_id is None:
            continue
        name = order.customer_id
        known = changed.get(name) or customers.get(name) or Customer(name)
        changed[name] = _counted(known, order, sign)
    return tuple(row for name, row in changed.items() if row != customers.get(name))


def points_of(order: CustomerOrder) -> int:
    """Granted when the order is fulfilled and the money is known to be captured."""
    if order.outcome is None or order.outcome["kind"] != "fulfilled":
        return 0
    return sum(
        minor // 10 ** _DECIMALS.get(currency, 2)
        for currency, minor in _sum(order, Payment.CAPTURED).items()
    )


def open_record(customer: Customer | None, customer_id: str, country: str, name: str) -> Customer:
    known = customer or Customer(customer_id)
    return replace(known, record=Record.OPEN, country=country, name=name)


def close_record(customer: Customer) -> Customer:
    """The totals stay, for the orders stay; what names a person goes."""
    return replace(customer, record=Record.CLOSED, country="", name="")


def _settled(order: CustomerOrder) -> CustomerOrder:
    told = order.placed
    if order.accepted is not None and order.accepted in told:
        told = {order.accepted: told[order.accepted]}
    told = dict(sorted(told.items()))
    return replace(order, placed=told, customer_id=_customer(order.outcome, order.accepted, told))


def _customer(
    outcome: Outcome | None, accepted: str | None, placed_as: Mapping[str, Placed]
) -> str | None:
    if outcome is not None and accepted is not None:
        return outcome["customer_id"]
    told = sorted(placed_as.items(), key=lambda each: (each[1]["placed_at"], each[0]))
    return told[0][1]["customer_id"] if told else None


def _sum(order: CustomerOrder, kind: Payment) -> Amounts:
    total: Amounts = {}
    for told in order.payments.values():
        if told["kind"] == kind:
            total[told["currency"]] = total.get(told["currency"], 0) + told["amount_minor"]
    return total


def _counted(customer: Customer, order: CustomerOrder, sign: int) -> Customer:
    kind = order.outcome["kind"] if order.outcome else None
    return replace(
        customer,
        orders=customer.orders + sign,
        fulfilled=customer.fulfilled + sign * (kind == "fulfilled"),
        cancelled=customer.cancelled + sign * (kind == "cancelled"),
        points=customer.points + sign * points_of(order),
        captured=_plus(customer.captured, _sum(order, Payment.CAPTURED), sign),
        refunded=_plus(customer.refunded, _sum(order, Payment.REFUNDED), sign),
    )


def _plus(amounts: Amounts, more: Amounts, sign: int) -> Amounts:
    """Zeros are left out and currencies sorted, so that equal totals are equal rows."""
    every = sorted({*amounts, *more})
    total = {each: amounts.get(each, 0) + sign * more.get(each, 0) for each in every}
    return {currency: minor for currency, minor in total.items() if minor}
