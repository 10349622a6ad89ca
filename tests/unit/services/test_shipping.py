"""Shipping books once, and what left is never called back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from reads import reading

from deploy.local.sandboxes import carrier as sandbox
from deploy.local.sandboxes.serving import Place
from schemas.common import Item
from schemas.shipping import (
    BookShipment,
    CancelShipment,
    DispatchShipment,
    ShipmentBooked,
    ShipmentCancelled,
    ShipmentDispatched,
    ShipmentRefused,
)
from services.chassis.handlers import Call, done, refused
from services.chassis.keyed_http import KeyedHttp
from services.chassis.settings import SettingsError
from services.shipping import gateway, handlers
from services.shipping.api import routes
from services.shipping.domain import Impossible, Shipment
from services.shipping.handlers import Shipments
from services.shipping.store import MIGRATIONS, TABLES

NONE: Shipments = {}
ITEMS = (Item("85123A", 6), Item("71053", 1))
BOOK = BookShipment("order-1", "United Kingdom", ITEMS)
CANCEL = CancelShipment("order-1")
DISPATCH = DispatchShipment("order-1", "trk-1")


def shipment(status: str, *, tracking: str = "trk-1", reason: str = "") -> Shipment:
    return Shipment("order-1", "United Kingdom", 7, status, tracking, reason)


BOOKED, CANCELLED, DISPATCHED = map(shipment, ("booked", "cancelled", "dispatched"))
REFUSED = shipment("refused", tracking="", reason="country_not_served")


def books(row: Shipment) -> Shipments:
    return {row.order_id: row}


@pytest.mark.parametrize("shipments", [NONE, books(REFUSED)])
def test_a_shipment_is_booked_with_all_its_pieces(shipments: Shipments) -> None:
    """The carrier is told country and pieces; what was refused may be asked for again."""
    body = {"order_id": "order-1", "country": "United Kingdom", "pieces": 7}
    assert handlers.ask_booking(BOOK, shipments) == Call("book", body)
    answer = handlers.record_booking(BOOK, shipments, {"tracking": "trk-1"})
    assert answer == done(ShipmentBooked("order-1", "trk-1"), BOOKED)


def test_the_carrier_s_refusal_is_kept_with_its_reason() -> None:
    """A country that is not served is a refusal, and a row that says so."""
    answer = handlers.record_booking(BOOK, NONE, {"refused": "country_not_served"})
    assert answer == refused(ShipmentRefused("order-1", "country_not_served"), REFUSED)


@pytest.mark.parametrize("row", [BOOKED, CANCELLED, DISPATCHED])
def test_an_order_is_booked_once(row: Shipment) -> None:
    """A second booking is refused without a call, and never overwrites the first."""
    reason = f"already_{row.status}"
    assert handlers.ask_booking(BOOK, books(row)) == refused(ShipmentRefused("order-1", reason))
    late = handlers.record_booking(BOOK, books(row), {"refused": reason})
    assert late == refused(ShipmentRefused("order-1", reason))
    with pytest.raises(Impossible, match=f"order-1.*trk-2.*{reason}"):
        handlers.record_booking(BOOK, books(row), {"tracking": "trk-2"})


@pytest.mark.parametrize(
    ("shipments", "rows"),
    [(NONE, ()), (books(BOOKED), (CANCELLED,)), (books(CANCELLED), ())],
)
def test_in_doubt_the_carrier_is_asked_to_cancel(
    shipments: Shipments, rows: tuple[Shipment, ...]
) -> None:
    """Only what we know is changed here; for the rest the carrier keeps its tombstone."""
    assert handlers.ask_cancellation(CANCEL, shipments) == Call("cancel", {"order_id": "order-1"})
    answer = handlers.record_cancellation(CANCEL, shipments, {"cancelled": False})
    assert answer == done(ShipmentCancelled("order-1"), *rows)


def test_what_was_refused_is_cancelled_without_a_call() -> None:
    """Nothing was booked, and that is known."""
    answer = handlers.ask_cancellation(CANCEL, books(REFUSED))
    assert answer == done(ShipmentCancelled("order-1"))


def test_what_left_is_never_said_to_be_cancelled() -> None:
    """There is no honest reply, so it is a fault that a person sees; the carrier's word too."""
    with pytest.raises(Impossible, match="order-1 has left as trk-1"):
        handlers.ask_cancellation(CANCEL, books(DISPATCHED))
    with pytest.raises(Impossible, match=r"order-1.*already_dispatched"):
        handlers.record_cancellation(CANCEL, NONE, {"refused": "already_dispatched"})


