"""Each rule of the import, met by a file made for it."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from retail_files import judged, row

from deploy.local.retail.orders import Judged, Order, OrderCharge, OrderLine, judge_rows
from deploy.local.retail.reading import SHIPPED_MONTH, read
from deploy.local.retail.rules import REASONS, RULES, Rejected, Row

LAMP = OrderLine("85123A", "A LAMP", 6, 255)
ORDER = Order(
    order_id="retail-500001",
    customer_id="17850",
    country="United Kingdom",
    placed_at=datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
    day=date(2010, 12, 1),
    lines=(LAMP,),
    charges=(),
    payment_method="tok_ok",
)


def reasons(found: Judged) -> list[tuple[int, str]]:
    return [(each.line, each.reason) for each in found.rejected]


def test_digits_are_an_order(tmp_path: Path) -> None:
    """One invoice, one order, its id made of the invoice number."""
    assert judged(tmp_path, row()) == Judged(1, (ORDER,), ())


ROW_RULES = [
    ({"InvoiceNo": "A500001"}, "unknown_invoice_kind",
     "invoice 'A500001' is neither digits nor C and digits"),
    ({"InvoiceNo": "\u0665\u0660"}, "unknown_invoice_kind",
     "invoice '\u0665\u0660' is neither digits nor C and digits"),
    ({"InvoiceNo": "C500001", "Quantity": "-6"}, "cancellation",
     "invoice C500001 returns goods"),
    ({"InvoiceNo": "c500001"}, "cancellation", "invoice C500001 returns goods"),
    ({"StockCode": "A LAMP"}, "bad_identifier",
     "StockCode 'A LAMP' has characters outside A-Z 0-9 . _ -"),
    ({"CustomerID": "no one"}, "bad_identifier",
     "CustomerID 'no one' has characters outside A-Z a-z 0-9 . _ -"),
    ({"Quantity": "-6", "UnitPrice": "0"}, "stock_write_off", "quantity -6 of 85123A"),
    ({"UnitPrice": "0.0"}, "no_price", "6 of 85123A for nothing"),
    ({"StockCode": "POST", "UnitPrice": "0"}, "no_price", "6 of POST for nothing"),
    ({"Quantity": "0"}, "out_of_bounds", "quantity 0 is not within 1 to 100000"),
    ({"Quantity": "100001"}, "out_of_bounds", "quantity 100001 is not within 1 to 100000"),
    ({"UnitPrice": "-1"}, "out_of_bounds",
     "unit price of -100 pence is not within 0 to 10^8"),
    ({"UnitPrice": "1000000.01"}, "out_of_bounds",
     "unit price of 100000001 pence is not within 0 to 10^8"),
    ({"Country": "x" * 65}, "out_of_bounds", "Country has 65 characters, more than 64"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "reason", "detail"), ROW_RULES)
def test_a_row_that_is_not_imported_says_why(
    tmp_path: Path, changed: dict[str, str], reason: str, detail: str
) -> None:
    """The first rule that catches it names it; the order beside it goes on."""
    found = judged(tmp_path, row(InvoiceNo="500002"), row(**changed))
    invoice = changed.get("InvoiceNo", "500001").upper()
    assert found.rejected == (Rejected(3, reason, detail, invoice),)
    assert [order.order_id for order in found.orders] == ["retail-500002"]


def test_an_invoice_with_a_broken_row_is_not_half_imported(tmp_path: Path) -> None:
    """Its good rows are rejected too, and name the line that broke."""
    found = judged(tmp_path, row(), row(InvoiceNo="500002"), row(Quantity="x"))
    assert found.rejected == (
        Rejected(2, "incomplete_invoice", "line 4 of invoice 500001 is rejected", "500001"),
        Rejected(4, "bad_number", "Quantity 'x' is not a whole number", "500001"),
    )
    assert [order.order_id for order in found.orders] == ["retail-500002"]


def test_a_price_of_zero_leaves_the_rest_of_its_invoice(tmp_path: Path) -> None:
    """What is given away is not sold, and is no reason to refuse what is."""
    found = judged(tmp_path, row(UnitPrice="0"), row())
    assert reasons(found) == [(2, "no_price")]
    assert found.orders == (ORDER,)


@pytest.mark.parametrize(
    ("other", "detail"),
    [
        ({"CustomerID": "17851.0"}, "invoice 500001 is for 17850, 17851"),
        ({"CustomerID": ""}, "invoice 500001 is for 17850, none"),
        ({"Country": "France"}, "invoice 500001 is for France, United Kingdom"),
    ],
)
def test_a_mixed_invoice_is_rejected_whole(
    tmp_path: Path, other: dict[str, str], detail: str
) -> None:
    """Nobody can tell whose order it is."""
    found = judged(tmp_path, row(), row(**other), row(StockCode="POST"))
    assert reasons(found) == [(line, "mixed_invoice") for line in (2, 3, 4)]
    assert {each.detail for each in found.rejected} == {detail}


def test_charges_alone_are_no_order_and_each_row_keeps_its_own_reason(tmp_path: Path) -> None:
    """A charge beside a row for nothing: two reasons, no order."""
    found = judged(tmp_path, row(StockCode="m"), row(UnitPrice="0"))
    assert reasons(found) == [(2, "charge_without_goods"), (3, "no_price")]


def test_charges_belong_to_the_amount_and_not_to_the_stock(tmp_path: Path) -> None:
    """Compared upper-case; a discount is negative."""
    postage = row(StockCode="Post", Quantity="2", UnitPrice="18")
    discount = row(StockCode="D", Quantity="1", UnitPrice="-1.3")
    order = judged(tmp_path, postage, row(), discount).orders[0]
    assert order.charges == (OrderCharge("POST", 3600), OrderCharge("D", -130))
    assert order.lines == (LAMP,)
    assert (order.goods_minor, order.amount_minor) == (1530, 5000)
    assert order.units_by_code() == {"85123A": 6}


def test_an_order_beyond_the_contract_is_rejected_whole(tmp_path: Path) -> None:
    """Too many lines, too many charges, nothing to pay, too much to pay."""
    many_lines = [row(InvoiceNo="1")] * 2001
    many_charges = [row(InvoiceNo="2"), *[row(InvoiceNo="2", StockCode="POST")] * 201]
    free = [row(InvoiceNo="3"), row(InvoiceNo="3", StockCode="D", UnitPrice="-2.55")]
    dear = [row(InvoiceNo="4", Quantity="100000", UnitPrice="100.01")]
    found = judged(tmp_path, *many_lines, *many_charges, *free, *dear, row())
    assert found.rejected_by_reason() == {"order_out_of_bounds": 2001 + 202 + 2 + 1}
    assert {each.detail for each in found.rejected} == {
        "invoice 1 has 2001 rows",
        "invoice 2 has 202 rows",
        "invoice 3 amounts to 0 pence",
        "invoice 4 amounts to 1000100000 pence",
    }
    assert found.orders == (ORDER,)


def test_an_order_of_the_largest_size_is_imported(tmp_path: Path) -> None:
    """The bounds belong to what is allowed."""
    found = judged(tmp_path, *[row(Quantity="1", UnitPrice="5000")] * 2000)
    assert found.orders[0].amount_minor == 10**9
    assert found.rejected == ()


def test_an_order_too_large_for_a_record_is_rejected_whole(tmp_path: Path) -> None:
    """2,000 lines of long names would be refused by every reader, so they are refused here."""
    long = [row(StockCode=f"{n:060}", Description="\N{POUND SIGN}" * 200) for n in range(600)]
    found = judged(tmp_path, *long, row(InvoiceNo="500002"))
    assert found.rejected_by_reason() == {"order_out_of_bounds": 600}
    assert found.rejected[0].detail == ("invoice 500001 does not fit into a record of 262144 bytes")
    assert [order.order_id for order in found.orders] == ["retail-500002"]


def test_a_code_named_twice_stays_two_lines(tmp_path: Path) -> None:
    """Each with its own price; stock sums them whatever the case they were written in."""
    order = judged(tmp_path, row(), row(StockCode="85123a", UnitPrice="2", Quantity="1")).orders[0]
    assert order.lines == (LAMP, OrderLine("85123A", "A LAMP", 1, 200))
    assert order.units_by_code() == {"85123A": 7}


def test_the_first_description_in_the_file_names_the_product(tmp_path: Path) -> None:
    """Empty ones do not, rejected rows do not, and no name is longer than the contract's."""
    found = judged(
        tmp_path,
        row(Description="", StockCode="1"),
        row(Description="damaged", StockCode="1", InvoiceNo="500002", Quantity="-1"),
        row(Description="  " + "x" * 300, StockCode="1", InvoiceNo="500003"),
        row(Description="y", StockCode="1", InvoiceNo="500004"),
    )
    assert {line.name for order in found.orders for line in order.lines} == {"x" * 200}


