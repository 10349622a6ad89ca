"""Inventory's handlers as plain functions: whole answers, and stock that always adds up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path

import pytest
from desk import Desk, Port, client, faults
from hypothesis import given
from hypothesis import strategies as st

from schemas.common import Item
from schemas.inventory import (
    GoodsReceived,
    OutOfStock,
    ReleaseStock,
    ReserveStock,
    StockLow,
    StockReleased,
    StockReserved,
)
from schemas.shipping import ShipmentDispatched
from services.chassis.handlers import Answer, Change, changed, done, refused
from services.inventory.api import routes
from services.inventory.domain import (
    LOW_STOCK_UNITS,
    Delivery,
    DeliveryChanged,
    DispatchedAfterRelease,
    Reservation,
    ReservationHeld,
    Shelf,
    StockFault,
)
from services.inventory.handlers import (
    HANDLERS,
    goods_left,
    goods_received,
    release_stock,
    reserve_stock,
    reserved_skus,
    skus,
)
from services.inventory.store import MIGRATIONS, TABLES

NOW = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)


def reserve(order_id: str, **units: int) -> ReserveStock:
    return ReserveStock(order_id, tuple(Item(sku, n) for sku, n in units.items()))


def shelves(*rows: Shelf) -> dict[str, Shelf]:
    return {row.sku: row for row in rows}


def held(units: dict[str, int], status: str) -> dict[str, Reservation]:
    return {"o1": Reservation("o1", units, status)}


class Warehouse:
    """The rows as the chassis would load, hand out and write them."""

    def __init__(self) -> None:
        self.shelves: dict[str, Shelf] = {}
        self.reservations: dict[str, Reservation] = {}
        self.deliveries: dict[str, Delivery] = {}

    def write(self, rows: Sequence[object]) -> None:
        for row in rows:
            match row:
                case Shelf():
                    self.shelves[row.sku] = row
                case Reservation():
                    self.reservations[row.order_id] = row
                case Delivery():
                    self.deliveries[row.delivery_id] = row

    def apply(self, message: object) -> Answer | Change:
        result: Answer | Change
        match message:
            case ReserveStock():
                wanted = skus(message, self.reservations)
                result = reserve_stock(message, self.reservations, self._shelves(wanted))
            case ReleaseStock():
                wanted = reserved_skus(message, self.reservations)
                result = release_stock(message, self.reservations, self._shelves(wanted))
            case ShipmentDispatched():
                wanted = reserved_skus(message, self.reservations)
                result = goods_left(message, self.reservations, self._shelves(wanted))
            case GoodsReceived():
                wanted = skus(message, self.deliveries)
                result = goods_received(message, self.deliveries, self._shelves(wanted))
            case _:
                raise AssertionError(message)
        self.write(result.rows)
        return result

    def _shelves(self, wanted: Sequence[str]) -> dict[str, Shelf]:
        return {sku: self.shelves[sku] for sku in wanted if sku in self.shelves}


def test_goods_that_are_free_are_reserved_whole() -> None:
    """Every product moves from on hand to reserved, and the order's reservation names them."""
    answer = reserve_stock(
        reserve("o1", A=2, B=30), {}, shelves(Shelf("A", 50, 1, 1), Shelf("B", 60))
    )

    assert answer == done(
        StockReserved("o1"),
        Reservation("o1", {"A": 2, "B": 30}, "reserved"),
        Shelf("A", 48, 3, 1),
        Shelf("B", 30, 30, 0),
    )


def test_a_product_named_twice_counts_summed() -> None:
    """Two lines of three need six: five on the shelf are refused, six are enough."""
    command = ReserveStock("o1", (Item("A", 3), Item("A", 3)))

    assert reserve_stock(command, {}, shelves(Shelf("A", 5))) == refused(OutOfStock("o1", ("A",)))
    assert reserve_stock(command, {}, shelves(Shelf("A", 6))) == done(
        StockReserved("o1"), Reservation("o1", {"A": 6}, "reserved"), Shelf("A", 0, 6, 0)
    )


def test_an_order_is_refused_whole_naming_every_short_product_sorted() -> None:
    """Products never received are short too; nothing moves, not even what is there."""
    stock = shelves(Shelf("B", 1), Shelf("C", 100), Shelf("A", 0, 9, 9))

    answer = reserve_stock(reserve("o1", Z=1, C=1, B=2, A=1), {}, stock)

    assert answer == refused(OutOfStock("o1", ("A", "B", "Z")))


def test_stock_low_is_told_once_when_the_threshold_is_reached() -> None:
    """Only the reservation that comes down to the threshold tells it, sorted by product."""
    above = LOW_STOCK_UNITS + 1
    stock = shelves(Shelf("B", above), Shelf("A", above), Shelf("C", LOW_STOCK_UNITS))

    answer = reserve_stock(reserve("o1", B=1, A=11, C=1), {}, stock)

    assert answer.emits == (
        StockLow("A", 0, LOW_STOCK_UNITS),
        StockLow("B", LOW_STOCK_UNITS, LOW_STOCK_UNITS),
    )
    assert reserve_stock(reserve("o2", D=1), {}, shelves(Shelf("D", 12))).emits == ()