def test_goods_leave_once_and_everyone_hears_of_it() -> None:
    """The reply is the event; a second command replies without another event."""
    reply = ShipmentDispatched("order-1", "trk-1")
    call = handlers.ask_dispatch(DISPATCH, books(BOOKED))
    assert call == Call("dispatch", {"order_id": "order-1"})
    first = handlers.record_dispatch(DISPATCH, books(BOOKED), {"tracking": "trk-1"})
    assert first == done(reply, DISPATCHED, emits=(reply,))
    assert handlers.ask_dispatch(DISPATCH, books(DISPATCHED)) == done(reply)
    second = handlers.record_dispatch(DISPATCH, books(DISPATCHED), {"tracking": "trk-1"})
    assert second == done(reply)


@pytest.mark.parametrize(
    ("shipments", "says"),
    [
        (NONE, "order-1 was never booked"),
        (books(CANCELLED), "order-1 is cancelled"),
        (books(shipment("booked", tracking="trk-2")), "order-1 is booked as trk-2, not as trk-1"),
    ],
)
def test_what_is_not_booked_never_leaves(shipments: Shipments, says: str) -> None:
    """Dispatching has no refusal: a person must look, before the call and after it."""
    with pytest.raises(Impossible, match=says):
        handlers.ask_dispatch(DISPATCH, shipments)
    with pytest.raises(Impossible, match=says):
        handlers.record_dispatch(DISPATCH, shipments, {"tracking": "trk-1"})


def test_a_carrier_that_will_not_dispatch_is_a_fault() -> None:
    """Its reason is in the message."""
    with pytest.raises(Impossible, match=r"order-1.*already_cancelled"):
        handlers.record_dispatch(DISPATCH, books(BOOKED), {"refused": "already_cancelled"})


def settings_of(**environment: str) -> gateway.GatewaySettings:
    kafka = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092"}
    return gateway.GatewaySettings.read({**kafka, **environment}, service="shipping")


def test_shipping_does_not_start_without_a_carrier() -> None:
    """The address is asked for at the start, not at the first order."""
    with pytest.raises(SettingsError, match="BATON_CARRIER_URL: missing: the carrier"):
        settings_of()


@asynccontextmanager
async def connected(tmp_path: Path) -> AsyncIterator[KeyedHttp]:
    app = sandbox.build(Place(tmp_path / "carrier.db", 0))
    settings = settings_of(BATON_CARRIER_URL="http://127.0.0.1")
    async with (
        app.router.lifespan_context(app),
        gateway.open_gateway(settings, transport=httpx.ASGITransport(app)) as carrier,
    ):
        yield carrier


async def test_the_gateway_speaks_the_carrier_s_language(tmp_path: Path) -> None:
    """Against the sandbox's real HTTP each call becomes the result that the handlers read."""

    def asked(country: str) -> Call:
        call = handlers.ask_booking(BookShipment(f"to-{country}", country, ITEMS), NONE)
        assert isinstance(call, Call)
        return call

    there = {"order_id": "to-France"}
    async with connected(tmp_path) as carrier:
        booked = await gateway.book(carrier, asked("France"), "a")
        refusal = await gateway.book(carrier, asked("EIRE"), "b")
        left = await gateway.dispatch(carrier, Call("dispatch", there), "c")
        late = await gateway.cancel(carrier, Call("cancel", there), "d")
        early = await gateway.cancel(carrier, Call("cancel", {"order_id": "to-Japan"}), "e")
        overtaken = await gateway.book(carrier, asked("Japan"), "f")
    assert booked == left == {"tracking": booked["tracking"]}
    assert refusal == {"refused": "country_not_served"}
    assert late == {"refused": "already_dispatched"}
    assert early == {"cancelled": False}
    assert overtaken == {"refused": "already_cancelled"}


async def test_people_can_read_shipments(tmp_path: Path) -> None:
    """One shipment by its order, the totals by state, and a 404 that says what is missing."""
    rows = [BOOKED, Shipment("order-2", "EIRE", 1, "refused", "", "country_not_served")]
    async with reading(tmp_path, TABLES, routes, rows, migrations=MIGRATIONS) as client:
        one = (await client.get("/shipments/order-1")).json()
        totals = (await client.get("/shipments")).json()
        none = await client.get("/shipments/order-9")
    assert one == {
        "order_id": "order-1", "country": "United Kingdom", "pieces": 7, "status": "booked",
        "tracking": "trk-1", "reason": "",
    }  # fmt: skip
    assert totals == {"booked": 1, "refused": 1}
    assert (none.status_code, none.json()["type"]) == (404, "/problems/unknown_shipment")
