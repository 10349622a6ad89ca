"""The HTTP face of orders: what is acknowledged, what is refused and where, what is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from desk import Desk, Port, client, faults

from schemas.common import Charge, Line, Money
from schemas.orchestrator import OrderCancellationRefused, OrderCancelled, OrderFulfilled
from schemas.orders import OrderCancellationRequested, OrderPlaced
from services.chassis.api import BODY_BYTES_MAX
from services.chassis.store import Unavailable
from services.orders.api import FAULTS_MAX, routes
from services.orders.domain import Order
from services.orders.handlers import HANDLERS
from services.orders.store import MIGRATIONS, TABLES

EARLY = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
LATE = datetime(2010, 12, 1, 9, 0, tzinfo=UTC)


@pytest.fixture
def port() -> Port:
    return Port(Desk(HANDLERS, TABLES), MIGRATIONS)


@pytest.fixture
async def http(port: Port, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client(routes, port, tmp_path) as opened:
        yield opened


SENT: dict[str, object] = {
    "order_id": "o1",
    "customer_id": "c1",
    "currency": "GBP",
    "lines": [{"sku": "85123A", "quantity": 6, "unit_price_minor": 255}],
    "country": "United Kingdom",
}


def post(http: httpx.AsyncClient, sent: object, key: str = "k1") -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(http.post("/orders", json=sent, headers={"Idempotency-Key": key}))


async def test_an_order_is_acknowledged_with_its_id_and_link(
    http: httpx.AsyncClient, port: Port
) -> None:
    """202, where to look, and the event as it will be published."""
    response = await post(http, SENT)
    (event,) = port.emitted

    assert (response.status_code, response.json(), response.headers["Location"]) == (
        202,
        {"order_id": "o1", "link": "/orders/o1"},
        "/orders/o1",
    )
    assert isinstance(event, OrderPlaced)
    assert event == OrderPlaced(
        "o1", "c1", "GBP", (Line("85123A", 6, 255),), "United Kingdom", event.placed_at
    )


async def test_an_order_without_an_id_gets_one_in_the_order_of_time(
    http: httpx.AsyncClient, port: Port
) -> None:
    """A guest's smallest order; ids made later sort later."""
    smallest = {key: SENT[key] for key in ("currency", "lines", "country")}
    first, second = [(await post(http, smallest, key)).json()["order_id"] for key in "ab"]

    assert first < second
    assert [e.order_id for e in port.emitted if isinstance(e, OrderPlaced)] == [first, second]


async def test_a_hundred_posts_of_one_key_are_one_order(
    http: httpx.AsyncClient, port: Port
) -> None:
    """All are acknowledged alike, all but one as a replay, and one event is told."""
    anonymous = {key: value for key, value in SENT.items() if key != "order_id"}
    responses = await asyncio.gather(*(post(http, anonymous) for _ in range(100)))

    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["order_id"] for response in responses}) == 1
    assert sum("Idempotent-Replay" in response.headers for response in responses) == 99
    assert len(port.emitted) == 1


@pytest.mark.parametrize("change", [{"country": "EIRE"}, {"order_id": "o2"}, {"order_id": None}])
async def test_a_key_with_another_body_is_refused(
    http: httpx.AsyncClient, change: dict[str, object]
) -> None:
    """422, also when only the order id differs."""
    await post(http, SENT)

    response = await post(http, {**SENT, **change})

    assert (response.status_code, faults(response)) == (
        422,
        [
            (
                "Idempotency-Key",
                "the key was used for another body, of order o1; take a new key",
            )
        ],
    )


async def test_a_taken_order_id_is_refused(http: httpx.AsyncClient) -> None:
    """409 at the order id, for another key."""
    await post(http, SENT)

    response = await post(http, SENT, "k2")

    assert (response.status_code, faults(response)[0][0]) == (409, "order_id")


LINE = {"sku": "A", "quantity": 1, "unit_price_minor": 1}


