"""What happened, counted: one row of facts per order, and totals per day made from those rows.

Knows no message types and no clock. Everything about an order counts for the day (UTC) on which
the order was placed, so a day's funnel adds up whenever its parts become known; an order that was
not placed yet counts nowhere. A day changes by what an order's row is worth now minus what it was
worth before, so facts may come in any order and more than once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import TypedDict

Counts = dict[str, int]
"""By reason, or minor units by currency. Zeros are left out and keys sorted: equal is equal."""


class OutcomeChanged(Exception):
    """An order has one outcome for ever; another one came. Nothing was changed."""


class DeliveryChanged(Exception):
    """The delivery was counted before with other contents. Nothing was changed."""


class Payment(StrEnum):
    CAPTURED = "captured"
    VOIDED = "voided"
    REFUNDED = "refunded"


class ProfileState(StrEnum):
    NONE = "none"  # heard of, but no profile was started (yet)
    STARTED = "started"
    ERASED = "erased"


class Placed(TypedDict):
    """What is kept of an OrderPlaced. `placed_at` is ISO 8601 in UTC; it begins with the day."""

    placed_at: str
    country: str
    currency: str
    amount_minor: int
    units: int


class Paid(TypedDict):
    """`kind` is a Payment."""

    kind: str
    amount_minor: int
    currency: str


class Outcome(TypedDict):
    """`kind` is `fulfilled` or `cancelled`; `reason` is empty when fulfilled."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """One order. `placed` and `payments` are by the id of the event that told them.

    `cancellations` are the request ids heard of, `refusals` those of them that were refused,
    `attention` the highest number of a notice that the order is stuck.
    """

    order_id: str
    placed: dict[str, Placed] = field(default_factory=dict)
    accepted: str | None = None
    outcome: Outcome | None = None
    payments: dict[str, Paid] = field(default_factory=dict)
    cancellations: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    attention: int = 0
    dispatched: int = 0


@dataclass(frozen=True, slots=True)
class Day:
    """Totals of a day (UTC, `2010-12-01`). Amounts are minor units by currency."""

    date: str
    placed: int = 0
    fulfilled: int = 0
    cancelled: int = 0
    needed_attention: int = 0
    cancellations_asked: int = 0
    cancellations_refused: int = 0
    dispatched: int = 0
    units_ordered: int = 0
    deliveries: int = 0
    units_received: int = 0
    cancelled_by: Counts = field(default_factory=dict)
    ordered_minor: Counts = field(default_factory=dict)
    captured_minor: Counts = field(default_factory=dict)
    voided_minor: Counts = field(default_factory=dict)
    refunded_minor: Counts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    delivery_id: str
    date: str
    units: int


@dataclass(frozen=True, slots=True)
class Product:
    """The lowest free stock that was ever told of a product that fell to its threshold."""

    sku: str
    lowest_free: int
    threshold: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A customer as analytics knows one: no name, only a country while the profile lasts.

    `onboarding` is empty, `onboarded`, `refused` or, while stuck, `needs_attention`.
    """

    customer_id: str
    state: str = ProfileState.NONE
    country: str = ""
    onboarding: str = ""
    reason: str = ""


def placed(order: OrderFacts, event_id: str, told: Placed) -> OrderFacts:
    return _settled(replace(order, placed={**order.placed, event_id: told}))


def ended(order: OrderFacts, outcome: Outcome, accepted: str | None) -> OrderFacts:
    """`accepted` is the event id of the body that the order was carried out with."""
    if order.outcome is None:
        return _settled(replace(order, outcome=outcome, accepted=accepted))
    if (order.outcome, order.accepted) != (outcome, accepted):
        raise OutcomeChanged(
            f"order {order.order_id} ended as {order.outcome['kind']}; an outcome "
            f"{outcome['kind']} contradicts it: compare with the saga, then discard one of them"
        )
    return order


def paid(order: OrderFacts, event_id: str, told: Paid) -> OrderFacts:
    payments = {**order.payments, event_id: told}
    return replace(order, payments=dict(sorted(payments.items())))


def cancellation_asked(order: OrderFacts, request_id: str) -> OrderFacts:
    return replace(order, cancellations=sorted({*order.cancellations, request_id}))


def cancellation_refused(order: OrderFacts, request_id: str) -> OrderFacts:
    return replace(order, refusals=sorted({*order.refusals, request_id}))


def needed_attention(order: OrderFacts, attempt: int) -> OrderFacts:
    return replace(order, attention=max(order.attention, attempt))


def dispatched(order: OrderFacts) -> OrderFacts:
    return replace(order, dispatched=1)


