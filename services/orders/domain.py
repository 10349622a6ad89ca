"""An order as its shop sees it: what was placed, what was asked since, and how it ended.

Knows no message types, no HTTP and no clock. Each fact is stored once and what derives from it is
computed again, so facts may come in any order and more than once. Two OrderPlaced with different
bodies may exist for one order; the outcome names the accepted one, and the others are dropped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NotRequired, TypedDict


class OutcomeChanged(Exception):
    """An order has one outcome for ever; another one came. Nothing was changed."""


class LineBody(TypedDict):
    sku: str
    quantity: int
    unit_price_minor: int
    name: str


class ChargeBody(TypedDict):
    code: str
    amount_minor: int


class Body(TypedDict):
    """What was ordered, as it is stored and shown. `placed_at` is ISO 8601 in UTC."""

    customer_id: str | None
    currency: str
    lines: list[LineBody]
    country: str
    placed_at: str
    charges: list[ChargeBody]
    payment_method: str


class Outcome(TypedDict):
    """`kind` is `fulfilled` or `cancelled`; the others as the outcome told them."""

    kind: str
    reason: NotRequired[str]
    detail: NotRequired[str]
    amount_minor: NotRequired[int]
    currency: NotRequired[str]
    tracking: NotRequired[str]


class Attention(TypedDict):
    step: str
    reason: str
    attempt: int


class Cancellation(TypedDict):
    """One request; `refused` is why not. The refusal may be heard of before the request."""

    reason: str | None
    requested_at: str | None
    refused: str | None


class Status(StrEnum):
    EXPECTED = "expected"  # something about the order came before the order itself
    PLACED = "placed"
    CANCELLING = "cancelling"  # asked to be cancelled, neither done nor refused yet
    NEEDS_ATTENTION = "needs_attention"  # stuck; an operator will move it
    FULFILLED = "fulfilled"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Order:
    """`bodies` by fingerprint, `told_as` from event id to fingerprint, `accepted` an event id.

    An own submission has a body before it has been told: its event id is known when it comes back.
    """

    order_id: str
    bodies: dict[str, Body]
    told_as: dict[str, str]
    accepted: str | None
    outcome: Outcome | None
    attention: Attention | None
    cancellations: dict[str, Cancellation]
    status: str


@dataclass(frozen=True, slots=True)
class Submission:
    """What an Idempotency-Key was used for; kept for life."""

    idempotency_key: str
    order_id: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class SubmitOrder:
    """`POST /orders`. `order_id` is the client's or a fresh one; `body` is validated.

    `fingerprint` is of what the client sent, so without what we added (the id, the time).
    """

    id: str
    idempotency_key: str
    order_id: str
    fingerprint: str
    body: Body

    @property
    def key(self) -> str:
        return self.order_id


@dataclass(frozen=True, slots=True)
class AskCancellation:
    """`POST /orders/{id}/cancellation`; the Idempotency-Key is the request id."""

    id: str
    order_id: str
    request_id: str
    reason: str
    requested_at: str

    @property
    def key(self) -> str:
        return self.order_id


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The submission is in the database. `again`: it already was, under this key."""

    order_id: str
    again: bool


class Reason(StrEnum):
    KEY_REUSED = "idempotency_key_reused"
    ORDER_ID_TAKEN = "order_id_taken"
    UNKNOWN_ORDER = "unknown_order"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Declined:
    """Why a submission changes nothing, and the place in it that says so."""

    reason: Reason
    place: str
    detail: str


