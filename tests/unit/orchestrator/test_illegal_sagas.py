"""Illegal sagas cannot be built: each rule broken once, and what the message says."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import pytest
from saga_cases import (
    AT,
    CAPTURE_STEP,
    DISPATCH_STEP,
    PAYMENT_STEP,
    PROFILE_STEP,
    SHIPMENT_STEP,
    STOCK_STEP,
)

from orchestrator.engine.instance import CancelRequested
from orchestrator.saga import (
    Compensatable,
    IllegalSaga,
    Outcome,
    Parallel,
    Pivot,
    Retriable,
    Saga,
    minutes,
    seconds,
)
from orchestrator.sagas import fulfilment
from orchestrator.sagas.fulfilment import FULFILMENT, Order
from schemas.billing import PaymentAuthorised, PaymentDeclined
from schemas.inventory import StockReserved
from schemas.orders import OrderCancellationRequested, OrderPlaced
from schemas.shipping import ShipmentBooked

Steps = tuple[Compensatable[Order] | Pivot[Order] | Retriable[Order] | Parallel[Order], ...]


def unannotated(order):  # noqa: ANN001, ANN201
    return order


def untraceable(order: Order) -> NoSuchType:  # noqa: F821
    return order


def makes_a_reply(order: Order) -> StockReserved:
    return StockReserved(order.order_id)


def keeps_another(order: Order, reply: ShipmentBooked) -> Order:
    return replace(order, tracking=reply.tracking)


def keeps_a_refusal_too(order: Order, reply: PaymentAuthorised | PaymentDeclined) -> Order:
    del reply
    return order


def keeps_one_parameter(order: Order) -> Order:
    return order


@dataclass
class Thawed:
    order_id: str


@dataclass(frozen=True)
class Unwritable:
    order_id: str
    call: Callable[[], str]


@dataclass(frozen=True)
class Untraceable:
    order_id: NoSuchType  # noqa: F821


@dataclass(frozen=True)
class Small:
    order_id: str

    @classmethod
    def from_event(cls, placed: OrderPlaced) -> Self:
        return cls(placed.order_id)


def thawed(placed: OrderPlaced) -> Thawed:
    return Thawed(placed.order_id)


def unwritable(placed: OrderPlaced) -> Unwritable:
    return Unwritable(placed.order_id, str)


def undefined(placed: OrderPlaced) -> Untraceable:
    return Untraceable(placed.order_id)


def an_event_as_outcome(order: Order, outcome: Outcome) -> OrderPlaced:
    raise NotImplementedError(order, outcome)


ILLEGAL_STEPS: dict[str, tuple[Steps, str]] = {
    "no steps": ((), "saga 'bad': it has no steps. Give it"),
    "bad name": (
        (replace(STOCK_STEP, name="Stock/1"),),
        "saga 'bad', step 'Stock/1': its name does not match",
    ),
    "same name": (
        (STOCK_STEP, replace(PAYMENT_STEP, name="stock")),
        "step 'stock': two steps have this name. Rename",
    ),
    "compensatable after pivot": (
        (CAPTURE_STEP, STOCK_STEP),
        "step 'stock': a Compensatable stands after 'capture'",
    ),
    "compensatable after retriable": (
        (DISPATCH_STEP, STOCK_STEP),
        "step 'stock': a Compensatable stands after 'dispatch'",
    ),
    "two pivots": (
        (CAPTURE_STEP, replace(CAPTURE_STEP, name="again")),
        "step 'again': it is the second Pivot, after 'capture'. Make",
    ),
    "pivot after retriable": (
        (DISPATCH_STEP, CAPTURE_STEP),
        "step 'capture': a Pivot stands after the Retriable 'dispatch'. Move",
    ),
    "empty parallel": ((Parallel(),), "step 'Parallel': a Parallel holds two or more steps. Write"),
    "lone parallel": ((Parallel(STOCK_STEP),), "step 'stock': a Parallel holds two or more"),
    "nested parallel": (
        (Parallel(STOCK_STEP, Parallel(PAYMENT_STEP, SHIPMENT_STEP)),),
        "step 'stock': a Parallel stands inside a Parallel. Write",
    ),
    "pivot in parallel": (
        (Parallel(STOCK_STEP, CAPTURE_STEP),),
        "step 'stock': a Pivot stands inside a Parallel. Let",
    ),
    "mixed parallel": (
        (Parallel(STOCK_STEP, PROFILE_STEP),),
        "step 'stock': a Parallel mixes Compensatable and Retriable steps. Write",
    ),
    "maker without annotation": (
        (replace(STOCK_STEP, do=unannotated),),
        "step 'stock': unannotated returns None, which is no command. Annotate",
    ),
    "maker with an unknown annotation": (
        (replace(STOCK_STEP, do=untraceable),),
        "step 'stock': the annotations of untraceable cannot be read",
    ),
    "maker of a reply": (
        (replace(STOCK_STEP, do=makes_a_reply),),
        "step 'stock': makes_a_reply returns StockReserved, which is no command. Annotate",
    ),
    "refusable undo": (
        (replace(STOCK_STEP, undo=fulfilment.capture_payment),),
        "step 'stock': CapturePayment may be refused (CaptureRefused). An undo",
    ),
    "refusable retriable": (
        (Retriable("capture", fulfilment.capture_payment, within=minutes(1)),),
        "step 'capture': CapturePayment may be refused (CaptureRefused). An undo or a Retriable",
    ),
    "undo of something else": (
        (replace(STOCK_STEP, undo=fulfilment.void_payment),),
        "step 'stock': VoidPayment does not undo ReserveStock. Send",
    ),
    "no tries": ((replace(STOCK_STEP, tries=0),), "step 'stock': tries is 0. Give"),
    "bare number as duration": (
        (replace(STOCK_STEP, within=30),),
        "step 'stock': within is 30 microseconds for 3 tries. Write it as seconds(30)",
    ),
    "bare number as undo's duration": (
        (replace(STOCK_STEP, undo_within=600),),
        "step 'stock': undo_within is 600 microseconds for 3 tries. Write",
    ),
    "keep of another answer": (
        (replace(PAYMENT_STEP, keep=keeps_another),),
        "step 'payment': keeps_another does not read PaymentAuthorised, which may be the answer",
    ),
    "keep of nothing": (
        (replace(PAYMENT_STEP, keep=keeps_one_parameter),),
        "step 'payment': keeps_one_parameter does not read PaymentAuthorised",
    ),
}

ILLEGAL_SAGAS: dict[str, tuple[dict[str, object], str]] = {
    "name": ({"name": "Order Saga"}, "saga 'Order Saga': its name does not match"),
    "version": ({"version": 0}, "saga 'fulfilment': version is 0. Count from 1"),
    "start is a command": (
        {"starts_on": StockReserved},
        "saga 'fulfilment': StockReserved is no event. Use",
    ),
    "start without its key": (
        {"key": "return_id", "cancelled_by": None},
        "saga 'fulfilment': OrderPlaced is keyed by order_id, not by return_id. Give",
    ),
    "cancellation without a request": (
        {"cancelled_by": OrderPlaced},
        "saga 'fulfilment': OrderPlaced has no field reason, request_id. Add",
    ),
    "cancellation without a notice": (
        {"cancellation_refused": None},
        "no notice for a refused cancellation. Give it cancellation_refused=",
    ),
    "data without annotation": (
        {"data": unannotated},
        "saga 'fulfilment': data makes None, which is no frozen dataclass. Annotate",
    ),
    "data that can change": (
        {"data": thawed},
        "saga 'fulfilment': data makes Thawed, which is no frozen dataclass. Annotate",
    ),
    "data that JSON cannot hold": (
        {"data": unwritable},
        "saga 'fulfilment': Unwritable cannot be kept as JSON",
    ),
    "data of an unknown type": (
        {"data": undefined},
        "saga 'fulfilment': Untraceable cannot be kept as JSON",
    ),
    "outcome that is an event": (
        {"completed": an_event_as_outcome},
        "an_event_as_outcome returns OrderPlaced, which is no outcome. Annotate",
    ),
}


@pytest.mark.parametrize("broken", ILLEGAL_STEPS)
def test_illegal_steps_are_refused(broken: str) -> None:
    """The message names saga, step, rule and remedy."""
    steps, says = ILLEGAL_STEPS[broken]

    with pytest.raises(IllegalSaga, match=re.escape(says)) as raised:
        replace(FULFILMENT, name="bad", steps=steps)
    assert str(raised.value).endswith(".")
    assert str(raised.value).startswith("saga 'bad'")


@pytest.mark.parametrize("broken", ILLEGAL_SAGAS)
def test_an_illegal_frame_is_refused(broken: str) -> None:
    """Start, cancellation, data and outcomes have rules too."""
    changes, says = ILLEGAL_SAGAS[broken]

    with pytest.raises(IllegalSaga, match=re.escape(says)):
        replace(FULFILMENT, **changes)


def test_a_pivot_has_no_condition() -> None:
    """`when` on a pivot is not even a parameter."""
    with pytest.raises(TypeError, match="when"):
        Pivot("capture", fulfilment.capture_payment, within=minutes(2), when=bool)


def test_legal_orders_of_steps_are_built() -> None:
    """Compensatable* pivot? retriable*, with and without each part, parallel or not."""
    legal: list[Steps] = [
        (STOCK_STEP,),
        (CAPTURE_STEP,),
        (DISPATCH_STEP,),
        (STOCK_STEP, CAPTURE_STEP),
        (STOCK_STEP, DISPATCH_STEP),
        (CAPTURE_STEP, DISPATCH_STEP, PROFILE_STEP),
        (STOCK_STEP, Parallel(PAYMENT_STEP, SHIPMENT_STEP), CAPTURE_STEP),
        (CAPTURE_STEP, Parallel(DISPATCH_STEP, PROFILE_STEP)),
        (replace(PAYMENT_STEP, keep=keeps_a_refusal_too),),
    ]

    for steps in legal:
        assert replace(FULFILMENT, name="good", steps=steps).steps == steps


def test_data_may_be_made_by_a_method_that_returns_its_own_class() -> None:
    """`Self` is as good an annotation as the name of the class."""
    assert replace(FULFILMENT, data=Small.from_event).data_type is Small


def test_a_cancelling_event_says_which_request_and_why() -> None:
    """Its request id comes back in a refusal."""
    event = OrderCancellationRequested("o-1", "cancel-1", "changed_mind", AT)

    assert FULFILMENT.cancellation(event) == CancelRequested("o-1", "cancel-1", "changed_mind")


def test_durations_are_microseconds() -> None:
    """One unit in the engine, named where it is made."""
    assert (seconds(0.5), seconds(30), minutes(2)) == (500_000, 30_000_000, 120_000_000)


def test_a_saga_keeps_its_data_as_json() -> None:
    """What is dumped is loaded as the equal value, message types included."""
    saga: Saga[Order] = FULFILMENT
    order = Order("o-1", None, (), fulfilment.Money(1, "GBP"), "UK", "tok_ok", tracking="t-1")

    assert saga.load(saga.dump(order)) == order
    assert saga.data_type is Order
