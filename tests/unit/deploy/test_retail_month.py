"""The shipped month, counted: every number of its documentation, exactly."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from statistics import median_high

import pytest

from deploy.local.retail.orders import Judged, Order, judge_rows, payment_method, select
from deploy.local.retail.reading import SHIPPED_MONTH, read

FIRST_DAY = date(2010, 12, 1)


@pytest.fixture(scope="module")
def month() -> Judged:
    return judge_rows(read(SHIPPED_MONTH))


@pytest.fixture(scope="module")
def first_day(month: Judged) -> tuple[Order, ...]:
    return select(month.orders, day=FIRST_DAY, limit=None)


def lines_of(month: Judged) -> int:
    return sum(len(order.lines) for order in month.orders)


def test_every_row_is_a_line_a_charge_or_rejected(month: Judged) -> None:
    """42,481 rows are 41,317 lines, 154 charges of orders and 1,010 rows with a reason."""
    assert month.rows_read == 42_481
    assert lines_of(month) == 41_317
    assert month.rows_imported == 41_317 + 154
    assert month.rejected_by_reason() == Counter(
        cancellation=728, no_price=203, stock_write_off=70, charge_without_goods=9
    )
    assert month.rows_read == month.rows_imported + len(month.rejected)
    assert month.rows_read == 41_317 + 728 + 203 + (154 + 9) + 70


def test_rejected_rows_come_with_ascending_line_numbers_once_each(month: Judged) -> None:
    """A line is rejected at most once, and the list reads from top to bottom."""
    lines = [row.line for row in month.rejected]
    assert lines == sorted(set(lines))
    assert min(lines) > 1
    assert max(lines) <= 42_482


def test_invoices_rejected_whole(month: Judged) -> None:
    """326 returns, 70 write-offs and 9 invoices with charges but nothing priced to send."""
    invoices: dict[str, set[str]] = {}
    for row in month.rejected:
        invoices.setdefault(row.reason, set()).add(row.invoice)
    assert {reason: len(found) for reason, found in invoices.items()} == {
        "cancellation": 326,
        "stock_write_off": 70,
        "no_price": 70 + 5 + 2 + 2,
        "charge_without_goods": 7 + 2,
    }


def test_orders_of_the_month(month: Judged) -> None:
    """1,550 orders, goods for £778,008.36, charges of £29,399.01 on 147 of them."""
    assert len(month.orders) == 1_550
    assert sum(order.goods_minor for order in month.orders) == 77_800_836
    charged = [order for order in month.orders if order.charges]
    assert len(charged) == 147
    assert sum(order.amount_minor - order.goods_minor for order in charged) == 2_939_901
    assert sum(order.amount_minor for order in month.orders) == 77_800_836 + 2_939_901


def test_sizes_and_values_of_orders(month: Judged) -> None:
    """Lines: median 13, largest 674. Goods: median £256.61, largest £18,745.86."""
    sizes = sorted(len(order.lines) for order in month.orders)
    assert (median_high(sizes), sizes[int(0.99 * len(sizes))], sizes[-1]) == (13, 473, 674)
    values = [order.goods_minor for order in month.orders]
    assert (median_high(values), max(values)) == (25_661, 1_874_586)
    lines = [line for order in month.orders for line in order.lines]
    assert min(line.unit_price_minor for line in lines) == 7
    assert max(line.quantity for line in lines) == 2_880
    assert sum(line.quantity >= 1_000 for line in lines) == 12


def test_customers_of_the_month(month: Judged) -> None:
    """156 orders are of guests; the others name one of 884 customers, without `.0`."""
    customers = Counter(order.customer_id for order in month.orders)
    assert customers.pop(None) == 156
    assert len(customers) == 884
    assert all(customer and customer.isdecimal() for customer in customers)


def test_products_named_twice_keep_their_lines_and_prices(month: Judged) -> None:
    """237 orders repeat a product in 948 further lines, 25 of them at different prices."""
    repeating = [order for order in month.orders if len(order.units_by_code()) < len(order.lines)]
    assert len(repeating) == 237
    assert sum(len(order.lines) - len(order.units_by_code()) for order in repeating) == 948
    assert sum(map(has_two_prices_for_one_product, repeating)) == 25


def has_two_prices_for_one_product(order: Order) -> bool:
    return len({(line.code, line.unit_price_minor) for line in order.lines}) > len(
        order.units_by_code()
    )


def test_codes_are_upper_case(month: Judged) -> None:
    """2,822 codes as written are 2,762 products and charges."""
    rows = [row for row in read(SHIPPED_MONTH) if hasattr(row, "code")]
    assert len({row.code for row in rows}) == 2_762
    assert all(line.code == line.code.upper() for order in month.orders for line in order.lines)


def test_odd_codes_are_goods(month: Judged) -> None:
    """Seven lines have codes that do not begin with digits, and are goods all the same."""
    odd = Counter(
        line.code for order in month.orders for line in order.lines if not line.code[0].isdigit()
    )
    assert odd == Counter(
        {"DCGS0003": 2, "DCGS0070": 1, "DCGS0076": 2, "GIFT_0001_40": 1, "GIFT_0001_50": 1}
    )


def test_every_product_has_one_name(month: Judged) -> None:
    """A product is called the same in each order, and no name has outer spaces."""
    names: dict[str, set[str]] = {}
    for order in month.orders:
        for line in order.lines:
            names.setdefault(line.code, set()).add(line.name)
    assert all(len(called) == 1 for called in names.values())
    assert names["85123A"] == {"WHITE HANGING HEART T-LIGHT HOLDER"}
    assert all(name == name.strip() for called in names.values() for name in called)


def test_orders_stand_in_the_order_they_were_placed(month: Judged) -> None:
    """By time in UTC, ties by invoice number; an invoice with two times counts the earlier."""
    keys = [
        (order.placed_at, int(order.order_id.removeprefix("retail-"))) for order in month.orders
    ]
    assert keys == sorted(keys)
    times = Counter(order.placed_at for order in month.orders)
    assert sum(count - 1 for count in times.values()) == 129
    assert month.orders[0].order_id == "retail-536365"
    assert month.orders[0].placed_at == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
    assert month.orders[-1].day == date(2010, 12, 23)


def test_the_first_day_has_every_test_value(first_day: tuple[Order, ...]) -> None:
    """127 orders; each payment test value at least once; two for EIRE, and both can pay."""
    assert len(first_day) == 127
    assert Counter(order.payment_method for order in first_day) == Counter(
        tok_ok=114, tok_declined=8, tok_silent_once=3, tok_slow=2
    )
    eire = [order for order in first_day if order.country == "EIRE"]
    assert [order.payment_method for order in eire] == ["tok_ok", "tok_ok"]


def test_the_month_has_seventeen_orders_for_eire(month: Judged) -> None:
    """The carrier's documented refusal meets real orders."""
    assert sum(order.country == "EIRE" for order in month.orders) == 17


def test_test_values_have_their_shares(month: Judged) -> None:
    """About 5 % declined, 2 % slow and 1 % silent, in the month and in any run of numbers."""
    assert Counter(order.payment_method for order in month.orders) == Counter(
        tok_ok=1_413, tok_declined=83, tok_slow=38, tok_silent_once=16
    )
    many = Counter(payment_method(str(number)) for number in range(500_000, 520_000))
    shares = {method: round(count / 200) for method, count in many.items()}
    assert shares == {"tok_ok": 92, "tok_declined": 5, "tok_slow": 2, "tok_silent_once": 1}


def test_a_selection_is_the_first_orders_of_the_day(month: Judged) -> None:
    """`limit` cuts after the day was chosen, and a day without orders is empty."""
    chosen = select(month.orders, day=date(2010, 12, 2), limit=3)
    assert len(chosen) == 3
    assert {order.day for order in chosen} == {date(2010, 12, 2)}
    assert select(month.orders, day=date(2010, 12, 25), limit=None) == ()
    assert select(month.orders, day=None, limit=None) == month.orders
