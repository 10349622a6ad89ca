"""Dead letters as pages, over real transactions of two services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from letterbox import Letterbox
from reading_pages import Text
from website import LOOKS, Website, website

from orchestrator.operate import telling
from orchestrator.operate.pages import letters
from services.chassis.bus import ClientLost
from tests.unit.chassis.company import command

KEY_A = "/dead-letters/one?service=billing&key=a"
KEY_B = KEY_A.replace("key=a", "key=b")
REDRIVE = "/dead-letters/act?verb=redrive&service=billing&key=a"
RAISED = "Broken in the handler of baton.billing.AuthorisePayment"


@pytest.fixture
async def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Letterbox:
    monkeypatch.setattr(telling, "WAIT_S", 0.0)
    folder = tmp_path / "letters"
    folder.mkdir()
    return Letterbox(folder)


@pytest.fixture
async def site(tmp_path: Path, box: Letterbox) -> AsyncIterator[Website]:
    async with website(tmp_path, letters=box.telling()) as opened:
        yield opened


@pytest.fixture
async def parked(site: Website, box: Letterbox) -> Website:
    """Keys a and b behind a handler that raises, a with a follower."""
    given = [("a", "tok_broken", "s0"), ("a", "tok_ok", "s1"), ("b", "tok_broken", "s0")]
    box.deliver(*[command(order, method, step=step) for order, method, step in given])
    return site


async def filled(site: Website, path: str, **more: str) -> list[tuple[str, str]]:
    form = Text(await site.page(path)).form_with("name")
    return list({**form, "reason": "mended", **more}.items())


async def test_none_is_good_news(site: Website, box: Letterbox) -> None:
    """Said only when everybody answered; who is silent is named."""
    assert "✓ none" in Text(await site.page("/dead-letters")).seen

    box.silent.add("crm")
    seen = Text(await site.page("/dead-letters")).seen

    assert "⚠ crm is not in this list: crm does not answer (ConnectError)." in seen
    assert "None from those that answered." in seen
    assert "✓ none" not in seen


async def test_whoever_else_answers_on_a_port_is_not_in_the_list(
    site: Website, box: Letterbox
) -> None:
    """The page stands, and says whose letters are not known."""
    box.said["crm"] = httpx.Response(200, json={"ok": True})

    seen = Text(await site.page("/dead-letters")).seen

    assert "⚠ crm is not in this list: crm says what no process of Baton says: no entries." in seen


async def test_groups_lead_to_keys_and_keys_to_records(parked: Website) -> None:
    """Why, whose, where, how many; then each key, then its records without their content."""
    page = Text(await parked.page("/dead-letters"))
    (group,) = [each for each in page.links if "group=" in each]
    keys = Text(await parked.page(group))
    one = Text(await parked.page(KEY_A))

    assert "billing billing.payment.commands.v1 parked 2" in page.seen
    assert KEY_A in keys.links
    assert "✖ parked since" in one.seen
    assert RAISED in one.seen
    assert "Redrive Discard its saga" in one.seen
    assert "tok_broken" not in await parked.page(KEY_A)


async def test_a_page_of_keys_begins_after_the_one_before_it(
    parked: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By where that key stands, not by number: one that left in between moves nobody."""
    monkeypatch.setattr(letters, "SHOWN", 1)
    page = Text(await parked.page("/dead-letters"))
    (group,) = [each for each in page.links if "group=" in each]
    first = Text(await parked.page(group))
    (next_,) = [each for each in first.links if "after=" in each]
    second = Text(await parked.page(next_))
    odd = Text(await parked.page(f"{group}&after=%3Cimg%3E"))
    path = "/dead-letters/act"
    gone = await filled(parked, REDRIVE.replace("redrive", "discard"))
    await parked.send(path, gone)
    await parked.send(path, await filled(parked, REDRIVE.replace("redrive", "discard")))
    later = Text(await parked.page(next_))

    assert (KEY_A in first.links, KEY_B in first.links) == (True, False)
    assert (KEY_A in second.links, KEY_B in second.links) == (False, True)
    assert "Oldest first, after 1 older ones" in second.seen
    assert KEY_A in odd.links
    assert KEY_B in later.links


