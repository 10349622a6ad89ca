"""Events from JSON and outcomes to JSON: the contract decides, and says where."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from orchestrator.operate.outside import (
    EventRefused,
    Seen,
    UnknownType,
    checked_identity,
    contract_named,
    event_from_json,
    publishable,
    seen,
)
from schemas.catalogue import load_catalogue
from schemas.common import Charge, Line, Money
from schemas.orchestrator import OrderCancelled, OrderFulfilled, OrderNeedsAttention
from schemas.orders import OrderPlaced
from services.chassis.codec import Codec
from services.chassis.envelope import Cause, Maker
from services.chassis.messages import Record

CATALOGUE = load_catalogue()
CODEC = Codec(CATALOGUE)
PLACED = CATALOGUE.by_name["baton.orders.OrderPlaced"]
ORDER = {
    "order_id": "web-1",
    "customer_id": None,
    "currency": "GBP",
    "lines": [{"sku": "LAMP", "quantity": 2, "unit_price_minor": 255}],
    "country": "France",
    "placed_at": "2010-12-01T09:26:00+01:00",
    "charges": [{"code": "POST", "amount_minor": -50}],
}


def test_json_becomes_the_event_with_its_defaults() -> None:
    """Times of any zone, nested records, and what the contract fills in."""
    assert event_from_json(PLACED, json.dumps(ORDER), CODEC) == OrderPlaced(
        "web-1",
        None,
        "GBP",
        (Line("LAMP", 2, 255),),
        "France",
        datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        (Charge("POST", -50),),
        "tok_ok",
    )


WRONG: list[tuple[dict[str, object], str]] = [
    ({"order_id": "x y"}, "order_id: "),
    ({"currency": "GBQ"}, "currency: "),
    ({"lines": []}, "lines: "),
    ({"lines": [{"sku": "A", "quantity": 0, "unit_price_minor": 1}]}, "lines.0.quantity: "),
    ({"lines": [{"sku": "A", "quantity": 1, "unit_price_minor": 1.5}]},
     "lines.0.unit_price_minor: "),
    ({"lines": [{"sku": "A", "quantity": 1, "unit_price_minor": "1"}]},
     "lines.0.unit_price_minor: "),
    ({"placed_at": "2010-12-01T09:26:00"}, "placed_at: "),
    ({"total": 3}, "total: "),
    ({"country": None}, "country: "),
    ({"charges": [{"code": "D", "amount_minor": -511}]}, "the JSON: "),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "place"), WRONG)
def test_a_refusal_names_the_place_and_never_the_value(
    changed: dict[str, object], place: str
) -> None:
    """One wrong field, one problem, at its path."""
    with pytest.raises(EventRefused) as refusal:
        event_from_json(PLACED, json.dumps({**ORDER, **changed}), CODEC)
    (problem,) = [each for each in refusal.value.problems if each.startswith(place)]
    assert "x y" not in problem
    assert refusal.value.what == "this is no baton.orders.OrderPlaced"
    assert refusal.value.mend.endswith("schemas/orders/OrderPlaced.avsc")


def test_every_wrong_field_is_told_at_once() -> None:
    """Nobody should have to ask three times."""
    with pytest.raises(EventRefused) as refusal:
        event_from_json(PLACED, '{"order_id": "", "currency": "x"}', CODEC)
    places = {problem.partition(":")[0] for problem in refusal.value.problems}
    assert places == {"order_id", "customer_id", "currency", "lines", "country", "placed_at"}


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '"OrderPlaced"'])
def test_what_is_no_object_is_refused(text: str) -> None:
    """Half a file, a list, nothing."""
    with pytest.raises(EventRefused):
        event_from_json(PLACED, text, CODEC)


def test_an_event_larger_than_a_record_is_refused() -> None:
    """Its reader would refuse it, so nobody is made to wait for that."""
    lines = [{"sku": "A", "quantity": 1, "unit_price_minor": 1, "name": "x" * 200}] * 2000
    with pytest.raises(EventRefused, match="a record has 262,144 at most"):
        event_from_json(PLACED, json.dumps({**ORDER, "lines": lines}), CODEC)


@pytest.mark.parametrize("name", ["OrderPlaced", "orders.OrderPlaced", "baton.orders.OrderPlaced"])
def test_a_type_is_known_by_any_of_its_names(name: str) -> None:
    """Short where it is clear."""
    assert contract_named(CATALOGUE, name) is PLACED


def test_only_what_anybody_may_write_can_be_published() -> None:
    """The four events of topics that are open to outsiders."""
    assert [contract.name for contract in publishable(CATALOGUE)] == [
        "CustomerRegistered",
        "GoodsReceived",
        "OrderCancellationRequested",
        "OrderPlaced",
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("VoidPayment", "baton.billing.VoidPayment is a command, written by orchestrator only"),
        ("OrderFulfilled",
         "baton.orchestrator.OrderFulfilled is a outcome, written by orchestrator only"),
        ("PaymentCaptured", "baton.billing.PaymentCaptured is a reply, written by billing only"),
        ("StockReserved", "baton.inventory.StockReserved is a reply, written by inventory only"),
    ],
)  # fmt: skip
def test_what_is_not_open_is_refused_with_its_writer(name: str, said: str) -> None:
    """Commands, replies, outcomes and the events of services."""
    with pytest.raises(EventRefused) as refusal:
        contract_named(CATALOGUE, name)
    assert refusal.value.what == said.replace("a outcome", "an outcome")
    assert refusal.value.mend.startswith("you may publish: CustomerRegistered, ")


def test_an_unknown_type_names_a_near_one() -> None:
    """A slip of the finger is told as one."""
    with pytest.raises(UnknownType, match="did you mean OrderPlaced"):
        contract_named(CATALOGUE, "OrderPlacd")
    with pytest.raises(UnknownType, match=r"^no message is called Fox$"):
        contract_named(CATALOGUE, "Fox")


def test_an_identity_that_no_reader_accepts_is_refused() -> None:
    """Both sides are told at once."""
    checked_identity("x" * 256, "y" * 128)
    with pytest.raises(EventRefused) as refusal:
        checked_identity("x" * 257, "")
    assert refusal.value.problems == (
        "--id: 1 to 256 characters",
        "--source: 1 to 128 characters",
    )


def recorded(body: object, key: str, value: bytes | None = None) -> Record:
    made = Maker("orchestrator", CODEC, CATALOGUE).event(body, f"{key}/outcome", 0, Cause())
    at_ms = 1_790_000_000_123
    return Record(
        made.topic, 1, 7, at_ms, key.encode(), made.value if value is None else value, made.headers
    )


FULFILLED = OrderFulfilled("web-1", "17850", "web-1/placed", Money(1530, "GBP"), "T-1")
AT = datetime(2026, 9, 21, 14, 13, 20, 123_000, tzinfo=UTC)


def test_an_outcome_is_seen_whole() -> None:
    """Where it lies, who said it, and its body as JSON."""
    row = seen(recorded(FULFILLED, "web-1"), CATALOGUE, CODEC)
    assert row == Seen(
        at=AT,
        type="baton.orchestrator.OrderFulfilled",
        key="web-1",
        id="web-1/outcome",
        source="orchestrator",
        topic="orders.order.outcomes.v1",
        partition=1,
        offset=7,
        body={
            "order_id": "web-1",
            "customer_id": "17850",
            "placed_event_id": "web-1/placed",
            "amount": {"amount_minor": 1530, "currency": "GBP"},
            "tracking": "T-1",
        },
    )
    assert json.loads(json.dumps(row.as_row()))["time"] == "2026-09-21T14:13:20.123+00:00"


@pytest.mark.parametrize(
    ("body", "mark", "said"),
    [
        (
            FULFILLED,
            "✓ OrderFulfilled     ",
            "customer_id=17850  placed_event_id=web-1/placed  amount=15.30 GBP  tracking=T-1",
        ),
        (
            OrderFulfilled("web-1", None, "p", Money(1530, "JPY"), "T-1"),
            "✓ OrderFulfilled     ",
            "placed_event_id=p  amount=1530 JPY  tracking=T-1",
        ),
        (
            OrderCancelled("web-1", None, None, "out_of_stock"),
            "↩ OrderCancelled     ",
            "reason=out_of_stock",
        ),
        (
            OrderNeedsAttention("web-1", "payment", "no_reply", 3),
            "! OrderNeedsAttention",
            "step=payment  reason=no_reply  attempt=3",
        ),
    ],
)
def test_an_outcome_is_one_line_for_people(body: object, mark: str, said: str) -> None:
    """When, what, of which order, and what it says beside that; amounts in whole currency."""
    line = seen(recorded(body, "web-1"), CATALOGUE, CODEC).as_line()
    assert line == f"2026-09-21 14:13:20  {mark}      web-1                {said}"


def test_a_record_that_cannot_be_read_is_shown_as_such() -> None:
    """Nothing that an outsider receives is hidden."""
    row = seen(recorded(FULFILLED, "web-1", value=b"{}"), CATALOGUE, CODEC)
    assert (row.body, row.type) == (None, "baton.orchestrator.OrderFulfilled")
    assert row.unreadable == "neither Avro single-object nor Confluent framing: 7b7d"
    assert row.as_line().endswith("framing: 7b7d")
    assert seen(recorded(FULFILLED, "web-1", value=b""), CATALOGUE, CODEC).unreadable
