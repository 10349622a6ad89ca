"""Orders: what was placed, asked and decided, in any order; and the HTTP face of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations
from pathlib import Path

import httpx
import pytest
from desk import Desk, Port, Told, client, every_order, faults

from schemas.common import Charge, Line, Money
from schemas.orchestrator import (
    OrderCancellationRefused,
    OrderCancelled,
    OrderFulfilled,
    OrderNeedsAttention,
)
from schemas.orders import OrderCancellationRequested, OrderPlaced
from services.chassis.api import BODY_BYTES_MAX
from services.chassis.handlers import accepted, changed, declined
from services.chassis.store import Unavailable
from services.orders.api import FAULTS_MAX, routes
from services.orders.domain import (
    Acknowledged,
    AskCancellation,
    Body,
    Declined,
    Order,
    OutcomeChanged,
    Reason,
    Submission,
    SubmitOrder,
    fingerprint,
    shown_body,
)
from services.orders.handlers import HANDLERS, body_of, cancellation_posted, order_posted, text_of
from services.orders.store import MIGRATIONS, TABLES

EARLY = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
LATE = datetime(2010, 12, 1, 9, 0, tzinfo=UTC)
LATER = datetime(2010, 12, 1, 9, 1, tzinfo=UTC)
EVENT = OrderPlaced(
    "o1",
    "c1",
    "GBP",
    (Line("85123A", 6, 255, "WHITE HANGING HEART"),),
    "United Kingdom",
    EARLY,
    (Charge("POST", 99),),
    "tok_slow",
)
BODY = body_of(EVENT)
MARK = fingerprint(BODY)
OTHER = OrderPlaced("o1", "c2", "GBP", (Line("22423", 1, 1275),), "EIRE", LATE)
PLACED: Told = (EVENT, "e1")
PLACED_AGAIN: Told = (EVENT, "e3")
PLACED_OTHERWISE: Told = (OTHER, "e2")
ASKED: Told = (OrderCancellationRequested("o1", "r1", "changed my mind", LATE), "e4")
ASKED_OTHERWISE: Told = (OrderCancellationRequested("o1", "r1", "again", LATER), "e5")
ASKED_ELSE: Told = (OrderCancellationRequested("o1", "r0", "too slow", LATE), "e6")
DENIED: Told = (OrderCancellationRefused("o1", "r1", "too_late"), "n1")
STUCK: Told = (OrderNeedsAttention("o1", "capture", "no_reply", 1), "n2")
STUCK_AGAIN: Told = (OrderNeedsAttention("o1", "dispatch", "no_reply", 2), "n3")
FULFILLED: Told = (OrderFulfilled("o1", "c1", "e1", Money(1629, "GBP"), "T1"), "out")
CANCELLED: Told = (OrderCancelled("o1", "c1", "e1", "no_carrier", "EIRE"), "out")
ENDED_WELL = {"kind": "fulfilled", "amount_minor": 1629, "currency": "GBP", "tracking": "T1"}
REQUESTED_AT = "2010-12-01T09:00:00.000000+00:00"


def desk() -> Desk:
    return Desk(HANDLERS, TABLES)


def order(**facts: object) -> Order:
    """Order o1 as the event e1 placed it, but for the facts given."""
    row: dict[str, object] = {
        "order_id": "o1",
        "bodies": {MARK: BODY},
        "told_as": {"e1": MARK},
        "accepted": None,
        "outcome": None,
        "attention": None,
        "cancellations": {},
        "status": "placed",
        **facts,
    }
    return Order(**row)  # type: ignore[arg-type]


def submission(key: str = "k1", order_id: str = "o1", body: Body = BODY) -> SubmitOrder:
    return SubmitOrder("req1", key, order_id, fingerprint(body), body)


def test_a_submission_becomes_an_order_an_event_and_a_used_key() -> None:
    """The response, both rows and the event, whole; the event's id is not known yet."""
    assert order_posted(submission(), {}, {}) == accepted(
        Acknowledged("o1", again=False),
        Submission("k1", "o1", MARK),
        order(told_as={}),
        emits=(EVENT,),
    )


def test_a_key_used_again_with_the_same_body_is_the_same_order() -> None:
    """Even when a fresh id was made for the repetition; nothing is stored or told."""
    used = {"k1": Submission("k1", "o1", MARK)}

    answer = order_posted(submission(order_id="fresh"), used, {"o1": order()})

    assert answer == declined(Acknowledged("o1", again=True))


def test_a_key_used_again_with_another_body_is_declined() -> None:
    """The order that the key stands for is named; its place is the header."""
    used = {"k1": Submission("k1", "o1", MARK)}

    answer = order_posted(submission(body=body_of(OTHER)), used, {"o1": order()})

    assert answer == declined(
        Declined(
            Reason.KEY_REUSED,
            "Idempotency-Key",
            "the key was used for another body, of order o1; take a new key",
        )
    )


