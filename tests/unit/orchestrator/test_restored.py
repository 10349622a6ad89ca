"""A database older than the world: replies to commands that it never sent, and the ways out."""

from __future__ import annotations

import pytest
from saga_cases import CASES, ORDER, PAID

from orchestrator.engine.instance import Replied, TimerFired
from orchestrator.engine.machine import Forgotten, Kind, Phase, Result
from orchestrator.saga import minutes, seconds
from orchestrator.sagas.fulfilment import FULFILMENT
from orchestrator.testing import Run, drive
from schemas.billing import (
    CapturePayment,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
)
from schemas.inventory import OutOfStock, StockReleased, StockReserved
from schemas.orchestrator import OrderCancelled, OrderNeedsAttention
from schemas.shipping import ShipmentBooked, ShipmentCancelled, ShipmentDispatched

WIDE = next(case for case in CASES if case.name == "wide")


def reply(body: object, step: str, kind: str, source: str) -> Replied:
    name = f"fulfilment:o-1/{step}"
    return Replied(body, type(body).avro_name, f"{name}/{kind}", name, source)


AUTHORISED = reply(PaymentAuthorised("o-1", "auth-7", PAID), "payment", "do", "billing")
BOOKED = reply(ShipmentBooked("o-1", "track-9"), "shipment", "do", "shipping")
CAPTURED = reply(PaymentCaptured("o-1", "auth-7", PAID), "capture", "do", "billing")
RELEASED = reply(StockReleased("o-1"), "stock", "undo", "inventory")
VOIDED = reply(PaymentVoided("o-1", PAID), "payment", "undo", "billing")


def restored(*heard: Replied) -> Run[object]:
    """Only the stock was asked for; then replies from a forgotten future arrive."""
    run = drive(FULFILMENT, ORDER)
    for each in heard or (AUTHORISED,):
        run.stimulate(each)
    return run


def test_an_answer_to_a_step_never_sent_stops_the_saga() -> None:
    """needs_operator, one notice, nothing further sent, timers held."""
    run = restored()
    sent = run.commands()

    assert run.result is Result.RESTORED
    assert run.state == "needs_operator"
    assert (OrderNeedsAttention("o-1", "payment", "restored", 1),) == run.notices()
    run.stimulate(AUTHORISED).stimulate(BOOKED).wait(minutes(60))
    run.receive(StockReserved("o-1"))
    assert sent == run.commands()
    assert len(run.notices()) == 1
    assert run.stimulate(TimerFired("stock", Kind.DO)).result is Result.NOT_WAITING


def test_a_timer_of_a_stopped_saga_says_nothing() -> None:
    """It had fired already when the saga was stopped."""
    run = restored().stimulate(TimerFired("stock", Kind.DO))

    assert run.result is Result.RESTORED
    assert run.sent() == ()


def test_retry_walks_the_forgotten_way_again() -> None:
    """The participants answer what they answered before; the saga completes."""
    run = restored()
    asked = run.commands()[0]

    assert asked == run.verb("retry").sent()
    assert run.state == "awaiting_stock"
    run.receive(StockReserved("o-1")).receive(PaymentAuthorised("o-1", "auth-7", PAID))
    assert run.instance is not None
    assert run.instance.steps[1].forgotten is None
    run.receive(ShipmentBooked("o-1", "track-9"))
    assert CapturePayment("o-1", PAID, "auth-7") == run.sent()
    run.receive(PaymentCaptured("o-1", "auth-7", PAID))
    run.receive(ShipmentDispatched("o-1", "track-9"))
    assert run.state == "completed"


def test_a_forgotten_later_step_keeps_the_saga_from_turning_back() -> None:
    """A refusal, a time-out or a cancellation now would leave the forgotten effect standing."""
    run = restored(CAPTURED).verb("retry").cancel()
    assert run.result is Result.APPLIED
    assert run.instance is not None
    assert run.instance.reason == ""
    assert run.wait(minutes(60)).state == "awaiting_stock"
    run.receive(OutOfStock("o-1", ("a",)))

    assert run.state == "needs_operator"
    assert run.instance is not None
    assert run.instance.attention == "restored"
    assert len(run.notices()) == 2


