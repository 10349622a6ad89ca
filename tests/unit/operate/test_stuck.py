"""What counts as stuck: seven reasons, each brought about in the real shell, the first that holds.

Stuck is not old: it is past a deadline, or stopped. Time is moved by hand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from orchestra import AMOUNT, Orchestra, orchestra
from stage import Hands

from orchestrator.engine.standing import REASONS
from orchestrator.operate.database import Database
from orchestrator.operate.filters import Filter, parse
from orchestrator.operate.reading import Reading, Stuck
from orchestrator.operate.sagas import Views
from orchestrator.sagas import SAGAS
from schemas.billing import PaymentCaptured
from schemas.orchestrator import OperatorVerb

Play = Callable[[Orchestra], Awaitable[None]]


@pytest.fixture
async def playing(tmp_path: Path) -> AsyncIterator[Orchestra]:
    async with orchestra(tmp_path / "orchestrator.db") as opened:
        yield opened


@pytest.fixture
async def reading(playing: Orchestra, tmp_path: Path) -> AsyncIterator[Reading]:
    async with Database(tmp_path / "orchestrator.db") as database:
        yield Reading(database, Views(SAGAS), Hands(playing))


async def pass_time(playing: Orchestra, seconds: int) -> None:
    """With an orchestrator that is well: its timers fire, every five seconds."""
    for _ in range(seconds // 5):
        playing.wait(5)
        await playing.fire()


async def undo_overdue(playing: Orchestra) -> None:
    await playing.decline("o-1")
    await pass_time(playing, 615)


async def parked(playing: Orchestra) -> None:
    await playing.place_order("o-1")
    await playing.hear_bytes("inventory.replies.v1", "o-1", *unknown_schema())


async def test_a_parked_saga_is_told_so_and_takes_a_note(playing: Orchestra) -> None:
    """Through the one transaction: refused by name in the verb's row and the journal."""
    await parked(playing)
    at = datetime.fromtimestamp(playing.now_us / 1_000_000, UTC)
    for word in ("retry", "skip", "compensate", "pause", "resume", "note"):
        verb = OperatorVerb("o-1", "fulfilment:o-1", word, None, "ann", "look", None, at)
        await playing.tell(verb, word)
    told = await playing.store.read("SELECT verb, result FROM operator_verbs ORDER BY rowid")
    refused = [
        {"verb": word, "result": "parked"}
        for word in ("retry", "skip", "compensate", "pause", "resume")
    ]
    assert told == [*refused, {"verb": "note", "result": "applied"}]
    lines = await playing.store.read("SELECT what, result FROM journal ORDER BY seq")
    assert [line for line in lines if line["what"].startswith("verb_")] == [
        {"what": f"verb_{row['verb']}", "result": row["result"]} for row in told
    ]


async def paused(playing: Orchestra) -> None:
    await playing.place_order("o-1")
    at = datetime.fromtimestamp(playing.now_us / 1_000_000, UTC)
    verb = OperatorVerb("o-1", "fulfilment:o-1", "pause", None, "ann", "stock count", None, at)
    await playing.tell(verb, "verb-1")


async def sent_often(playing: Orchestra) -> None:
    await playing.place_order("o-1")
    await playing.book("o-1")
    await pass_time(playing, 400)


async def past_its_deadline(playing: Orchestra) -> None:
    await playing.place_order("o-1")
    await playing.book("o-1")
    await pass_time(playing, 125)


async def deaf(playing: Orchestra) -> None:
    await playing.place_order("o-1")
    playing.wait(41)


def unknown_schema() -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    value = b"\xc3\x01" + b"\x07" * 8 + b"body"
    names = {
        "ce_specversion": b"1.0",
        "ce_id": b"reply-1",
        "ce_source": b"inventory",
        "ce_type": b"baton.inventory.StockReserved",
    }
    return value, tuple(names.items())


