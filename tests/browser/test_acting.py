"""From what is stuck to a verified result: with a pointer, with keys alone, without JavaScript."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, Page, expect
from website import Served

GROUP = "/stuck?group=late_timer:fulfilment:awaiting_stock:inventory"


@pytest.fixture
async def late(served: Served) -> Served:
    """Three orders that wait for their stock, one begun after the other."""
    for order in ("o-1", "o-2", "o-3"):
        await served.site.playing.place_order(order)
        served.site.playing.wait(1)
    served.site.playing.wait(400)
    return served


async def turns(served: Served, number: int = 3) -> None:
    for _ in range(number):
        served.site.playing.wait(1)
        await served.site.runner.step()


async def test_a_group_is_retried_with_one_first_and_the_result_is_verified(
    late: Served, page: Page
) -> None:
    """Inbox, group, preview, one, the rest; the page follows what becomes of each by itself."""
    await page.goto(f"{late.url}/stuck")
    await page.get_by_role("link", name="late timer").click()
    await page.get_by_role("link", name="Retry").first.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Retry 3 sagas")
    await page.get_by_label("Reason").fill("inventory is back")
    await page.get_by_role("button", name="Retry 3 sagas").click()

    await turns(late)
    await expect(page.locator("#progress")).to_contain_text("‖ paused: 1 of 3 told")
    await late.site.playing.reserve("o-3")
    await turns(late, 1)
    await expect(page.locator("#item-1")).to_contain_text("✓ progressed")
    await page.get_by_label("Reason").fill("the first went through")
    await page.get_by_role("button", name="Send the rest (2)").click()
    await turns(late)

    await expect(page.locator("#progress")).to_contain_text("3 of 3 told")
    assert [out.id for out in late.site.playing.sent if out.id.endswith("stock/do")][3:] == [
        "fulfilment:o-3/stock/do",
        "fulfilment:o-2/stock/do",
        "fulfilment:o-1/stock/do",
    ]


async def test_keys_alone_choose_and_retry(late: Served, page: Page) -> None:
    """j x j x r, then Tab to the reason; turned off, the keys do nothing."""
    await page.goto(late.url + GROUP)
    for key in "jxjxk":
        await page.keyboard.press(key)
    await expect(page.get_by_role("checkbox", checked=True)).to_have_count(2)
    await expect(page.locator("tr.at")).to_have_id("member-o-1")
    await page.keyboard.press("r")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Retry 2 sagas")
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.id") == "reason":
            break
    await page.keyboard.type("inventory is back")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("/operations/op-"))

    await page.goto(late.url + GROUP)
    await page.get_by_role("button", name="Turn keys off").click()
    await page.keyboard.press("j")
    await expect(page.locator("tr.at")).to_have_count(0)


async def test_the_marked_row_stays_marked(late: Served, page: Page) -> None:
    """A live patch of the rows leaves the mark of j and k where it was."""
    await page.goto(late.url + GROUP)
    await expect(page.locator("#liveness")).to_have_text("live · 1 s")
    await page.keyboard.press("j")
    await expect(page.locator("tr.at")).to_have_id("member-o-1")

    late.site.playing.wait(60)

    await expect(page.locator("#member-o-1")).to_contain_text("7 min ago")
    await expect(page.locator("tr.at")).to_have_id("member-o-1")


async def test_rows_stay_where_they_are_until_somebody_asks(late: Served, page: Page) -> None:
    """Who is new waits behind a count, who left says so; choices and focus stay."""
    await page.goto(late.url + GROUP)
    await expect(page.locator("#liveness")).to_have_text("live · 1 s")
    await page.get_by_label("Choose o-2").check()

    await late.site.playing.reserve("o-1")
    await late.site.playing.place_order("o-4")
    late.site.playing.wait(400)

    await expect(page.get_by_role("link", name="2 new · show")).to_be_visible()
    rows = page.locator("[data-rows] > tr")
    await expect(rows).to_have_count(3)
    await expect(rows.nth(0)).to_contain_text("not here any more")
    await expect(page.get_by_label("Choose o-2")).to_be_checked()
    await page.get_by_role("link", name="2 new · show").click()
    await expect(page.locator("#member-o-4")).to_be_visible()
    await expect(page.locator("#member-o-1")).to_have_count(0)
    await expect(page.get_by_label("Choose o-2")).to_be_checked()


async def test_without_javascript_everything_can_be_done(late: Served, browser: Browser) -> None:
    """Choose one, retry it, and read the verified result."""
    window = await browser.new_context(java_script_enabled=False)
    await window.request.get(late.login(), max_redirects=0)
    page = await window.new_page()
    await page.goto(late.url + GROUP)
    await page.get_by_label("Choose o-2").check()
    await page.get_by_role("button", name="Retry").click()
    await page.get_by_label("Reason").fill("inventory is back")
    await page.get_by_role("button", name="Retry o-2").click()
    await expect(page.locator("#became")).to_contain_text("… Unchanged")

    await late.site.playing.reserve("o-2")
    await page.reload()

    await expect(page.locator("#became")).to_contain_text(
        "✓ Progressed: inventory.StockReserved → awaiting payment"
    )
    await window.close()