def test_an_order_id_is_placed_here_once() -> None:
    """Another key does not place an order whose id is taken, whoever took it."""
    answer = order_posted(submission(key="k2"), {}, {"o1": order()})

    assert answer == declined(
        Declined(
            Reason.ORDER_ID_TAKEN,
            "order_id",
            "order o1 was placed before; take another id, or none",
        )
    )


def test_an_order_that_was_only_heard_of_can_still_be_placed() -> None:
    """A cancellation that came first is kept and shows in the status."""
    known = desk().tell_all([ASKED]).rows[Order]["o1"]
    assert isinstance(known, Order)
    assert known.status == "cancelling"

    response = order_posted(submission(), {}, {"o1": known})

    assert response.rows[1] == order(
        told_as={}, cancellations=known.cancellations, status="cancelling"
    )


def test_an_own_order_comes_back_and_gets_its_event_id() -> None:
    """One body, whether told by us or by the topic."""
    after = desk()
    after.tell(submission())
    after.tell(*PLACED)

    assert after.all(Order) == [order()]


def test_a_cancellation_is_stored_and_told() -> None:
    """The response, the row and the event, whole; the key is the request's id."""
    request = AskCancellation("req2", "o1", "r1", "changed my mind", REQUESTED_AT)
    told = {"reason": "changed my mind", "requested_at": REQUESTED_AT, "refused": None}

    assert cancellation_posted(request, {"o1": order()}) == accepted(
        Acknowledged("o1", again=False),
        order(cancellations={"r1": told}, status="cancelling"),
        emits=(ASKED[0],),
    )


@pytest.mark.parametrize(
    ("known", "words", "answer"),
    [
        ([ASKED, PLACED], "changed my mind", Acknowledged("o1", again=True)),
        ([ASKED, PLACED, FULFILLED], "changed my mind", Acknowledged("o1", again=True)),
        (
            [ASKED, PLACED],
            "too slow",
            Declined(
                Reason.KEY_REUSED,
                "Idempotency-Key",
                "the key was used for another reason to cancel order o1; take a new key",
            ),
        ),
        (
            [PLACED, FULFILLED],
            "too slow",
            Declined(Reason.FINISHED, "order_id", "order o1 is already fulfilled"),
        ),
        (
            [],
            "too slow",
            Declined(Reason.UNKNOWN_ORDER, "order_id", "no order o1 was placed here"),
        ),
    ],
)
def test_a_cancellation_that_changes_nothing_says_why(
    known: list[Told], words: str, answer: object
) -> None:
    """Asked before, asked otherwise, finished, unknown."""
    request = AskCancellation("req2", "o1", "r1", words, REQUESTED_AT)

    assert desk().tell_all(known).tell(request) == declined(answer)


def test_a_fulfilled_order_is_the_same_in_any_order_of_its_news() -> None:
    """The accepted body replaces every other one; facts told twice are told once."""
    news = (PLACED, PLACED_AGAIN, PLACED_OTHERWISE, FULFILLED, STUCK, FULFILLED)
    for sequence in every_order(*news):
        after = desk().tell_all(sequence)

        assert after.all(Order) == [
            order(
                accepted="e1",
                outcome=ENDED_WELL,
                attention={"step": "capture", "reason": "no_reply", "attempt": 1},
                status="fulfilled",
            )
        ]


def test_the_outcome_may_name_the_later_body() -> None:
    """Until then the earliest is shown, and from then on the accepted one."""
    accepts_other = OrderCancelled("o1", "c2", "e2", "no_carrier", "EIRE")
    for sequence in every_order(PLACED, PLACED_OTHERWISE, PLACED_OTHERWISE, PLACED_AGAIN):
        after = desk().tell_all(sequence)
        (before,) = after.all(Order)
        assert isinstance(before, Order)
        assert shown_body(before) == BODY

        after.tell(accepts_other, "out")
        (ended,) = after.all(Order)

        assert isinstance(ended, Order)
        assert ended == Order(
            "o1",
            {fingerprint(body_of(OTHER)): body_of(OTHER)},
            {"e2": fingerprint(body_of(OTHER))},
            "e2",
            {"kind": "cancelled", "reason": "no_carrier", "detail": "EIRE"},
            None,
            {},
            "cancelled",
        )
        assert shown_body(ended) == body_of(OTHER)


