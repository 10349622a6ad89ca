"""Messages that orchestrator owns.

Generated from the .avsc files of this folder by `baton contracts generate`: edit those, then
generate again. Values are checked when an object is made and never change afterwards.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field
from pydantic.dataclasses import dataclass

from schemas.common import Money
from schemas.values import CONFIG

__all__ = [
    "CustomerNeedsAttention",
    "CustomerOnboarded",
    "CustomerRefused",
    "OperatorVerb",
    "OrderCancellationRefused",
    "OrderCancelled",
    "OrderFulfilled",
    "OrderNeedsAttention",
    "Verb",
]

Verb = Literal[
    "retry",
    "compensate",
    "pause",
    "resume",
    "skip",
    "assign",
    "unassign",
    "note",
    "park",
    "unpark",
    "redrive",
    "discard",
]


@dataclass(frozen=True, config=CONFIG)
class CustomerNeedsAttention:
    """A notice: the customer's saga cannot go on by itself. It is not an end.

    customer_id: The customer.
    step: The step of the saga that is stuck.
    reason: Why in one word, for example `no_reply`.
    attempt: Which notice of this saga this is, from 1.
    """

    avro_name: ClassVar[str] = "baton.orchestrator.CustomerNeedsAttention"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    step: Annotated[str, Field(strict=True, min_length=1, max_length=64)]
    reason: Annotated[str, Field(strict=True, min_length=1, max_length=200)]
    attempt: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]


@dataclass(frozen=True, config=CONFIG)
class CustomerOnboarded:
    """The terminal outcome of a customer who has an account, a record and a profile.

    customer_id: The customer.
    """

    avro_name: ClassVar[str] = "baton.orchestrator.CustomerOnboarded"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@dataclass(frozen=True, config=CONFIG)
class CustomerRefused:
    """The terminal outcome of a customer who was not taken; every effect was taken back.

    customer_id: The customer.
    reason: Why in one word.
    """

    avro_name: ClassVar[str] = "baton.orchestrator.CustomerRefused"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    reason: Annotated[str, Field(strict=True, min_length=1, max_length=200)]


@dataclass(frozen=True, config=CONFIG)
class OperatorVerb:
    """What an operator tells a service to do with one saga, or with one key that is parked there,
    and why.

    business_key: The order or customer of the saga.
    saga_id: The saga, `<definition>:<business key>`; the business key again where the verb concerns
        a parked key.
    verb: What to do.
    step: The step of the saga; null where the verb concerns the whole saga.
    actor: Who did it: the login of the operator.
    reason: Why, in the operator's words.
    version_seen: Row version of the saga that the operator looked at; null where it does not
        matter.
    requested_at: When the operator asked, UTC.
    evidence: What proves that a skipped effect is settled, for example a ticket; empty where no
        proof is needed.
    service: Who is told: the orchestrator for sagas, else the service in which the key is parked.
    record: The number of one dead letter of the key that is to be tried again; null for all that
        wait.
    force: Try again also what failed the same way again and again.
    assignee: Whom the saga is handed to by `assign`; empty where that is the operator who says so.
    """

    avro_name: ClassVar[str] = "baton.orchestrator.OperatorVerb"

    business_key: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    saga_id: Annotated[str, Field(strict=True, min_length=1, max_length=200)]
    verb: Verb
    step: Annotated[str, Field(strict=True, min_length=1, max_length=64)] | None
    actor: Annotated[str, Field(strict=True, min_length=1, max_length=128)]
    reason: Annotated[str, Field(strict=True, min_length=1, max_length=1_000)]
    version_seen: Annotated[int, Field(strict=True, ge=0, le=9_223_372_036_854_775_807)] | None
    requested_at: AwareDatetime
    evidence: Annotated[str, Field(strict=True, max_length=2_000)] = ""
    service: Annotated[str, Field(strict=True, pattern=r"^[a-z]{1,32}$")] = "orchestrator"
    record: Annotated[int, Field(strict=True, ge=1, le=9_223_372_036_854_775_807)] | None = None
    force: Annotated[bool, Field(strict=True)] = False
    assignee: Annotated[str, Field(strict=True, max_length=128)] = ""


@dataclass(frozen=True, config=CONFIG)
class OrderCancellationRefused:
    """A notice: the request to cancel came too late. The order goes on.

    order_id: The order; chosen by whoever placed it.
    request_id: The refused OrderCancellationRequested.
    reason: `too_late` or `finished`.
    """

    avro_name: ClassVar[str] = "baton.orchestrator.OrderCancellationRefused"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    request_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    reason: Annotated[str, Field(strict=True, min_length=1, max_length=200)]


@dataclass(frozen=True, config=CONFIG)
class OrderCancelled:
    """The one terminal outcome of an order that ended with every effect taken back.

    order_id: The order; chosen by whoever placed it.
    customer_id: The customer; null for a guest.
    placed_event_id: `ce_id` of the OrderPlaced that was accepted; null if the order was cancelled
        before one came.
    reason: Why in one word, for example `out_of_stock`.
    detail: More about the reason for a person to read; empty where there is none.
    """

    avro_name: ClassVar[str] = "baton.orchestrator.OrderCancelled"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None
    placed_event_id: Annotated[str, Field(strict=True, min_length=1, max_length=256)] | None
    reason: Annotated[str, Field(strict=True, min_length=1, max_length=200)]
    detail: Annotated[str, Field(strict=True, max_length=1_000)] = ""


@dataclass(frozen=True, config=CONFIG)
class OrderFulfilled:
    """The one terminal outcome of an order that was paid and dispatched.

    order_id: The order; chosen by whoever placed it.
    customer_id: The customer; null for a guest.
    placed_event_id: `ce_id` of the OrderPlaced that was accepted.
    amount: What was captured.
    tracking: The carrier's tracking number.
    """

    avro_name: ClassVar[str] = "baton.orchestrator.OrderFulfilled"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None
    placed_event_id: Annotated[str, Field(strict=True, min_length=1, max_length=256)]
    amount: Money
    tracking: Annotated[str, Field(strict=True, min_length=1, max_length=128)]


@dataclass(frozen=True, config=CONFIG)
class OrderNeedsAttention:
    """A notice: the order's saga cannot go on by itself. It is not an end.

    order_id: The order; chosen by whoever placed it.
    step: The step of the saga that is stuck.
    reason: Why in one word, for example `no_reply`.
    attempt: Which notice of this saga this is, from 1.
    """

    avro_name: ClassVar[str] = "baton.orchestrator.OrderNeedsAttention"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    step: Annotated[str, Field(strict=True, min_length=1, max_length=64)]
    reason: Annotated[str, Field(strict=True, min_length=1, max_length=200)]
    attempt: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
