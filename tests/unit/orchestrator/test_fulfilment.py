"""Fulfilment, told as the specification tells it: whole messages, one order at a time."""

from __future__ import annotations

import pytest
from saga_cases import AT, ITEMS, ORDER, PAID

from orchestrator.engine.instance import TimerFired
from orchestrator.engine.machine import Kind, Result
from orchestrator.saga import Duration, minutes, seconds
from orchestrator.sagas.fulfilment import FULFILMENT
from orchestrator.testing import Run, drive
from schemas.billing import (
    AuthorisePayment,
    CapturePayment,
    CaptureRefused,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
    VoidPayment,
)
from schemas.common import Charge, Item, Line, Money
from schemas.inventory import OutOfStock, ReleaseStock, ReserveStock, StockReleased, StockReserved
from schemas.orchestrator import (
    OrderCancellationRefused,
    OrderCancelled,
    OrderFulfilled,
    OrderNeedsAttention,
)
from schemas.orders import OrderPlaced
from schemas.shipping import (
    BookShipment,
    CancelShipment,
    DispatchShipment,
    ShipmentBooked,
    ShipmentCancelled,
    ShipmentDispatched,
    ShipmentRefused,
)


def cancelled(reason: str, detail: str) -> OrderCancelled:
    return OrderCancelled("o-1", "17850", "start-1", reason, detail)


def until_capture() -> Run[object]:
    run = drive(FULFILMENT, ORDER).receive(StockReserved("o-1"))
    return run.receive(PaymentAuthorised("o-1", "auth-7", PAID)).receive(
        ShipmentBooked("o-1", "track-9")
    )


def test_an_order_is_fulfilled() -> None:
    """Stock, payment, shipment, capture, dispatch; then the outcome names the accepted event."""
    run = drive(FULFILMENT, ORDER)

    assert ReserveStock("o-1", ITEMS) == run.sent()
    assert (
        AuthorisePayment("o-1", "17850", PAID, "tok_ok") == run.receive(StockReserved("o-1")).sent()
    )
    assert (
        BookShipment("o-1", "United Kingdom", ITEMS)
        == run.receive(PaymentAuthorised("o-1", "auth-7", PAID)).sent()
    )
    assert (
        CapturePayment("o-1", PAID, "auth-7")
        == run.receive(ShipmentBooked("o-1", "track-9")).sent()
    )
    assert (
        DispatchShipment("o-1", "track-9")
        == run.receive(PaymentCaptured("o-1", "auth-7", PAID)).sent()
    )
    assert (
        OrderFulfilled("o-1", "17850", "start-1", PAID, "track-9")
        == run.receive(ShipmentDispatched("o-1", "track-9")).outcome()
    )
    assert run.state == "completed"


def test_sold_out_stock_cancels_the_order_at_once() -> None:
    """Nothing was done, so nothing is undone."""
    run = drive(FULFILMENT, ORDER).receive(OutOfStock("o-1", ("22633",)))

    assert run.sent() == ()
    assert cancelled("out_of_stock", "stock") == run.outcome()


def test_a_declined_payment_releases_the_stock() -> None:
    """When payment is declined, stock is released and the order cancelled."""
    run = drive(FULFILMENT, ORDER).receive(StockReserved("o-1"))

    assert ReleaseStock("o-1") == run.receive(PaymentDeclined("o-1", "insufficient_funds")).sent()
    assert cancelled("insufficient_funds", "payment") == run.receive(StockReleased("o-1")).outcome()


def test_a_refused_shipment_voids_the_payment_then_releases_the_stock() -> None:
    """Undos go out one position after the other, last first."""
    run = drive(FULFILMENT, ORDER).receive(StockReserved("o-1"))
    run.receive(PaymentAuthorised("o-1", "auth-7", PAID))

    assert (
        VoidPayment("o-1", PAID) == run.receive(ShipmentRefused("o-1", "country_not_served")).sent()
    )
    assert ReleaseStock("o-1") == run.receive(PaymentVoided("o-1", PAID)).sent()
    assert (
        cancelled("country_not_served", "shipment") == run.receive(StockReleased("o-1")).outcome()
    )


