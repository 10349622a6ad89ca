"""The first page: what is open, how it ended, what is stuck, who runs, what happened last."""

from __future__ import annotations

from pathlib import Path

from processes import Spoken
from reading_pages import HOSTILE, Text
from website import website


async def test_before_the_first_saga_it_says_how_to_start_one(tmp_path: Path) -> None:
    """No share of nothing; a command instead."""
    async with website(tmp_path) as site:
        seen = Text(await site.page("/")).seen

    assert "No saga yet. Start one: baton order place teapot:2:1250" in seen
    assert "Completed none yet of what has ended Compensated none yet of what has ended" in seen
    assert "Stuck ✓ 0 Oldest stuck ✓ none" in seen


async def test_every_number_leads_to_its_list(tmp_path: Path) -> None:
    """Counts, shares, stuck, processes with their dead letters, and the last of note."""
    lines = ["saga_consumer_lag_seconds 2.5", "saga_dead_letters_pending 3"]
    spoken = {"billing": Spoken(lines), "crm": Spoken(down=True)}
    async with website(tmp_path, spoken) as site:
        await site.playing.complete("o-1")
        await site.playing.complete("o-2")
        await site.playing.cancel("o-3")
        await site.playing.place_order("o-4")
        site.playing.wait(600)
        page = Text(await site.page("/act?verb=note&saga=o-4"))
        form = {**page.form_with("key"), "reason": HOSTILE}
        await site.send("/act", list(form.items()))
        html = await site.page("/")

    page = Text(html)
    assert (
        "Open 1 oldest 10m Started in all 4 Completed 66.7 % of what has ended"
        " Compensated 33.3 % of what has ended Stuck … 1 Oldest stuck 10m" in page.seen
    )
    assert "billing ✓ up 2.5 3" in page.seen
    assert "crm ✖ down ? ?" in page.seen
    assert f"o-4 note by token:local: {HOSTILE}" in page.seen
    assert "o-3 ✓ compensated" in page.seen
    assert "<img" not in html
    assert {"/stuck", "/sagas?query=phase%3Dopen", "/dead-letters?service=billing"} <= set(
        page.links
    )
