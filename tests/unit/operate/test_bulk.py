"""One verb for many sagas: frozen, paced, stopped, verified, kept over restarts."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bulk_stage import QUERY, RETRY, begin, counts, five_wait, items, steps
from telling_stage import Console, opened

from orchestrator.operate.bulk_running import BulkRunner
from schemas.billing import PaymentAuthorised, PaymentDeclined
from services.chassis.store import Plan, Statement, Write
from tests.unit.operate.orchestra import AMOUNT

EMPTY = "query: it is empty: nothing acts on all there ever were; phase=open is all open"
NONE = dict.fromkeys(
    [
        *("pending", "telling", "requested", "progressed", "moved_on"),
        *("failed_again", "unchanged", "refused", "skipped"),
    ],
    0,
)


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    async with opened(tmp_path) as console:
        yield console


@pytest.fixture
async def waiting(console: Console) -> Console:
    return await five_wait(console)


async def test_all_that_match_are_told_and_verified(waiting: Console) -> None:
    """Each saga's result is what came of it; who said nothing in time is unchanged."""
    operation = await begin(waiting, QUERY)
    await steps(waiting)
    await waiting.playing.reply("o-1", "payment/do", PaymentAuthorised("o-1", "a-1", AMOUNT))
    await waiting.playing.reply("o-2", "payment/do", PaymentDeclined("o-2", "card_expired"))
    await steps(waiting)
    open_yet = await counts(waiting, operation)
    waiting.playing.wait(121)
    await steps(waiting)

    assert open_yet == ("running", {"progressed": 1, "failed_again": 1, "unchanged": 3})
    assert await counts(waiting, operation) == (
        "done",
        {"progressed": 1, "failed_again": 1, "unchanged": 3},
    )
    assert await items(waiting, operation) == {
        "fulfilment:o-1": ("progressed", "billing.PaymentAuthorised → awaiting_shipment"),
        "fulfilment:o-2": ("failed_again", "billing.PaymentDeclined → undoing_stock"),
        **dict.fromkeys(("fulfilment:o-3", "fulfilment:o-4", "fulfilment:o-5"), ("unchanged", "")),
    }
    assert len(waiting.wire.sent) == 5
    assert [line[0] for line in await waiting.audited()] == ["retry", "retry"]


async def test_the_same_request_is_one_operation(waiting: Console) -> None:
    """Asked twice under one Idempotency-Key, each saga is told once."""
    first = await begin(waiting, QUERY)
    second = await begin(waiting, QUERY)
    status, said = await waiting.post("/api/operations", {**QUERY, "verb": "pause"}, "b-1")
    await steps(waiting)

    assert first == second
    assert (status, said["detail"]) == (
        409,
        f"Idempotency-Key: b-1 was given to {first}",
    )
    assert len({out.id for out in waiting.wire.sent}) == len(waiting.wire.sent) == 5


async def test_a_saga_that_moved_since_it_was_listed_is_refused(waiting: Console) -> None:
    """The version is that of the list, however long the list waits; tried again, it is told."""
    operation = await begin(waiting, {**QUERY, "first": 1})
    await steps(waiting)
    tried = await items(waiting, operation)
    moved = next(saga for saga, (state, _) in tried.items() if state == "pending")
    await waiting.tell(moved, {"verb": "note", "reason": "seen", "actor": "bob"})
    paused = await counts(waiting, operation)

    await waiting.post(f"/api/operations/{operation}/resume", {"reason": "good", "actor": "ann"})
    await steps(waiting)
    refused = (await items(waiting, operation))[moved]
    waiting.playing.wait(121)
    await steps(waiting)
    await waiting.post(f"/api/operations/{operation}/retry", {"reason": "now", "actor": "ann"})
    await steps(waiting)

    assert paused == ("paused", {"pending": 4, "unchanged": 1})
    assert refused == ("refused", "stale")
    assert await counts(waiting, operation) == ("running", {"unchanged": 5})
    assert {line[0] for line in await waiting.audited()} == {"retry", "note", "resume"}


async def test_a_saga_that_moved_on_by_itself_is_left_alone(waiting: Console) -> None:
    """It is neither refused nor told again: the list says where it had gone."""
    operation = await begin(waiting, {**QUERY, "first": 1})
    await steps(waiting)
    tried = await items(waiting, operation)
    waiting.playing.wait(1)
    for saga in tried:
        order = saga.partition(":")[2]
        await waiting.playing.reply(order, "payment/do", PaymentAuthorised(order, "a-1", AMOUNT))
    sent = len(waiting.wire.sent)
    await waiting.post(f"/api/operations/{operation}/resume", {"reason": "good", "actor": "ann"})
    await steps(waiting)

    assert await counts(waiting, operation) == ("done", {"progressed": 1, "moved_on": 4})
    moved = ("moved_on", "before it was told: billing.PaymentAuthorised → awaiting_shipment")
    assert list((await items(waiting, operation)).values()).count(moved) == 4
    assert len(waiting.wire.sent) == sent + 4


