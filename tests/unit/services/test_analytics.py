"""Analytics' handlers: whole rows, and days that do not depend on the order of the news."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from desk import Desk, Port, Told, client, every_order, faults

from schemas.analytics import EraseProfile, ProfileErased, ProfileStarted, StartProfile
from schemas.billing import PaymentCaptured, PaymentRefunded, PaymentVoided
from schemas.common import Item, Line, Money
from schemas.inventory import GoodsReceived, StockLow
from schemas.orchestrator import (
    CustomerNeedsAttention,
    CustomerOnboarded,
    CustomerRefused,
    OrderCancellationRefused,
    OrderCancelled,
    OrderFulfilled,
    OrderNeedsAttention,
)
from schemas.orders import OrderCancellationRequested, OrderPlaced
from schemas.shipping import ShipmentDispatched
from services.analytics.api import routes
from services.analytics.domain import (
    Day,
    Delivery,
    DeliveryChanged,
    OrderFacts,
    OutcomeChanged,
    Placed,
    Product,
    Profile,
)
from services.analytics.handlers import HANDLERS, erase_profile, start_profile
from services.analytics.store import MIGRATIONS, TABLES
from services.chassis.handlers import changed, done

FIRST = datetime(2010, 12, 1, 23, 59, tzinfo=UTC)
NEXT = datetime(2010, 12, 2, 0, 0, tzinfo=UTC)
GBP = Money(1200, "GBP")


def placed(pounds: int, units: int, when: datetime, order_id: str = "o1") -> OrderPlaced:
    lines = (Line("A", units, pounds * 100 // units),)
    return OrderPlaced(order_id, "c1", "GBP", lines, "EIRE", when)


PLACED: Told = (placed(12, 4, FIRST), "e1")
PLACED_OTHERWISE: Told = (placed(700, 7, NEXT), "e0")
ASKED: Told = (OrderCancellationRequested("o1", "r1", "changed my mind", NEXT), "e3")
DENIED: Told = (OrderCancellationRefused("o1", "r1", "too_late"), "n1")
STUCK: Told = (OrderNeedsAttention("o1", "capture", "no_reply", 1), "n2")
STUCK_AGAIN: Told = (OrderNeedsAttention("o1", "capture", "no_reply", 2), "n3")
CAPTURED: Told = (PaymentCaptured("o1", "a1", GBP), "p1")
VOIDED: Told = (PaymentVoided("o1", GBP), "p2")
REFUNDED: Told = (PaymentRefunded("o1", GBP), "p3")
LEFT: Told = (ShipmentDispatched("o1", "T1"), "s1")
FULFILLED: Told = (OrderFulfilled("o1", "c1", "e1", GBP, "T1"), "out")
CANCELLED: Told = (OrderCancelled("o1", "c1", "e1", "no_carrier"), "out")

ORDERED = Day("2010-12-01", placed=1, units_ordered=4, ordered_minor={"GBP": 1200})
OF_THE_ACCEPTED: dict[str, Placed] = {
    "e1": {
        "placed_at": "2010-12-01T23:59:00.000000+00:00",
        "country": "EIRE",
        "currency": "GBP",
        "amount_minor": 1200,
        "units": 4,
    }
}


def desk() -> Desk:
    return Desk(HANDLERS, TABLES)


def test_a_fulfilled_order_counts_the_same_in_any_order_of_its_news() -> None:
    """The accepted body's day has the order, once, however often its news are told."""
    news = (PLACED, PLACED_OTHERWISE, FULFILLED, CAPTURED, CAPTURED, LEFT)
    for order in every_order(*news):
        after = desk().tell_all(order)

        assert after.all(OrderFacts) == [
            OrderFacts(
                "o1",
                OF_THE_ACCEPTED,
                "e1",
                {"kind": "fulfilled", "reason": ""},
                {"p1": {"kind": "captured", "amount_minor": 1200, "currency": "GBP"}},
                dispatched=1,
            )
        ]
        assert after.all(Day) == [
            replace(ORDERED, fulfilled=1, dispatched=1, captured_minor={"GBP": 1200}),
            Day("2010-12-02"),
        ]


def test_a_cancelled_order_counts_the_same_in_any_order_of_its_news() -> None:
    """Its reason is counted on the day it was placed, with what was voided."""
    for order in every_order(PLACED, PLACED_OTHERWISE, CANCELLED, CANCELLED, VOIDED, ASKED):
        assert desk().tell_all(order).all(Day) == [
            replace(
                ORDERED,
                cancelled=1,
                cancelled_by={"no_carrier": 1},
                cancellations_asked=1,
                voided_minor={"GBP": 1200},
            ),
            Day("2010-12-02"),
        ]


