"""Bulk operations and the audit as pages: begun by a form, followed, changed, exported."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from reading_pages import HOSTILE, Text
from website import LOOKS, Website, website

from orchestrator.operate.pages import audit, operations
from schemas.billing import PaymentDeclined

WHY = ("reason", "billing is back")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Website]:
    async with website(tmp_path) as opened:
        yield opened


async def begun(site: Website, *, first: str = "1", reason: str = "billing is back") -> str:
    """Three orders that wait for their payment, and an operation that retries them."""
    for n in (1, 2, 3):
        await site.playing.place_order(f"o-{n}")
        await site.playing.reserve(f"o-{n}")
    page = Text(await site.page("/act?verb=retry&query=state=awaiting_payment"))
    form = {**page.form_with("key"), "reason": reason, "first": first}
    return await site.send("/act", list(form.items()))


async def turns(site: Website, number: int = 4) -> None:
    for _ in range(number):
        site.playing.wait(1)
        await site.runner.step()


async def test_one_is_tried_then_the_rest_is_sent_and_each_is_verified(site: Website) -> None:
    """It pauses after one; on a person's word it goes on; results are told apart."""
    place = await begun(site)
    await turns(site)
    tried = Text(await site.page(place))

    await site.send(place, [("change", "resume"), WHY])
    await turns(site)
    await site.playing.authorise("o-1")
    await site.playing.reply("o-2", "payment/do", PaymentDeclined("o-2", "card_expired"))
    await turns(site, 1)
    after = Text(await site.page(place))

    assert "‖ paused : 1 of 3 told" in tried.seen
    assert "Send the rest (2) Cancel the rest (2)" in tried.seen
    assert "▶ running : 3 of 3 told" in after.seen
    assert "✓ progressed 1 ✖ failed again 1 … unchanged 1" in after.seen
    assert "o-2 ✖ failed again billing.PaymentDeclined → undoing stock" in after.seen
    assert len(site.wire.sent) == 3