async def test_a_cancelled_operation_tells_nobody_more(waiting: Console) -> None:
    """What was not told is skipped; and it cannot be cancelled again."""
    operation = await begin(waiting, {**QUERY, "first": 2})
    await steps(waiting)
    body = {"reason": "wrong ones", "actor": "ann"}
    status, said = await waiting.post(f"/api/operations/{operation}/cancel", body)
    await steps(waiting)
    again, why = await waiting.post(f"/api/operations/{operation}/cancel", body)

    assert (status, said["state"]) == (200, "cancelled")
    assert await counts(waiting, operation) == ("cancelled", {"unchanged": 2, "skipped": 3})
    assert len(waiting.wire.sent) == 2
    assert (again, why["detail"]) == (
        409,
        f"operation: {operation} is cancelled: no cancel now",
    )


async def test_it_goes_no_faster_than_its_rate(waiting: Console) -> None:
    """Time that passed without telling is no credit for more than a second's worth."""
    operation = await begin(waiting, {**QUERY, "rate": 1})
    await waiting.runner.step()
    told = []
    for _ in range(4):
        await waiting.runner.step()
        told.append(len(waiting.wire.sent))

    assert told == [1, 2, 3, 4]
    assert (await counts(waiting, operation))[1]["pending"] == 1


async def test_a_preview_tells_ids_messages_and_money(waiting: Console) -> None:
    """Of all that match together, and of each; nothing is kept and nothing sent."""
    status, said = await waiting.post("/api/operations", {**QUERY, "dry_run": True})

    assert (status, said["count"], said["rehearsed"], said["refused"]) == (200, 5, 5, {})
    assert said["commands"] == [
        {
            "type": "billing.AuthorisePayment",
            "topic": "billing.payment.commands.v1",
            "service": "billing",
            "count": 5,
            "money": {"GBP": 5 * 4200},
        }
    ]
    assert said["sagas"][0] == {
        "saga_id": "fulfilment:o-5",
        "version": 2,
        "state": "awaiting_payment",
        "refused": None,
        "commands": ["fulfilment:o-5/payment/do"],
    }
    assert (await waiting.read("/api/operations"))["operations"] == []
    assert waiting.wire.sent == []


async def test_sagas_are_named_instead_of_matched(waiting: Console) -> None:
    """Each once; one that is unknown is told before anything begins."""
    named = {**RETRY, "sagas": ["o-1", "fulfilment:o-2", "fulfilment:o-1", "o-1"]}
    operation = await begin(waiting, named)
    _, dry = await waiting.post("/api/operations", {**named, "dry_run": True})
    again = await begin(waiting, named)
    reused = [
        await waiting.post("/api/operations", body, "b-1")
        for body in (
            {**named, "sagas": ["o-1", "o-3"]},
            {**named, "step": "payment"},
            {**named, "assignee": "bob"},
        )
    ]
    status, said = await waiting.post("/api/operations", {**RETRY, "sagas": ["o-9"]}, "b-2")

    assert await counts(waiting, operation) == ("running", {"pending": 2})
    assert (status, said["detail"]) == (404, "saga: no saga o-9 is known here")
    assert (dry["count"], again) == (2, operation)
    assert [status for status, _ in reused] == [409, 409, 409]
    shown = (await waiting.read("/api/operations"))["operations"]
    assert [(each["id"], each["total"]) for each in shown] == [(operation, 2)]


@pytest.mark.parametrize(
    ("path", "body", "status", "detail"),
    [
        ("", RETRY, 422, "body: give a query or sagas, one of the two"),
        ("", {**QUERY, "sagas": ["o-1"]}, 422, "body: give a query or sagas, one of the two"),
        ("", {**QUERY, "query": "colour=red"}, 422, "query: 'colour=red': the terms are"),
        ("", {**QUERY, "query": ""}, 422, EMPTY),
        ("", {**QUERY, "query": " ", "dry_run": True}, 422, EMPTY),
        ("", {**QUERY, "query": "state=,"}, 422, "query: 'state=,': write a value, as state=a"),
        ("", {**QUERY, "rate": 0}, 422, "body: rate: Input should be greater than or equal to 1"),
        ("/op-1/cancel", {"reason": "no", "actor": "ann"}, 404, "operation: no operation op-1"),
    ],
)
async def test_what_cannot_be_begun_is_refused_by_name(
    waiting: Console, path: str, body: dict[str, object], status: int, detail: str
) -> None:
    """The place, and what would be right."""
    answered, said = await waiting.post(f"/api/operations{path}", body)

    assert answered == status
    assert str(said["detail"]).startswith(detail)


