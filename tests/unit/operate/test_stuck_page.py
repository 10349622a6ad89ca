"""The inbox: groups, the members of one, and where they can be acted on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from reading_pages import HOSTILE, Text
from website import LOOKS, Website, website

from orchestrator.operate.pages import stuck
from schemas.orchestrator import OperatorVerb
from services.chassis.store import Plan, Statement, Write

BEGAN = datetime(2025, 11, 24, tzinfo=UTC)
STOCK = "/stuck?group=late_timer:fulfilment:awaiting_stock:inventory"


def parked_alone() -> Plan[None]:
    key = "INSERT INTO keys (name) VALUES (?)"
    park = "INSERT INTO parked_keys SELECT id, ?, ?, ? FROM keys WHERE name = 'o-9'"
    yield Write(Statement("key", key), [("o-9",)])
    yield Write(Statement("park", park), [("unknown_schema", "deadbeef", 7)])


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Website]:
    async with website(tmp_path) as opened:
        yield opened


@pytest.fixture
async def late(site: Website) -> Website:
    """Three orders that wait for their stock, a minute apart, and one for its payment."""
    for order in ("o-1", "o-2", "o-3"):
        await site.playing.place_order(order)
        site.playing.wait(60)
    await site.playing.place_order("o-4")
    await site.playing.reserve("o-4")
    site.playing.wait(600)
    return site


async def test_groups_say_how_many_since_when_and_what_helps(late: Website) -> None:
    """Reason, state, whom it waits for, count, the oldest and the newest, one sample, a hint."""
    seen = Text(await late.page("/stuck")).seen

    assert (
        "… late timer 3 awaiting stock inventory 13 min ago 11 min ago o-1 inventory.ReserveStock"
        " sent once the orchestrator is behind with its timers: see that it runs and is ready"
        in seen
    )
    assert "2 groups · 4 stuck sagas of 4 open" in seen
    assert "Choose a group to see its members and to act on them." in seen


async def test_a_group_shows_its_members_and_acts_on_all_of_them(late: Website) -> None:
    """Oldest first; the group's verbs carry the filter that finds exactly those."""
    page = Text(await late.page(STOCK))

    assert "late timer · 3 members" in page.seen
    order = [each.rpartition("%3A")[2] for each in page.links if each.startswith("/sagas/")]
    assert order[-3:] == ["o-1", "o-2", "o-3"]
    verbs = [parse_qs(urlsplit(each).query) for each in page.links if "query=reason" in each]
    asked = "reason=late_timer definition=fulfilment state=awaiting_stock service=inventory"
    assert [each["query"] for each in verbs] == [[asked]] * 6
    assert [each.get("verb", [""])[0] for each in verbs] == [
        "retry",
        "compensate",
        "resume",
        "assign",
        "note",
        "",
    ]
    rehearsed = Text(await late.page(f"/act?verb=retry&query={asked}".replace(" ", "+")))
    assert "Retry 3 sagas" in rehearsed.seen


async def test_members_are_paged_from_where_they_stand(
    late: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next page begins after the last one shown, whoever left meanwhile."""
    monkeypatch.setattr(stuck, "MEMBERS_PAGE", 2)
    first = Text(await late.page(STOCK))
    (after,) = [each for each in first.links if "after=" in each]

    await late.playing.reserve("o-1")
    second = Text(await late.page(after))

    assert "Oldest first, after 1 older ones" in second.seen
    assert [each for each in second.links if each.startswith("/sagas/")][-1].endswith("o-3")
    assert "late timer · 2 members" in second.seen


async def test_a_group_that_emptied_says_so(late: Website) -> None:
    """A link to a group whose members went on is good news."""
    gone = await late.page("/stuck?group=no_reply:fulfilment:awaiting_capture:billing")

    assert "✓ Nobody is in this group any more." in Text(gone).seen


async def test_a_parked_key_without_a_saga_leads_to_the_dead_letters(late: Website) -> None:
    """Nothing there can be told a saga, so no verb is offered."""
    await late.playing.store.run(parked_alone)

    page = Text(await late.page("/stuck?group=contract::not_open:operator"))

    assert "✖ contract · 1 member Helped at Dead letters" in page.seen
    assert "o-9" in page.seen
    assert "unknown schema: deadbeef" in page.seen
    assert [each for each in page.links if each.startswith("/act")] == []


async def test_what_a_link_says_is_shown_as_text(late: Website) -> None:
    """A hostile group and a page that cannot be read show the inbox, escaped."""
    html = (await late.http.get("/stuck", params={"group": HOSTILE, "after": HOSTILE})).text

    assert HOSTILE not in html
    assert "<img" not in html
    assert "Nobody is in this group any more." in Text(html).seen


async def test_whose_a_saga_is_and_why_stands_in_its_row_and_its_groups(late: Website) -> None:
    """A hostile note is text."""
    for order, note in (("o-1", "asked the bank"), ("o-2", HOSTILE)):
        verb = OperatorVerb(
            order, f"fulfilment:{order}", "assign", None, "ann", note, None, BEGAN, assignee="bob"
        )
        await late.playing.tell(verb, f"v-{order}")

    html = await late.page(STOCK)

    seen = Text(html).seen
    assert f"ready bob asked the bank {HOSTILE} · not here" in seen
    assert "ReserveStock sent once bob asked the bank Retry" in seen
    told = Text(await late.page("/sagas/o-1")).seen
    assert "asked the bank owner: bob" in told
    assert "evidence" not in told
    assert "<img" not in html


async def test_a_viewer_sees_and_does_not_act(late: Website) -> None:
    """Verbs are shown to those who may tell them."""
    html = await late.page(STOCK, token=LOOKS)

    assert "late timer · 3 members" in Text(html).seen
    assert "/act" not in html
