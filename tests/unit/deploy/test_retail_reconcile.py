"""The identities: each holds for a sound result, and each fails alone when its number is off."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from deploy.local.retail.orders import Judged, Order, OrderCharge, OrderLine
from deploy.local.retail.reconcile import (
    Elsewhere,
    Ending,
    EndingRow,
    Given,
    Identity,
    Observed,
    Outcome,
    Payments,
    Reconciliation,
    Stock,
    Unit,
    reconcile,
)
from deploy.local.retail.rules import Rejected


def order(number: int, units: int) -> Order:
    return Order(
        order_id=f"retail-{number}",
        customer_id=None,
        country="France",
        placed_at=datetime(2010, 12, 1, 8, number, tzinfo=UTC),
        day=date(2010, 12, 1),
        lines=(OrderLine("LAMP", "A LAMP", units, 200),),
        charges=(OrderCharge("POST", 50),),
        payment_method="tok_ok",
    )


ORDERS = (order(1, 3), order(2, 5), order(3, 4))
GIVEN = Given.of(
    Judged(8, ORDERS, (Rejected(7, "no_price", ""), Rejected(8, "broken_row", ""))),
    ORDERS,
    stock_units=10,
)
SOUND = Observed(
    outcomes=(
        Outcome("retail-1", Ending.FULFILLED, amount_minor=650),
        Outcome("retail-2", Ending.CANCELLED, "out_of_stock"),
        Outcome("retail-3", Ending.CANCELLED, "country_not_served"),
    ),
    payments=Payments(authorised_minor=1500, captured_minor=650, voided_minor=850),
    stock=Stock(received=10, on_hand=7, reserved=0, gone=3),
)


def failing(result: Reconciliation) -> set[str]:
    return {identity.name for identity in result.identities if not identity.holds}


def test_a_sound_result_holds_in_every_identity() -> None:
    """Rows, orders, stock and money, each with both its sides."""
    result = reconcile(GIVEN, SOUND)
    assert result.holds
    assert result.identities == (
        Identity("rows read = imported + rejected by reason", 8, 8, Unit.ROWS),
        Identity("orders published = sum of outcomes", 3, 3, Unit.ORDERS),
        Identity("orders with an outcome = outcomes (none has two)", 3, 3, Unit.ORDERS),
        Identity("stock received = stock delivered", 10, 10, Unit.UNITS),
        Identity("received - gone = on hand", 7, 7, Unit.UNITS),
        Identity("still reserved = 0", 0, 0, Unit.UNITS),
        Identity("gone = units of the fulfilled orders", 3, 3, Unit.UNITS),
        Identity("captured = sum of the fulfilled orders in the file", 650, 650, Unit.MONEY),
        Identity("captured = sum of the outcomes' amounts", 650, 650, Unit.MONEY),
        Identity("authorised = captured + voided", 1500, 1500, Unit.MONEY),
        Identity("refunded = 0", 0, 0, Unit.MONEY),
    )


def test_endings_are_counted_by_reason_with_their_worth() -> None:
    """Fulfilled first; a cancelled order is worth what it would have been."""
    assert reconcile(GIVEN, SOUND).endings == (
        EndingRow(Ending.FULFILLED, "", 1, 650),
        EndingRow(Ending.CANCELLED, "country_not_served", 1, 850),
        EndingRow(Ending.CANCELLED, "out_of_stock", 1, 1050),
    )


BREACHES = [
    (replace(SOUND, payments=replace(SOUND.payments, voided_minor=849)),
     {"authorised = captured + voided"}),
    (replace(SOUND, payments=Payments(1501, 651, 850)),
     {"captured = sum of the fulfilled orders in the file",
      "captured = sum of the outcomes' amounts"}),
    (replace(SOUND, payments=replace(SOUND.payments, refunded_minor=1)), {"refunded = 0"}),
    (replace(SOUND, stock=Stock(10, 6, 1, 3)),
     {"still reserved = 0", "received - gone = on hand"}),
    (replace(SOUND, stock=Stock(10, 6, 0, 4)), {"gone = units of the fulfilled orders"}),
    (replace(SOUND, stock=Stock(11, 8, 0, 3)),
     {"stock received = stock delivered"}),
    (replace(SOUND, outcomes=SOUND.outcomes[:2]), {"orders published = sum of outcomes"}),
    (replace(SOUND, outcomes=(*SOUND.outcomes[:2], Outcome("retail-3", Ending.OPEN))),
     {"orders published = sum of outcomes"}),
    (replace(SOUND, outcomes=(*SOUND.outcomes, SOUND.outcomes[1])),
     {"orders published = sum of outcomes", "orders with an outcome = outcomes (none has two)"}),
    (replace(SOUND, outcomes=(*SOUND.outcomes[:2], SOUND.outcomes[1])),
     {"orders with an outcome = outcomes (none has two)"}),
    (replace(SOUND, outcomes=(replace(SOUND.outcomes[0], amount_minor=649),
                              *SOUND.outcomes[1:])),
     {"captured = sum of the outcomes' amounts"}),
]  # fmt: skip


@pytest.mark.parametrize(("observed", "broken"), BREACHES)
def test_what_is_off_fails_by_name(observed: Observed, broken: set[str]) -> None:
    """One wrong number breaks the identities it stands in, and no other."""
    result = reconcile(GIVEN, observed)
    assert failing(result) == broken
    assert not result.holds


def test_a_row_lost_by_the_reader_fails() -> None:
    """Nine rows read, eight accounted for."""
    result = reconcile(replace(GIVEN, rows_read=9), SOUND)
    assert failing(result) == {"rows read = imported + rejected by reason"}


def test_orders_without_an_end_are_named() -> None:
    """They are counted as open, whether they were seen or not."""
    outcomes = (SOUND.outcomes[0], Outcome("retail-2", Ending.OPEN))
    result = reconcile(GIVEN, replace(SOUND, outcomes=outcomes))
    assert result.unfinished == ("retail-2", "retail-3")
    assert result.endings[-1] == EndingRow(Ending.OPEN, "", 2, 1900)


def test_outcomes_of_other_orders_are_left_out() -> None:
    """A stack that did something else meanwhile still reconciles its orders."""
    other = Outcome("web-1", Ending.FULFILLED, amount_minor=1)
    result = reconcile(GIVEN, replace(SOUND, outcomes=(other, *SOUND.outcomes)))
    assert result == reconcile(GIVEN, SOUND)


def test_what_went_on_beside_the_import_stands_on_the_other_side() -> None:
    """A stack that fulfilled other orders before, or this import twice, still reconciles."""
    busy = replace(
        SOUND,
        payments=Payments(authorised_minor=2500, captured_minor=1650, voided_minor=850),
        stock=Stock(received=110, on_hand=103, reserved=0, gone=7),
        elsewhere=Elsewhere(delivered_units=100, fulfilled_units=4, fulfilled_minor=1000),
    )
    assert reconcile(GIVEN, busy).holds
    assert failing(reconcile(GIVEN, replace(busy, elsewhere=Elsewhere()))) == {
        "stock received = stock delivered",
        "gone = units of the fulfilled orders",
        "captured = sum of the fulfilled orders in the file",
        "captured = sum of the outcomes' amounts",
    }