async def test_what_ended_long_ago_is_forgotten(waiting: Console) -> None:
    """After a year, items first; the audit stays."""
    await begin(waiting, QUERY)
    await steps(waiting)
    waiting.playing.wait(121)
    await steps(waiting)
    waiting.playing.wait(366 * 86_400)
    await steps(waiting)

    assert waiting.kept.rows("SELECT count(*) FROM bulk_items") == [(0,)]
    assert (await waiting.read("/api/operations"))["operations"] == []
    assert len(await waiting.audited()) == 2


HUNDREDS, RATE = 300, 40


def told(console: Console) -> list[str]:
    return [out.key for out in console.wire.sent]


async def test_hundreds_are_told_at_their_rate_stopped_tried_and_gone_on_with(
    console: Console,
) -> None:
    """Through the real engine: each saga once, whoever stops, resumes or starts the runner anew."""
    for n in range(HUNDREDS):
        await console.playing.place_order(f"o-{n}")
    many = {**RETRY, "query": "state=awaiting_stock", "rate": RATE}

    stopped = await begin(console, {**many, "verb": "note"}, "b-1")
    while (await console.read(f"/api/operations/{stopped}"))["state"] == "collecting":
        await console.runner.step()
    before, each_turn = len(told(console)), list[int]()
    for _ in range(3):
        await console.runner.step()
        each_turn.append(len(told(console)) - before)
        before = len(told(console))
    await console.post(f"/api/operations/{stopped}/cancel", {"reason": "no", "actor": "ann"})
    await steps(console, 8)
    noted = len(told(console))

    assert max(each_turn) <= RATE
    assert sum(each_turn) >= 2 * RATE
    assert (await counts(console, stopped))[0] == "cancelled"
    assert (await counts(console, stopped))[1]["skipped"] == HUNDREDS - noted

    tried = await begin(console, {**many, "verb": "pause", "first": 7}, "b-2")
    await steps(console, 20)
    assert len(told(console)) == noted + 7
    await console.post(f"/api/operations/{tried}/resume", {"reason": "good", "actor": "ann"})
    await steps(console, 3)
    parts = (console.runner._store, console.runner._reading, console.runner._telling)
    console.runner = BulkRunner(*parts, console.runner._audit, console.runner._clock)
    await steps(console, 20)

    paused = told(console)[noted:]
    assert len(paused) == len(set(paused)) == HUNDREDS
    assert await counts(console, tried) == ("done", {"progressed": HUNDREDS})
    found = await console.read("/api/sagas/count?query=reason%3Dpaused")
    assert found == {"count": HUNDREDS, "whole": True}
    assert len({out.id for out in console.wire.sent}) == len(console.wire.sent)


COPIES = (
    "INSERT INTO keys (id, name) SELECT id + 1000, 'c-' || id FROM numbers",
    """INSERT INTO sagas SELECT numbers.id + 1000, numbers.id + 1000, 'fulfilment:c-' || numbers.id,
    definition, definition_version, phase, paused, steps, version, start_id, start_digest,
    cancellations, reason, detail, attention, attentions, started_us, updated_us
    FROM numbers, sagas WHERE saga_id = 'fulfilment:o-1'""",
)


def copies(count: int) -> Plan[None]:
    """Of o-1, straight into the orchestrator's tables."""
    yield Write(Statement("table", "CREATE TABLE numbers (id INTEGER PRIMARY KEY)"), [()])
    yield Write(Statement("rows", "INSERT INTO numbers VALUES (?)"), [(n,) for n in range(count)])
    for sql in COPIES:
        yield Write(Statement("copies", sql), [()])


@pytest.mark.costly
async def test_a_hundred_thousand_sagas_are_listed_in_pieces(waiting: Console) -> None:
    """Every one once, with little in memory, and no turn that takes them all."""
    await waiting.playing.store.run(lambda: copies(100_000))
    tracemalloc.start()
    operation = await begin(waiting, {**RETRY, "verb": "note", "query": "phase=open"})
    while (await waiting.read(f"/api/operations/{operation}"))["state"] == "collecting":
        await waiting.runner.step()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    said = await waiting.read(f"/api/operations/{operation}")

    assert (said["total"], said["counts"]) == (100_006, {**NONE, "pending": 100_006})
    assert peak < 40_000_000
    await steps(waiting, 5)
    await waiting.post(f"/api/operations/{operation}/cancel", {"reason": "no", "actor": "ann"})
    await steps(waiting, 5)
    sent = len(waiting.wire.sent)
    assert 0 < sent <= 5 * 20
    assert (await counts(waiting, operation))[1]["skipped"] == 100_006 - sent
