"""The frame of every page: one row, and menus that keys open and close."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page, expect
from website import Served


@pytest.mark.parametrize("width", [1280, 360])
async def test_the_header_is_one_row(served: Served, page: Page, width: int) -> None:
    """At a desk with every page in it, on a telephone with a menu."""
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto(f"{served.url}/stuck")
    await expect(page.locator("#liveness")).to_have_text("live · 1 s")

    box = await page.locator("body > header").bounding_box()

    assert box is not None
    assert box["height"] < 56
    await expect(page.get_by_role("link", name="Learn")).to_be_visible(visible=width == 1280)


async def test_the_narrowest_screen_shows_it_all(served: Served, page: Page) -> None:
    """At 320 pixels nothing is scrolled sideways, and one menu closes the other."""
    await page.set_viewport_size({"width": 320, "height": 800})
    await page.goto(f"{served.url}/")
    await expect(page.locator("#liveness")).to_have_text("live · 1 s")
    await page.locator(".pages > summary").click()
    await page.locator(".own > summary").click()

    await expect(page.get_by_role("button", name="Log out")).to_be_visible()
    await expect(page.get_by_role("link", name="Learn")).to_be_hidden()
    assert await page.evaluate("document.documentElement.scrollWidth") == 320


async def test_keys_open_and_close_the_menu(served: Served, page: Page) -> None:
    """Enter opens it, a link in it leads on, Escape closes it and gives the focus back."""
    await page.set_viewport_size({"width": 360, "height": 800})
    await page.goto(f"{served.url}/stuck")
    summary = page.locator(".pages > summary")
    await summary.focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Overview")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(summary).to_be_focused()
    await expect(page.get_by_role("link", name="Overview")).to_be_hidden()
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Flow").click()
    await expect(page).to_have_url(f"{served.url}/flow")


async def test_the_menu_needs_no_javascript(served: Served, browser: Browser) -> None:
    """Opened, it leads on; the theme is chosen and the page is the same one."""
    window = await browser.new_context(
        java_script_enabled=False, viewport={"width": 360, "height": 800}
    )
    await window.request.get(served.login(), max_redirects=0)
    page = await window.new_page()
    await page.goto(f"{served.url}/stuck?query=age%3E1h")
    await page.locator(".own > summary").click()
    await page.get_by_role("button", name="Dark theme").click()
    await expect(page).to_have_url(f"{served.url}/stuck?query=age%3E1h")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.locator(".pages > summary").click()
    await page.get_by_role("link", name="Sagas").click()
    await expect(page).to_have_url(f"{served.url}/sagas")
    await window.close()
