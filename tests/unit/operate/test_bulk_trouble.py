"""Bulk operations that meet trouble: killed, cut off, raced by a person, broken, too many."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import pytest
from bulk_stage import QUERY, RETRY, begin, change, counts, five_wait, items, steps
from telling_stage import Console, opened

from orchestrator.operate import bulk_running, counting
from orchestrator.operate.bulk import SQL
from schemas.billing import PaymentDeclined
from services.chassis.bus import BusError
from services.chassis.store import Plan, Statement, Unavailable, Write

NARROW = "narrow it, as with phase=open, and look again"
NOTHING: Mapping[str, object] = {}
UNCHANGED = ("running", {"unchanged": 5})


@pytest.fixture
async def waiting(tmp_path: Path) -> AsyncIterator[Console]:
    async with opened(tmp_path) as console:
        yield await five_wait(console)


async def test_without_kafka_it_waits_and_says_so(waiting: Console) -> None:
    """Nothing is lost; what may have left is told apart; it goes on when Kafka is back."""
    waiting.wire.broken = BusError("no broker answers")
    operation = await begin(waiting, {**QUERY, "rate": 2})
    await steps(waiting, 2)
    held = await waiting.read(f"/api/operations/{operation}")
    waiting.wire.broken = None
    await steps(waiting)

    assert held["held"] == "no broker answers"
    assert (held["counts"]["telling"], held["counts"]["pending"]) == (1, 4)
    assert await counts(waiting, operation) == UNCHANGED
    assert (await waiting.read(f"/api/operations/{operation}"))["held"] is None


async def killed_after_telling(console: Console) -> str:
    operation = await begin(console, QUERY)
    await console.runner.step()
    console.kept.faults += [None, Unavailable("killed")]
    await console.runner.step()
    assert [each.id for each in console.wire.sent] == [f"console/{operation}.1.1"]
    return operation


async def test_killed_after_telling_it_tells_the_same_again(waiting: Console) -> None:
    """What was told and not kept as told is told under the same id, which is taken once."""
    waiting.wire.asleep = True
    operation = await killed_after_telling(waiting)
    held = (await waiting.read(f"/api/operations/{operation}"))["held"]
    waiting.wire.asleep = False
    await steps(waiting)
    await waiting.playing.hear(waiting.wire.sent[0])

    sent = [out.id for out in waiting.wire.sent]
    assert held == "killed"
    assert (len(sent), len(set(sent))) == (6, 5)
    assert len(waiting.playing.sent) == 5
    assert await counts(waiting, operation) == UNCHANGED


async def test_who_cancels_after_a_kill_is_not_told_that_a_told_saga_was_skipped(
    waiting: Console,
) -> None:
    """It was told, so what came of it is said; nobody else is told any more."""
    operation = await killed_after_telling(waiting)
    await change(waiting, operation, "cancel")
    await steps(waiting)

    assert await counts(waiting, operation) == ("cancelled", {"unchanged": 1, "skipped": 4})
    assert len(waiting.wire.sent) == 1


async def test_who_cancels_before_a_batch_leaves_stops_it(
    waiting: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not told to those that were read to be told."""
    operation = await begin(waiting, QUERY)
    await waiting.runner.step()
    after_read(waiting, monkeypatch, "pending", lambda: change(waiting, operation, "cancel"))
    await steps(waiting)

    assert await counts(waiting, operation) == ("cancelled", {"skipped": 5})
    assert waiting.wire.sent == []


def after_read(
    console: Console,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    then: Callable[[], Awaitable[None]],
) -> None:
    """A person acts between the runner's next look at items of this state and its next write."""
    read, left = console.kept.read, [then]

    async def raced(
        asked: Statement, params: Mapping[str, object] = NOTHING
    ) -> list[dict[str, object]]:
        found = await read(asked, params)  # type: ignore[arg-type]
        if left and asked is SQL["items.in"] and params["state"] == state:
            await left.pop()()
        return found

    monkeypatch.setattr(console.kept, "read", raced)


@pytest.mark.parametrize("looked_at", ["unchanged", "pending"])
async def test_who_tries_again_as_it_ends_is_obeyed(
    waiting: Console, monkeypatch: pytest.MonkeyPatch, looked_at: str
) -> None:
    """Neither what came of the first attempt nor the end of the operation hides the second."""
    operation = await begin(waiting, QUERY)
    await steps(waiting)
    await change(waiting, operation, "cancel")
    waiting.playing.wait(121)
    await waiting.playing.reply("o-1", "payment/do", PaymentDeclined("o-1", "card_expired"))
    after_read(waiting, monkeypatch, looked_at, lambda: change(waiting, operation, "retry"))
    await waiting.runner.step()
    raced = await counts(waiting, operation)
    await steps(waiting)

    assert raced == ("running", {"pending": 5})
    assert {out.id for out in waiting.wire.sent[5:]} == {
        f"console/{operation}.{n}.2" for n in range(1, 6)
    }