async def test_one_state_of_the_items_is_shown_and_paged(
    site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chip shows those alone; `Next` goes on after the last one shown."""
    monkeypatch.setattr(operations, "ITEMS", 2)
    place = await begun(site, first="0")
    await turns(site, 1)

    first = Text(await site.page(f"{place}?state=pending"))
    second = Text(await site.page(next(each for each in first.links if "after=" in each)))
    none = Text(await site.page(f"{place}?state=progressed"))

    assert first.seen.count("… pending") == 1 + 2
    assert second.seen.count("… pending") == 1 + 1
    assert "None progressed." in none.seen


async def test_a_change_asked_twice_happens_once(site: Website) -> None:
    """The second click on `Cancel` leads to the same page; what cannot be any more is 409."""
    place = await begun(site)
    await turns(site)

    for _ in range(2):
        assert await site.send(place, [("change", "cancel"), WHY]) == place
    resumed = Text(await site.send(place, [("change", "resume"), WHY], 409)).seen

    assert "is cancelled: no resume now. Look at it again." in resumed
    seen = Text(await site.page(place)).seen
    assert "✖ cancelled : 3 of 3 told" in seen
    assert "⤼ skipped 2" in seen
    assert len(site.wire.sent) == 1


async def test_what_did_not_move_is_tried_again(site: Website) -> None:
    """After it has ended, with its own reason; those that moved are left alone."""
    place = await begun(site, first="0")
    await turns(site)
    await site.playing.authorise("o-1")
    await turns(site)
    site.playing.wait(200)
    await turns(site)
    ended = Text(await site.page(place)).seen

    await site.send(place, [("change", "retry"), WHY])
    await turns(site)

    assert "✓ done : 3 of 3 told" in ended
    assert "Try the 2 again that did not move" in ended
    assert len(site.wire.sent) == 3 + 2


@pytest.mark.parametrize(
    "given", [[("change", "resume")], [("change", "delete"), WHY], [WHY], [("reason", "x" * 1_001)]]
)
async def test_a_change_needs_a_word_and_a_reason(
    site: Website, given: list[tuple[str, str]]
) -> None:
    """422 with what is wanted; the operation stands as it stood."""
    place = await begun(site)
    await turns(site)

    told = Text(await site.send(place, given, 422)).seen

    assert "Say why, and choose one of cancel, resume, retry." in told
    assert "‖ paused" in Text(await site.page(place)).seen


async def test_every_item_is_exported_and_no_cell_is_a_formula(site: Website) -> None:
    """CSV with a heading, JSON lines without; a viewer may have them."""
    place = await begun(site, first="0")
    await turns(site)

    sheet = await site.page(f"{place}/items?form=csv", token=LOOKS)
    lines = (await site.page(f"{place}/items?form=jsonl")).splitlines()

    assert sheet.splitlines() == [
        "n,saga_id,version,attempt,state,detail",
        "1,fulfilment:o-3,2,1,unchanged,",
        "2,fulfilment:o-2,2,1,unchanged,",
        "3,fulfilment:o-1,2,1,unchanged,",
    ]
    assert [json.loads(each)["saga_id"] for each in lines] == [
        "fulfilment:o-3",
        "fulfilment:o-2",
        "fulfilment:o-1",
    ]
    item: dict[str, str | int | float | bytes | None] = {
        "n": 1,
        "saga_id": "=1+1",
        "version": None,
        "attempt": 1,
        "state": "refused",
        "detail": "@x",
    }
    assert operations.csv_line(item) == "1,'=1+1,,1,refused,'@x\n"


async def test_the_list_leads_to_each_and_pages(
    site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newest first, with what it is for and why; none yet says where one begins."""
    empty = Text(await site.page("/operations")).seen
    place = await begun(site, reason=HOSTILE)
    monkeypatch.setattr(operations, "LISTED", 1)
    html = await site.page("/operations", token=LOOKS)
    page = Text(html)
    further = Text(await site.page(next(each for each in page.links if "before=" in each)))

    assert "No operation yet. One begins where more than one saga is acted on" in empty
    assert place in page.links
    assert f"retry state=awaiting_payment 0 … collecting 0 s ago token:local {HOSTILE}" in page.seen
    assert "<img" not in html
    assert "No operation. One begins" in further.seen


async def test_an_unknown_operation_is_a_page(site: Website) -> None:
    """404 for looking, changing and exporting."""
    for path in ("/operations/op-1", "/operations/op-1/items"):
        assert "No operation op-1 is kept" in Text(await site.page(path, 404)).seen
    told = await site.send("/operations/op-1", [("change", "cancel"), WHY], 404)
    assert "No operation op-1 is kept" in Text(told).seen


async def test_a_viewer_sees_progress_and_no_buttons(site: Website) -> None:
    """What is not his to do is not offered."""
    place = await begun(site)
    await turns(site)

    seen = Text(await site.page(place, token=LOOKS)).seen

    assert "1 of 3 told" in seen
    assert "Send the rest" not in seen


async def test_the_audit_says_who_did_what_and_that_its_chain_is_whole(site: Website) -> None:
    """Every act twice: before it is told, and with what came of it."""
    empty = Text(await site.page("/audit")).seen
    place = await begun(site, reason=HOSTILE)
    html = await site.page("/audit")
    seen = Text(html).seen
    name = place.rpartition("/")[2]

    assert "✓ The chain is intact : 0 lines" in empty
    assert "Nobody has done anything yet." in empty
    assert "✓ The chain is intact : 2 lines; the last one's hash is" in seen
    assert f"2 0 s ago token:local retry {name} {HOSTILE} ok console" in seen
    assert f"1 0 s ago token:local retry {name} {HOSTILE} asked console" in seen
    assert "<img" not in html


async def test_the_audit_is_not_for_who_only_looks(site: Website) -> None:
    """It names people and their reasons: the page asks for the role that its API asks for."""
    await site.page("/audit", 403, token=LOOKS)
    await site.page("/live?view=audit", 404, token=LOOKS)


async def test_a_changed_line_is_found(site: Website) -> None:
    """The page names the line, and how far the chain can be believed."""
    await begun(site)
    site.kept.write("DROP TRIGGER audit_stands")
    site.kept.write("UPDATE audit SET actor = 'somebody' WHERE seq = 2")

    seen = Text(await site.page("/audit")).seen

    assert (
        "✖ The chain is broken : line 2 is not as it was written. Lines up to 1 are as they were"
        " written." in seen
    )


async def test_the_audit_is_searched_within_bounds(
    site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By who, what and to what; what is rare is not looked for for ever, and says so."""
    place = await begun(site)
    await turns(site)
    await site.send(place, [("change", "cancel"), WHY])
    monkeypatch.setattr(audit, "PAGE_MAX", 1)
    monkeypatch.setattr(audit, "LOOKED_AT", 2)

    cancels = Text(await site.page("/audit?action=cancel"))
    retries = Text(await site.page("/audit?action=retry"))
    further = Text(await site.page(next(each for each in retries.links if "before=" in each)))
    nobody = Text(await site.page("/audit?actor=bob")).seen

    assert cancels.seen.count("token:local cancel") == 2
    assert "Nothing matches so far." in retries.seen
    assert further.seen.count("token:local retry") == 2
    assert "Nothing matches." in nobody


async def test_a_long_chain_is_walked_when_asked(
    site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the page says how many lines there are, and offers it."""
    await begun(site)
    monkeypatch.setattr(audit, "WALKED_MAX", 1)

    assert "2 lines, chained. Check the chain" in Text(await site.page("/audit")).seen
    assert "✓ The chain is intact" in Text(await site.page("/audit?check=1")).seen