def test_a_troubled_order_counts_the_same_in_any_order_of_its_news() -> None:
    """Notices and requests count once per order and request, before there is an outcome."""
    for order in every_order(PLACED, STUCK, STUCK_AGAIN, ASKED, DENIED, REFUNDED):
        after = desk().tell_all(order)

        assert after.all(OrderFacts) == [
            OrderFacts(
                "o1",
                OF_THE_ACCEPTED,
                payments={"p3": {"kind": "refunded", "amount_minor": 1200, "currency": "GBP"}},
                cancellations=["r1"],
                refusals=["r1"],
                attention=2,
            )
        ]
        assert after.all(Day) == [
            replace(
                ORDERED,
                needed_attention=1,
                cancellations_asked=1,
                cancellations_refused=1,
                refunded_minor={"GBP": 1200},
            )
        ]


def test_the_earliest_body_counts_while_none_is_accepted() -> None:
    """By the time it was placed, whatever its id and whatever came first."""
    for order in every_order(PLACED, PLACED_OTHERWISE, CAPTURED):
        assert desk().tell_all(order).all(Day) == [
            replace(ORDERED, captured_minor={"GBP": 1200}),
            Day("2010-12-02"),
        ]


def test_the_rows_do_not_tell_what_came_first() -> None:
    """Not even by the order of what is written in them: digests are equal."""
    news = (PLACED, PLACED_OTHERWISE, CAPTURED, VOIDED, REFUNDED)

    assert len({desk().tell_all(order).written() for order in every_order(*news)}) == 1
    ended = every_order(*news, CANCELLED)
    assert len({desk().tell_all(order).written() for order in ended}) == 1


def test_facts_told_twice_write_nothing() -> None:
    """Of every kind of news, the second telling changes no row."""
    every = [PLACED, ASKED, DENIED, STUCK, CAPTURED, VOIDED, REFUNDED, LEFT, FULFILLED]
    after = desk().tell_all(every)

    assert [after.tell(*told) for told in every] == [changed()] * len(every)


def test_an_order_that_was_not_placed_counts_for_no_day() -> None:
    """Its facts are kept and counted when the order itself becomes known."""
    after = desk().tell_all([CAPTURED, LEFT, CANCELLED])

    assert after.all(Day) == []
    assert after.read(MIGRATIONS, "not_placed") == [{"orders": 1}]


