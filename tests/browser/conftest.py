"""A real browser, Debian's Chromium, before the console's pages over a played orchestra.

`served` is the website of tests/unit/operate behind a real server; `page` a fresh tab of a fresh
window, logged in. Whatever a page throws or logs as an error fails its test.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from services.chassis.health import serving
from tests.browser.chromium import chromium

sys.path.append(str(Path(__file__).parent.parent / "unit" / "operate"))
from stage import free_port
from website import Served, website


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with website(tmp_path) as site:
        port = free_port()
        async with serving(site.app, "127.0.0.1", port):
            yield Served(site, f"http://127.0.0.1:{port}")
            site.live.stop()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as opened:
        yield opened


@pytest.fixture
async def page(browser: Browser, served: Served) -> AsyncIterator[Page]:
    window = await browser.new_context(reduced_motion="reduce")
    await window.request.get(served.login(), max_redirects=0)
    opened = await window.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    yield opened
    await window.close()
    assert wrong == []
