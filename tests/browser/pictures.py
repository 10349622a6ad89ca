"""The README's pictures of the console: `make pictures` draws them anew.

Always the same: a company played by hand from a seed, its clock held still, motion reduced. What is
drawn depends on the browser and its fonts alone, which `DRAWN_BY` names, so that a machine which
has others knows that it cannot judge.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final

from playwright.async_api import Browser, expect

from orchestrator.operate.history import EVERY_S
from services.chassis.health import serving
from tests.browser.chromium import chromium
from tests.browser.pixels import small

sys.path.append(str(Path(__file__).parent.parent / "unit" / "operate"))
from orchestra import AMOUNT, Orchestra
from processes import Spoken
from stage import free_port
from website import Served, Website, website

from schemas.billing import PaymentAuthorised, PaymentCaptured, PaymentDeclined, PaymentVoided
from schemas.inventory import OutOfStock, StockReleased, StockReserved
from schemas.shipping import ShipmentBooked, ShipmentDispatched, ShipmentRefused
from schemas.topics import TOPICS

SEED: Final = 7
FOLDER: Final = Path(__file__).parents[2] / "deploy" / "screens"
DRAWN_BY: Final = FOLDER / "drawn-by.txt"
WIDTH: Final = 1280
LIGHTS: Final = ("light", "dark")
BILLING: Final = "billing.payment.commands.v1"
REFUSED: Final = "ord-10046"  # by the carrier: its story goes forth and back
# Where it is, and how much of it is shown.
PAGES: Final[Mapping[str, tuple[str, int]]] = {
    "overview": ("/", 800),
    "stuck": ("/stuck?group=no_reply:fulfilment:awaiting_payment:billing", 800),
    "saga": (f"/sagas/fulfilment:{REFUSED}?tab=sequence", 900),
    "flow": ("/flow/fulfilment", 640),
    "map": ("/map", 1180),
}
PROCESSES: Final = (
    *("orchestrator", "orders", "inventory", "billing"),
    *("shipping", "crm", "analytics", "notifications"),
)
# Shares of a hundred, from where on: refused by the carrier, declined, sold out.
CARRIER, DECLINED, SOLD_OUT = 0.82, 0.88, 0.94
# Those that end within the hour, and those that wait for billing, which is away.
FIRST, ORDERS, WAITING = 10_042, 64, 6


def drawn_by() -> str:
    """The browser and the font that it takes for ours."""
    words = (("chromium", "--version"), ("fc-match", "system-ui"), ("fc-match", "monospace"))
    said = [subprocess.run(each, capture_output=True, text=True, check=True) for each in words]
    return "".join(each.stdout for each in said)


@asynccontextmanager
async def company(folder: Path) -> AsyncIterator[Served]:
    spoken = {name: Spoken() for name in PROCESSES}
    async with website(folder, spoken) as site:
        await _play(site, spoken)
        port = free_port()
        async with serving(site.app, "127.0.0.1", port):
            yield Served(site, f"http://127.0.0.1:{port}")
            site.live.stop()


async def draw(browser: Browser, served: Served, name: str, light: str) -> bytes:
    """One page as it stands once it is live."""
    path, height = PAGES[name]
    window = await browser.new_context(
        viewport={"width": WIDTH, "height": height},
        color_scheme="dark" if light == "dark" else "light",
        reduced_motion="reduce",
    )
    await window.request.get(served.login(), max_redirects=0)
    page = await window.new_page()
    await page.goto(served.url + path)
    await expect(page.locator("#liveness")).to_have_text("live · 1 s")
    picture = await page.screenshot(animations="disabled", caret="hide")
    await window.close()
    return picture


async def _play(site: Website, spoken: Mapping[str, Spoken]) -> None:
    playing, chance = site.playing, Random(SEED)
    for number in range(ORDERS):
        await _pass(site, chance.uniform(30, 90))
        await _order(playing, f"ord-{FIRST + number}", chance)
    for number in range(WAITING):
        await _pass(site, chance.uniform(3, 9))
        key = f"ord-{FIRST + ORDERS + number}"
        await playing.place_order(key)
        await playing.reserve(key)
    for _ in range(9):
        await _pass(site, 20)
        await playing.put_off(BILLING)
        await playing.fire()
    for seconds in (0, 20, 40):
        await _pass(site, 20)
        _speak(spoken, seconds)
        await site.scraping.look()
        spoken["billing"].down = True
    await playing.place_order(f"ord-{FIRST + ORDERS + WAITING}")


async def _pass(site: Website, seconds: float) -> None:
    """Time, with the overview's samples."""
    while seconds > 0:
        site.playing.wait(min(seconds, EVERY_S))
        await site.history.take()
        seconds -= EVERY_S


async def _order(playing: Orchestra, key: str, chance: Random) -> None:
    """To its end: fulfilled, or refused by one of three."""
    how = CARRIER if key == REFUSED else chance.random()
    answers: list[tuple[str, object]] = [
        ("stock/do", StockReserved(key)),
        ("payment/do", PaymentAuthorised(key, f"a-{key}", AMOUNT)),
        ("shipment/do", ShipmentBooked(key, f"t-{key}")),
        ("capture/do", PaymentCaptured(key, f"a-{key}", AMOUNT)),
        ("dispatch/do", ShipmentDispatched(key, f"t-{key}")),
    ]
    if how >= SOLD_OUT:
        answers = [("stock/do", OutOfStock(key, ("sku-1",)))]
    elif how >= DECLINED:
        answers[1:] = [("payment/do", PaymentDeclined(key, "card_expired")), _released(key)]
    elif how >= CARRIER:
        voided = ("payment/undo", PaymentVoided(key, AMOUNT))
        refused = ("shipment/do", ShipmentRefused(key, "country_not_served"))
        answers[2:] = [refused, voided, _released(key)]
    await playing.place_order(key)
    for command, answer in answers:
        playing.wait(chance.uniform(0.05, 2.5))
        await playing.reply(key, command, answer)


def _released(key: str) -> tuple[str, object]:
    return "stock/undo", StockReleased(key)


def _speak(spoken: Mapping[str, Spoken], seconds: int) -> None:
    """So many messages of each topic as there are readers of it, a second."""
    for name, process in spoken.items():
        heard = (
            'saga_events_consumed_total{{service="{}",topic="{}",event="e",result="applied"}} {}'
        )
        read = [each for each in TOPICS if name in each.readers]
        process.lines = [
            f'saga_build_info{{service="{name}",version="0.1.0",commit="x"}} 1',
            *(heard.format(name, each.name, 100 + seconds * len(each.readers)) for each in read),
        ]


async def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        async with company(Path(folder)) as served, chromium() as browser:
            for name in PAGES:
                for light in LIGHTS:
                    drawn = await small(browser, await draw(browser, served, name, light))
                    (FOLDER / f"{name}-{light}.png").write_bytes(drawn)
                    sys.stdout.write(f"{name}-{light}.png {len(drawn) // 1000} kB\n")
    DRAWN_BY.write_text(drawn_by(), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
