"""Crm's handlers: whole answers, and totals that do not depend on the order of the news."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from desk import Desk, Port, Told, client, every_order, faults

from schemas.billing import PaymentCaptured, PaymentRefunded, PaymentVoided
from schemas.common import Charge, Line, Money
from schemas.crm import (
    CloseCustomerRecord,
    CustomerRecordClosed,
    CustomerRecordOpened,
    OpenCustomerRecord,
)
from schemas.orchestrator import OrderCancelled, OrderFulfilled
from schemas.orders import OrderPlaced
from services.chassis.access import Role
from services.chassis.handlers import changed, done
from services.crm.api import routes
from services.crm.domain import Customer, CustomerOrder, OutcomeChanged, Placed, points_of
from services.crm.handlers import HANDLERS, close_customer_record, open_customer_record
from services.crm.store import MIGRATIONS, TABLES

EARLY = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
LATE = datetime(2010, 12, 1, 9, 0, tzinfo=UTC)


def placed(customer: str | None, pounds: int, when: datetime = EARLY) -> OrderPlaced:
    lines = (Line("A", 1, pounds * 100),)
    return OrderPlaced("o1", customer, "GBP", lines, "United Kingdom", when, (Charge("POST", 99),))


PLACED: Told = (placed("c1", 12), "e1")
PLACED_OTHERWISE: Told = (placed("c2", 700, LATE), "e0")
CAPTURED: Told = (PaymentCaptured("o1", "a1", Money(1299, "GBP")), "p1")
VOIDED: Told = (PaymentVoided("o1", Money(1299, "GBP")), "p2")
REFUNDED: Told = (PaymentRefunded("o1", Money(1299, "GBP")), "p3")
FULFILLED: Told = (OrderFulfilled("o1", "c1", "e1", Money(1299, "GBP"), "T1"), "out")
CANCELLED: Told = (OrderCancelled("o1", "c1", "e1", "no_carrier"), "out")


OF_THE_ACCEPTED: dict[str, Placed] = {
    "e1": {
        "customer_id": "c1",
        "amount_minor": 1299,
        "currency": "GBP",
        "placed_at": "2010-12-01T08:26:00.000000+00:00",
    }
}


def desk() -> Desk:
    return Desk(HANDLERS, TABLES)


def test_a_record_is_opened_with_what_onboarding_tells() -> None:
    """The command's reply and the new row, whole; told again nothing is written."""
    row = Customer("c1", "open", "EIRE", "Ada")
    command = OpenCustomerRecord("c1", "EIRE", "Ada")

    assert open_customer_record(command, {}) == done(CustomerRecordOpened("c1"), row)
    assert open_customer_record(command, {"c1": row}) == done(CustomerRecordOpened("c1"))


def test_opening_keeps_the_totals_of_orders_that_came_first() -> None:
    """An order does not wait for onboarding; its totals are there when the record opens."""
    known = Customer("c1", orders=3, points=7, captured={"GBP": 799})

    assert open_customer_record(OpenCustomerRecord("c1", "EIRE", "Ada"), {"c1": known}) == done(
        CustomerRecordOpened("c1"),
        Customer("c1", "open", "EIRE", "Ada", orders=3, points=7, captured={"GBP": 799}),
    )


def test_closing_erases_the_person_and_keeps_the_totals() -> None:
    """Name and country go; closing what is closed, or was never there, is done as well."""
    known = Customer("c1", "open", "EIRE", "Ada", orders=3)
    closed = Customer("c1", "closed", orders=3)
    command = CloseCustomerRecord("c1")

    assert close_customer_record(command, {"c1": known}) == done(CustomerRecordClosed("c1"), closed)
    assert close_customer_record(command, {"c1": closed}) == done(CustomerRecordClosed("c1"))
    assert close_customer_record(command, {}) == done(CustomerRecordClosed("c1"))


def test_a_fulfilled_order_counts_the_same_in_any_order_of_its_news() -> None:
    """The accepted body alone counts, and facts told twice count once."""
    news = (PLACED, PLACED_OTHERWISE, FULFILLED, CAPTURED, CAPTURED, PLACED)
    for order in every_order(*news):
        after = desk().tell_all(order)

        assert after.all(CustomerOrder) == [
            CustomerOrder(
                "o1",
                "c1",
                "e1",
                {"kind": "fulfilled", "customer_id": "c1", "reason": ""},
                OF_THE_ACCEPTED,
                {"p1": {"kind": "captured", "amount_minor": 1299, "currency": "GBP"}},
            )
        ]
        assert after.all(Customer) == [
            Customer("c1", orders=1, fulfilled=1, points=12, captured={"GBP": 1299}),
            Customer("c2"),
        ]


