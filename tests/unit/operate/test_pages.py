"""The frame of every page: whole HTML without JavaScript, faults as pages, streams that end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from reading_pages import HOSTILE, Text
from website import Website, website

from orchestrator.operate.pages.view import Context, Question
from services.chassis.gate import HEADERS


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Website]:
    async with website(tmp_path) as opened:
        yield opened


async def test_a_page_is_whole_and_guarded(site: Website) -> None:
    """One heading, landmarks, a skip link, and headers that let nothing run but our files."""
    answer = await site.http.get("/stuck")

    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    tags = Text(answer.text).tags
    assert [tags.count(each) for each in ("h1", "main", "header", "nav")] == [1, 1, 1, 1]
    assert '<a class="skip" href="#main">' in answer.text


async def test_nothing_stuck_is_good_news(site: Website) -> None:
    """The empty inbox says so, and how old the oldest open saga is."""
    await site.playing.place_order("o-1")
    site.playing.wait(4)

    assert "✓ Nothing is stuck. Oldest open saga 4s." in Text(await site.page("/stuck")).seen


async def test_what_is_typed_is_shown_as_text(site: Website) -> None:
    """A hostile filter comes back escaped, as the page of a fault that names it."""
    html = await site.page(f"/stuck?query={HOSTILE}", 422)

    assert HOSTILE not in html
    assert (
        "This filter cannot be read: '<img': write a term as name=value or age>10m."
        in Text(html).seen
    )


async def test_a_database_that_is_not_there_is_a_page(site: Website, tmp_path: Path) -> None:
    """503 with the file, why, and where to go."""
    (tmp_path / "orchestrator.db").unlink()

    seen = Text(await site.page("/stuck", 503)).seen

    assert "The orchestrator's database cannot be read now" in seen
    assert "orchestrator.db: No such file or directory" in seen


async def test_looks_are_kept_and_strangers_not_followed(site: Website) -> None:
    """The theme is a cookie; `next` leads only into this site."""
    kept = await site.http.get("/settings?theme=dark&next=/stuck")
    assert (kept.status_code, kept.headers["location"]) == (303, "/stuck")
    assert 'data-theme="dark"' in await site.page("/stuck")

    kept = await site.http.get("/settings?theme=system&next=/stuck%3Fquery%3Dstate%3Da")
    assert kept.headers["location"] == "/stuck?query=state=a"
    assert 'data-theme=""' in await site.page("/stuck")

    for far in ("https://evil.example/", "//evil.example", "/\\evil.example"):
        answer = await site.http.get("/settings", params={"next": far})
        assert answer.headers["location"] == "/"


async def test_a_defect_is_a_page_and_a_line_of_the_log(
    site: Website, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody reads a stack in a browser; whoever mends it finds it in the log."""

    async def broken(wanted: object) -> None:
        raise KeyError(wanted.__class__.__name__)

    monkeypatch.setattr(site.sources.reading, "stuck", broken)

    page = Text(await site.page("/stuck", 500))

    assert (
        "This page failed That is a defect of ours; the log of this process says where."
        " try again Overview" in page.seen
    )
    assert page.links[-2:] == ["/stuck", "/"]
    (line,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert (line.getMessage(), repr(line.exc_info[1])) == ("a request failed", "KeyError('Filter')")  # type: ignore[index]


async def test_a_mistyped_address_is_a_page_too(site: Website) -> None:
    """It names the address and what is near it; the API answers in JSON, a stranger logs in."""
    page = Text(await site.page("/stock/now", 404))
    assert "No such page There is no page /stock/now. Stuck Overview" in page.seen
    assert page.links[-2:] == ["/stuck", "/"]
    page = Text(await site.page("/Saga/o-1", 404))
    assert page.links[-3:] == ["/sagas/o-1", "/sagas", "/"]
    assert Text(await site.page("/act/here", 404)).links[-1] == "/"

    answer = await site.http.get("/api/nothing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert (await site.http.post("/nothing")).status_code == 404
    asked = site.http.build_request("GET", "/nothing?a=b")
    del asked.headers["Authorization"]
    answer = await site.http.send(asked)
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/login?next=%2Fnothing%3Fa%3Db",
    )


async def test_who_is_not_logged_in_sees_no_navigation(site: Website) -> None:
    """The login page has a heading and a form, and nothing that would only lead back to it."""
    page = Text((await site.http.get("/login")).text)

    assert [page.tags.count(each) for each in ("h1", "header", "nav")] == [1, 1, 0]
    assert page.links == ["#main", "/"]


async def test_static_files_are_named_by_content_and_kept(site: Website) -> None:
    """Only files of ours, and nothing beside the folder."""
    answer = await site.http.get("/static/baton.css?v=1")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (await site.http.get("/static/site.py")).status_code == 404
    assert (await site.http.get("/static/..%2Fsite.py")).status_code == 404


AROUND = {"path": "/stuck", "query": [], "theme": ""}


async def yes() -> bool:
    return True


async def test_a_stream_begins_whole_tells_changes_and_ends(site: Website) -> None:
    """A region is sent when its HTML changed, and stopping ends every stream."""
    view = site.views["stuck"]
    stream = site.live.stream(view, Question(), AROUND, yes)

    first = await anext(stream)
    assert first.startswith('id: 1\ndata: <hx-partial hx-target="#groups" hx-swap="innerMorph">')
    assert "Nothing is stuck." in first
    await site.playing.place_order("o-1")
    site.playing.wait(400)
    second = await anext(stream)
    assert second.startswith("id: 2\n")
    assert "late timer" in second
    assert site.streams == [("stuck", 1)]
    site.live.stop()
    async with asyncio.timeout(5):
        assert [each async for each in stream] == []
    assert site.streams == [("stuck", 1), ("stuck", -1)]


async def test_what_is_sent_live_links_as_its_page_does(site: Website) -> None:
    """The address of the stream is nobody's: no link carries any of it."""
    await site.playing.place_order("o-1")
    site.playing.wait(400)

    html = await site.page("/stuck?query=state=awaiting_stock")
    live = unescape(re.findall(r'"(/live\?[^"]+)"', html)[0])
    sent = set(Text(await site.page(f"{live}&once=1")).links)

    assert len(sent) > 1
    assert sent <= set(Text(html).links)


async def test_a_dear_look_is_made_rarely(site: Website) -> None:
    """It rests four times as long as it took, whoever asks; a cheap one is made each second."""
    made = list[int]()

    async def context(asked: Question) -> Context:
        made.append(site.playing.now_us)
        site.playing.wait(cost_s)
        return {**await site.views["stuck"].context(asked)}

    view = replace(site.views["stuck"], context=context)
    looks = dict[int, int]()
    for cost_s in (2, 0):
        made.clear()
        for _ in range(20):
            await site.live.look(view, Question((("cost", str(cost_s)),)), AROUND)
            site.playing.wait(1)
        looks[cost_s] = len(made)

    assert looks == {2: 3, 0: 20}


async def test_whoever_may_not_stream_asks_once(site: Website) -> None:
    """The same regions as one answer; a page that does not live says so."""
    html = await site.page("/live?view=stuck&once=1")

    assert html.startswith('<hx-partial hx-target="#groups" hx-swap="innerMorph">')
    assert "No page of that name lives." in await site.page("/live?view=nonsense", 404)
