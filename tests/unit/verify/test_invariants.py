"""Each invariant holds of a sound installation, and each planted lie violates its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from made import NOW_US, Made, small_company

from deploy.verify import Ruling, check
from deploy.verify.evidence import (
    Call,
    Carried,
    Customer,
    CustomerOrder,
    DeadLetter,
    Inbox,
    Line,
    Mail,
    Offset,
    Operation,
    OrderMail,
    Outbox,
    Parked,
    Payment,
    Posting,
    Provided,
    Reservation,
    Saga,
    Shelf,
    Shipment,
    Spoken,
    Submission,
    Surface,
    Timer,
)

Plant = Callable[[Made], object]
ORDERS, OUTCOMES = "orders.order.events.v1", "orders.order.outcomes.v1"
STOCK, REPLIES = "inventory.stock.commands.v1", "inventory.replies.v1"
DAY_MS = 86_400_000

HOLDS = {
    "I-1": {"sagas": 4, "starts on topics": 4, "acknowledged submissions": 1},
    "I-2": {"outcomes on topics": 4, "sagas": 4},
    "I-3": {"positions": 44, "records applied": 64},
    "I-4": {"ended sagas": 4, "reservations of inventory": 2, "payments of billing": 2,
            "payments of payment": 2, "shipments of shipping": 2, "bookings of carrier": 2,
            "accounts of billing": 2, "records of crm": 2, "profiles of analytics": 2},
    "I-5": {"commands": 18, "replies": 18, "postings": 4, "operations": 16,
            "orders in the ledger": 2, "calls answered by payment": 4,
            "calls answered by carrier": 2},
    "I-6": {"postings": 4, "payments": 2, "payments at the provider": 2, "ended orders": 2},
    "I-7": {"parcels that left": 1, "cancelled orders": 1},
    "I-8": {"products": 2, "ended orders": 2, "deliveries on topics": 1},
    "I-9": {"sagas": 4, "lines": 22},
    "I-10": {"sagas": 4},
    "I-11": {"ended orders": 2, "orders in orders": 2, "orders in crm": 2,
             "orders in analytics": 2},
    "I-12": {"sent rows": 42, "records of ours": 42},
    "I-14": {"letters": 6, "ended orders": 2, "mails": 4, "customers": 2},
}  # fmt: skip


def test_a_sound_installation_holds() -> None:
    """How much was looked at is part of the verdict; nothing dead and nothing running is told."""
    verdicts = {each.invariant: each for each in check(small_company().evidence())}

    assert verdicts.pop("I-13").status is Ruling.NOTHING
    assert verdicts.pop("S-19").status is Ruling.NOTHING
    running = verdicts.pop("I-16")
    assert running.status is Ruling.UNCHECKED
    assert running.why == ("nothing runs; counters live only as long as their process",)
    assert {name: each.checked for name, each in verdicts.items()} == HOLDS
    assert {each.status for each in verdicts.values()} == {Ruling.OK}


def test_an_empty_installation_is_never_ok() -> None:
    """Databases without rows, topics without records."""
    verdicts = check(Made().settle().evidence(), only=["I-1", "I-4", "I-6", "I-9", "I-14"])

    assert {each.status for each in verdicts} == {Ruling.NOTHING}


def parked(made: Made, kind: str = "parked", state: str = "open", **fields: object) -> None:
    """A dead letter at crm of the first order's record, with its copy."""
    record = next(each for each in made.records if each.topic == ORDERS)
    row = DeadLetter(
        1, "o-1", kind, "handler_raised", "handle", ORDERS, 0, 0, record.value, NOW_US, state
    )
    made.rows("crm", DeadLetter).append(row._replace(**fields))
    made.say("crm", f"{ORDERS}.dlt", "o-1", f"{ORDERS}/0/0/dlt")
    origin = {"topic": ORDERS, "partition": "0", "offset": "0"}
    headers = tuple((f"dlt-original-{name}", text.encode()) for name, text in origin.items())
    made.records[-1] = made.records[-1]._replace(headers=headers)


def again(made: Made, topic: str, n: int, **fields: object) -> None:
    """The n-th record of a topic once more, at its end."""
    record = [each for each in made.records if each.topic == topic][n]
    made.say("nobody", topic, (record.key or b"").decode(), "x", heard=False)
    last = made.records[-1]
    made.records[-1] = record._replace(offset=last.offset, **fields)
    made.settle()


