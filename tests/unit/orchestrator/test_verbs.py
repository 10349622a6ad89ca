"""What operators may do to one saga, and that it is the same as what messages could have done."""

from __future__ import annotations

import pytest
from saga_cases import ORDER, PAID

from orchestrator.engine.decide import decide
from orchestrator.engine.instance import Resend, VerbRequested
from orchestrator.engine.machine import Kind, Result
from orchestrator.saga import seconds
from orchestrator.sagas.fulfilment import FULFILMENT
from orchestrator.testing import Run, drive
from schemas.billing import PaymentAuthorised, PaymentDeclined, VoidPayment
from schemas.inventory import ReleaseStock, ReserveStock, StockReleased, StockReserved
from schemas.orchestrator import OrderCancelled
from schemas.shipping import ShipmentBooked


def until_shipment() -> Run[object]:
    run = drive(FULFILMENT, ORDER).receive(StockReserved("o-1"))
    return run.receive(PaymentAuthorised("o-1", "auth-7", PAID))


def test_retry_sends_the_pending_command_again_and_restarts_its_timer() -> None:
    """Same bytes, next attempt; it costs none of the step's time."""
    run = drive(FULFILMENT, ORDER).wait(seconds(9))
    decision = decide(
        FULFILMENT, run.instance, VerbRequested("retry", "ada", "billing is back"), run.now_us
    )

    assert decision.sends == (Resend("stock", Kind.DO, 2),)
    assert decision.timers[0].due_us == run.now_us + seconds(10)
    run.verb("retry").wait(seconds(29))
    assert run.state == "awaiting_stock"
    run.wait(seconds(1))
    assert run.state == "undoing_stock"


def test_retry_reaches_an_undo_too() -> None:
    """Whatever is pending: here the release of the stock."""
    run = drive(FULFILMENT, ORDER).receive(StockReserved("o-1"))
    run.receive(PaymentDeclined("o-1", "no"))

    assert ReleaseStock("o-1") == run.verb("retry", "stock").sent()
    assert run.verb("retry", "payment").result is Result.NOTHING_PENDING


def test_compensate_rolls_back_once_the_reply_is_there() -> None:
    """As a cancellation does; the outcome carries the operator's words."""
    run = until_shipment().verb("compensate", reason="fraud suspected")
    assert run.sent() == ()
    run.receive(ShipmentBooked("o-1", "track-9"))

    assert run.state == "undoing_shipment"
    run.verb("skip", "shipment", evidence="carrier phoned")
    assert VoidPayment("o-1", PAID) == run.sent()
    run.verb("skip", "payment", evidence="ledger").receive(StockReleased("o-1"))
    assert OrderCancelled("o-1", "17850", "start-1", "operator", "fraud suspected") == run.outcome()


def test_compensate_is_refused_once_the_pivot_is_sent() -> None:
    """There is no way back then but the pivot's own refusal."""
    run = until_shipment().receive(ShipmentBooked("o-1", "track-9"))
    before = run.instance

    assert run.verb("compensate").result is Result.TOO_LATE
    assert before is run.instance


def test_a_page_that_is_out_of_date_cannot_act() -> None:
    """The saga moved since: refused as stale; with the right version it obeys."""
    run = drive(FULFILMENT, ORDER)
    assert run.verb("pause", version_seen=1).result is Result.APPLIED

    assert run.verb("resume", version_seen=1).result is Result.STALE
    assert run.verb("resume", version_seen=2).result is Result.APPLIED


@pytest.mark.parametrize("verb", ["note", "assign", "unassign"])
@pytest.mark.parametrize("finished", [False, True])
def test_what_only_the_journal_needs_is_only_a_line(verb: str, finished: bool) -> None:  # noqa: FBT001
    """Notes and assignments move nothing, also on a finished saga."""
    run = drive(FULFILMENT, ORDER)
    if finished:
        run.cancel().receive(StockReserved("o-1")).receive(StockReleased("o-1"))
    before = run.instance
    run.verb(verb, reason="see ticket 9")
    assert before is not None

    assert run.result is Result.APPLIED
    assert run.sent() == ()
    assert run.instance == before._replace(version=before.version + 1, updated_us=run.now_us)


def test_a_pause_stops_an_overdue_timer_with_its_whole_interval() -> None:
    """A timer overdue at the pause was stopped by an outage; the participant lost that time."""
    run = drive(FULFILMENT, ORDER)
    paused = decide(
        FULFILMENT, run.instance, VerbRequested("pause", "ada", "outage"), seconds(3_600)
    )
    assert paused.instance is not None
    assert paused.instance.steps[0].remaining_us == seconds(10)
    resumed = decide(
        FULFILMENT, paused.instance, VerbRequested("resume", "ada", "over"), seconds(9_000)
    )

    assert [timer.due_us for timer in resumed.timers] == [seconds(9_010)]
    assert resumed.sends == ()


def test_resume_sends_what_is_next() -> None:
    """A reply that came while paused is acted on now."""
    run = drive(FULFILMENT, ORDER).verb("pause").receive(StockReserved("o-1"))
    assert run.state == "awaiting_payment"
    assert (ReserveStock("o-1", run.commands()[0].items),) == run.commands()
    run.verb("resume")

    assert len(run.commands()) == 2


def test_a_skip_while_paused_waits_with_what_follows() -> None:
    """The step is settled, the next one is sent on resume."""
    run = drive(FULFILMENT, ORDER).verb("pause").verb("skip", "stock", evidence="counted")
    assert run.sent() == ()

    assert run.verb("resume").sent() != ()


def test_a_cancellation_while_paused_binds_at_once() -> None:
    """Nothing is sent, but the reason stands, and resume turns back."""
    run = until_shipment().verb("pause").cancel("changed_mind")
    run.receive(ShipmentBooked("o-1", "track-9"))
    assert run.instance is not None
    assert run.instance.reason == "cancelled"

    run.verb("resume")
    assert run.state == "undoing_shipment"