def fingerprint(body: Mapping[str, object]) -> str:
    """Equal for equal contents, whatever the order of the fields."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def expected(order_id: str) -> Order:
    return Order(order_id, {}, {}, None, None, None, {}, Status.EXPECTED)


def placed(order: Order, body: Body, event_id: str | None) -> Order:
    """A body for the order; `event_id` is None while only we know of it."""
    mark = fingerprint(body)
    told_as = order.told_as if event_id is None else {**order.told_as, event_id: mark}
    return _settled(replace(order, bodies={**order.bodies, mark: body}, told_as=told_as))


def cancellation_requested(order: Order, request_id: str, reason: str, requested_at: str) -> Order:
    """A request told twice with different words keeps the earlier ones."""
    told = Cancellation(reason=reason, requested_at=requested_at, refused=None)
    known = order.cancellations.get(request_id)
    if known is not None:
        asked = known["requested_at"] is not None
        earlier = known if asked and _said(known) <= _said(told) else told
        told = {**earlier, "refused": known["refused"]}
    return _settled(replace(order, cancellations={**order.cancellations, request_id: told}))


def cancellation_refused(order: Order, request_id: str, reason: str) -> Order:
    unasked = Cancellation(reason=None, requested_at=None, refused=None)
    told: Cancellation = {**order.cancellations.get(request_id, unasked), "refused": reason}
    return _settled(replace(order, cancellations={**order.cancellations, request_id: told}))


def needs_attention(order: Order, step: str, reason: str, attempt: int) -> Order:
    """The latest notice is shown; notices may come in any order."""
    if order.attention is not None and order.attention["attempt"] >= attempt:
        return order
    return _settled(replace(order, attention=Attention(step=step, reason=reason, attempt=attempt)))


def ended(order: Order, outcome: Outcome, accepted: str | None) -> Order:
    """`accepted` is the event id of the body the order was carried out with."""
    if order.outcome is None:
        return _settled(replace(order, outcome=outcome, accepted=accepted))
    if (order.outcome, order.accepted) != (outcome, accepted):
        raise OutcomeChanged(
            f"order {order.order_id} ended as {order.outcome['kind']}; an outcome "
            f"{outcome['kind']} contradicts it: compare with the saga, then discard one of them"
        )
    return order


def shown_body(order: Order) -> Body | None:
    """The accepted body; before there is one, the earliest of those placed."""
    mark = _accepted_mark(order)
    if mark is not None:
        return order.bodies[mark]
    told = sorted(order.bodies.items(), key=lambda each: (each[1]["placed_at"], each[0]))
    return told[0][1] if told else None


def submit(
    request: SubmitOrder, used: Submission | None, order: Order | None
) -> tuple[Submission, Order] | Acknowledged | Declined:
    """The rows of a new order; or what an earlier use of the key, or of the id, makes of it."""
    if used is not None:
        if used.fingerprint == request.fingerprint:
            return Acknowledged(used.order_id, again=True)
        return Declined(
            Reason.KEY_REUSED,
            "Idempotency-Key",
            f"the key was used for another body, of order {used.order_id}; take a new key",
        )
    if order is not None and order.bodies:
        return Declined(
            Reason.ORDER_ID_TAKEN,
            "order_id",
            f"order {request.order_id} was placed before; take another id, or none",
        )
    return (
        Submission(request.idempotency_key, request.order_id, request.fingerprint),
        placed(order or expected(request.order_id), request.body, None),
    )


def ask_cancellation(
    request: AskCancellation, order: Order | None
) -> Order | Acknowledged | Declined:
    if order is None:
        return Declined(
            Reason.UNKNOWN_ORDER, "order_id", f"no order {request.order_id} was placed here"
        )
    known = order.cancellations.get(request.request_id)
    if known is not None:
        if known["reason"] in (request.reason, None):
            return Acknowledged(request.order_id, again=True)
        return Declined(
            Reason.KEY_REUSED,
            "Idempotency-Key",
            f"the key was used for another reason to cancel order {request.order_id}; "
            "take a new key",
        )
    if order.outcome is not None:
        return Declined(
            Reason.FINISHED, "order_id", f"order {request.order_id} is already {order.status}"
        )
    return cancellation_requested(order, request.request_id, request.reason, request.requested_at)


def _accepted_mark(order: Order) -> str | None:
    """The fingerprint of the accepted body, once both it and the outcome are here."""
    return None if order.accepted is None else order.told_as.get(order.accepted)


def _said(told: Cancellation) -> tuple[str, str]:
    return str(told["requested_at"]), str(told["reason"])


def _settled(order: Order) -> Order:
    """Drop the bodies that were not accepted, order what is kept, and say the status."""
    mark = _accepted_mark(order)
    if mark is not None and order.accepted is not None:
        order = replace(order, bodies={mark: order.bodies[mark]}, told_as={order.accepted: mark})
    return replace(
        order,
        bodies=dict(sorted(order.bodies.items())),
        told_as=dict(sorted(order.told_as.items())),
        cancellations=dict(sorted(order.cancellations.items())),
        status=_status(order),
    )


def _status(order: Order) -> Status:
    if order.outcome is not None:
        return Status(order.outcome["kind"])
    if order.attention is not None:
        return Status.NEEDS_ATTENTION
    if any(told["refused"] is None for told in order.cancellations.values()):
        return Status.CANCELLING
    return Status.PLACED if order.bodies else Status.EXPECTED
