"""What records and answers mean for the totals of an import."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import pytest

from deploy.local import faults
from deploy.local.home import Home
from deploy.local.retail import observe as observing
from deploy.local.retail.observe import (
    Places,
    distinct,
    outcomes_of,
    payments_of,
    places,
    stock_of,
    story_line,
)
from deploy.local.retail.orders import Order, OrderLine
from deploy.local.retail.publish import Plan, plan
from deploy.local.retail.reconcile import Elsewhere, Ending, Observed, Outcome, Payments, Stock
from deploy.local.retail.report import StoryLine
from schemas.catalogue import load_catalogue
from schemas.common import Item, Line, Money
from schemas.inventory import GoodsReceived
from schemas.orchestrator import OrderCancelled, OrderFulfilled, OrderNeedsAttention
from schemas.orders import OrderPlaced
from services.chassis.codec import Codec
from services.chassis.envelope import Cause, Maker
from services.chassis.messages import Outgoing, Record

CATALOGUE = load_catalogue()
CODEC = Codec(CATALOGUE)
AT = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
STOCK = {"products": 1, "received": 10, "on_hand": 7, "reserved": 0, "gone": 3}
LEDGER = {
    "currencies": {
        "GBP": {
            "authorised_minor": 900,
            "captured_minor": 650,
            "voided_minor": 250,
            "refunded_minor": 0,
            "captures": 1,
        },
        "EUR": {"authorised_minor": 5},
    },
    "declined": 0,
}
LINE = {
    "seq": 1,
    "at": "2026-11-23T14:31:52.726380Z",
    "what": "answered",
    "result": "applied",
    "from_state": "awaiting_payment",
    "to_state": "awaiting_shipment",
    "cause": {"id": "x", "source": "billing", "type": "billing.PaymentAuthorised"},
    "sent": ["BookShipment"],
}


def record(body: object, message_id: str, source: str = "orchestrator") -> Record:
    made = Maker(source, CODEC, CATALOGUE).event(body, message_id, 0, Cause())
    return as_record(made)


def as_record(made: Outgoing) -> Record:
    return Record(made.topic, 0, 0, 0, made.key.encode(), made.value, made.headers)


def fulfilled(order_id: str, event_id: str = "e", pence: int = 650) -> OrderFulfilled:
    return OrderFulfilled(order_id, None, event_id, Money(pence, "GBP"), "T-1")


def placed(order_id: str, *quantities: int) -> OrderPlaced:
    lines = tuple(Line("LAMP", quantity, 100) for quantity in quantities)
    return OrderPlaced(order_id, None, "GBP", lines, "France", AT)


def test_a_message_that_lies_twice_in_its_topic_counts_once() -> None:
    """By source and id, in order; what cannot be read counts for nothing."""
    broken = Record("t", 0, 0, 0, b"k", b"{}", (("ce_id", b"z"),))
    said = distinct(
        [
            record(fulfilled("a"), "1"),
            record(fulfilled("a"), "1"),
            record(fulfilled("a"), "1", source="another"),
            broken,
        ],
        CODEC,
    )
    assert [(each.source, each.id) for each in said] == [("orchestrator", "1"), ("another", "1")]


def test_notices_are_no_outcomes() -> None:
    """A fulfilled order with its amount, a cancelled one with its reason."""
    said = distinct(
        [
            record(fulfilled("a"), "1"),
            record(OrderNeedsAttention("b", "payment", "no_reply", 1), "2"),
            record(OrderCancelled("b", None, None, "out_of_stock"), "3"),
        ],
        CODEC,
    )
    assert outcomes_of(said) == [
        Outcome("a", Ending.FULFILLED, amount_minor=650),
        Outcome("b", Ending.CANCELLED, "out_of_stock"),
    ]


def test_totals_are_read_in_the_currency_of_the_import() -> None:
    """A provider that has seen none of it has zeros."""
    assert payments_of(LEDGER) == Payments(900, 650, 250, 0)
    assert payments_of({"currencies": {}}) == Payments()
    assert stock_of({"totals": STOCK}) == Stock(10, 7, 0, 3)


def test_a_line_of_history_becomes_a_line_of_the_story() -> None:
    """The message that came; what happened where none did; how a refusal ended."""
    at = datetime(2026, 11, 23, 14, 31, 52, 726_380, tzinfo=UTC)
    assert story_line(LINE) == StoryLine(
        at, "PaymentAuthorised", "awaiting_payment", "awaiting_shipment", "BookShipment"
    )
    timer = {**LINE, "cause": {"type": ""}, "what": "timer", "sent": [], "from_state": None}
    assert story_line(timer) == StoryLine(at, "timer", "", "awaiting_shipment", "")
    assert story_line({**LINE, "result": "duplicate"}).what == "PaymentAuthorised (duplicate)"


def ours() -> Plan:
    order = Order(
        order_id="retail-1",
        customer_id=None,
        country="France",
        placed_at=AT,
        day=date(2010, 12, 1),
        lines=(OrderLine("LAMP", "", 3, 100),),
        charges=(),
        payment_method="tok_ok",
    )
    return plan([order], CATALOGUE)


async def observed(
    topics: dict[str, list[Record]], monkeypatch: pytest.MonkeyPatch, status: int = 200
) -> Observed:
    """With topics and services answered from here; everything between is real."""

    async def read_all(_bootstrap: str, names: list[str]) -> list[Record]:
        return topics.get(names[0], [])

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer secret"
        body = LEDGER if request.url.path == "/ledger" else {"totals": STOCK}
        return httpx.Response(status, json=body)

    client = httpx.AsyncClient

    def client_of_ours(timeout: float) -> httpx.AsyncClient:
        return client(timeout=timeout, transport=httpx.MockTransport(answer))

    monkeypatch.setattr(observing, "read_all", read_all)
    monkeypatch.setattr(httpx, "AsyncClient", client_of_ours)
    at = Places("kafka:9092", "http://payment", "http://inventory", "http://console", "secret")
    return await observing.observe(at, ours())


async def test_what_is_ours_and_what_went_on_elsewhere_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Other deliveries, and of other fulfilled orders the very event that was accepted."""
    planned = ours()
    topics = {
        observing.OUTCOMES: [
            record(fulfilled("retail-1", "retail-1/placed", 300), "1"),
            record(fulfilled("web-1", "web-1/accepted", 650), "2"),
            record(OrderCancelled("web-2", None, None, "out_of_stock"), "3"),
        ],
        observing.ORDERS: [
            as_record(planned.announcements[0].messages[-1]),
            record(placed("web-1", 1), "web-1/other", "shop"),
            record(placed("web-1", 4, 2), "web-1/accepted", "shop"),
            record(placed("web-2", 9), "web-2/accepted", "shop"),
        ],
        observing.DELIVERIES: [
            *map(as_record, planned.stock),
            record(GoodsReceived("d-1", (Item("LAMP", 5), Item("CUP", 2)), AT), "d-1", "dock"),
            record(GoodsReceived("d-1", (Item("LAMP", 5), Item("CUP", 2)), AT), "d-1", "dock"),
        ],
    }
    assert await observed(topics, monkeypatch) == Observed(
        outcomes=[
            Outcome("retail-1", Ending.FULFILLED, amount_minor=300),
            Outcome("web-1", Ending.FULFILLED, amount_minor=650),
            Outcome("web-2", Ending.CANCELLED, "out_of_stock"),
        ],
        payments=Payments(900, 650, 250, 0),
        stock=Stock(10, 7, 0, 3),
        elsewhere=Elsewhere(delivered_units=7, fulfilled_units=6, fulfilled_minor=650),
    )


async def test_a_service_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its address and where its words are."""
    with pytest.raises(faults.ProcessFailed) as fault:
        await observed({}, monkeypatch, status=503)
    assert fault.value.what == "payment did not answer GET http://payment/ledger: HTTPStatusError"
    assert fault.value.mend == "baton status; baton logs payment"


def test_a_stack_that_does_not_run_is_told(tmp_path: Path) -> None:
    """Nobody is asked at an address of yesterday."""
    with pytest.raises(faults.StackStopped, match="no stack runs in"):
        places(Home(tmp_path))
