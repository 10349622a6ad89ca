"""Filters kept under a name: one's own, beside the built-in ones, and nobody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from reading_pages import HOSTILE, Text
from website import Website, website

from orchestrator.operate.saved_views import VIEWS_MAX
from services.chassis.store import Unavailable, Value


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Website]:
    async with website(tmp_path) as opened:
        yield opened


async def keep(site: Website, name: str, query: str, status: int = 303) -> str:
    return await site.send("/views", [("name", name), ("query", query), ("do", "keep")], status)


async def test_a_view_is_kept_shown_and_dropped(site: Website) -> None:
    """It leads to its filter, and is the chosen one there; its owner alone sees it."""
    place = await keep(site, " Mine ", "stuck=any  service=billing")
    html = await site.page(place)
    own = site.views["sagas"].own
    assert own is not None
    others = await own("token:somebody-else")
    gone = await site.send("/views", [("name", "Mine"), ("query", ""), ("do", "drop")])
    left = await site.page(gone)

    assert place == "/sagas?query=stuck%3Dany+service%3Dbilling"
    assert f'<li><a href="{place}" aria-current="true">★ Mine</a></li>' in html
    assert "★ Mine stuck=any service=billing Drop" in Text(html).seen
    assert others == {"own": {}, "unsaved": ""}
    assert "Mine" not in left


async def test_a_name_is_one_view(site: Website) -> None:
    """Kept again, it is the other filter."""
    await keep(site, "Mine", "stuck=any")
    await keep(site, "Mine", "phase=open")

    seen = Text(await site.page("/sagas")).seen

    assert "★ Mine phase=open Drop" in seen
    assert seen.count("Drop") == 1


async def test_names_are_text(site: Website) -> None:
    """A hostile one comes back escaped, wherever it stands."""
    await keep(site, HOSTILE, "key=" + HOSTILE.replace(" ", ""))

    html = await site.page("/sagas")

    assert "<img" not in html
    assert f"★ {HOSTILE}" in Text(html).seen


@pytest.mark.parametrize(
    ("name", "query", "told"),
    [
        ("", "", "A name has 1 to 40 characters that can be printed."),
        ("x" * 41, "", "A name has 1 to 40 characters that can be printed."),
        ("a\x00b", "", "A name has 1 to 40 characters that can be printed."),
        ("x", "key=" + "k" * 497, "A filter that is kept has 500 characters at most."),
        ("x", "age=5", "This filter cannot be read: 'age=5': write an age as age>90s,"),
    ],
)
async def test_what_cannot_be_kept_is_said(site: Website, name: str, query: str, told: str) -> None:
    """Nothing is kept then."""
    html = await keep(site, name, query, 422)

    assert told in Text(html).seen
    assert "★" not in await site.page("/sagas")


async def test_there_may_be_only_so_many(site: Website) -> None:
    """One that is there may be changed all the same."""
    for n in range(VIEWS_MAX):
        await keep(site, f"v{n}", "")

    html = await keep(site, "one more", "", 422)
    await keep(site, "v7", "stuck=any")

    assert f"You have {VIEWS_MAX} views, which is all there may be: drop one." in Text(html).seen


async def test_without_the_consoles_database_the_list_stands(
    site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says what is missing; nothing is kept, and that is said."""
    site.kept.faults.append(Unavailable("disk full"))
    kept = await keep(site, "Mine", "", 503)

    async def gone(*_: object) -> list[dict[str, Value]]:
        raise Unavailable("no such file")

    monkeypatch.setattr(site.kept, "read", gone)
    seen = Text(await site.page("/sagas")).seen

    assert "⚠ Your own views cannot be read now: no such file" in seen
    assert "No saga yet." in seen
    assert "The console cannot write its own database now: disk full." in Text(kept).seen