def open_saga(made: Made, **columns: object) -> None:
    made.change("orchestrator", Saga, 0, phase="running", **columns)


def without(made: Made, process: str, kind: type, at: int = 0) -> None:
    del made.rows(process, kind)[at]


PLANTS: list[tuple[str, Plant, list[str]]] = [
    ("I-1", lambda m: m.rows("orchestrator", Saga).append(m.rows("orchestrator", Saga)[0]),
     ["o-1: 2 sagas are called fulfilment:o-1"]),
    ("I-1", lambda m: without(m, "orchestrator", Saga),
     ["o-1: was placed and has no saga at orders.order.events.v1/0/0"]),
    ("I-1", lambda m: m.change("orchestrator", Saga, 0, start_id="o-1/other"),
     ["o-1: its saga names the start o-1/other, which nobody sent"]),
    ("I-1", lambda m: m.rows("orders", Submission).append(Submission("key-2", "o-1")),
     ["o-1: 2 idempotency keys stand for it"]),
    ("I-1", lambda m: m.rows("orders", Submission).append(Submission("key-3", "o-3")),
     ["o-3: was acknowledged and has no saga"]),
    ("I-2", lambda m: m.drop(OUTCOMES, 0), ["o-1: is completed and no outcome was ever said"]),
    ("I-2", lambda m: m.change("orchestrator", Saga, 1, phase="completed"),
     ["o-2: is completed, and OrderCancelled was said at orders.order.outcomes.v1/0/1"]),
    ("I-2", lambda m: again(m, OUTCOMES, 0, value=b"other"),
     [("o-1: its outcome fulfilment:o-1/outcome was said again otherwise"
      " at orders.order.outcomes.v1/0/2")]),
    ("I-2", lambda m: m.change("orchestrator", Line, 5, to_state="needs_operator")
     or m.rows("orchestrator", Line).insert(6, m.rows("orchestrator", Line)[5]._replace(
         seq=50, from_state="completed", to_state="undoing_stock"))
     or m.change("orchestrator", Line, 5, to_state="completed"),
     ["o-1: was completed and became undoing_stock (journal 50)"]),
    ("I-2", lambda m: without(m, "orchestrator", Saga, 1),
     ["o-2: has an outcome and no saga at orders.order.outcomes.v1/0/1"]),
    ("I-3", lambda m: m.rows("crm", Inbox).remove(Inbox("o-1", "orders", "o-1/placed", NOW_US)),
     [("o-1: crm is past it, with neither inbox row nor dead letter (orders o-1/placed)"
      " at orders.order.events.v1/0/0")]),
    ("I-3", lambda m: m.rows("crm", Inbox).append(Inbox("o-1", "orders", "ghost", NOW_US)),
     ["o-1: crm applied orders ghost, which no topic holds"]),
    ("I-3", lambda m: m.change("shipping", Offset, 0, next=99),
     ["shipping stands in shipping.shipment.commands.v1/0 at 99, behind its end 3"]),
    ("I-4", lambda m: m.change("inventory", Reservation, 0, status="released"),
     ["o-1: is completed, and its reservation at inventory is released"]),
    ("I-4", lambda m: m.change("shipping", Shipment, 1, status="booked"),
     ["o-2: is compensated, and its shipment at shipping is booked"]),
    ("I-4", lambda m: m.rows("carrier", Carried).append(Carried("o-2", "t", 3, "dispatched")),
     ["o-2: is compensated, and its booking at carrier is dispatched"]),
    ("I-4", lambda m: m.change("orchestrator", Saga, 1, steps='[{"name":"stock","status":"done"}]'),
     ["o-2: is compensated, and its step stock is done"]),
    ("I-5", lambda m: again(m, STOCK, 0, value=b"other"),
     ["o-1: fulfilment:o-1/stock/do was said again otherwise at inventory.stock.commands.v1/0/3"]),
    ("I-5", lambda m: again(m, REPLIES, 0, headers=(
        ("ce_id", b"another"), ("ce_source", b"inventory"),
        ("ce_causationid", b"fulfilment:o-1/stock/do"))),
     ["o-1: fulfilment:o-1/stock/do has two answers at inventory.replies.v1/0/3"]),
    ("I-5", lambda m: m.rows("billing", Posting).append(
        Posting("o-1/x", "o-1", "captured", "GBP", "merchant", "held", 1)),
     ["o-1: the ledger has o-1/x, a movement nobody knows"]),
    ("I-5", lambda m: without(m, "inventory", Operation),
     ["o-1: is completed, and inventory has stock as nothing"]),
    ("I-5", lambda m: m.change("inventory", Operation, 1, status="done"),
     ["o-2: is compensated, and inventory has stock as done"]),
    ("I-5", lambda m: without(m, "billing", Posting, 3),
     ["o-2: is compensated, and the ledger has 1 authorised"]),
    ("I-5", lambda m: m.rows("payment", Call).append(Call("fulfilment:o-1/refund/do", 200)),
     ["o-1: payment did fulfilment:o-1/refund/do, which billing never asked for"]),
    ("I-6", lambda m: m.change("payment", Provided, 0, refunded=1),
     [("o-1: billing says 2250 authorised, 2250 captured, 0 voided, 0 refunded,"
      " the provider 2250 authorised, 2250 captured, 0 voided, 1 refunded")]),
    ("I-6", lambda m: m.change("billing", Posting, 1, amount_minor=2_000),
     [("o-1: billing says 2250 authorised, 2250 captured, 0 voided, 0 refunded,"
      " its ledger 2250 authorised, 2000 captured, 0 voided, 0 refunded")]),
    ("I-6", lambda m: m.change("billing", Posting, 0, amount_minor=22.5)
     or m.change("billing", Posting, 1, debit="held"),
     ["o-1: o-1/authorised moves 22.5", "o-1: o-1/captured goes from held to held",
      ("o-1: billing says 2250 authorised, 2250 captured, 0 voided, 0 refunded,"
      " its ledger 0 authorised, 0 captured, 0 voided, 0 refunded")]),
    ("I-6", lambda m: m.change("billing", Payment, 0, captured_minor=2_000)
     or m.change("billing", Posting, 1, amount_minor=2_000)
     or m.change("payment", Provided, 0, captured=2_000),
     ["o-1: costs 2250 GBP, and 2000 GBP was kept"]),
    ("I-7", lambda m: m.change("billing", Payment, 0, status="voided"),
     ["o-1: the carrier let it leave with a payment voided"]),
    ("I-7", lambda m: m.change("billing", Payment, 0, refunded_minor=2_250),
     ["o-1: the carrier let it leave, and all of it was given back"]),
    ("I-7", lambda m: m.change("billing", Payment, 1, captured_minor=5),
     ["o-2: is cancelled, and its payment was captured"]),
    ("I-8", lambda m: m.change("inventory", Shelf, 0, on_hand=97),
     ["cup: 100 came in, 99 are accounted for"]),
    ("I-8", lambda m: m.change("inventory", Shelf, 0, on_hand=-1, reserved=99),
     ["cup: -1 on hand, 99 reserved, 2 gone", "cup: its shelf has 99 reserved, the orders 0"]),
    ("I-8", lambda m: m.change("inventory", Reservation, 0, units='{"cup": 1, "saucer": 1}'),
     ["cup: its shelf has 2 gone, the orders 1",
      "o-1: ordered 2 cup, 1 saucer, and 1 cup, 1 saucer left"]),
    ("I-9", lambda m: m.change("orchestrator", Line, 2, version=9),
     ["o-1: journal 3, answered: is version 9, not 3",
      "o-1: journal 4, answered: is version 4, not 10"]),
    ("I-9", lambda m: m.change("orchestrator", Line, 5, to_state="undoing_shipment"),
     ["o-1: journal 6, answered: no way leads from awaiting_dispatch to undoing_shipment",
      "o-1: is completed, its journal ends with undoing_shipment"]),
    ("I-9", lambda m: m.change("orchestrator", Line, 1, cause_id="ghost"),
     ["o-1: journal 2, answered: its cause ghost is in no inbox"]),
    ("I-9", lambda m: m.change("orchestrator", Line, 2, result="late"),
     ["o-1: journal 3, answered: was late, and moved the saga to awaiting_shipment",
      "o-1: journal 3, answered: is version 3, not 2"]),
    ("I-10", open_saga, ["o-1: is running, with no timer and nothing unsent"]),
    ("I-10", lambda m: m.change("orchestrator", Saga, 0, phase="needs_operator"),
     ["o-1: needs an operator, and nobody was called"]),
    ("I-10", lambda m: m.change("orchestrator", Saga, 0, phase="needs_operator",
                                attention="no_reply", attentions=1),
     ["o-1: needs an operator, and fulfilment:o-1/attention/1 was never said"]),
    ("I-11", lambda m: m.change("crm", CustomerOrder, 0, outcome='{"kind": "cancelled"}'),
     ["o-1: is fulfilled, and crm says cancelled"]),
    ("I-11", lambda m: m.change("crm", CustomerOrder, 0, accepted="o-1/other"),
     ["o-1: crm took the body o-1/other, not o-1/placed that was carried out"]),
    ("I-11", lambda m: m.change("notifications", OrderMail, 1, facts="{}"),
     ["o-2: is cancelled, and notifications knows no outcome"]),
    ("I-11", lambda m: m.change("crm", CustomerOrder, 0, outcome="null"),
     ["o-1: is fulfilled, and crm knows no outcome"]),
    ("I-12", lambda m: m.drop(REPLIES, 0),
     [("o-1: inventory sent fulfilment:o-1/stock/do/reply, which inventory.replies.v1 does not"
      " hold")]),
    ("I-12", lambda m: without(m, "inventory", Outbox),
     [("o-1: nobody at inventory decided to say fulfilment:o-1/stock/do/reply"
      " at inventory.replies.v1/0/0")]),
    ("I-12", lambda m: m.record(REPLIES, 1, offset=9) or m.record(REPLIES, 2, offset=1),
     [("o-2: inventory said fulfilment:o-2/stock/undo/reply before fulfilment:o-2/stock/do/reply,"
      " which is earlier in its outbox at inventory.replies.v1/0/1")]),
    ("I-12", lambda m: m.record(REPLIES, 0, value=b"other"),
     [("o-1: inventory sent fulfilment:o-1/stock/do/reply with other bytes"
      " at inventory.replies.v1/0/0")]),
    ("I-13", parked, ["o-1: crm: its key waits and is not parked"]),
    ("I-13", lambda m: parked(m, "rejected", "rejected", offset=77),
     ["o-1: crm: dead letter 1 of orders.order.events.v1/0/77 comes from nowhere",
      "o-1: orders.order.events.v1/0/77 was rejected and no topic holds a copy",
      ("nobody's dead letter is orders.order.events.v1/0/0, of which this is a copy"
      " at orders.order.events.v1.dlt/0/0")]),
    ("I-13", lambda m: parked(m, "rejected", "rejected", reason="", value=b"other"),
     ["o-1: crm: dead letter 1 of orders.order.events.v1/0/0 is rejected, rejected, reason ''",
      ("o-1: crm: dead letter 1 of orders.order.events.v1/0/0 is not the record that lies there"
      " at orders.order.events.v1/0/0")]),
    ("I-13", lambda m: m.rows("crm", Parked).append(Parked("o-9", "handler_raised")),
     ["o-9: crm: its key is parked and nothing waits"]),
    ("I-14", lambda m: m.rows("mail", Mail).append(Mail("<o-1/cancelled@baton.invalid>")),
     ["o-1: got the letter cancelled, which notifications did not send"]),
    ("I-14", lambda m: m.change("notifications", OrderMail, 0,
                                letters='{"fulfilled": "sent", "cancelled": "sending"}'),
     ["o-1: was told of both outcomes",
      "o-1: is completed, and was told that it is cancelled"]),
    ("I-14", lambda m: without(m, "mail", Mail),
     ["o-1: its letter fulfilled was sent, and no mail arrived"]),
    ("I-14", lambda m: m.change("crm", Customer, 0, points=44),
     [("c-1: crm counts 2 orders, 1 fulfilled, 1 cancelled, 44 points;"
      " the books say 2 orders, 1 fulfilled, 1 cancelled, 22 points")]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "plant", "violations"), PLANTS)
