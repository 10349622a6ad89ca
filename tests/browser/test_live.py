"""Pages stay fresh by themselves, and say how fresh they are."""

from __future__ import annotations

from playwright.async_api import Page, expect
from website import Served


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
