"""Verbs for one saga, told through the console's API to the real engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from telling_stage import Console, opened

from orchestrator.operate import client, telling
from schemas.billing import PaymentAuthorised, PaymentDeclined
from services.chassis.bus import BusError
from services.chassis.messages import Outgoing
from tests.unit.operate.orchestra import AMOUNT

RETRY = {"verb": "retry", "reason": "billing is back", "actor": "ann"}
PAYMENTS = "billing.payment.commands.v1"


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    async with opened(tmp_path) as console:
        yield console


@pytest.fixture
async def waiting(console: Console) -> Console:
    """One order that waits for its payment."""
    await console.playing.place_order("o-1")
    await console.playing.reserve("o-1")
    console.playing.sent.clear()
    return console


async def test_a_verb_is_obeyed_once_and_says_what_became_of_it(waiting: Console) -> None:
    """The same Idempotency-Key twice is one message sent again, and one and the same answer."""
    before = {**RETRY, "version": 2}

    status, told = await waiting.tell("o-1", before)
    again = await waiting.tell("o-1", before)

    assert (status, told) == (
        200,
        {
            "id": "k-1",
            "saga_id": "fulfilment:o-1",
            "verb": "retry",
            "actor": "local/ann",
            "reason": "billing is back",
            "result": "applied",
            "at": "2025-11-24T16:00:00.000000Z",
            "version_before": 2,
            "version_after": 3,
            "verified": "unchanged",
            "because": None,
            "state": "awaiting_payment",
            "version": 3,
        },
    )
    assert again == (200, told)
    assert [out.id for out in waiting.playing.sent] == ["fulfilment:o-1/payment/do"]
    assert [out.id for out in waiting.wire.sent] == ["console/k-1"]


async def test_what_a_preview_shows_is_what_is_sent(waiting: Console) -> None:
    """Type, topic, id and money of each message, without a message; then the verb sends those."""
    status, shown = await waiting.tell("o-1", {**RETRY, "dry_run": True})

    assert (status, shown) == (
        200,
        {
            "saga_id": "fulfilment:o-1",
            "verb": "retry",
            "version": 2,
            "state": "awaiting_payment",
            "becomes": "awaiting_payment",
            "refused": None,
            "commands": [
                {
                    "type": "billing.AuthorisePayment",
                    "topic": PAYMENTS,
                    "service": "billing",
                    "id": "fulfilment:o-1/payment/do",
                    "again": True,
                    "money": [{"amount_minor": 4200, "currency": "GBP"}],
                }
            ],
            "money": {"billing.AuthorisePayment": {"GBP": 4200}},
            "then": [],
        },
    )
    assert waiting.wire.sent == []
    assert waiting.playing.sent == []
    await waiting.tell("o-1", RETRY)
    assert [(out.topic, out.id) for out in waiting.playing.sent] == [
        (PAYMENTS, "fulfilment:o-1/payment/do")
    ]


async def test_a_preview_of_a_turn_back_shows_all_that_can_follow(waiting: Console) -> None:
    """What is sent at once and what follows to the end are the messages that are then sent."""
    await waiting.playing.reply("o-1", "payment/do", PaymentAuthorised("o-1", "a-1", AMOUNT))
    waiting.playing.sent.clear()
    body = {**RETRY, "verb": "compensate"}

    _, shown = await waiting.tell("o-1", {**body, "dry_run": True})

    assert shown["becomes"] == "awaiting_shipment"
    assert shown["commands"] == []
    then = shown["then"]
    assert isinstance(then, list)
    assert [(each["type"], each["money"]) for each in then] == [
        ("shipping.CancelShipment", []),
        ("billing.VoidPayment", [{"amount_minor": 4200, "currency": "GBP"}]),
        ("inventory.ReleaseStock", []),
        ("orchestrator.OrderCancelled", []),
    ]


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ({**RETRY, "version": 1}, "stale"),
        ({**RETRY, "verb": "resume"}, "not_paused"),
        ({**RETRY, "verb": "skip", "step": "payment"}, "no_evidence"),
        ({**RETRY, "verb": "skip", "step": "nonsense", "evidence": "T-1"}, "unknown_step"),
    ],
)
async def test_what_is_refused_says_why_and_where_the_saga_is(
    waiting: Console, body: dict[str, object], result: str
) -> None:
    """409 with the reason, the version it has now, and nothing sent; the preview says the same."""
    _, shown = await waiting.tell("o-1", {**body, "dry_run": True})
    status, said = await waiting.tell("o-1", body)

    why = f"{body['verb']} was refused: {result}; it is awaiting_payment, version 2"
    assert shown["refused"] == result
    assert (status, said) == (
        409,
        {
            "version": 2,
            "state": "awaiting_payment",
            "type": f"/problems/{result}",
            "title": result.replace("_", " "),
            "status": 409,
            "detail": f"fulfilment:o-1: {why}",
            "errors": [{"place": "fulfilment:o-1", "problem": why}],
        },
    )
    assert waiting.playing.sent == []


async def test_without_kafka_nothing_is_told(waiting: Console) -> None:
    """503, and when Kafka is back nothing of it comes after."""
    waiting.wire.broken = BusError("no broker answers")

    status, said = await waiting.tell("o-1", RETRY)
    waiting.wire.broken = None

    assert (status, said["detail"]) == (503, "kafka: nothing was told: no broker answers")
    assert waiting.wire.sent == []
    assert (await waiting.told("o-1"))["status"] == 404


async def test_who_waits_behind_what_kafka_does_not_answer_is_told_so(
    waiting: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In time for the command line to hear it: nothing of it is queued behind the others."""
    monkeypatch.setattr(telling, "TOLD_WITHIN_S", 0.05)
    publish, silent = waiting.wire.publish, asyncio.Event()

    async def waits(messages: Sequence[Outgoing]) -> None:
        await silent.wait()
        await publish(messages)

    monkeypatch.setattr(waiting.wire, "publish", waits)
    both = await asyncio.gather(waiting.tell("o-1", RETRY), waiting.tell("o-1", RETRY, "k-2"))
    silent.set()
    monkeypatch.setattr(telling, "TOLD_WITHIN_S", 6.0)
    after = await waiting.tell("o-1", RETRY, "k-3")

    why = "kafka: nothing was told: Kafka did not take it within 0 s"
    assert [(status, said["detail"]) for status, said in both] == [(503, why), (503, why)]
    assert after[0] == 200
    assert [out.id for out in waiting.wire.sent] == ["console/k-3"]
    assert client.ANSWER_WITHIN_S > telling.TOLD_WITHIN_S + telling.WAIT_S + 5


