"""Which letters are due, in any order of arrival: each kind once, and never an older after a newer.

An order's row keeps every fact once; what is due is computed from the facts and from what was
sent. One letter of an order is under way at a time, so a later one cannot overtake it. A letter
that is due together with a later one is suppressed: nobody is told what is no longer true. Two
outcomes of one order cannot both be told (I-14). Addresses are personal: they show in no repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum


class Kind(StrEnum):
    RECEIVED = "received"
    DISPATCHED = "dispatched"
    FULFILLED = "fulfilled"
    CANCELLED = "cancelled"
    WELCOME = "welcome"
    DECLINED = "declined"


RANK = {Kind.RECEIVED: 1, Kind.DISPATCHED: 2, Kind.FULFILLED: 3, Kind.CANCELLED: 3}
OUTCOMES = (Kind.FULFILLED, Kind.CANCELLED)


class LetterState(StrEnum):
    SENDING = "sending"  # → sent | undeliverable
    SENT = "sent"
    UNDELIVERABLE = "undeliverable"  # the mail server refused it for good
    SUPPRESSED = "suppressed"  # a later letter was due or sent


@dataclass(frozen=True, slots=True)
class OrderMail:
    """`facts`: kind → what a letter of that kind says; `letters`: kind → its state."""

    order_id: str
    customer_id: str | None = None
    facts: dict[str, str] = field(default_factory=dict)
    letters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Customer:
    """`waiting`: orders with something to tell and nobody to tell it to yet."""

    customer_id: str
    name: str = field(default="", repr=False)
    email: str = field(default="", repr=False)
    outcome: str = ""
    detail: str = ""
    letters: dict[str, str] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Letter:
    """`about` is the order or the customer; with the kind it is the letter's identity."""

    about: str
    kind: str
    to: str = field(repr=False)
    subject: str
    text: str = field(repr=False)

    @property
    def id(self) -> str:
        return f"{self.about}/{self.kind}"


def learn(
    known: OrderMail | None, order_id: str, kind: Kind, detail: str, customer_id: str | None
) -> OrderMail:
    """The first fact of a kind stands. An outcome names the customer whose order was accepted."""
    order = known or OrderMail(order_id)
    facts = {kind.value: detail} | order.facts
    if kind in OUTCOMES:
        return replace(order, facts=facts, customer_id=customer_id)
    if order.customer_id is None and not any(each in order.facts for each in OUTCOMES):
        return replace(order, facts=facts, customer_id=customer_id)
    return replace(order, facts=facts)


def next_letter(order: OrderMail, customer: Customer) -> tuple[OrderMail, Letter | None]:
    """The latest letter that is due, now under way; what is older is suppressed."""
    if LetterState.SENDING in order.letters.values():
        return order, None
    told = max((RANK[Kind(kind)] for kind in order.letters), default=0)
    open_kinds = sorted(
        (Kind(kind) for kind in order.facts if kind not in order.letters),
        key=lambda kind: (RANK[kind], kind),
    )
    due = next((kind for kind in reversed(open_kinds) if RANK[kind] > told), None)
    states = {
        kind.value: (LetterState.SENDING if kind is due else LetterState.SUPPRESSED).value
        for kind in open_kinds
    }
    after = replace(order, letters=order.letters | states)
    return after, _order_letter(after, customer, due) if due else None


def settle(letters: dict[str, str], kind: str, *, delivered: bool) -> dict[str, str]:
    state = LetterState.SENT if delivered else LetterState.UNDELIVERABLE
    return letters | {kind: state.value}


def await_address(known: Customer | None, order: OrderMail) -> Customer | None:
    """The customer with this order waiting; None when it waits already."""
    assert order.customer_id is not None
    customer = known or Customer(order.customer_id)
    if order.order_id in customer.waiting:
        return None
    return replace(customer, waiting=[*customer.waiting, order.order_id])


def register(known: Customer | None, customer_id: str, name: str, email: str) -> Customer | None:
    """The address; None when there is one already: the first registration stands."""
    customer = known or Customer(customer_id)
    if customer.email:
        return None
    return replace(customer, name=name, email=email, waiting=[])


def decide_customer(known: Customer | None, customer_id: str, kind: Kind, detail: str) -> Customer:
    """A customer's onboarding ends once; the first end stands."""
    customer = known or Customer(customer_id)
    if customer.outcome:
        return customer
    return replace(customer, outcome=kind.value, detail=detail)


def customer_letter(customer: Customer) -> tuple[Customer, Letter | None]:
    """Due once address and end are known."""
    kind = customer.outcome
    if not customer.email or not kind or kind in customer.letters:
        return customer, None
    after = replace(customer, letters={kind: LetterState.SENDING.value})
    subject, text = _CUSTOMER_TEXTS[Kind(kind)]
    return after, _letter(
        customer.customer_id, kind, customer, subject, text.format(customer.detail)
    )


_ORDER_TEXTS = {
    Kind.RECEIVED: ("received", "we have your order {0}: {1} pieces."),
    Kind.DISPATCHED: ("on its way", "your order {0} is on its way. Its tracking number is {1}."),
    Kind.FULFILLED: ("complete", "your order {0} is complete. Its tracking number is {1}."),
    Kind.CANCELLED: ("cancelled", "your order {0} was cancelled ({1}). You were not charged."),
}
_CUSTOMER_TEXTS = {
    Kind.WELCOME: ("Welcome", "your account is open."),
    Kind.DECLINED: ("Your account", "we could not open an account for you ({0})."),
}


def _order_letter(order: OrderMail, customer: Customer, kind: Kind) -> Letter:
    title, text = _ORDER_TEXTS[kind]
    body = text.format(order.order_id, order.facts[kind.value])
    subject = f"Order {order.order_id}: {title}"
    return _letter(order.order_id, kind.value, customer, subject, body)


def _letter(about: str, kind: str, customer: Customer, subject: str, body: str) -> Letter:
    text = f"Dear {customer.name or 'customer'},\n\n{body}\n"
    return Letter(about, kind, customer.email, subject, text)
