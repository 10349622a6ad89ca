"""What is usual, told by a bounded sample; what is slow by it, in lists, filters and pictures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from reading_pages import Text
from website import Website, website

from orchestrator.operate import usual
from orchestrator.operate.filters import BadFilter, Filter, parse
from orchestrator.operate.retelling import clock_skew
from orchestrator.operate.story import story
from orchestrator.operate.usual import Usual, took, usuals
from orchestrator.sagas.fulfilment import FULFILMENT
from services.chassis.store import Value

S = 1_000_000


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Website]:
    """Twenty orders whose stock came after 1 to 20 s, and one that waits for its stock."""
    async with website(tmp_path) as opened:
        for n in range(1, 21):
            await opened.playing.place_order(f"o-{n}")
            opened.playing.wait(n)
            await opened.playing.reserve(f"o-{n}")
        await opened.playing.place_order("waits")
        yield opened


def line(at_s: int, what: str, step: str, sent: str, result: str = "applied") -> dict[str, Value]:
    return {"at_us": at_s * S, "what": what, "step": step, "sent": sent, "result": result}


def test_what_was_answered_took_until_its_answer() -> None:
    """From its first sending; a refusal is an answer, a timeout and a late line are none."""
    lines = [
        line(0, "started", "", "ReserveStock"),
        line(10, "sent_again", "stock", "stock/do"),
        line(12, "answered", "stock", "AuthorisePayment"),
        line(13, "answered", "stock", "", "duplicate"),
        line(15, "refused", "payment", "ReleaseStock"),
        line(25, "timed_out", "payment", ""),
        line(20, "undo_answered", "stock", "OrderCancelled"),
    ]

    assert list(took(lines, FULFILMENT.plan.asks)) == [
        ("stock/do", 12 * S),
        ("payment/do", 3 * S),
        ("stock/undo", 5 * S),
    ]


def test_ranks_are_told_of_enough() -> None:
    """The nearest of them; of nineteen nothing is told."""
    enough = [("fulfilment", "stock/do", n * S) for n in range(100, 0, -1)]
    few = [("fulfilment", "payment/do", S)] * 19

    told = usuals([*enough, *few])

    assert told == {("fulfilment", "stock/do"): Usual(50 * S, 95 * S, 100)}


async def test_what_is_usual_comes_from_the_last_day_and_is_kept_a_minute(site: Website) -> None:
    """And of many sagas only some are looked at."""
    first = await site.reading.usual()
    await site.playing.reserve("waits")
    site.playing.wait(59)
    kept = await site.reading.usual()
    site.playing.wait(86_400)
    gone = await site.reading.usual()

    assert first == {("fulfilment", "stock/do"): Usual(10 * S, 19 * S, 20)}
    assert kept == first
    assert gone == {}


async def test_a_sample_has_a_bound(site: Website, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evenly picked: every second of twenty-one sagas, the newest among them."""
    monkeypatch.setattr(usual, "SAMPLED", 10)
    monkeypatch.setattr(usual, "ENOUGH", 1)

    told = await site.reading.usual()

    assert told[("fulfilment", "stock/do")].of == 9


async def test_slow_is_what_waits_longer_than_95_of_100(site: Website) -> None:
    """Found by the list, counted, and never among what has finished."""
    site.playing.wait(19)
    in_time = await site.page("/sagas?query=slow%3Dp95")
    site.playing.wait(1)
    html = await site.page("/sagas?query=slow%3Dp95")
    finished = await site.page("/sagas?query=slow%3Dp95+phase%3Dfinished")

    assert "0 of 21 match" in Text(in_time).seen
    assert "1 of 21 sagas match slow=p95" in Text(html).seen
    assert "/sagas/fulfilment%3Awaits" in html
    assert "0 of 21 match" in Text(finished).seen
    saved = '<a href="/sagas?query=slow%3Dp95" aria-current="true">Slow p95</a>'
    assert saved in html


async def test_where_nothing_is_known_nothing_is_slow(tmp_path: Path) -> None:
    """A command that too few were answered of has no usual."""
    async with website(tmp_path) as site:
        await site.playing.place_order("o-1")
        site.playing.wait(1_000)

        assert "0 of 1 match" in Text(await site.page("/sagas?query=slow%3Dp95")).seen


def test_slow_is_written_in_one_way() -> None:
    """Anything else is told how. What has finished is not even looked at."""
    assert parse("slow=p95") == Filter(slow=True)
    assert parse("slow=p95").only_open
    with pytest.raises(BadFilter, match=r"started= and slow=p95$"):
        parse("slow=p99")


async def test_a_timeline_shows_what_is_usual(site: Website) -> None:
    """With its timer under it; without enough it is said that nothing is known yet."""
    site.playing.wait(25)

    html = await site.page("/sagas/waits?tab=timeline")

    assert "stock/do: waiting after 25 s; as a rule 10 s to 19 s, so this is slow" in html
    assert "The grey band is how long it takes as a rule" in Text(html).seen
    assert "timer stock/do, set 16:03:30, due 16:03:40" in html


def test_lines_whose_times_run_backwards_are_found() -> None:
    """Those of one saga, neighbours only."""
    moments = story([told(1, 10), told(2, 12), told(3, 9), told(4, 9)], FULFILMENT)

    assert [(one.seq, other.seq) for one, other in clock_skew(moments)] == [(2, 3)]


async def test_a_time_before_its_cause_is_pointed_out(site: Website) -> None:
    """On every way that tells times, with both lines; and on no other saga's page."""
    site.playing.wait(-3)
    await site.playing.reserve("waits")

    for tab in ("story", "timeline", "sequence"):
        page = Text(await site.page(f"/sagas/waits?tab={tab}"))
        assert (
            "⚠ Clocks disagree: e42 was written after e41 and says a time 3 s before it; what lies"
            " between them is no duration." in page.seen
        )
        assert "/sagas/fulfilment%3Awaits?tab=story#e42" in page.links
    assert "Clocks disagree" not in await site.page("/sagas/o-1")


def test_a_verb_changes_what_is_no_step() -> None:
    """Paused and owner; a refused one changes nothing."""
    lines = [
        {**told(n, n), "what": what, "evidence": evidence, "result": result}
        for n, (what, evidence, result) in enumerate(
            [
                ("verb_pause", "", "applied"),
                ("verb_assign", "bob", "applied"),
                ("verb_resume", "", "stale"),
                ("verb_resume", "", "applied"),
                ("verb_unassign", "", "applied"),
                ("verb_note", "", "applied"),
            ],
            1,
        )
    ]

    assert [moment.moves for moment in story(lines, FULFILMENT)] == [
        (("paused", "no", "yes"),),
        (("owner", "", "bob"),),
        (),
        (("paused", "yes", "no"),),
        (("owner", "", "nobody"),),
        (),
    ]


def told(seq: int, at_s: int) -> dict[str, object]:
    cause = {"id": "c", "source": "shop", "type": "orders.OrderPlaced"}
    names = ("from_state", "to_state", "step", "detail", "actor", "evidence")
    empty = dict.fromkeys(names, "")
    at = f"2025-11-24T16:00:{at_s:02}+00:00"
    line = {"seq": seq, "version": seq, "at": at, "what": "x", "result": "applied", "sent": []}
    return {**empty, **line, "cause": cause}
