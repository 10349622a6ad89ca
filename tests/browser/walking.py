"""A company worth looking at, and the address of every page that shows it.

Sagas of every kind, some stuck, one paused, a bulk operation, dead letters, one process down.
A view that is added is walked too: where its path has parameters, by a link that leads to it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from letterbox import Letterbox
from processes import Spoken
from reading_pages import Text
from stage import free_port
from website import Served, Website, website

from orchestrator.operate.pages.company import HUB, LEFT, RIGHT
from schemas.common import Line
from schemas.orders import OrderPlaced
from services.chassis.health import serving
from tests.unit.chassis.company import command

ORDERS = "orders.order.events.v1"
HEARD = (
    ORDERS,
    "inventory.stock.commands.v1",
    "billing.payment.commands.v1",
)
BESIDE = (
    "/login",
    "/stock",
    "/sagas/nobody",
    "/sagas?query=colour=red",
    "/act?verb=retry&saga=fulfilment:o-4",
    "/act?verb=retry&query=state=awaiting_stock",
    "/dead-letters/one?service=billing&key=a",
    "/dead-letters/act?verb=redrive&service=billing&key=a",
    "/stuck?group=late_timer:fulfilment:awaiting_stock:inventory",
    "/sagas?query=state=awaiting_stock",
    *(f"/sagas/o-1?tab={tab}" for tab in ("story", "timeline", "sequence", "state", "raw")),
    "/sagas/o-2?tab=timeline&with=o-1",
    "/sagas/o-2?tab=sequence",
    "/flow/fulfilment",
    "/sagas?query=slow=p95",
    "/map?find=billing&min=1",
    f"/topics/{ORDERS}?lines=50",
)


@asynccontextmanager
async def played(folder: Path, *, empty: bool = False) -> AsyncIterator[Served]:
    """`empty`: nothing has happened yet."""
    (folder / "letters").mkdir()
    box, processes = (
        Letterbox(folder / "letters"),
        {name: _process(name) for name in (HUB, *LEFT, *RIGHT)},
    )
    processes["shipping"].down = True
    async with website(folder, processes, box.telling()) as site:
        if not empty:
            for key in ("a", "b"):
                box.deliver(command(key, "tok_broken", step="s0"))
            await _play(site)
        await site.scraping.look()
        port = free_port()
        async with serving(site.app, "127.0.0.1", port):
            yield Served(site, f"http://127.0.0.1:{port}")
            site.live.stop()


def _process(name: str) -> Spoken:
    took = f'saga_events_consumed_total{{service="{name}",event="e",result="applied"'
    heard = [f'{took},topic="{topic}"}} 9' for topic in HEARD]
    return Spoken([*heard, f'saga_build_info{{service="{name}",version="0.1.0",commit="x"}} 1'])


async def _play(site: Website) -> None:
    playing = site.playing
    _written(site)
    await site.send("/views", [("name", "Mine"), ("query", "stuck=any"), ("do", "keep")])
    await playing.complete("o-1")
    await playing.cancel("o-2")
    await playing.decline("o-3")
    for number in range(4, 10):
        await playing.place_order(f"o-{number}")
    await playing.book("o-5")
    playing.wait(400)
    await _told(site, "/act?verb=pause&saga=fulfilment:o-9")
    await _told(site, "/act?verb=retry&query=state=awaiting_stock")
    await site.runner.step()


def _written(site: Website) -> None:
    """Orders on their topic, of many lines each, and a record that nobody can read."""
    now = datetime.fromtimestamp(site.playing.now_us / 1_000_000, UTC)
    lines = tuple(Line(f"SKU-{n}", n, 100) for n in range(1, 20))
    for n in range(60):
        placed = OrderPlaced(f"o-{n}", None, "GBP", lines, "France", now)
        site.log.publish(ORDERS, placed, site.playing.now_us // 1000 + n, partition=n % 4)
    site.log.write(ORDERS, b"?", site.playing.now_us // 1000 + 99, key=b"o-?")


async def _told(site: Website, form: str) -> str:
    given = Text(await site.page(form)).form_with("key")
    return await site.send("/act", list({**given, "reason": "to see it"}.items()))


async def addresses(site: Website, *, empty: bool = False) -> list[str]:
    """Every view has one, or else this fails; where all is empty, only those without parameters."""
    plain = [view.path for view in site.views.values() if "{" not in view.path]
    found = [path for path in plain if path != "/dead-letters/one"]
    if empty:
        return ["/login", *found]
    found += [*BESIDE, await _told(site, "/act?verb=resume&saga=fulfilment:o-9")]
    links = set[str]()
    for path in found:
        links |= set(Text((await site.http.get(path)).text).links)
    for view in site.views.values():
        shape = re.compile(re.sub("{.*?}", "[^/?#]+", view.path) + r"([?#]|$)")
        if not any(shape.match(path) for path in found):
            leading = sorted(link for link in links if shape.match(link))
            assert leading, f"no link leads to {view.path}: give an address in BESIDE"
            found.append(leading[0])
    return found