def test_a_cancelled_order_counts_the_same_in_any_order_of_its_news() -> None:
    """No points; what was voided stands in the order's history and in no total."""
    news = (PLACED, PLACED_OTHERWISE, CANCELLED, CANCELLED, VOIDED, VOIDED)
    for order in every_order(*news):
        after = desk().tell_all(order)

        assert after.all(CustomerOrder) == [
            CustomerOrder(
                "o1",
                "c1",
                "e1",
                {"kind": "cancelled", "customer_id": "c1", "reason": "no_carrier"},
                OF_THE_ACCEPTED,
                {"p2": {"kind": "voided", "amount_minor": 1299, "currency": "GBP"}},
            )
        ]
        assert after.all(Customer) == [Customer("c1", orders=1, cancelled=1), Customer("c2")]


def test_news_without_an_end_counts_the_same_in_any_order() -> None:
    """While there is no outcome the order counts for the customer of the earliest body."""
    for order in every_order(PLACED, PLACED_OTHERWISE, PLACED_OTHERWISE, CAPTURED, REFUNDED):
        after = desk().tell_all(order)

        assert after.all(Customer) == [
            Customer("c1", orders=1, captured={"GBP": 1299}, refunded={"GBP": 1299}),
            Customer("c2"),
        ]


def test_the_rows_do_not_tell_what_came_first() -> None:
    """Not even by the order of what is written in them: digests are equal."""
    news = (PLACED, PLACED_OTHERWISE, CAPTURED, VOIDED, REFUNDED)

    assert len({desk().tell_all(order).written() for order in every_order(*news)}) == 1
    ended = every_order(*news, FULFILLED)
    assert len({desk().tell_all(order).written() for order in ended}) == 1


def test_an_outcome_counts_for_its_customer_before_the_order_is_known() -> None:
    """The outcome names the customer, and its word stands before that of any body."""
    after = desk().tell_all([PLACED_OTHERWISE, FULFILLED])

    assert after.all(Customer) == [Customer("c1", orders=1, fulfilled=1), Customer("c2")]


def test_points_stay_after_a_refund() -> None:
    """Granted once for what was captured; a refund is shown and takes none back."""
    for order in every_order(PLACED, FULFILLED, CAPTURED, REFUNDED, REFUNDED):
        assert desk().tell_all(order).all(Customer) == [
            Customer(
                "c1",
                orders=1,
                fulfilled=1,
                points=12,
                captured={"GBP": 1299},
                refunded={"GBP": 1299},
            )
        ]


def test_totals_add_up_over_a_customers_orders() -> None:
    """Each order adds its own worth; currencies are kept apart."""
    after = desk()
    for number, (currency, minor) in enumerate([("GBP", 1299), ("GBP", 1), ("JPY", 1299)]):
        order_id = f"o{number}"
        lines = (Line("A", 1, minor),)
        amount = Money(minor, currency)
        event = OrderPlaced(order_id, "c1", currency, lines, "Japan", EARLY)
        after.tell(event, f"e{number}")
        after.tell(OrderFulfilled(order_id, "c1", f"e{number}", amount, "T"), f"f{number}")
        after.tell(PaymentCaptured(order_id, "a", amount), f"p{number}")

    assert after.all(Customer) == [
        Customer(
            "c1", orders=3, fulfilled=3, points=12 + 0 + 1299, captured={"GBP": 1300, "JPY": 1299}
        )
    ]


def test_a_guests_order_has_history_and_no_customer() -> None:
    """Nobody to count it for; the order's row is kept all the same."""
    fulfilled = OrderFulfilled("o1", None, "e1", Money(1299, "GBP"), "T1")
    after = desk().tell_all([(placed(None, 12), "e1"), (fulfilled, "out"), CAPTURED])

    assert after.all(Customer) == []
    assert [type(row) for row in after.all(CustomerOrder)] == [CustomerOrder]


@pytest.mark.parametrize(
    ("currency", "minor", "points"),
    [("GBP", 1299, 12), ("GBP", 99, 0), ("JPY", 1299, 1299), ("KWD", 12999, 12)],
)
def test_a_point_is_a_whole_major_unit(currency: str, minor: int, points: int) -> None:
    """Decimals are those of ISO 4217; fractions are dropped."""
    order = CustomerOrder(
        "o1",
        outcome={"kind": "fulfilled", "customer_id": "c1", "reason": ""},
        payments={"p": {"kind": "captured", "amount_minor": minor, "currency": currency}},
    )

    assert points_of(order) == points


