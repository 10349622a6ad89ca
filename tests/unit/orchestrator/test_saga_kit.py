"""The test kit itself: what it fails on, and that it says why."""

from __future__ import annotations

from dataclasses import replace

import pytest
from saga_cases import ORDER, PAYMENT_STEP, STOCK_STEP

from orchestrator.engine.machine import Kind
from orchestrator.sagas.fulfilment import FULFILMENT, Order
from orchestrator.testing import Run, drive
from schemas.billing import PaymentVoided, VoidPayment
from schemas.common import Money
from schemas.inventory import ReserveStock, StockReleased, StockReserved


def void_what_was_authorised(order: Order) -> VoidPayment:
    if not order.authorisation_id:
        raise LookupError("no authorisation to void")
    return VoidPayment(order.order_id, order.amount)


def test_an_undo_that_needs_its_own_reply_fails_the_saga() -> None:
    """A step in doubt has no reply, so its undo must do without."""
    step = replace(PAYMENT_STEP, undo=void_what_was_authorised)
    hasty = replace(FULFILMENT, name="hasty", steps=[STOCK_STEP, step])
    run = drive(hasty, ORDER)

    with pytest.raises(AssertionError, match="step 'payment': its undo cannot be made before"):
        run.receive(StockReserved("o-1"))


def test_a_reply_to_nothing_fails_the_test() -> None:
    """A typing slip in a test is not a refused reply."""
    with pytest.raises(AssertionError, match=r"nothing that StockReleased answers; .*stock/do"):
        drive(FULFILMENT, ORDER).receive(StockReleased("o-1"))
    with pytest.raises(AssertionError, match="sent so far: nothing"):
        Run(FULFILMENT, "o-1").receive(PaymentVoided("o-1", Money(0, "GBP")))


def test_two_outcomes_fail_the_test() -> None:
    """The one thing that must never happen is looked for whenever the outcome is."""
    run = drive(FULFILMENT, ORDER).cancel().receive(StockReserved("o-1"))
    run.receive(StockReleased("o-1"))
    run.published *= 2

    with pytest.raises(AssertionError, match="published 2 outcomes"):
        run.outcome()


def test_sent_is_one_command_or_a_tuple() -> None:
    """One reads as itself; none is the empty tuple."""
    run = Run(FULFILMENT, "o-1")
    assert (run.sent(), run.state, run.outcome()) == ((), "", None)
    assert isinstance(run.start(ORDER).sent(), ReserveStock)


def test_the_kit_finds_the_command_a_reply_answers() -> None:
    """The kinds of a step are told apart by the reply's type."""
    run = drive(FULFILMENT, ORDER).cancel().receive(StockReserved("o-1"))
    assert run.instance is not None
    assert (run.instance.steps[0].do_tries, run.instance.steps[0].undo_tries) == (1, 1)

    assert run.receive(StockReleased("o-1"), to="stock").state == "compensated"
    assert Kind.UNDO.value in run.saga.plan.asks["stock/undo"].name
