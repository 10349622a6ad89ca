"""Every page of the console by the rules of axe: WCAG 2.0 to 2.2 A and AA, and best practice."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page
from walking import addresses, played
from website import Served

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OPTIONS = {"resultTypes": ["violations"], "runOnly": {"type": "tag", "values": TAGS}}
HEAVIEST_BYTES = 150_000
SIDEWAYS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


async def window(browser: Browser, served: Served) -> Page:
    opened = await browser.new_context(
        reduced_motion="reduce", viewport={"width": 1280, "height": 900}
    )
    await opened.request.get(served.login(), max_redirects=0)
    return await opened.new_page()


async def violations(page: Page) -> list[str]:
    """Rule and element of each."""
    found = await Axe().run(page, options=OPTIONS)
    return [
        f"{rule['id']}: {node['html']} {node['failureSummary']}"
        for rule in found.response["violations"]
        for node in rule["nodes"]
    ]


async def test_no_page_breaks_a_rule(tmp_path: Path, browser: Browser) -> None:
    """Each once, light, at a desk."""
    async with played(tmp_path) as served:
        page = await window(browser, served)
        wrong: list[str] = []
        for address in await addresses(served.site):
            await page.goto(served.url + address)
            wrong += [f"{address} {each}" for each in await violations(page)]

    assert not wrong, "\n".join(wrong)


@pytest.mark.costly
@pytest.mark.parametrize("empty", [True, False], ids=["empty", "normal"])
async def test_none_does_in_any_light_at_any_width(
    tmp_path: Path, browser: Browser, *, empty: bool
) -> None:
    """Nor has the page itself to be scrolled sideways on a telephone."""
    async with played(tmp_path, empty=empty) as served:
        page = await window(browser, served)
        wrong: list[str] = []
        for address in await addresses(served.site, empty=empty):
            await page.goto(served.url + address)
            for light, width in (("light", 1280), ("dark", 1280), ("dark", 360), ("light", 360)):
                await page.emulate_media(color_scheme="dark" if light == "dark" else "light")
                await page.set_viewport_size({"width": width, "height": 900})
                found = await violations(page)
                sideways = ["scrolls sideways"] if await page.evaluate(SIDEWAYS) else []
                wrong += [f"{address} {light} {width} {each}" for each in found + sideways]

    assert not wrong, "\n".join(wrong)


async def test_a_page_weighs_little(tmp_path: Path) -> None:
    """With its sheet, its scripts and its icon, as they are sent."""
    async with played(tmp_path) as served:
        http, heavy = served.site.http, dict[str, int]()
        for address in await addresses(served.site):
            page = await http.get(address)
            parts = [await http.get(part) for part in static(page.text)]
            heavy[address] = sum(each.num_bytes_downloaded for each in (page, *parts))

    assert {address: size for address, size in heavy.items() if size > HEAVIEST_BYTES} == {}


def static(html: str) -> set[str]:
    return {part for part in html.split('"') if part.startswith("/static/")}