@pytest.mark.parametrize(
    ("play", "reason", "state", "waiting_on", "detail"),
    [
        (
            undo_overdue,
            "compensation_failed",
            "needs_operator",
            "inventory",
            "inventory.ReleaseStock sent 9 times",
        ),
        (parked, "contract", "awaiting_stock", "inventory", "unknown_schema: "),
        (paused, "paused", "awaiting_stock", "inventory", "inventory.ReserveStock sent once"),
        (
            sent_often,
            "retries_exhausted",
            "awaiting_capture",
            "billing",
            "billing.CapturePayment sent 6 times",
        ),
        (
            past_its_deadline,
            "no_reply",
            "awaiting_capture",
            "billing",
            "billing.CapturePayment sent 4 times",
        ),
        (
            deaf,
            "late_timer",
            "awaiting_stock",
            "inventory",
            "inventory.ReserveStock sent once",
        ),
    ],
)
async def test_a_stuck_saga_has_one_reason_and_says_on_whom_it_waits(
    playing: Orchestra,
    reading: Reading,
    play: Play,
    reason: str,
    state: str,
    waiting_on: str,
    detail: str,
) -> None:
    """One group with one member, found by its reason as well."""
    await play(playing)
    stuck = await reading.stuck(Filter())
    (group,) = stuck.groups
    (member,) = group.members

    assert (group.reason, group.definition, group.state, group.waiting_on) == (
        reason,
        "fulfilment",
        state,
        waiting_on,
    )
    assert (member.saga_id, member.key) == ("fulfilment:o-1", "o-1")
    assert member.detail.startswith(detail)
    assert [saga.key for saga in (await reading.page(parse(f"reason={reason}"), 10)).sagas] == [
        "o-1"
    ]


async def test_a_saga_of_a_version_that_is_gone_is_an_orphan(
    playing: Orchestra, tmp_path: Path
) -> None:
    """Shown as far as its row speaks for itself."""
    await playing.place_order("o-1")
    elsewhere = Views(tuple(saga for saga in SAGAS if saga.name != "fulfilment"))
    async with Database(tmp_path / "orchestrator.db") as database:
        stuck = await Reading(database, elsewhere, Hands(playing)).stuck(Filter())

    assert [(group.reason, group.state, group.waiting_on) for group in stuck.groups] == [
        ("orphan_version", "awaiting_stock", "operator")
    ]


async def test_a_later_version_is_no_orphan_and_an_unknown_one_is(
    playing: Orchestra, tmp_path: Path
) -> None:
    """The number counts, not only the name."""
    await playing.place_order("o-1")
    newer = tuple(replace(saga, version=2) for saga in SAGAS)
    async with Database(tmp_path / "orchestrator.db") as database:
        both = await Reading(database, Views((*SAGAS, *newer)), Hands(playing)).stuck(Filter())
        only = await Reading(database, Views(newer), Hands(playing)).stuck(Filter())

    assert (both.groups, [group.reason for group in only.groups]) == ((), ["orphan_version"])


async def test_waiting_within_its_deadline_is_not_stuck_however_often_it_was_sent(
    playing: Orchestra, reading: Reading
) -> None:
    """Two sends of a pivot, one of a step that may be taken back."""
    await playing.place_order("o-1")
    await playing.book("o-1")
    await playing.place_order("o-2")
    await pass_time(playing, 25)
    early = await reading.stuck(Filter())
    await pass_time(playing, 90)

    assert early == Stuck((), 2, playing.now_us - 115_000_000, whole=True)
    assert "fulfilment:o-1" not in [
        each.saga_id for group in (await reading.stuck(Filter())).groups for each in group.members
    ]


async def test_a_timer_may_be_half_a_minute_late(playing: Orchestra, reading: Reading) -> None:
    """Stock is asked every ten seconds: 40 after the order nobody is called, 41 after it one is."""
    await playing.place_order("o-1")
    playing.wait(40)
    before = await reading.stuck(Filter())
    playing.wait(1)

    assert before.groups == ()
    assert [group.reason for group in (await reading.stuck(Filter())).groups] == ["late_timer"]


