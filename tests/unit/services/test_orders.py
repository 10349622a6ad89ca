"""Orders' handlers: what was placed, asked and decided, in whatever order it comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations

import orjson
import pytest
from desk import Desk, Told, every_order

from schemas.common import Charge, Line, Money
from schemas.orchestrator import (
    OrderCancellationRefused,
    OrderCancelled,
    OrderFulfilled,
    OrderNeedsAttention,
)
from schemas.orders import OrderCancellationRequested, OrderPlaced
from services.chassis.handlers import accepted, changed, declined
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


def test_the_rows_fit_their_tables_and_the_reads_find_them() -> None:
    """The migrations take every row; orders are counted by status, as reconciliation wants it."""
    after = desk().tell_all([PLACED, (OrderCancelled("o3", None, None, "cancelled_early"), "out")])
    after.tell(submission(order_id="o2"))

    (row,) = after.read(MIGRATIONS, "order_of", order_id="o1")

    assert (row["status"], row["accepted"], row["told_as"]) == (
        "placed",
        None,
        orjson.dumps({"e1": MARK}).decode(),
    )
    assert after.read(MIGRATIONS, "count_by_status") == [
        {"status": "cancelled", "orders": 1},
        {"status": "placed", "orders": 2},
    ]