def test_a_refused_capture_takes_everything_back() -> None:
    """The pivot refused is the last chance to turn back."""
    run = until_capture()

    assert CancelShipment("o-1") == run.receive(CaptureRefused("o-1", "expired")).sent()
    assert VoidPayment("o-1", PAID) == run.receive(ShipmentCancelled("o-1")).sent()
    assert ReleaseStock("o-1") == run.receive(PaymentVoided("o-1", PAID)).sent()
    assert cancelled("expired", "capture") == run.receive(StockReleased("o-1")).outcome()


def test_a_silent_payment_is_voided_though_nobody_knows_whether_it_was_authorised() -> None:
    """Three sends in two minutes, then the step is in doubt and undone."""
    run = drive(FULFILMENT, ORDER).receive(StockReserved("o-1"))
    asked = run.sent()

    assert asked == run.wait(seconds(40)).sent()
    assert asked == run.wait(seconds(40)).sent()
    assert VoidPayment("o-1", PAID) == run.wait(seconds(40)).sent()
    assert ReleaseStock("o-1") == run.receive(PaymentVoided("o-1", Money(0, "GBP"))).sent()
    assert cancelled("no_reply", "payment") == run.receive(StockReleased("o-1")).outcome()


def test_paused_before_its_outcome_a_saga_stands_where_it_undid_last() -> None:
    """The last undo is answered while it is paused: the journal does not walk up again."""
    run = drive(FULFILMENT, ORDER).receive(StockReserved("o-1"))
    run.receive(PaymentAuthorised("o-1", "auth-7", PAID))
    run.receive(ShipmentRefused("o-1", "country_not_served")).receive(PaymentVoided("o-1", PAID))
    run.verb("pause").receive(StockReleased("o-1"))

    assert run.state == "undoing_stock"
    assert cancelled("country_not_served", "shipment") == run.verb("resume").outcome()


def test_a_silent_capture_is_sent_with_growing_pauses_up_to_five_minutes() -> None:
    """After `within` the pauses double; the saga never gives up."""
    run = until_capture()
    sends = [second for second in range(1, 1_800) if run.wait(seconds(1)).sent() != ()]

    assert sends == [40, 80, 120, 200, 360, 660, 960, 1260, 1560]
    assert run.state == "awaiting_capture"


def test_an_unanswered_undo_needs_an_operator() -> None:
    """After ten minutes one notice goes out, sending goes on, and the late answer mends it."""
    run = drive(FULFILMENT, ORDER).receive(StockReserved("o-1"))
    run.receive(PaymentDeclined("o-1", "insufficient_funds")).wait(seconds(599))
    assert run.notices() == ()
    run.wait(seconds(1))

    assert (OrderNeedsAttention("o-1", "stock", "no_reply", 1),) == run.notices()
    assert run.state == "needs_operator"
    assert ReleaseStock("o-1") == run.wait(minutes(5)).sent()
    run.receive(StockReleased("o-1"))
    assert cancelled("insufficient_funds", "payment") == run.outcome()


def test_each_overdue_undo_has_its_own_notice() -> None:
    """The saga returns to compensating, and the next overdue undo is told of again."""
    run = until_capture().receive(CaptureRefused("o-1", "expired")).wait(minutes(10))
    run.receive(ShipmentCancelled("o-1"))
    assert run.state == "undoing_payment"
    run.wait(minutes(10))

    assert (
        OrderNeedsAttention("o-1", "shipment", "no_reply", 1),
        OrderNeedsAttention("o-1", "payment", "no_reply", 2),
    ) == run.notices()


def test_a_cancellation_before_its_order_ends_it_at_once() -> None:
    """The cancellation is kept; the order then starts nothing and is cancelled."""
    run = Run(FULFILMENT, "o-1").cancel("changed_mind")
    assert run.state == "cancelled_early"
    run.start(ORDER)

    assert run.commands() == ()
    assert cancelled("cancelled", "changed_mind") == run.outcome()
    assert run.state == "compensated"