def test_a_guest_has_no_customer(tmp_path: Path) -> None:
    """An empty CustomerID is nobody's."""
    found = judged(tmp_path, row(CustomerID=""))
    assert found.orders == (replace(ORDER, customer_id=None),)


def test_an_invoice_with_two_times_was_placed_at_the_earlier(tmp_path: Path) -> None:
    """Whatever row it stands in."""
    found = judged(tmp_path, row(InvoiceDate="2010-12-01 08:27:00"), row())
    assert found.orders[0].placed_at == ORDER.placed_at


@pytest.mark.parametrize(
    ("written", "placed_at"),
    [
        ("2011-01-15 23:30:00", datetime(2011, 1, 15, 23, 30, tzinfo=UTC)),
        ("2011-07-15 00:30:00", datetime(2011, 7, 14, 23, 30, tzinfo=UTC)),
        ("2011-10-30 01:30:00", datetime(2011, 10, 30, 0, 30, tzinfo=UTC)),
    ],
)
def test_times_are_london_and_become_utc(tmp_path: Path, written: str, placed_at: datetime) -> None:
    """Summer is an hour ahead; the hour shown twice is its first showing; the day is the shop's."""
    order = judged(tmp_path, row(InvoiceDate=written)).orders[0]
    assert order.placed_at == placed_at
    assert order.day == date.fromisoformat(written[:10])