def test_a_day_is_a_day_in_utc() -> None:
    """Half past midnight in summer time belongs to the day before."""
    summer = datetime(2011, 6, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    after = desk()
    after.tell(placed(12, 4, summer), "e1")
    after.tell(GoodsReceived("d1", (Item("A", 5),), summer))

    assert after.all(Day) == [replace(ORDERED, date="2011-05-31", deliveries=1, units_received=5)]


def test_the_orders_of_a_day_add_up() -> None:
    """Each adds its own worth to the day and to its reason."""
    after = desk()
    for number, reason in enumerate(["out_of_stock", "out_of_stock", "payment_declined"]):
        after.tell(placed(12, 4, FIRST, f"o{number}"), f"e{number}")
        after.tell(OrderCancelled(f"o{number}", None, f"e{number}", reason), "out")

    assert after.all(Day) == [
        Day(
            "2010-12-01",
            placed=3,
            cancelled=3,
            units_ordered=12,
            cancelled_by={"out_of_stock": 2, "payment_declined": 1},
            ordered_minor={"GBP": 3600},
        )
    ]


def test_an_outcome_that_contradicts_the_first_is_set_aside() -> None:
    """One order has one outcome; the message says which order and what to compare."""
    after = desk().tell_all([PLACED, CANCELLED])

    with pytest.raises(OutcomeChanged, match="order o1 ended as cancelled; an outcome fulfilled"):
        after.tell(*FULFILLED)


def test_a_delivery_counts_once_on_the_day_it_arrived() -> None:
    """Units of all its products; told again it changes nothing, told otherwise it is set aside."""
    event = GoodsReceived("d1", (Item("A", 5), Item("B", 7)), NEXT)
    after = desk()

    assert after.tell(event) == changed(
        Delivery("d1", "2010-12-02", 12), Day("2010-12-02", deliveries=1, units_received=12)
    )
    assert after.tell(event) == changed()
    with pytest.raises(DeliveryChanged, match="delivery d1 was counted before with other"):
        after.tell(GoodsReceived("d1", (Item("A", 6),), NEXT))


def test_the_lowest_stock_ever_told_is_kept() -> None:
    """Whatever came first, and however often."""
    news = [(StockLow("A", free, 10), "") for free in (3, 8, 3)]
    for order in every_order(*news):
        assert desk().tell_all(order).all(Product) == [Product("A", 3, 10)]


def test_profiles_are_started_and_erased() -> None:
    """Replies and rows, whole; a repetition writes nothing, and erasing nothing is done."""
    started, erased = Profile("c1", "started", "EIRE"), Profile("c1", "erased")
    start, erase = StartProfile("c1", "EIRE"), EraseProfile("c1")

    assert start_profile(start, {}) == done(ProfileStarted("c1"), started)
    assert start_profile(start, {"c1": started}) == done(ProfileStarted("c1"))
    assert erase_profile(erase, {"c1": started}) == done(ProfileErased("c1"), erased)
    assert erase_profile(erase, {"c1": erased}) == done(ProfileErased("c1"))
    assert erase_profile(erase, {}) == done(ProfileErased("c1"))


@pytest.mark.parametrize(
    ("outcome", "ends"),
    [
        (CustomerOnboarded("c1"), Profile("c1", "started", "EIRE", "onboarded")),
        (
            CustomerRefused("c1", "account_refused"),
            Profile("c1", "started", "EIRE", "refused", "account_refused"),
        ),
    ],
)
def test_onboarding_ends_the_same_in_any_order_of_its_news(outcome: object, ends: Profile) -> None:
    """A notice that it is stuck never hides how it ended."""
    stuck = CustomerNeedsAttention("c1", "account", "no_reply", 1)
    for order in every_order((outcome, ""), (stuck, ""), (StartProfile("c1", "EIRE"), "")):
        assert desk().tell_all(order).all(Profile) == [ends]


def test_the_rows_fit_their_tables_and_the_reads_find_them() -> None:
    """The migrations take every row, and each named read answers from them."""
    after = desk().tell_all([PLACED, CANCELLED, (placed(1, 1, NEXT, "o2"), "e9"), VOIDED])
    after.tell(OrderCancelled("o2", None, "e9", "payment_declined"), "out")
    after.tell(GoodsReceived("d1", (Item("A", 5),), NEXT))
    after.tell(StockLow("B", 0, 10))
    after.tell(StockLow("A", 2, 10))
    after.tell(StartProfile("c1", "EIRE"))

    (day,) = after.read(MIGRATIONS, "day_of", date="2010-12-01")

    assert (day["placed"], day["cancelled_by"], day["voided_minor"]) == (
        1,
        '{"no_carrier":1}',
        '{"GBP":1200}',
    )
    days = after.read(MIGRATIONS, "days", after="2010-12-01", limit=10)
    assert [(row["date"], row["units_received"]) for row in days] == [("2010-12-02", 5)]
    assert after.read(MIGRATIONS, "reasons") == [
        {"reason": "no_carrier", "orders": 1},
        {"reason": "payment_declined", "orders": 1},
    ]
    assert [row["sku"] for row in after.read(MIGRATIONS, "low_stock", limit=10)] == ["B", "A"]
    assert after.read(MIGRATIONS, "onboarding") == [
        {"state": "started", "onboarding": "", "reason": "", "customers": 1}
    ]


async def test_days_and_reasons_are_served(tmp_path: Path) -> None:
    """Days in order with their amounts by currency, and all reasons together."""
    after = desk().tell_all([PLACED, CANCELLED, VOIDED, (StockLow("A", 2, 10), "")])
    after.tell(GoodsReceived("d1", (Item("A", 5),), NEXT))
    after.tell(StartProfile("c1", "EIRE"))
    first = {
        "date": "2010-12-01",
        "placed": 1,
        "fulfilled": 0,
        "cancelled": 1,
        "needed_attention": 0,
        "cancellations_asked": 0,
        "cancellations_refused": 0,
        "dispatched": 0,
        "units_ordered": 4,
        "deliveries": 0,
        "units_received": 0,
        "cancelled_by": {"no_carrier": 1},
        "ordered_minor": {"GBP": 1200},
        "captured_minor": {},
        "voided_minor": {"GBP": 1200},
        "refunded_minor": {},
    }
    async with client(routes, Port(after, MIGRATIONS), tmp_path) as http:
        days = (await http.get("/days")).json()
        later = (await http.get("/days?after=2010-12-01")).json()
        one = (await http.get("/days/2010-12-01")).json()
        reasons = (await http.get("/reasons")).json()
        low = (await http.get("/low-stock")).json()
        customers = (await http.get("/onboarding")).json()

    assert (days["days"][0], days["next"]) == (first, None)
    assert [day["date"] for day in days["days"]] == ["2010-12-01", "2010-12-02"]
    assert later["days"] == days["days"][1:]
    assert one == first
    assert reasons == {"reasons": [{"reason": "no_carrier", "orders": 1}]}
    assert low == {"products": [{"sku": "A", "lowest_free": 2, "threshold": 10}]}
    assert customers == {
        "customers": [{"state": "started", "onboarding": "", "reason": "", "customers": 1}]
    }


@pytest.mark.parametrize(
    ("path", "status", "fault"),
    [
        (
            "/days/2010-12-25",
            404,
            ("date", "nothing counts for 2010-12-25; `GET /days` lists those that count"),
        ),
        ("/days/christmas", 422, ("date", "must be a date like 2010-12-01")),
        ("/days?after=christmas", 422, ("after", "must be a date like 2010-12-01")),
    ],
)
async def test_a_day_that_is_none_is_refused(
    tmp_path: Path, path: str, status: int, fault: tuple[str, str]
) -> None:
    """With the place and what to ask instead."""
    async with client(routes, Port(desk(), MIGRATIONS), tmp_path) as http:
        response = await http.get(path)

    assert (response.status_code, faults(response)) == (status, [fault])