def days_named(order: OrderFacts | None) -> set[str]:
    """Every day that this order may count for, now or after its next fact."""
    return set() if order is None else {day_of(told["placed_at"]) for told in order.placed.values()}


def day_of(moment: str) -> str:
    return moment[:10]


def recount(
    days: Mapping[str, Day], named: Iterable[str], before: OrderFacts | None, after: OrderFacts
) -> tuple[Day, ...]:
    """The days that differ after the order's row changed.

    A day that was named gets a row, counted or not: so the rows do not tell what came first.
    """
    parts = [(Day(date), 1) for date in named]
    for order, sign in ((before, -1), (after, 1)):
        worth = None if order is None else _worth(order)
        if worth is not None:
            parts.append((worth, sign))
    return _added(days, parts)


def received(
    days: Mapping[str, Day], known: Delivery | None, delivery: Delivery
) -> tuple[Day, ...]:
    """A delivery counts once, on the day it arrived."""
    if known is not None:
        if known != delivery:
            raise DeliveryChanged(
                f"delivery {delivery.delivery_id} was counted before with other contents; "
                "publish the difference under a delivery id of its own"
            )
        return ()
    worth = Day(delivery.date, deliveries=1, units_received=delivery.units)
    return _added(days, ((worth, 1),))


def low(known: Product | None, sku: str, free: int, threshold: int) -> Product:
    lowest = min((free, threshold), (known.lowest_free, known.threshold)) if known else None
    return Product(sku, *(lowest or (free, threshold)))


def started(profile: Profile | None, customer_id: str, country: str) -> Profile:
    known = profile or Profile(customer_id)
    return replace(known, state=ProfileState.STARTED, country=country)


def erased(profile: Profile) -> Profile:
    return replace(profile, state=ProfileState.ERASED, country="")


def onboarding(profile: Profile | None, customer_id: str, state: str, reason: str) -> Profile:
    """A notice that the onboarding is stuck never hides how it ended."""
    known = profile or Profile(customer_id)
    if state == "needs_attention" and known.onboarding in ("onboarded", "refused"):
        return known
    return replace(known, onboarding=state, reason=reason)


def _settled(order: OrderFacts) -> OrderFacts:
    told = order.placed
    if order.accepted is not None and order.accepted in told:
        told = {order.accepted: told[order.accepted]}
    return replace(order, placed=dict(sorted(told.items())))


def _worth(order: OrderFacts) -> Day | None:
    """What the order adds to the day it was placed on; None before it was placed."""
    told = sorted(order.placed.items(), key=lambda each: (each[1]["placed_at"], each[0]))
    if not told:
        return None
    body = told[0][1]
    kind = order.outcome["kind"] if order.outcome else ""
    return Day(
        day_of(body["placed_at"]),
        placed=1,
        fulfilled=int(kind == "fulfilled"),
        cancelled=int(kind == "cancelled"),
        needed_attention=int(order.attention > 0),
        cancellations_asked=len(order.cancellations),
        cancellations_refused=len(order.refusals),
        dispatched=order.dispatched,
        units_ordered=body["units"],
        cancelled_by={order.outcome["reason"]: 1} if order.outcome and kind == "cancelled" else {},
        ordered_minor={body["currency"]: body["amount_minor"]},
        captured_minor=_sum(order, Payment.CAPTURED),
        voided_minor=_sum(order, Payment.VOIDED),
        refunded_minor=_sum(order, Payment.REFUNDED),
    )


def _sum(order: OrderFacts, kind: Payment) -> Counts:
    total: Counts = {}
    for told in order.payments.values():
        if told["kind"] == kind:
            total[told["currency"]] = total.get(told["currency"], 0) + told["amount_minor"]
    return total


def _added(days: Mapping[str, Day], parts: Iterable[tuple[Day, int]]) -> tuple[Day, ...]:
    changed: dict[str, Day] = {}
    for worth, sign in parts:
        known = changed.get(worth.date) or days.get(worth.date) or Day(worth.date)
        changed[worth.date] = _plus(known, worth, sign)
    return tuple(day for date, day in changed.items() if day != days.get(date))


def _plus(day: Day, worth: Day, sign: int) -> Day:
    total: dict[str, int | Counts] = {}
    for column in fields(Day)[1:]:
        has, adds = getattr(day, column.name), getattr(worth, column.name)
        if isinstance(has, dict):
            every = sorted({*has, *adds})
            sums = {key: has.get(key, 0) + sign * adds.get(key, 0) for key in every}
            total[column.name] = {key: count for key, count in sums.items() if count}
        else:
            total[column.name] = has + sign * adds
    return replace(day, **total)  # type: ignore[arg-type]