def test_the_earliest_body_is_shown_while_none_is_accepted() -> None:
    """By the time it was placed, whatever its fingerprint."""
    bodies = [Body(**{**BODY, "placed_at": f"2010-12-0{day}"}) for day in range(1, 7)]
    for earlier, later in combinations(bodies, 2):
        row = order(bodies={fingerprint(later): later, fingerprint(earlier): earlier})

        assert shown_body(row) == earlier


def test_times_are_kept_in_utc() -> None:
    """Whatever zone the publisher wrote them in, so that they sort as text."""
    summer = datetime(2011, 6, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))

    assert text_of(summer) == "2011-05-31T23:30:00.000000+00:00"


def test_equal_contents_have_one_fingerprint() -> None:
    """Whatever the order of the fields; and other contents have another."""
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1, "b": 2}) != fingerprint({"a": 2, "b": 1})


def test_cancellations_and_notices_are_the_same_in_any_order() -> None:
    """The latest notice, and each request with its earliest words and its refusal."""
    for sequence in every_order(PLACED, ASKED, DENIED, STUCK, STUCK_AGAIN, ASKED_OTHERWISE):
        assert desk().tell_all(sequence).all(Order) == [
            order(
                attention={"step": "dispatch", "reason": "no_reply", "attempt": 2},
                cancellations={
                    "r1": {
                        "reason": "changed my mind",
                        "requested_at": REQUESTED_AT,
                        "refused": "too_late",
                    }
                },
                status="needs_attention",
            )
        ]


def test_the_row_does_not_tell_what_came_first() -> None:
    """Not even by the order of what is written in it: digests are equal."""
    news = (PLACED, PLACED_AGAIN, PLACED_OTHERWISE, ASKED, ASKED_ELSE)

    assert len({desk().tell_all(order).written() for order in every_order(*news)}) == 1
    ended = every_order(*news, FULFILLED)
    assert len({desk().tell_all(order).written() for order in ended}) == 1


@pytest.mark.parametrize(
    ("news", "status"),
    [
        ([DENIED], "expected"),
        ([PLACED], "placed"),
        ([PLACED, ASKED], "cancelling"),
        ([PLACED, ASKED, DENIED], "placed"),
        ([PLACED, ASKED, STUCK], "needs_attention"),
        ([PLACED, STUCK, FULFILLED], "fulfilled"),
        ([PLACED, ASKED, CANCELLED], "cancelled"),
    ],
)
def test_the_status_says_what_the_order_waits_for(news: list[Told], status: str) -> None:
    """Derived from the facts, never from the status before."""
    (row,) = desk().tell_all(news).all(Order)

    assert isinstance(row, Order)
    assert row.status == status


def test_an_order_cancelled_before_it_came_keeps_what_comes() -> None:
    """No body was accepted, so the placed one stays to be seen."""
    early = OrderCancelled("o1", None, None, "cancelled_early")
    for sequence in every_order((early, "out"), PLACED):
        assert desk().tell_all(sequence).all(Order) == [
            order(
                outcome={"kind": "cancelled", "reason": "cancelled_early", "detail": ""},
                status="cancelled",
            )
        ]


def test_an_outcome_that_contradicts_the_first_is_set_aside() -> None:
    """One order has one outcome; the message says which order and what to compare."""
    after = desk().tell_all([PLACED, CANCELLED])

    with pytest.raises(OutcomeChanged, match="order o1 ended as cancelled; an outcome fulfilled"):
        after.tell(*FULFILLED)


def test_facts_told_twice_write_nothing() -> None:
    """Of every kind of news, the second telling changes no row."""
    every = [PLACED, PLACED_OTHERWISE, ASKED, DENIED, STUCK, STUCK_AGAIN, FULFILLED]
    after = desk().tell_all(every)

    assert [after.tell(*told) for told in every] == [changed()] * len(every)


@pytest.fixture
def port() -> Port:
    return Port(desk(), MIGRATIONS)


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
    port.desk.tell_all([PLACED, PLACED_OTHERWISE, ASKED, DENIED, FULFILLED])
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
            "outcome": ENDED_WELL,
            "attention": None,
            "cancellations": [
                {
                    "request_id": "r1",
                    "reason": "changed my mind",
                    "requested_at": REQUESTED_AT,
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


async def test_orders_are_counted_by_status(port: Port) -> None:
    """The named read that reconciliation uses."""
    port.desk.tell_all([PLACED])
    port.desk.tell(submission(order_id="o2"))
    port.desk.tell(OrderCancelled("o3", None, None, "cancelled_early"), "out")

    assert await port.read("count_by_status") == [
        {"status": "cancelled", "orders": 1},
        {"status": "placed", "orders": 2},
    ]
    assert json.loads(str((await port.read("order_of", order_id="o1"))[0]["told_as"])) == {
        "e1": MARK
    }