async def test_what_was_not_taken_yet_is_waited_for_until_it_cannot_be_any_more(
    waiting: Console,
) -> None:
    """A verb is good for five minutes: it is not said to be lost while it may take effect."""
    waiting.wire.asleep = True
    first = await begin(waiting, QUERY)
    await steps(waiting)
    waiting.playing.wait(290)
    await steps(waiting)
    on_their_way = await counts(waiting, first)
    for out in waiting.wire.sent:
        await waiting.playing.hear(out)
    await steps(waiting)
    taken = await counts(waiting, first)

    lost = await begin(waiting, QUERY, "b-2")
    await steps(waiting)
    waiting.playing.wait(359)
    await steps(waiting)
    still = await counts(waiting, lost)
    waiting.playing.wait(1)
    await steps(waiting)

    assert on_their_way == ("running", {"requested": 5})
    assert taken == ("done", {"unchanged": 5})
    assert still == ("running", {"requested": 5})
    assert await counts(waiting, lost) == ("done", {"unchanged": 5})
    assert set((await items(waiting, lost)).values()) == {("unchanged", "not taken")}


async def test_to_try_all_of_them_first_is_to_try_them(waiting: Console) -> None:
    """Nothing is left to wait for a person, so it goes on to its end."""
    operation = await begin(waiting, {**QUERY, "first": 5})
    await steps(waiting)
    told = await counts(waiting, operation)
    waiting.playing.wait(121)
    await steps(waiting)

    assert told == UNCHANGED
    assert await counts(waiting, operation) == ("done", {"unchanged": 5})


async def test_those_that_wait_for_a_person_hold_up_nobody(
    waiting: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many they are; and they are looked at all the same."""
    monkeypatch.setattr(bulk_running, "ACTIVE_MAX", 2)
    waiting.wire.asleep = True
    paused = [await begin(waiting, {**QUERY, "first": 1}, f"b-{n}") for n in range(5)]
    await steps(waiting, 20)
    waiting.wire.asleep = False
    for out in waiting.wire.sent:
        await waiting.playing.hear(out)
    operation = await begin(waiting, {**RETRY, "sagas": ["o-2"]}, "b-9")
    await steps(waiting, 3)

    assert await counts(waiting, operation) == ("running", {"unchanged": 1})
    for each in paused:
        state, told = await counts(waiting, each)
        assert (state, told["pending"], told.get("requested", 0)) == ("paused", 4, 0)


async def test_one_that_cannot_go_on_holds_up_no_other(waiting: Console) -> None:
    """Of what a newer release wrote, say: it is shown why, and can be cancelled."""
    newer = "UPDATE sagas SET phase = 'hibernating' WHERE saga_id = 'fulfilment:o-1'"

    def written() -> Plan[None]:
        yield Write(Statement("newer", newer), [()])

    await waiting.playing.store.run(written)
    broken = await begin(waiting, QUERY)
    whole = await begin(waiting, {**RETRY, "sagas": ["o-2"]}, "b-2")
    await steps(waiting)
    held = (await waiting.read(f"/api/operations/{broken}"))["held"]
    await change(waiting, broken, "cancel")
    await steps(waiting)

    assert held == "ValueError: 'hibernating' is not a valid Phase"
    assert await counts(waiting, whole) == ("running", {"unchanged": 1})
    assert (await counts(waiting, broken))[0] == "cancelled"
    assert (await waiting.read(f"/api/operations/{broken}"))["held"] is None


async def test_more_than_were_confirmed_are_not_told(waiting: Console) -> None:
    """It grew after it was counted: nobody is told, and it says so."""
    operation = await begin(waiting, {**QUERY, "seen": 4})
    exactly = await begin(waiting, {**QUERY, "seen": 5}, "b-2")
    await steps(waiting)

    assert await counts(waiting, operation) == ("cancelled", {"skipped": 5})
    assert set((await items(waiting, operation)).values()) == {
        ("skipped", "it grew: only 4 were confirmed")
    }
    assert await counts(waiting, exactly) == UNCHANGED
    assert len(waiting.wire.sent) == 5


async def test_what_cannot_be_counted_cannot_be_confirmed(
    waiting: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number that is too low is worse than none."""
    monkeypatch.setattr(counting, "COUNTED_PAGES_MAX", 1)
    monkeypatch.setattr(counting, "PAGE_MAX", 2)
    body = {**QUERY, "query": "started<1d", "dry_run": True}
    status, said = await waiting.post("/api/operations", body)
    open_ones = await waiting.post("/api/operations", {**body, "query": "started<1d phase=open"})

    assert (status, said["type"], said["detail"]) == (
        422,
        "/problems/too_many",
        f"query: 2 or more match 'started<1d', too many to be counted; {NARROW}",
    )
    assert (open_ones[0], open_ones[1]["count"]) == (200, 6)