@pytest.mark.parametrize(
    ("change", "places"),
    [
        ({"lines": []}, ["lines"]),
        ({"lines": [LINE] * 2001}, ["lines"]),
        ({"lines": [LINE, {**LINE, "quantity": 0}]}, ["lines[1].quantity"]),
        ({"lines": [{**LINE, "quantity": 100_001}]}, ["lines[0].quantity"]),
        ({"lines": [{**LINE, "quantity": "1"}]}, ["lines[0].quantity"]),
        ({"lines": [{**LINE, "quantity": 1.5}]}, ["lines[0].quantity"]),
        ({"lines": [{**LINE, "quantity": True}]}, ["lines[0].quantity"]),
        ({"lines": [{**LINE, "unit_price_minor": -1}]}, ["lines[0].unit_price_minor"]),
        ({"lines": [{**LINE, "unit_price_minor": 2**70}]}, ["lines[0].unit_price_minor"]),
        ({"lines": [{**LINE, "sku": "no spaces"}]}, ["lines[0].sku"]),
        ({"lines": [{"sku": "A", "quantity": 1}]}, ["lines[0].unit_price_minor"]),
        ({"lines": [{**LINE, "colour": "red"}]}, ["lines[0].colour"]),
        ({"lines": "A"}, ["lines"]),
        ({"currency": "XYZ"}, ["currency"]),
        ({"order_id": "../etc"}, ["order_id"]),
        ({"order_id": 7}, ["order_id"]),
        ({"customer_id": ""}, ["customer_id"]),
        ({"country": ""}, ["country"]),
        ({"surprise": 1}, ["surprise"]),
        ({"placed_at": "2010-12-01T08:26:00Z"}, ["placed_at"]),
        ({"lines": [{**LINE, "quantity": 100_000, "unit_price_minor": 10_001}]}, ["body"]),
        ({"charges": [{"code": "D", "amount_minor": -9999}]}, ["body"]),
        ({"currency": "gbp", "country": None}, ["currency", "country"]),
    ],
)
async def test_a_bad_order_is_refused_with_every_place(
    http: httpx.AsyncClient, port: Port, change: dict[str, object], places: list[str]
) -> None:
    """422, the field's path, and nothing is stored or told."""
    response = await post(http, {**SENT, **change})

    assert response.status_code == 422
    assert [place for place, _ in faults(response)] == places
    assert (port.emitted, port.desk.all(Order)) == ([], [])


async def test_a_refusal_does_not_repeat_what_was_sent(http: httpx.AsyncClient) -> None:
    """Values may be personal: only places and rules are named."""
    response = await post(http, {**SENT, "customer_id": "Ada Lovelace", "currency": "AdaCoin"})

    assert response.status_code == 422
    assert "Ada" not in response.text


async def test_many_faults_are_counted_and_the_first_ones_listed(http: httpx.AsyncClient) -> None:
    """The answer to a large bad order stays small."""
    response = await post(http, {**SENT, "lines": [{**LINE, "quantity": 0}] * 2000})

    assert len(faults(response)) == FAULTS_MAX + 1
    assert faults(response)[-1] == ("body", "has 1950 more faults, not listed")


async def test_a_missing_field_is_named(http: httpx.AsyncClient) -> None:
    """What must be given and was not."""
    response = await post(http, {})

    assert faults(response) == [
        ("currency", "Field required"),
        ("lines", "Field required"),
        ("country", "Field required"),
    ]


@pytest.mark.parametrize(
    ("content", "status", "place"),
    [
        (b'{"order_id": ', 400, "line 1 column "),
        (b"", 400, "line 1 column "),
        (b'{"a": NaN}', 400, "line 1 column "),
        (b'{"a": "\xff"}', 400, "line 1 column "),
        (b'{"a": "\\ud800"}', 400, "line 1 column "),
        (b'{"a": ' + b"9" * 5000 + b"}", 400, "line 1 column "),
        (b"[" * 5000, 400, "line 1 column "),
        (b"[]", 422, "body"),
        (b"null", 422, "body"),
        (b" " * (BODY_BYTES_MAX + 1), 413, "body"),
    ],
)
async def test_what_is_no_json_object_is_refused(
    http: httpx.AsyncClient, content: bytes, status: int, place: str
) -> None:
    """With the line and column of the fault, where it is one of writing."""
    headers = {"Idempotency-Key": "k1", "Content-Type": "application/json; charset=utf-8"}

    response = await http.post("/orders", content=content, headers=headers)

    ((found, _),) = faults(response)
    assert response.status_code == status
    assert found == place or (status == 400 and found.startswith(place))


async def test_a_large_order_fits(http: httpx.AsyncClient) -> None:
    """Two thousand lines with names are within the limits."""
    lines = [{**LINE, "name": "WHITE HANGING HEART T-LIGHT HOLDER"}] * 2000

    assert (await post(http, {**SENT, "lines": lines})).status_code == 202


async def test_another_content_type_is_refused(http: httpx.AsyncClient) -> None:
    """A form is no order."""
    response = await http.post("/orders", data={"a": "b"}, headers={"Idempotency-Key": "k1"})

    assert (response.status_code, faults(response)) == (
        415,
        [("Content-Type", "must be application/json")],
    )


@pytest.mark.parametrize("key", [None, "", "two words", "x" * 65, "é"])
async def test_a_submission_needs_an_idempotency_key(
    http: httpx.AsyncClient, key: str | None
) -> None:
    """Missing or malformed, for an order and for a cancellation."""
    headers = [] if key is None else [(b"Idempotency-Key", key.encode())]

    for path in ("/orders", "/orders/o1/cancellation"):
        response = await http.post(path, json=SENT, headers=headers)
        assert response.status_code == 400
        assert [place for place, _ in faults(response)] == ["Idempotency-Key"]


async def test_a_database_that_cannot_write_is_not_acknowledged(
    http: httpx.AsyncClient, port: Port
) -> None:
    """503 with Retry-After; the same key works when it can."""
    port.fault = Unavailable("disk full")
    refused = await post(http, SENT)
    port.fault = None
    again = await post(http, SENT)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert faults(refused) == [
        ("service", "cannot store anything now; send the same request again")
    ]
    assert (again.status_code, "Idempotent-Replay" in again.headers) == (202, False)


