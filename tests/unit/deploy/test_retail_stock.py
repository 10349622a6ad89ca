"""Opening stock: scarce where many orders ask, whole where few do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime

from deploy.local.retail.orders import Order, OrderLine, judge_rows, select
from deploy.local.retail.reading import SHIPPED_MONTH, read
from deploy.local.retail.stock import Delivery, deliveries, opening_stock

ONE_LAMP = Order(
    order_id="retail-1",
    customer_id=None,
    country="France",
    placed_at=datetime(2010, 12, 1, tzinfo=UTC),
    day=date(2010, 12, 1),
    lines=(OrderLine("LAMP", "", 3, 100),),
    charges=(),
    payment_method="tok_ok",
)


def asking(code: str, orders: int, units: int = 3) -> list[Order]:
    return [replace(ONE_LAMP, lines=(OrderLine(code, "", units, 100),))] * orders


def test_a_product_in_eight_orders_of_few_is_scarce() -> None:
    """80 % of 24 units is 19.2, and nobody delivers a fifth of a lamp."""
    assert opening_stock(asking("LAMP", 8)) == {"LAMP": 19}


def test_a_product_in_seven_orders_is_not_scarce() -> None:
    """Below eight orders a share says nothing."""
    assert opening_stock(asking("LAMP", 7)) == {"LAMP": 21}


def test_scarce_begins_at_five_percent_of_the_orders() -> None:
    """10 of 200 orders are 5 %, 10 of 201 are not."""
    assert opening_stock(asking("LAMP", 10) + asking("CUP", 190, 1))["LAMP"] == 24
    assert opening_stock(asking("LAMP", 10) + asking("CUP", 191, 1))["LAMP"] == 30


def test_an_order_that_names_a_product_twice_asks_once() -> None:
    """Seven orders are seven, however many lines they have; the units are summed."""
    twice = replace(ONE_LAMP, lines=ONE_LAMP.lines * 2)
    assert opening_stock([twice] * 7) == {"LAMP": 42}


def test_the_stock_of_a_day_is_computed_from_that_day() -> None:
    """127 orders: 1,336 products; each scarce one has exactly 80 % of the day's demand."""
    orders = select(judge_rows(read(SHIPPED_MONTH)).orders, day=date(2010, 12, 1), limit=None)
    demand: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for order in orders:
        demand += order.units_by_code()
        asked.update(set(order.units_by_code()))
    stock = opening_stock(orders)
    assert len(stock) == 1_336
    assert stock == {
        code: units * 80 // 100 if asked[code] >= 8 else units for code, units in demand.items()
    }
    assert sum(stock.values()) < sum(demand.values())


def test_deliveries_hold_all_of_the_stock_in_bounded_pieces() -> None:
    """At most 200 products each, every product in one of them, nothing of nothing."""
    stock = {f"P{number:04}": number for number in range(450)}
    arrived = deliveries(stock)
    assert [len(delivery.items) for delivery in arrived] == [200, 200, 49]
    assert dict(item for delivery in arrived for item in delivery.items) == {
        code: units for code, units in stock.items() if units
    }


def test_the_same_stock_is_the_same_deliveries_and_other_stock_is_others() -> None:
    """A second import is told by its ids; no id ever means two contents."""
    assert deliveries({"B": 2, "A": 1}) == deliveries({"A": 1, "B": 2})
    assert deliveries({"A": 1}) == (Delivery(deliveries({"A": 1})[0].delivery_id, (("A", 1),)),)
    assert deliveries({"A": 1})[0].delivery_id != deliveries({"A": 2})[0].delivery_id
    assert deliveries({}) == ()