def test_reserved_goods_are_released_once() -> None:
    """The reservation is kept as released, and a second release finds nothing to give back."""
    stock = shelves(Shelf("A", 1, 5, 0))

    first = release_stock(ReleaseStock("o1"), held({"A": 4}, "reserved"), stock)
    second = release_stock(ReleaseStock("o1"), held({"A": 4}, "released"), stock)

    assert first == done(
        StockReleased("o1"), Reservation("o1", {"A": 4}, "released"), Shelf("A", 5, 1, 0)
    )
    assert second == done(StockReleased("o1"))


@pytest.mark.parametrize("status", ["gone", "left_early"])
def test_goods_that_left_are_not_released(status: str) -> None:
    """What has left the house cannot be put back on the shelf."""
    answer = release_stock(ReleaseStock("o1"), held({"A": 4}, status), shelves(Shelf("A", 1, 4)))

    assert answer == done(StockReleased("o1"))


def test_releasing_nothing_is_done() -> None:
    """An undo whose do never came is answered all the same."""
    assert release_stock(ReleaseStock("o1"), {}, {}) == done(StockReleased("o1"))


def test_dispatched_goods_are_gone_once() -> None:
    """Reserved units leave; the same news again changes nothing."""
    event, stock = ShipmentDispatched("o1", "T1"), shelves(Shelf("A", 1, 5, 2))

    assert goods_left(event, held({"A": 4}, "reserved"), stock) == changed(
        Reservation("o1", {"A": 4}, "gone"), Shelf("A", 1, 1, 6)
    )
    assert goods_left(event, held({"A": 4}, "gone"), stock) == changed()


def test_a_dispatch_heard_of_before_its_reservation_is_remembered() -> None:
    """After a restored database the event may come first: the goods then go straight on."""
    early = goods_left(ShipmentDispatched("o1", "T1"), {}, {})
    answer = reserve_stock(
        reserve("o1", A=4), held({}, "left_early"), shelves(Shelf("A", 20, 1, 0))
    )

    assert early == changed(Reservation("o1", {}, "left_early"))
    assert goods_left(ShipmentDispatched("o1", "T1"), held({}, "left_early"), {}) == changed()
    assert answer == done(
        StockReserved("o1"), Reservation("o1", {"A": 4}, "gone"), Shelf("A", 16, 1, 4)
    )


def test_a_dispatch_after_the_release_is_a_contradiction() -> None:
    """The goods may be promised to others by now: the event is set aside for an operator."""
    with pytest.raises(DispatchedAfterRelease, match="order o1: its goods left after"):
        goods_left(
            ShipmentDispatched("o1", "T1"), held({"A": 4}, "released"), shelves(Shelf("A", 9))
        )


@pytest.mark.parametrize("status", ["reserved", "gone"])
def test_an_order_holds_one_reservation_at_a_time(status: str) -> None:
    """A second operation for an order that holds goods is set aside, even when short."""
    with pytest.raises(ReservationHeld, match=f"order o1 is already {status}"):
        reserve_stock(reserve("o1", A=400), held({"A": 4}, status), shelves(Shelf("A", 9)))


def test_an_order_may_reserve_again_after_its_release() -> None:
    """A second attempt at the order takes goods anew."""
    answer = reserve_stock(reserve("o1", A=1), held({"A": 4}, "released"), shelves(Shelf("A", 30)))

    assert answer == done(
        StockReserved("o1"), Reservation("o1", {"A": 1}, "reserved"), Shelf("A", 29, 1, 0)
    )


def test_a_delivery_is_added_once_by_its_id() -> None:
    """New products get a shelf, known ones more units; told again, nothing is added."""
    event = GoodsReceived("d1", (Item("A", 5), Item("B", 1), Item("A", 5)), NOW)
    delivery = Delivery("d1", {"A": 10, "B": 1})

    assert goods_received(event, {}, shelves(Shelf("A", 1, 2, 3))) == changed(
        delivery, Shelf("A", 11, 2, 3), Shelf("B", 1, 0, 0)
    )
    assert goods_received(event, {"d1": delivery}, shelves(Shelf("A", 11, 2, 3))) == changed()


def test_a_delivery_with_other_contents_is_a_contradiction() -> None:
    """One id, two deliveries: the second is set aside with its reason."""
    event = GoodsReceived("d1", (Item("A", 5),), NOW)

    with pytest.raises(DeliveryChanged, match="delivery d1 was received before with other"):
        goods_received(event, {"d1": Delivery("d1", {"A": 6})}, {})


def test_a_shelf_cannot_go_below_zero() -> None:
    """Whoever takes more than there is gets a fault that names the product."""
    with pytest.raises(StockFault, match="product A: on hand -1"):
        Shelf("A", 1).reserve(2)
    with pytest.raises(StockFault, match="product A: on hand 3, reserved -2"):
        Shelf("A", 1).release(2)