def test_compensate_undoes_what_was_forgotten() -> None:
    """The operator decides to turn back: the forgotten step is undone like one in doubt."""
    run = restored().verb("compensate", reason="customer agreed")
    assert run.state == "awaiting_stock"
    run.receive(StockReserved("o-1"))

    assert run.state == "undoing_payment"
    run.receive(PaymentVoided("o-1", PAID)).receive(StockReleased("o-1"))
    assert OrderCancelled("o-1", "17850", "start-1", "operator", "customer agreed") == run.outcome()


def test_compensate_turns_back_at_once_when_nothing_is_sent() -> None:
    """needs_operator leads straight to compensating."""
    run = restored().receive(StockReserved("o-1")).verb("compensate")

    assert run.state == "undoing_payment"


def test_compensate_is_refused_when_the_pivot_was_forgotten() -> None:
    """The money was captured in a future that this database does not know."""
    run = restored(CAPTURED)

    assert run.verb("compensate").result is Result.TOO_LATE
    assert run.state == "needs_operator"


def test_a_forgotten_undo_means_that_the_future_turned_back() -> None:
    """Going forward is refused then; turning back is the way out."""
    run = drive(FULFILMENT, ORDER).receive(StockReserved("o-1")).stimulate(RELEASED)

    assert run.result is Result.RESTORED
    assert run.verb("retry").result is Result.RESTORED
    run.verb("compensate").receive(PaymentDeclined("o-1", "no"))
    run.receive(StockReleased("o-1"))
    assert run.state == "compensated"


def test_that_an_undo_was_forgotten_outlasts_the_reply_to_its_do() -> None:
    """The step's own answer does not make going forward right again."""
    run = drive(FULFILMENT, ORDER).stimulate(RELEASED).receive(StockReserved("o-1"))

    assert run.instance is not None
    assert run.instance.steps[0].forgotten is Forgotten.UNDO
    assert run.verb("retry").result is Result.RESTORED


def test_a_forgotten_undo_says_more_than_a_forgotten_do() -> None:
    """Done and undone again in the forgotten future: the later word counts, in either order."""
    for heard in ((AUTHORISED, VOIDED), (VOIDED, AUTHORISED)):
        run = restored(*heard)

        assert run.instance is not None
        assert run.instance.steps[1].forgotten is Forgotten.UNDO
        assert len(run.notices()) == 1


def test_skip_settles_a_forgotten_step_by_hand() -> None:
    """With evidence; the saga then neither sends nor undoes it, and goes on."""
    run = restored(CAPTURED)
    assert run.verb("skip", "capture").result is Result.NO_EVIDENCE
    run.verb("skip", "capture", evidence="ledger line 9")

    assert run.result is Result.APPLIED
    assert run.state == "awaiting_stock"
    run.receive(StockReserved("o-1")).receive(PaymentAuthorised("o-1", "auth-7", PAID))
    run.receive(ShipmentBooked("o-1", "track-9"))
    assert CapturePayment("o-1", PAID, "auth-7") not in run.commands()
    run.receive(ShipmentDispatched("o-1", "track-9"))
    assert run.state == "completed"


def test_a_stopped_saga_keeps_the_remaining_time() -> None:
    """Stopped four seconds after a send, it sends again six seconds after it goes on."""
    run = drive(FULFILMENT, ORDER).wait(seconds(4)).stimulate(CAPTURED).wait(minutes(60))
    run.verb("skip", "capture", evidence="ledger line 9")

    assert run.wait(seconds(5.9)).sent() == ()
    assert run.wait(seconds(0.1)).sent() == run.commands()[0]


def test_skip_of_one_forgotten_step_waits_for_the_others() -> None:
    """The saga stays stopped until each is settled."""
    dispatched = reply(ShipmentDispatched("o-1", "track-9"), "dispatch", "do", "shipping")
    run = restored(CAPTURED, dispatched).verb("skip", "capture", evidence="ledger")
    assert run.state == "needs_operator"

    assert run.verb("skip", "dispatch", evidence="carrier").state == "awaiting_stock"


def test_a_group_of_which_one_was_settled_by_hand_sends_the_others() -> None:
    """Its turn comes later, and only what is left of it is sent."""
    run = WIDE.begin()
    for row in WIDE.positions[0]:
        run.receive(row.yes)
    dispatch, profile = WIDE.positions[2]
    name = "wide:o-1/profile"
    heard = Replied(profile.yes, profile.yes.avro_name, f"{name}/do", name, "analytics")
    run.stimulate(heard).verb("skip", "profile", evidence="seen in analytics")
    run.receive(WIDE.positions[1][0].yes)

    assert dispatch.do == run.sent()
    assert run.receive(dispatch.yes).state == "completed"