def test_a_planted_lie_is_found(name: str, plant: Plant, violations: list[str]) -> None:
    """By its invariant, in these words, and nothing else is said to be wrong with it."""
    made = small_company()
    plant(made)

    (verdict,) = check(made.evidence(), only=[name])

    assert [str(each) for each in verdict.violations] == violations
    assert verdict.status is Ruling.VIOLATED
    assert verdict.violations_in_all == len(violations)


def test_while_work_is_in_flight_the_end_is_not_judged() -> None:
    """It is never green by silence; what must hold at any moment is judged all the same."""
    made = small_company()
    made.change("crm", Offset, 0, next=0)
    made.change("billing", Outbox, 0, sent_us=None)
    made.change("crm", CustomerOrder, 0, outcome="null")
    made.change("billing", Payment, 0, refunded_minor=9_999)

    verdicts = {each.invariant: each for each in check(made.evidence())}

    why = (
        "work in flight: billing has 1 unsent",
        "work in flight: crm has 2 unread",
    )
    assert verdicts["I-11"].why == why
    assert verdicts["I-11"].status is Ruling.UNCHECKED
    assert verdicts["I-6"].status is Ruling.VIOLATED
    assert verdicts["I-9"].status is Ruling.OK
    assert "I-11" not in {name for name, each in verdicts.items() if each.status is Ruling.OK}


