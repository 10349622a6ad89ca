"""The list of sagas in a browser: told by its address, by keyboard alone, without scripts."""

from __future__ import annotations

from playwright.async_api import Browser, Page, expect
from website import Served


async def test_a_copied_link_shows_the_same_rows(
    served: Served, page: Page, browser: Browser
) -> None:
    """Filtered by keyboard alone; another window without JavaScript shows the same rows."""
    await served.site.playing.complete("o-1")
    await served.site.playing.place_order("o-2")
    await page.goto(f"{served.url}/sagas")
    await page.get_by_label("Filter").focus()
    await page.keyboard.type("phase=open")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("1 of 2 sagas match phase=open")).to_be_visible()

    window = await browser.new_context(java_script_enabled=False)
    other = await window.new_page()
    await other.goto(served.login())
    await other.goto(page.url)

    await expect(other.get_by_role("rowheader")).to_have_text(["o-2"])
    await expect(other.get_by_text("1 of 2 sagas match phase=open")).to_be_visible()
    await window.close()