async def test_what_was_told_is_not_said_to_have_failed_when_it_cannot_be_looked_at(
    waiting: Console, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The orchestrator's database is away just then: 202 with the place where it will be said."""
    path, away = tmp_path / "orchestrator.db", tmp_path / "away.db"
    publish = waiting.wire.publish

    async def then_away(messages: Sequence[Outgoing]) -> None:
        await publish(messages)
        path.rename(away)

    monkeypatch.setattr(waiting.wire, "publish", then_away)
    status, said = await waiting.tell("o-1", RETRY)
    away.rename(path)

    assert (status, said["result"], said["look"]) == (
        202,
        "not_taken",
        "/api/sagas/o-1/verbs/k-1",
    )
    assert (await waiting.told("o-1"))["result"] == "applied"
    assert [line[2] for line in await waiting.audited()] == ["asked", "not_taken"]


async def test_who_is_cut_off_after_it_was_told_has_not_failed(waiting: Console) -> None:
    """The console stops, say: the audit knows that it was told."""
    waiting.wire.asleep = True
    telling_it = asyncio.create_task(waiting.tell("o-1", RETRY))
    await waiting.wire.used.wait()
    telling_it.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling_it

    assert [line[2] for line in await waiting.audited()] == ["asked", "not_taken"]


async def test_what_is_not_taken_yet_says_where_to_look(waiting: Console) -> None:
    """202 while the orchestrator sleeps; the place it names answers once it was taken."""
    waiting.wire.asleep = True

    status, said = await waiting.tell("o-1", RETRY)
    await waiting.playing.hear(waiting.wire.sent[0])

    assert (status, said["result"], said["look"]) == (
        202,
        "not_taken",
        "/api/sagas/o-1/verbs/k-1",
    )
    assert (await waiting.told("o-1"))["result"] == "applied"


@pytest.mark.parametrize(
    ("reply", "became", "because"),
    [
        (
            PaymentAuthorised("o-1", "a-1", AMOUNT),
            "progressed",
            "billing.PaymentAuthorised → awaiting_shipment",
        ),
        (
            PaymentDeclined("o-1", "card_expired"),
            "failed_again",
            "billing.PaymentDeclined → undoing_stock",
        ),
    ],
)
async def test_a_retry_is_verified_by_what_came_of_it(
    waiting: Console, reply: object, became: str, because: str
) -> None:
    """Unchanged until a reply comes; then progressed, or failed again, and why."""
    await waiting.tell("o-1", RETRY)
    first = await waiting.told("o-1")

    await waiting.playing.reply("o-1", "payment/do", reply)

    then = await waiting.told("o-1")
    assert (first["verified"], first["because"]) == ("unchanged", None)
    assert (then["verified"], then["because"]) == (became, because)


@pytest.mark.parametrize(
    ("name", "body", "key", "status", "detail"),
    [
        ("o-9", RETRY, "k-1", 404, "saga: no saga o-9 is known here"),
        ("o-1", {**RETRY, "reason": ""}, "k-1", 422, "body: reason: String should have at least"),
        ("o-1", {**RETRY, "verb": "delete"}, "k-1", 422, "body: verb: Input should be 'retry'"),
        ("o-1", RETRY, "op-1", 422, "Idempotency-Key: up to 128 letters, digits, dots, dashes"),
    ],
)
async def test_what_cannot_be_understood_is_refused_by_name(
    waiting: Console, name: str, body: dict[str, object], key: str, status: int, detail: str
) -> None:
    """The place and the problem; nothing is published."""
    answered, said = await waiting.tell(name, body, key)

    assert answered == status
    assert str(said["detail"]).startswith(detail)
    assert waiting.wire.sent == []


async def test_an_idempotency_key_is_for_one_verb(waiting: Console) -> None:
    """Given to another verb or saga, it is refused and says whose it is."""
    await waiting.tell("o-1", RETRY)

    status, said = await waiting.tell("o-1", {**RETRY, "verb": "note"})

    assert (status, said["detail"]) == (
        409,
        "Idempotency-Key: k-1 was given to retry fulfilment:o-1",
    )
    assert len(waiting.wire.sent) == 1


async def test_whose_a_saga_is_stands_in_its_views(waiting: Console) -> None:
    """Handed to somebody, it says so alone, in lists and among what is stuck; then nobody's."""
    waiting.playing.wait(600)
    hand = {"verb": "assign", "reason": "ledger first", "actor": "ann"}

    await waiting.tell("o-1", {**hand, "assignee": "finance"}, "k-1")
    owned = [await waiting.read("/api/sagas/o-1"), await waiting.read("/api/sagas/stuck")]
    await waiting.tell("o-1", hand, "k-2")
    own = await waiting.read("/api/sagas/o-1")
    await waiting.tell("o-1", {**hand, "verb": "unassign"}, "k-3")
    nobodys = await waiting.read("/api/sagas/stuck")

    assert owned[0]["assignee"] == "finance"
    assert [(group["owners"], group["members"][0]["assignee"]) for group in owned[1]["groups"]] == [
        (["finance"], "finance")
    ]
    assert own["assignee"] == "local/ann"
    assert [group["owners"] for group in nobodys["groups"]] == [[]]
    lines = await waiting.playing.store.read(
        "SELECT what, evidence, detail FROM journal WHERE actor = 'local/ann' ORDER BY seq"
    )
    assert [tuple(line.values()) for line in lines] == [
        ("verb_assign", "finance", "ledger first"),
        ("verb_assign", "local/ann", "ledger first"),
        ("verb_unassign", "", "ledger first"),
    ]