async def cancel(http: httpx.AsyncClient, sent: object, key: str = "r1") -> httpx.Response:
    headers = {"Idempotency-Key": key}
    return await http.post("/orders/o1/cancellation", json=sent, headers=headers)


async def test_a_cancellation_is_acknowledged_and_told(http: httpx.AsyncClient, port: Port) -> None:
    """Once per key; the request's id is the key."""
    await post(http, SENT)
    first, second = [await cancel(http, {"reason": "too slow"}) for _ in range(2)]
    event = port.emitted[-1]

    assert (first.status_code, first.json()) == (202, {"order_id": "o1", "link": "/orders/o1"})
    assert (second.status_code, second.headers["Idempotent-Replay"]) == (202, "true")
    assert isinstance(event, OrderCancellationRequested)
    assert event == OrderCancellationRequested("o1", "r1", "too slow", event.requested_at)
    assert len(port.emitted) == 2


@pytest.mark.parametrize(
    ("sent", "places"),
    [
        ({}, ["reason"]),
        ({"reason": ""}, ["reason"]),
        ({"reason": "x" * 201}, ["reason"]),
        ({"reason": "x", "because": 1}, ["because"]),
        ({"reason": "x", "request_id": "r9"}, ["request_id"]),
    ],
)
async def test_a_bad_cancellation_is_refused_with_its_place(
    http: httpx.AsyncClient, sent: object, places: list[str]
) -> None:
    """422, and the order is as it was."""
    await post(http, SENT)
    response = await cancel(http, sent)

    assert (response.status_code, [place for place, _ in faults(response)]) == (422, places)
    assert (await http.get("/orders/o1")).json()["status"] == "placed"


async def test_cancelling_is_refused_where_there_is_nothing_to_cancel(
    http: httpx.AsyncClient, port: Port
) -> None:
    """404 for an unknown order, 409 for a finished one, 422 for other words under one key."""
    unknown = await cancel(http, {"reason": "too slow"})
    await post(http, SENT)
    await cancel(http, {"reason": "too slow"})
    reused = await cancel(http, {"reason": "too dear"})
    port.desk.tell(OrderCancelled("o1", "c1", None, "cancelled"), "out")
    finished = await cancel(http, {"reason": "too slow"}, "r2")

    assert [r.status_code for r in (unknown, reused, finished)] == [404, 422, 409]
    assert [faults(r)[0][0] for r in (unknown, reused, finished)] == [
        "order_id",
        "Idempotency-Key",
        "order_id",
    ]


async def test_an_order_is_shown_as_it_stands(http: httpx.AsyncClient, port: Port) -> None:
    """The accepted body, the outcome and the requests; not how it is paid."""
    lines = (Line("85123A", 6, 255, "WHITE HANGING HEART"),)
    postage = (Charge("POST", 99),)
    event = OrderPlaced("o1", "c1", "GBP", lines, "United Kingdom", EARLY, postage, "tok_slow")
    port.desk.tell(event, "e1")
    port.desk.tell(OrderPlaced("o1", "c2", "GBP", lines, "EIRE", LATE), "e2")
    port.desk.tell(OrderCancellationRequested("o1", "r1", "changed my mind", LATE))
    port.desk.tell(OrderCancellationRefused("o1", "r1", "too_late"))
    port.desk.tell(OrderFulfilled("o1", "c1", "e1", Money(1629, "GBP"), "T1"))
    response = await http.get("/orders/o1")

    assert (response.status_code, response.json()) == (
        200,
        {
            "order_id": "o1",
            "status": "fulfilled",
            "placed": {
                "customer_id": "c1",
                "currency": "GBP",
                "lines": [
                    {
                        "sku": "85123A",
                        "quantity": 6,
                        "unit_price_minor": 255,
                        "name": "WHITE HANGING HEART",
                    }
                ],
                "country": "United Kingdom",
                "placed_at": "2010-12-01T08:26:00.000000+00:00",
                "charges": [{"code": "POST", "amount_minor": 99}],
            },
            "outcome": {
                "kind": "fulfilled",
                "amount_minor": 1629,
                "currency": "GBP",
                "tracking": "T1",
            },
            "attention": None,
            "cancellations": [
                {
                    "request_id": "r1",
                    "reason": "changed my mind",
                    "requested_at": "2010-12-01T09:00:00.000000+00:00",
                    "refused": "too_late",
                }
            ],
            "link": "/orders/o1",
        },
    )


async def test_without_the_token_nothing_is_taken(http: httpx.AsyncClient, port: Port) -> None:
    """401 for every route, and nothing is stored."""
    del http.headers["Authorization"]

    response = await post(http, SENT)

    assert (response.status_code, port.desk.all(Order)) == (401, [])


async def test_an_unknown_order_is_not_found(http: httpx.AsyncClient) -> None:
    """404 with the id in words."""
    response = await http.get("/orders/nope")

    assert (response.status_code, faults(response)) == (
        404,
        [("order_id", "no order nope is known here")],
    )