def test_a_parked_key_is_left_out_and_told() -> None:
    """What waits for a person is no violation of the end, and no success either."""
    made = small_company()
    parked(made)
    made.rows("crm", Parked).append(Parked("o-1", "handler_raised"))
    made.change("crm", CustomerOrder, 0, outcome="null")

    agreed, bad = check(made.evidence(), only=["I-11", "I-13"])

    assert (agreed.status, agreed.checked["ended orders"]) == (Ruling.OK, 1)
    assert agreed.notes[0] == (
        "left out: 1 of fulfilment with parked, blocked or discarded messages,"
        " or a step that an operator vouched for"
    )
    assert (bad.status, bad.checked) == (
        Ruling.OK,
        {"parked keys": 1, "dead letters": 1, "copies on dead letters' topics": 1},
    )


def test_a_result_that_could_not_be_recorded_has_no_place_in_a_log() -> None:
    """Its call is not under way: it waits with its parked key, for a person."""
    made = small_company()
    row = DeadLetter(1, "o-1", "parked", "handler_raised", "record", "billing.payment.commands.v1",
                     0, 0, b"{}", NOW_US, "open")  # fmt: skip
    made.rows("billing", DeadLetter).append(row)
    made.rows("billing", Parked).append(Parked("o-1", "handler_raised"))
    made.change("billing", Operation, 0, status="calling")

    (verdict,) = check(made.evidence(), only=["I-13"])

    assert (verdict.status, verdict.violations) == (Ruling.OK, ())
    assert verdict.checked == {"parked keys": 1, "dead letters": 1}