async def test_a_redrive_is_rehearsed_told_once_and_followed(
    parked: Website, box: Letterbox
) -> None:
    """It would fail and says at what; sent twice it is told under one name; the page says so."""
    shown = Text(await parked.page(REDRIVE)).seen
    form = await filled(parked, REDRIVE)

    places = [await parked.send("/dead-letters/act", form) for _ in range(2)]
    became = Text(await parked.page(places[0])).seen

    assert "✖ It would be failed again" in shown
    assert "fails: " in shown
    assert places[0] == places[1]
    assert len({out.id for out in box.sent}) == 1
    assert "✖ failed again" in became
    assert "redrive by token:local (mended) → failed again" in became


async def test_what_waits_is_discarded_and_the_rest_goes_on(parked: Website) -> None:
    """The first is given up with a reason; the key is not parked any more."""
    path = REDRIVE.replace("redrive", "discard")
    assert "✓ It would be done" in Text(await parked.page(path)).seen

    place = await parked.send("/dead-letters/act", await filled(parked, path))

    seen = Text(await parked.page(place)).seen
    assert "✓ Discard done" in seen
    assert "✓ not parked" in seen


async def test_a_key_is_parked_by_hand(site: Website, box: Letterbox) -> None:
    """Where it had no dead letter before; then the page offers to unpark it by redriving."""
    path = "/dead-letters/act?verb=park&service=crm&key=c"

    place = await site.send("/dead-letters/act", await filled(site, path))

    assert "Redrive Discard its saga" in Text(await site.page(place)).seen
    assert "by token:local (mended)" in Text(await site.page(place)).seen
    assert len(box.sent) == 1


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        (REDRIVE.replace("redrive", "delete"), 422, "The verbs are park, unpark, redrive, discard"),
        (f"{REDRIVE}&record=x", 422, "Record: a whole number."),
        (REDRIVE.replace("billing", "nobody"), 404, "no process nobody; known are billing, crm"),
        (KEY_A.replace("=a", "=z"), 404, "z has no dead letters here"),
        (REDRIVE.replace("=a", "=odd+key"), 422, "the key 'odd key' can only be read"),
    ],
)
async def test_what_cannot_be_meant_is_a_page(
    parked: Website, path: str, status: int, sentence: str
) -> None:
    """A sentence that names it and says what there is."""
    assert sentence in Text(await parked.page(path, status)).seen


async def test_without_a_reason_or_kafka_nothing_is_told(parked: Website, box: Letterbox) -> None:
    """422 and the form again; 503 and nothing queued."""
    form = await filled(parked, REDRIVE)
    asked = Text(await parked.send("/dead-letters/act", [*form, ("reason", " ")], 422)).seen
    box.broken = ClientLost("no broker answers")
    gone = Text(await parked.send("/dead-letters/act", form, 503)).seen

    assert "⚠ Say why: the reason is kept with it." in asked
    assert "Nothing was sent: Kafka does not take it (no broker answers)." in gone
    assert box.sent == []


async def test_a_key_that_is_no_id_is_told_nothing(parked: Website, box: Letterbox) -> None:
    """A page that says what to do instead, and no fault of ours."""
    form = [*await filled(parked, REDRIVE), ("key", "odd key")]
    seen = Text(await parked.send("/dead-letters/act", form, 422)).seen

    assert "publish the record anew under a valid key" in seen
    assert box.sent == []


async def test_a_viewer_sees_and_does_not_act(parked: Website) -> None:
    """No verb is offered, and the form is refused."""
    seen = Text(await parked.page(KEY_A, token=LOOKS)).seen

    assert RAISED in seen
    assert "Redrive" not in seen
    await parked.page(REDRIVE, 403, token=LOOKS)
