"""Pages stay fresh by themselves, and say how fresh they are."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.async_api import Browser, Page, expect
from stage import free_port
from website import Served, website

from services.chassis.health import serving
from tests.integration.running_company import until


async def test_what_happens_shows_within_two_seconds(served: Served, page: Page) -> None:
    """A saga that gets stuck appears while the inbox is open; the focus stays where it was."""
    await page.goto(f"{served.url}/stuck")
    await expect(page.locator("#liveness")).to_have_text("live · 1 s")
    await expect(page.get_by_text("Nothing is stuck.")).to_be_visible()
    await page.get_by_label("Filter").focus()

    await served.site.playing.place_order("o-1")
    served.site.playing.wait(400)

    await expect(page.get_by_role("link", name="o-1")).to_be_visible(timeout=2_000)
    await expect(page.get_by_label("Filter")).to_be_focused()


async def test_the_first_page_keeps_up(served: Served, page: Page) -> None:
    """Tiles, flow and what is of note, within two seconds, from the first saga on."""
    await page.goto(f"{served.url}/")
    await expect(page.locator("#liveness")).to_have_text("live · 1 s")
    await expect(page.get_by_role("heading", name="No saga yet")).to_be_visible()

    await served.site.playing.cancel("o-1")
    await served.site.playing.place_order("o-2")
    served.site.playing.wait(2)

    await expect(page.get_by_role("link", name="Open 1 oldest")).to_be_visible(timeout=2_000)
    await expect(page.get_by_role("link", name="stock: 1 saga, 0 stuck")).to_be_visible()
    await expect(page.get_by_role("listitem").filter(has_text="insufficient funds")).to_be_visible()
    await expect(page.get_by_role("heading", name="No saga yet")).to_be_hidden()


async def test_who_listens_hears_what_is_new_and_not_everything(served: Served, page: Page) -> None:
    """A sentence when it changed, the next one ten seconds later and then the newest only."""
    await page.clock.install()
    await page.goto(f"{served.url}/stuck")
    await expect(page.locator("#liveness")).to_have_text("live · 1 s")
    heard = page.locator("#announced")
    await served.site.playing.place_order("o-1")
    served.site.playing.wait(400)
    await page.clock.run_for(1_000)
    await expect(heard).to_have_text("1 saga stuck")

    for n in (2, 3):
        await served.site.playing.place_order(f"o-{n}")
        served.site.playing.wait(400)
        await expect(page.get_by_text(f"{n} stuck sagas")).to_be_visible()
    await expect(heard).to_have_text("1 saga stuck")
    await page.clock.run_for(10_000)
    await expect(heard).to_have_text("3 sagas stuck")


async def test_a_hidden_tab_holds_no_stream_and_catches_up(served: Served, page: Page) -> None:
    """What happened meanwhile is there when it is looked at again."""
    await page.goto(f"{served.url}/stuck")
    await expect(page.locator("#liveness")).to_have_text("live · 1 s")
    await _show(page, visible=False)
    await until(lambda: _open(served) == 0, "the stream is closed")

    await served.site.playing.place_order("o-1")
    served.site.playing.wait(400)
    await _show(page, visible=True)

    await expect(page.get_by_role("link", name="o-1")).to_be_visible()
    assert _open(served) == 1


async def test_a_burst_leaves_every_row_once(served: Served, page: Page) -> None:
    """Five hundred changes while the page is open: the newest count, and no id stands twice."""
    await page.goto(f"{served.url}/stuck")
    await expect(page.locator("#liveness")).to_have_text("live · 1 s")
    for n in range(250):
        await served.site.playing.place_order(f"o-{n}")
        await served.site.playing.reserve(f"o-{n}")
    served.site.playing.wait(400)

    await expect(page.locator("#groups td.number")).to_have_text("250")
    ids = await page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert sorted(ids) == sorted(set(ids))


async def test_a_page_outlives_its_server(tmp_path: Path, browser: Browser) -> None:
    """It says since when it is stale, and is fresh again by itself when the server is back."""
    port = free_port()
    async with website(tmp_path) as site:
        served = Served(site, f"http://127.0.0.1:{port}")
        async with serving(site.app, "127.0.0.1", port):
            window = await browser.new_context()
            await window.request.get(served.login(), max_redirects=0)
            page = await window.new_page()
            await page.goto(f"{served.url}/stuck")
            await expect(page.locator("#liveness")).to_have_text("live · 1 s")
            site.live.stop()
        await expect(page.locator("#liveness")).to_contain_text("— reconnecting")
        await site.playing.place_order("o-1")
        site.playing.wait(400)
        app, live = site.anew()
        async with serving(app, "127.0.0.1", port):
            await expect(page.locator("#liveness")).to_have_text("live · 1 s", timeout=20_000)
            await expect(page.get_by_role("link", name="o-1")).to_be_visible()
            live.stop()


async def test_ten_tabs_do_not_hang(served: Served, page: Page) -> None:
    """Four hold a stream, the others ask now and then; a browser has six connections to a host."""
    window = page.context
    pages = [page, *[await window.new_page() for _ in range(9)]]
    for each in pages:
        await each.goto(f"{served.url}/stuck")
    told = [each.locator("#liveness") for each in pages]
    for each in told:
        await expect(each).to_have_text(re.compile(r"live · 10? s"))
    assert sorted([await each.inner_text() for each in told]) == [
        *["live · 1 s"] * 4,
        *["live · 10 s"] * 6,
    ]


async def _show(page: Page, *, visible: bool) -> None:
    """As a browser tells a page that its tab was left or looked at."""
    await page.evaluate(
        """(visible) => {
            Object.defineProperty(document, 'hidden', {configurable: true, get: () => !visible});
            Object.defineProperty(document, 'visibilityState',
                {configurable: true, get: () => visible ? 'visible' : 'hidden'});
            document.dispatchEvent(new Event('visibilitychange'));
        }""",
        visible,
    )


def _open(served: Served) -> int:
    return sum(change for _, change in served.site.streams)