def test_what_a_former_life_said_lies_in_its_own_order() -> None:
    """A restored process says it again, and may come to it in another order."""
    made = small_company()
    made.record(REPLIES, 1, offset=9)
    made.record(REPLIES, 2, offset=1)
    made.rows("inventory", Spoken).append(Spoken("o-2", "fulfilment:o-2/stock/undo/reply", REPLIES))

    (verdict,) = check(made.evidence(), only=["I-12"])

    assert (verdict.status, verdict.violations) == (Ruling.OK, ())


def test_what_is_decided_after_a_former_lifes_words_was_said_after_them() -> None:
    """That life had ended: only its own words may lie in another order than the outbox."""
    made = small_company()
    made.record(REPLIES, 1, offset=9)
    made.record(REPLIES, 2, offset=1)
    made.rows("inventory", Spoken).append(Spoken("o-2", "fulfilment:o-2/stock/do/reply", REPLIES))

    (verdict,) = check(made.evidence(), only=["I-12"])

    assert [str(each) for each in verdict.violations] == [
        (
            "o-2: inventory said fulfilment:o-2/stock/undo/reply before"
            " fulfilment:o-2/stock/do/reply, which is earlier in its outbox"
            " at inventory.replies.v1/0/1"
        )
    ]


def test_a_missing_database_is_told() -> None:
    """The rest is compared all the same."""
    made = small_company()
    del made.tables["crm"]

    (verdict,) = check(made.evidence(), only=["I-11"])

    assert (verdict.status, verdict.why) == (Ruling.UNCHECKED, ("no database of crm",))
    assert verdict.checked == {
        "ended orders": 2, "orders in orders": 2, "orders in analytics": 2
    }  # fmt: skip