def test_an_outcome_that_contradicts_the_first_is_set_aside() -> None:
    """One order has one outcome; the message says which order and what to compare."""
    after = desk().tell_all([PLACED, FULFILLED])

    with pytest.raises(OutcomeChanged, match="order o1 ended as fulfilled; an outcome cancelled"):
        after.tell(*CANCELLED)


def test_news_already_known_write_nothing() -> None:
    """A fact told twice changes no row, not even its version."""
    after = desk().tell_all([PLACED, CAPTURED, FULFILLED])

    assert [after.tell(*told) for told in (PLACED, CAPTURED, FULFILLED)] == [changed()] * 3


def test_the_rows_fit_their_tables_and_the_reads_find_them() -> None:
    """The migrations take every row, and each named read answers from them."""
    after = desk().tell_all([PLACED, CAPTURED, FULFILLED])
    after.tell(OpenCustomerRecord("c1", "EIRE", "Ada"))

    (customer,) = after.read(MIGRATIONS, "customer_of", customer_id="c1")
    (order,) = after.read(MIGRATIONS, "orders_of", customer_id="c1", after="", limit=10)

    assert customer == {
        "customer_id": "c1",
        "record": "open",
        "country": "EIRE",
        "name": "Ada",
        "orders": 1,
        "fulfilled": 1,
        "cancelled": 0,
        "points": 12,
        "captured": '{"GBP":1299}',
        "refunded": "{}",
    }
    assert (order["order_id"], json.loads(str(order["placed"]))) == ("o1", OF_THE_ACCEPTED)
    assert after.read(MIGRATIONS, "orders_of", customer_id="c1", after="o1", limit=10) == []
    assert after.read(MIGRATIONS, "totals") == [
        {"customers": 1, "orders": 1, "fulfilled": 1, "cancelled": 0, "points": 12}
    ]


async def test_a_customer_is_shown_with_the_orders(tmp_path: Path) -> None:
    """Record, totals and history as one answer; the totals of all beside it.

    The name is an admin's to see: to everybody else it is masked.
    """
    after = desk().tell_all([PLACED, CAPTURED, FULFILLED])
    after.tell(OpenCustomerRecord("c1", "EIRE", "Ada"))
    async with client(routes, Port(after, MIGRATIONS), tmp_path) as http:
        shown = await http.get("/customers/c1")
        totals = await http.get("/customers")
    async with client(routes, Port(after, MIGRATIONS), tmp_path, Role.ADMIN) as http:
        seen = await http.get("/customers/c1")

    assert seen.json() == {**shown.json(), "name": "Ada"}
    assert shown.json() == {
        "customer_id": "c1",
        "record": "open",
        "country": "EIRE",
        "name": "***",
        "orders": 1,
        "fulfilled": 1,
        "cancelled": 0,
        "points": 12,
        "captured": {"GBP": 1299},
        "refunded": {},
        "history": [
            {
                "order_id": "o1",
                "placed": OF_THE_ACCEPTED["e1"],
                "outcome": {"kind": "fulfilled", "customer_id": "c1", "reason": ""},
                "payments": [{"kind": "captured", "amount_minor": 1299, "currency": "GBP"}],
            }
        ],
        "next": None,
    }
    assert totals.json() == {
        "customers": 1,
        "orders": 1,
        "fulfilled": 1,
        "cancelled": 0,
        "points": 12,
    }


async def test_a_long_history_comes_in_pages(tmp_path: Path) -> None:
    """A hundred orders at a time; the next page begins after the last one shown."""
    after = desk()
    for number in range(101):
        event = OrderPlaced(f"o{number:03}", "c1", "GBP", (Line("A", 1, 1),), "EIRE", EARLY)
        after.tell(event, f"e{number}")
    async with client(routes, Port(after, MIGRATIONS), tmp_path) as http:
        first = (await http.get("/customers/c1")).json()
        second = (await http.get(first["next"])).json()

    assert (len(first["history"]), first["next"]) == (100, "/customers/c1?after=o099")
    assert ([each["order_id"] for each in second["history"]], second["next"]) == (["o100"], None)


async def test_an_unknown_customer_is_not_found(tmp_path: Path) -> None:
    """404 with the id in words."""
    async with client(routes, Port(desk(), MIGRATIONS), tmp_path) as http:
        response = await http.get("/customers/nope")

    assert (response.status_code, faults(response)) == (
        404,
        [("customer_id", "no customer nope is known here")],
    )
