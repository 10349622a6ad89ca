"""What people see of an import: whole tables, as text."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from rich.console import Console, RenderableType

from deploy.local.retail.orders import Order, OrderCharge, OrderLine
from deploy.local.retail.reconcile import (
    Ending,
    EndingRow,
    Identity,
    Outcome,
    Payments,
    Reconciliation,
    Stock,
    Unit,
)
from deploy.local.retail.report import (
    StoryLine,
    one_compensated,
    pounds,
    rows_table,
    story,
    summary,
)

RESULT = Reconciliation(
    endings=(
        EndingRow(Ending.FULFILLED, "", 97, 1_234_567),
        EndingRow(Ending.CANCELLED, "out_of_stock", 26, 98_765),
        EndingRow(Ending.OPEN, "", 4, 100),
    ),
    payments=Payments(1_500, 650, 850, 0),
    stock=Stock(25_620, 1_500, 0, 24_120),
    identities=(
        Identity("authorised = captured + voided", 1_500, 1_500, Unit.MONEY),
        Identity("orders published = sum of outcomes", 127, 123, Unit.ORDERS),
    ),
)
ORDER = Order(
    order_id="retail-536540",
    customer_id=None,
    country="EIRE",
    placed_at=datetime(2010, 12, 1, 14, 5, tzinfo=UTC),
    day=date(2010, 12, 1),
    lines=(OrderLine("LAMP", "A LAMP", 3, 200),),
    charges=(OrderCharge("C2", 5_000),),
    payment_method="tok_ok",
)


def shown(renderable: RenderableType) -> list[str]:
    console = Console(width=110, no_color=True, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_the_summary_is_outcomes_money_stock_and_identities() -> None:
    """Every state is told by a glyph and a word; the last line says whether all holds."""
    assert shown(summary(RESULT)) == [
        "Orders",
        "outcome                    orders       worth",
        "✓ fulfilled                    97  £12,345.67",
        "↩ cancelled: out_of_stock      26     £987.65",
        "… open                          4       £1.00",
        "all                           127  £13,334.32",
        "",
        "Money",
        "            amount",
        "authorised  £15.00",
        "captured     £6.50",
        "voided       £8.50",
        "refunded     £0.00",
        "",
        "Stock",
        "           units",
        "received  25,620",
        "gone      24,120",
        "reserved       0",
        "on hand    1,500",
        "",
        "Reconciled",
        "         identity                              left   right",
        "✓ holds  authorised = captured + voided      £15.00  £15.00",
        "✖ FAILS  orders published = sum of outcomes     127     123",
        "",
        "✖ 1 of 2 identities fail",
    ]


def test_rows_are_told_by_reason_largest_first() -> None:
    """Read, imported, and each reason with its count."""
    assert shown(rows_table(42_481, 41_471, {"no_price": 203, "cancellation": 728})) == [
        "Rows of the file",
        "                          rows",
        "read                    42,481",
        "imported                41,471",
        "rejected: cancellation     728",
        "rejected: no_price         203",
    ]


def test_the_story_tells_each_step_of_a_compensated_order() -> None:
    """What came in, how the state moved, what went out."""
    at = datetime(2026, 11, 23, 15, 4, 5, 678_901, tzinfo=UTC)
    lines = [
        StoryLine(at, "OrderPlaced", "", "awaiting_stock", "ReserveStock"),
        StoryLine(at, "ShipmentRefused", "awaiting_shipment", "undoing_payment", "VoidPayment"),
        StoryLine(at, "late reply", "compensated", "compensated"),
    ]
    outcome = Outcome("retail-536540", Ending.CANCELLED, "country_not_served")
    assert shown(story(ORDER, outcome, lines)) == [
        "The story of retail-536540: 3 pieces for £56.00 to EIRE, cancelled (country_not_served)",
        "at            what             state                                sends",
        "15:04:05.678  OrderPlaced      → awaiting_stock                     ReserveStock",
        "15:04:05.678  ShipmentRefused  awaiting_shipment → undoing_payment  VoidPayment",
        "15:04:05.678  late reply       compensated",
    ]


@pytest.mark.parametrize(
    ("amount_minor", "text"),
    [(0, "£0.00"), (7, "£0.07"), (77_800_836, "£778,008.36"), (-130, "-£1.30")],
)
def test_amounts_are_exact_pounds(amount_minor: int, text: str) -> None:
    """Whole pence, never a float."""
    assert pounds(amount_minor) == text


def test_the_order_to_tell_of_is_the_most_telling_one() -> None:
    """By the order of reasons asked for; else any cancelled one; else none."""
    stock = Outcome("retail-1", Ending.CANCELLED, "out_of_stock")
    carrier = Outcome("retail-2", Ending.CANCELLED, "country_not_served")
    done = Outcome("retail-0", Ending.FULFILLED)
    assert one_compensated([done, stock, carrier], ["country_not_served"]) == carrier
    assert one_compensated([done, stock, carrier], ["card_expired"]) == stock
    assert one_compensated([done], ["card_expired"]) is None