def test_two_hundred_orders_on_the_last_ten_units_reserve_exactly_ten() -> None:
    """The first ten of them get one unit each; all others are refused."""
    house = Warehouse()
    house.apply(GoodsReceived("d1", (Item("A", 10),), NOW))

    answers = [house.apply(reserve(f"o{n}", A=1)) for n in range(200)]

    assert [a.reply for a in answers if isinstance(a, Answer)] == [
        *(StockReserved(f"o{n}") for n in range(10)),
        *(OutOfStock(f"o{n}", ("A",)) for n in range(10, 200)),
    ]
    assert house.shelves == {"A": Shelf("A", 0, 10, 0)}


def test_goods_that_left_are_gone_once_whatever_came_first() -> None:
    """Only a dispatch of goods already released is set aside; every other order ends as gone."""
    do, undo = reserve("o1", A=4), ReleaseStock("o1")
    left = ShipmentDispatched("o1", "T1")
    for order in set(permutations((do, undo, left, left))):
        house, parked = Warehouse(), 0
        house.apply(GoodsReceived("d1", (Item("A", 10),), NOW))
        for message in order:
            try:
                house.apply(message)
            except DispatchedAfterRelease:
                parked += 1
        contradicts = order.index(do) < order.index(undo) < order.index(left)

        assert parked == (2 if contradicts else 0)
        assert house.shelves["A"] == (Shelf("A", 10) if contradicts else Shelf("A", 6, 0, 4))


@st.composite
def messages(draw: st.DrawFn) -> object:
    order_id = f"o{draw(st.integers(0, 3))}"
    item = st.builds(Item, st.sampled_from("ABC"), st.integers(1, 6))
    some = tuple(draw(st.lists(item, min_size=1, max_size=4)))
    return draw(
        st.sampled_from(
            [
                ReserveStock(order_id, some),
                ReleaseStock(order_id),
                ShipmentDispatched(order_id, "T1"),
                GoodsReceived(f"d{draw(st.integers(0, 5))}", some, NOW),
            ]
        )
    )


@pytest.mark.searches
@given(st.lists(messages(), max_size=40))
def test_stock_always_adds_up(sequence: list[object]) -> None:
    """After any message on hand + reserved + gone is what was received; nothing is negative."""
    house = Warehouse()
    for message in sequence:
        before = (dict(house.shelves), dict(house.reservations))
        try:
            house.apply(message)
        except StockFault:
            assert before == (house.shelves, house.reservations)
        received: dict[str, int] = {}
        for delivery in house.deliveries.values():
            for sku, units in delivery.units.items():
                received[sku] = received.get(sku, 0) + units
        promised: dict[str, int] = {}
        for row in house.reservations.values():
            for sku, units in row.units.items() if row.status == "reserved" else ():
                promised[sku] = promised.get(sku, 0) + units

        assert {s.sku: s.received for s in house.shelves.values()} == received
        assert all(min(s.on_hand, s.reserved, s.gone) >= 0 for s in house.shelves.values())
        assert {s.sku: s.reserved for s in house.shelves.values() if s.reserved} == promised


def test_the_rows_fit_their_tables_and_the_reads_find_them() -> None:
    """The migrations take every row, and each named read answers from them."""
    desk = Desk(HANDLERS, TABLES)
    desk.tell(GoodsReceived("d1", (Item("A", 10), Item("B", 5)), NOW))
    desk.tell(reserve("o1", A=4, B=1))
    desk.tell(reserve("o2", B=1))
    desk.tell(ShipmentDispatched("o1", "T1"))

    assert desk.read(MIGRATIONS, "stock_of", sku="A") == [
        {"sku": "A", "on_hand": 6, "reserved": 0, "gone": 4}
    ]
    assert desk.read(MIGRATIONS, "stock", after="A", limit=10) == [
        {"sku": "B", "on_hand": 3, "reserved": 1, "gone": 1}
    ]
    assert desk.read(MIGRATIONS, "stock_totals") == [
        {"products": 2, "received": 15, "on_hand": 9, "reserved": 1, "gone": 5}
    ]
    assert desk.read(MIGRATIONS, "reservation_of", order_id="o1") == [
        {"order_id": "o1", "units": '{"A":4,"B":1}', "status": "gone"}
    ]


async def test_stock_is_served(tmp_path: Path) -> None:
    """One product, all products with their totals, and 404 for what was never received."""
    desk = Desk(HANDLERS, TABLES)
    desk.tell(GoodsReceived("d1", (Item("A", 10),), NOW))
    shelf = {"sku": "A", "on_hand": 10, "reserved": 0, "gone": 0}
    async with client(routes, Port(desk, MIGRATIONS), tmp_path) as http:
        every = await http.get("/stock")
        one = await http.get("/stock/A")
        none = await http.get("/stock/Z")

    assert every.json() == {
        "products": [shelf],
        "totals": {"products": 1, "received": 10, "on_hand": 10, "reserved": 0, "gone": 0},
        "next": None,
    }
    assert one.json() == shelf
    assert (none.status_code, faults(none)) == (
        404,
        [("sku", "no product Z was ever received; `GET /stock` lists all that were")],
    )