def test_an_early_cancellation_is_counted_once() -> None:
    """The same request again is a duplicate, another one is remembered beside it."""
    run = Run(FULFILMENT, "o-1").cancel().cancel()
    assert run.result is Result.DUPLICATE
    run.cancel(request_id="cancel-2")

    assert run.result is Result.APPLIED
    assert run.instance is not None
    assert len(run.instance.cancellations) == 2


def test_a_cancellation_of_a_finished_order_is_refused() -> None:
    """`finished`, published once for each request."""
    run = drive(FULFILMENT, ORDER).receive(OutOfStock("o-1", ("22633",))).cancel().cancel()

    assert run.result is Result.DUPLICATE
    assert (OrderCancellationRefused("o-1", "cancel-1", "finished"),) == run.notices()
    assert run.state == "compensated"


def test_a_cancellation_too_late_is_published_only_when_anything_may_be() -> None:
    """Refused while paused, told on resume."""
    run = until_capture().cancel().verb("pause").receive(PaymentCaptured("o-1", "auth-7", PAID))
    assert run.cancel(request_id="cancel-2").result is Result.TOO_LATE
    assert run.notices() == ()
    run.verb("resume")

    assert (
        OrderCancellationRefused("o-1", "cancel-1", "too_late"),
        OrderCancellationRefused("o-1", "cancel-2", "too_late"),
    ) == run.notices()
    assert DispatchShipment("o-1", "track-9") == run.sent()


def test_only_so_many_cancellations_are_remembered() -> None:
    """The seventeenth request is refused without being kept."""
    run = until_capture()
    for number in range(17):
        run.cancel(request_id=f"cancel-{number}")

    assert run.result is Result.TOO_MANY_REQUESTS
    assert run.instance is not None
    assert len(run.instance.cancellations) == 16


def test_the_same_order_again_is_a_duplicate() -> None:
    """The first start wins; other content is a conflict, and the order goes on."""
    run = drive(FULFILMENT, ORDER)
    before = run.instance

    assert run.start(ORDER, message_id="evt-2").result is Result.DUPLICATE
    dearer = OrderPlaced("o-1", None, "GBP", (Line("a", 1, 1),), "France", AT)
    assert run.start(dearer, message_id="evt-3").result is Result.CONFLICTING_START
    assert before is run.instance


def test_a_guest_orders_without_a_customer() -> None:
    """No customer id anywhere, up to the outcome."""
    guest = OrderPlaced("o-2", None, "GBP", (Line("a", 1, 100),), "France", AT)
    run = drive(FULFILMENT, guest).receive(StockReserved("o-2"))

    assert AuthorisePayment("o-2", None, Money(100, "GBP"), "tok_ok") == run.sent()
    run.receive(PaymentDeclined("o-2", "card_expired")).receive(StockReleased("o-2"))
    assert OrderCancelled("o-2", None, "start-1", "card_expired", "payment") == run.outcome()


def test_products_are_summed_and_charges_are_no_stock() -> None:
    """A product on two lines is reserved once; charges, also negative ones, are only money."""
    order = OrderPlaced(
        "o-3",
        None,
        "GBP",
        (Line("b", 2, 50), Line("a", 1, 100), Line("b", 3, 40)),
        "France",
        AT,
        (Charge("POST", 1_000), Charge("D", -20)),
    )
    run = drive(FULFILMENT, order)

    assert ReserveStock("o-3", (Item("b", 5), Item("a", 1))) == run.sent()
    assert (
        AuthorisePayment("o-3", None, Money(1_300, "GBP"), "tok_ok")
        == run.receive(StockReserved("o-3")).sent()
    )


@pytest.mark.parametrize("second", [1, 29])
def test_a_command_still_unsent_is_no_try(second: int) -> None:
    """A timer that fires while the command stands in the outbox starts again."""
    run = drive(FULFILMENT, ORDER).wait(seconds(second))
    tries = len(run.commands())
    before = run.instance
    run.stimulate(TimerFired("stock", Kind.DO, unsent=True))

    assert before is not None
    assert run.instance is not None
    assert len(run.commands()) == tries
    assert run.instance.steps[0].do_tries == before.steps[0].do_tries
    assert run.instance.steps[0].due_us == run.now_us + seconds(10)
    assert run.wait(Duration(seconds(10) - 1)).sent() == ()