def test_skip_is_refused_where_later_steps_need_the_reply() -> None:
    """Its tracking number would be missing; going back, nobody needs it."""
    run = restored(BOOKED)
    assert run.verb("skip", "shipment", evidence="seen").result is Result.KEEPS_REPLY

    run.cancel().verb("retry").receive(OutOfStock("o-1", ("a",)))
    assert run.state == "needs_operator"
    assert run.verb("skip", "shipment", evidence="cancelled by hand").state == "compensated"


def test_a_cancellation_of_a_stopped_saga_waits() -> None:
    """It is decided when the saga goes on and what was forgotten has been sent again."""
    run = restored().cancel()
    assert run.result is Result.APPLIED
    run.verb("retry").receive(StockReserved("o-1"))

    assert run.state == "awaiting_payment"
    run.receive(PaymentAuthorised("o-1", "auth-7", PAID))
    assert run.state == "undoing_payment"
    run.receive(PaymentVoided("o-1", PAID)).receive(StockReleased("o-1"))
    assert OrderCancelled("o-1", "17850", "start-1", "cancelled", "changed_mind") == run.outcome()


def test_a_compensating_saga_is_stopped_too() -> None:
    """Turning back, it hears that a later step was done: the operator undoes it from there."""
    run = drive(FULFILMENT, ORDER).receive(StockReserved("o-1"))
    run.receive(PaymentDeclined("o-1", "no")).stimulate(BOOKED)
    assert run.state == "needs_operator"
    assert run.verb("retry").result is Result.ALREADY_COMPENSATING
    run.verb("compensate")

    assert run.state == "undoing_shipment"
    run.receive(ShipmentCancelled("o-1")).receive(StockReleased("o-1"))
    assert OrderCancelled("o-1", "17850", "start-1", "no", "payment") == run.outcome()


def test_an_overdue_undo_is_still_overdue_after_a_restore() -> None:
    """The saga comes back to needs_operator, without a second notice, and leaves it as ever."""
    run = drive(FULFILMENT, ORDER).receive(StockReserved("o-1"))
    run.receive(PaymentDeclined("o-1", "no")).wait(minutes(10)).stimulate(CAPTURED)
    assert [notice.reason for notice in run.notices()] == ["no_reply", "restored"]
    run.verb("skip", "capture", evidence="refunded by hand")

    assert run.instance is not None
    assert (run.state, run.instance.attention) == ("needs_operator", "no_reply")
    assert run.wait(minutes(5)).sent() != ()
    run.receive(StockReleased("o-1"))
    assert run.state == "compensated"


@pytest.mark.parametrize("late", [BOOKED, AUTHORISED], ids=["booked", "authorised"])
def test_a_finished_saga_only_tells_of_a_forgotten_effect(late: Replied) -> None:
    """The outcome stands; one notice calls an operator, a repetition does not."""
    run = drive(FULFILMENT, ORDER).receive(OutOfStock("o-1", ("a",)))
    outcome = run.outcome()
    run.stimulate(late)
    step = late.operation_id.partition("/")[2]

    assert run.result is Result.RESTORED
    assert (OrderNeedsAttention("o-1", step, "restored", 1),) == run.notices()
    assert run.stimulate(late).result is Result.RESTORED
    assert len(run.notices()) == 1
    assert run.instance is not None
    assert (run.instance.phase, run.outcome()) == (Phase.COMPENSATED, outcome)


def test_a_paused_saga_that_was_restored_needs_both_to_go_on() -> None:
    """Resume alone sends nothing; retry while paused is refused."""
    run = restored().verb("pause")
    assert run.verb("retry").result is Result.PAUSED
    run.verb("resume")
    assert run.sent() == ()
    assert run.instance is not None
    assert run.instance.steps[0].due_us == 0
    assert run.state == "needs_operator"

    assert run.verb("retry").sent() != ()


def test_a_skip_while_paused_leaves_the_timers_held() -> None:
    """The restored saga is freed, the pause still holds."""
    run = restored(CAPTURED).verb("pause").verb("skip", "capture", evidence="ledger")
    assert run.wait(minutes(60)).sent() == ()

    assert run.verb("resume").wait(seconds(10)).sent() == run.commands()[0]