async def test_a_service_that_is_away_makes_orders_stuck_though_no_timer_fires(
    playing: Orchestra, reading: Reading
) -> None:
    """Its time is put off as long as it reads nothing, but the order was promised thirty seconds.

    Asked again by a person it is promised as much anew.
    """
    await playing.place_order("o-1")
    playing.wait(5)
    await playing.put_off("inventory.stock.commands.v1")
    playing.wait(24)
    before = await reading.stuck(Filter())
    playing.wait(1)
    await playing.put_off("inventory.stock.commands.v1")
    await playing.fire()
    (saga,) = (await reading.page(parse("reason=no_reply"), 10)).sagas
    (waiting,) = saga.waiting
    at = datetime.fromtimestamp(playing.now_us / 1_000_000, UTC)
    again = OperatorVerb("o-1", "fulfilment:o-1", "retry", None, "ann", "is it there?", None, at)
    await playing.tell(again, "retry-1")

    assert before.groups == ()
    assert (waiting.service, waiting.attempt, waiting.tries) == ("inventory", 1, 3)
    assert (waiting.deadline_us, waiting.put_off_us) == (
        playing.now_us,
        playing.now_us + 30_000_000,
    )
    assert len(playing.sent) == 2
    assert (await reading.stuck(Filter())).groups == ()


async def test_an_answer_ends_it(playing: Orchestra, reading: Reading) -> None:
    """The late reply of a pivot is still its reply."""
    await past_its_deadline(playing)
    before = await reading.stuck(Filter())
    await playing.reply("o-1", "capture/do", PaymentCaptured("o-1", "a-1", AMOUNT))

    assert [group.reason for group in before.groups] == ["no_reply"]
    assert (await reading.stuck(Filter())).groups == ()


async def test_the_first_reason_that_holds_is_the_reason(
    playing: Orchestra, reading: Reading
) -> None:
    """Parked, then paused as well, with a timer that is held."""
    await parked(playing)
    at = datetime.fromtimestamp(playing.now_us / 1_000_000, UTC)
    verb = OperatorVerb("o-1", "fulfilment:o-1", "pause", None, "ann", "look at it", None, at)
    await playing.tell(verb, "verb-1")
    playing.wait(3600)

    assert [group.reason for group in (await reading.stuck(Filter())).groups] == ["contract"]


async def test_a_parked_key_without_a_saga_is_stuck_all_the_same(
    playing: Orchestra, reading: Reading
) -> None:
    """Its start may be what could not be read; nobody else would ever tell."""
    await playing.hear_bytes("orders.order.events.v1", "o-9", *unknown_schema())
    (group,) = (await reading.stuck(Filter())).groups

    assert (group.reason, group.state, group.members[0].key, group.members[0].saga_id) == (
        "contract",
        "not_open",
        "o-9",
        "",
    )
    assert (await reading.stuck(parse("reason=contract"))).groups == (group,)
    assert (await reading.stuck(parse("reason=no_reply"))).groups == ()


async def test_groups_stand_by_reason_then_size_and_members_by_age(
    playing: Orchestra, reading: Reading
) -> None:
    """One cause makes one group."""
    for n in range(3):
        await playing.place_order(f"o-{n}")
        await playing.book(f"o-{n}")
        playing.wait(1)
    await playing.decline("o-9")
    await pass_time(playing, 130)
    stuck = await reading.stuck(Filter())

    assert [(g.reason, g.waiting_on, [m.key for m in g.members]) for g in stuck.groups] == [
        ("no_reply", "billing", ["o-0", "o-1", "o-2"]),
        ("no_reply", "inventory", ["o-9"]),
    ]
    assert [(g.waiting_on) for g in (await reading.stuck(parse("service=inventory"))).groups] == [
        "inventory"
    ]


def test_every_reason_has_an_order() -> None:
    """The seven, worst first."""
    assert len(set(REASONS)) == len(REASONS) == 7