def test_ties_are_ordered_by_the_number_of_the_invoice(tmp_path: Path) -> None:
    """As numbers, not as text."""
    found = judged(tmp_path, row(InvoiceNo="10000"), row(InvoiceNo="9999"))
    assert [order.order_id for order in found.orders] == ["retail-9999", "retail-10000"]


def test_the_order_of_rows_changes_nothing_but_the_order_of_lines() -> None:
    """The month shuffled gives the same orders, amounts, stock and reasons."""
    rows = list(read(SHIPPED_MONTH))
    shuffled = rows.copy()
    random.Random(2010).shuffle(shuffled)
    assert shuffled != rows
    straight, mixed = judge_rows(rows), judge_rows(shuffled)
    assert [bare(order) for order in mixed.orders] == [bare(order) for order in straight.orders]
    assert mixed.rejected == straight.rejected
    assert mixed.rows_read == straight.rows_read


def bare(order: Order) -> Order:
    return replace(
        order,
        lines=tuple(
            sorted(
                order.lines,
                key=lambda line: (line.code, line.quantity, line.name, line.unit_price_minor),
            )
        ),
        charges=tuple(sorted(order.charges, key=lambda charge: (charge.code, charge.amount_minor))),
    )


def test_every_reason_is_a_rule_of_the_table_and_every_rule_has_a_name_of_its_own() -> None:
    """The reference prints this table, so it must be the whole truth."""
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names))
    tested = {reason for _, reason, _ in ROW_RULES} | {
        "broken_row", "bad_number", "bad_date", "incomplete_invoice", "mixed_invoice",
        "charge_without_goods", "order_out_of_bounds",
    }  # fmt: skip
    assert set(REASONS) == tested


def test_every_row_of_a_hostile_file_is_counted_once(tmp_path: Path) -> None:
    """Rows read = lines + charges + rejected, whatever the rows are."""
    cells = ["", "x", "-1", "0", "C1", "500001", "2010-12-01 08:26:00", '"', "POST", "9" * 30]
    chance = random.Random(7)
    lines = [",".join(chance.choice(cells) for _ in range(chance.choice((7, 8, 8, 8))))
             for _ in range(2000)]  # fmt: skip
    found = judged(tmp_path, *lines, row())
    assert found.rows_read == 2001
    assert found.rows_read == found.rows_imported + len(found.rejected)
    assert isinstance(next(iter(read(SHIPPED_MONTH))), Row)