def test_a_column_that_cannot_be_read_is_told() -> None:
    """It is no violation, and no reason to stop."""
    made = small_company()
    made.change("inventory", Reservation, 0, units="[")

    (verdict,) = check(made.evidence(), only=["I-8"])

    assert (verdict.status, verdict.why) == (
        Ruling.UNCHECKED,
        ("the reservation of o-1 is no JSON",),
    )


def test_what_is_older_than_inboxes_keep_is_counted_apart() -> None:
    """Retention took the inbox row away; that is no loss."""
    made = small_company()
    made.rows("crm", Inbox).remove(Inbox("o-1", "orders", "o-1/placed", NOW_US))
    made.record(ORDERS, 0, timestamp_ms=NOW_US // 1000 - 31 * DAY_MS)

    (verdict,) = check(made.evidence(), only=["I-3"])

    assert verdict.status is Ruling.OK
    assert verdict.checked["records older than the inbox keeps"] == 1


def test_a_forged_record_that_its_readers_rejected_proves_nothing() -> None:
    """It lies on the topic in our name, and is a dead letter: nobody believed it."""
    made = small_company()
    again(made, REPLIES, 0, value=b"forged", headers=(("ce_id", b"x"), ("ce_source", b"billing")))
    made.rows("orchestrator", DeadLetter).append(
        DeadLetter(1, "o-1", "rejected", "wrong_writer", "validate", REPLIES, 0, 3, b"forged",
                   NOW_US, "rejected")
    )  # fmt: skip

    verdicts = check(made.evidence(), only=["I-3", "I-5", "I-12"])

    assert {each.status for each in verdicts} == {Ruling.OK}
    assert verdicts[0].checked["records turned away or parked"] == 1


def running(made: Made, **samples: float) -> None:
    """The orchestrator answers; what its meters say beside when it began."""
    began = {"process_start_time_seconds": NOW_US / 1e6 - 60}
    beat = {"saga_heartbeat_timestamp_seconds": NOW_US / 1e6}
    told = {(name, frozenset[tuple[str, str]]()): n for name, n in (began | beat | samples).items()}
    counted = {
        ("saga_events_consumed_total", frozenset({("result", "applied")})): 20.0,
        ("saga_started_total", frozenset({("saga", "fulfilment")})): 2.0,
        ("saga_started_total", frozenset({("saga", "onboarding")})): 2.0,
        **{
            ("saga_finished_total", frozenset({("saga", saga), ("outcome", outcome)})): 1.0
            for saga in ("fulfilment", "onboarding")
            for outcome in ("completed", "compensated")
        },
    }
    sent: dict[str, int] = {}
    for row in made.rows("orchestrator", Outbox):
        sent[row.topic] = sent.get(row.topic, 0) + 1
    for topic, n in sent.items():
        counted["saga_events_published_total", frozenset({("topic", topic)})] = float(n)
    made.tables = {"orchestrator": made.tables["orchestrator"]}
    made.surfaces = {"orchestrator": Surface({**told, **counted}, ready=True)}


def test_counters_that_agree_with_the_tables_hold() -> None:
    """All that the orchestrator counts since it began."""
    made = small_company()
    running(made, saga_outbox_pending=0)
    n = len(made.rows("orchestrator", Inbox))
    assert made.surfaces is not None
    surface = made.surfaces["orchestrator"]
    applied = ("saga_events_consumed_total", frozenset({("result", "applied")}))
    exact = replace(surface, samples={**surface.samples, applied: float(n)})
    made.surfaces["orchestrator"] = exact

    (verdict,) = check(made.evidence(), only=["I-16"])

    assert (verdict.status, verdict.violations) == (Ruling.OK, ())
    assert verdict.checked == {"processes": 1, "counters": 17}


def test_metrics_that_lie_are_found() -> None:
    """A counter that is behind, a gauge that hides what waits, a readiness that hides a stop."""
    made = small_company()
    running(made, saga_parked_keys=3, saga_partitions_stopped=1)

    (verdict,) = check(made.evidence(), only=["I-16"])

    assert [str(each) for each in verdict.violations] == [
        "orchestrator is ready, and 1 of its partitions stand still",
        "orchestrator counts 20 consumed, its tables have 22",
        "orchestrator counts 3 parked keys, its tables have 0",
    ]


@pytest.mark.parametrize(("doubts", "status"), [(0, Ruling.VIOLATED), (2, Ruling.UNCHECKED)])
def test_what_commits_in_doubt_may_have_done_is_no_lie(doubts: int, status: Ruling) -> None:
    """Counters that are behind cannot be checked then; a metric that hides work is a lie still."""
    made = small_company()
    running(made, saga_commits_in_doubt_total=doubts)
    behind = "orchestrator counts 20 consumed, its tables have 22"

    (verdict,) = check(made.evidence(), only=["I-16"])

    assert verdict.status is status
    assert verdict.why == ((f"{behind}: 2 of its commits were in doubt",) if doubts else ())
    assert [str(each) for each in verdict.violations] == ([] if doubts else [behind])


def test_what_is_counted_and_never_done_is_a_lie_for_all_doubts() -> None:
    """A commit in doubt explains what is missing, never what is too much, nor a wrong gauge."""
    made = small_company()
    running(made, saga_commits_in_doubt_total=2, saga_parked_keys=3)
    assert made.surfaces is not None
    one = made.surfaces["orchestrator"]
    begun = ("saga_started_total", frozenset({("saga", "fulfilment")}))
    made.surfaces["orchestrator"] = replace(one, samples={**one.samples, begun: 9.0})

    (verdict,) = check(made.evidence(), only=["I-16"])

    assert verdict.status is Ruling.VIOLATED
    assert [str(each) for each in verdict.violations] == [
        "orchestrator counts 3 parked keys, its tables have 0",
        "orchestrator counts 9 sagas started of fulfilment, its tables have 2",
    ]


@pytest.mark.parametrize(
    ("started", "later_s", "wrong"),
    [
        ((1, 1), 0, []),
        ((1, 0), 0, ["1 sagas started of fulfilment, its tables have 2"]),
        ((1, 0), 3600, []),
        ((3, 0), 3600, ["3 sagas started of fulfilment, its tables have 0 to 2"]),
    ],
)  # fmt: skip
def test_processes_of_one_program_count_together(
    started: tuple[int, int], later_s: int, wrong: list[str]
) -> None:
    """What is older than the latest of them may have been counted by one that is gone."""
    made = small_company()
    running(made, saga_outbox_pending=0)
    assert made.surfaces is not None
    one = made.surfaces["orchestrator"]
    begun = ("saga_started_total", frozenset({("saga", "fulfilment")}))
    consumed = ("saga_events_consumed_total", frozenset({("result", "applied")}))
    began, beat = (
        (name, frozenset[tuple[str, str]]())
        for name in ("process_start_time_seconds", "saga_heartbeat_timestamp_seconds")
    )
    made.surfaces = {
        "orchestrator": replace(one, samples={**one.samples, begun: float(started[0])}),
        "orchestrator-2": Surface(
            {
                beat: one.samples[beat],
                began: one.samples[began] + later_s,
                consumed: float(len(made.rows("orchestrator", Inbox)) - 20),
                begun: float(started[1]),
            },
            ready=True,
        ),
    }

    (verdict,) = check(made.evidence(), only=["I-16"])

    told = [str(each) for each in verdict.violations]
    assert told == [f"orchestrator counts {each}" for each in wrong]


def test_a_timer_that_nobody_fires_is_found_where_somebody_runs() -> None:
    """A stack that stands still has overdue timers by right."""
    made = small_company()
    open_saga(made)
    made.rows("orchestrator", Timer).append(
        Timer("o-1", "fulfilment/stock/do", NOW_US - 90_000_000)
    )
    assert check(made.evidence(), only=["I-10"])[0].status is Ruling.OK

    made.surfaces = {}
    (verdict,) = check(made.evidence(), only=["I-10"])

    assert [str(each) for each in verdict.violations] == [
        "o-1: its timer fulfilment/stock/do is 90 s overdue"
    ]


def test_a_record_of_any_shape_is_no_fault_of_the_checker() -> None:
    """No key, no value, headers without values: strangers may write what they like."""
    made = small_company()
    made.say("shop", ORDERS, "x", "x")
    made.records[-1] = made.records[-1]._replace(
        key=None,
        value=None,
        headers=(("ce_id", None), ("ce_source", b"\xff")),  # type: ignore[arg-type]
    )
    made.settle()

    assert len(check(made.evidence())) == 16
