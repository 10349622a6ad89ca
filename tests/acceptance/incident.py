"""One incident as an operator walks it, at the console of a real company, in a real browser.

Billing is switched off while orders flow; they are found stuck, one is retried, billing is switched
on, and what became of every order is verified. `python -m tests.acceptance.incident FOLDER` starts
a company of its own, keeps a picture of each step, and says what each view took at the server.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from playwright.async_api import Page
from rich.console import Console
from rich.table import Table

from deploy.local.logging_in import login_address
from deploy.local.stack import PROCESSES
from tests.browser.chromium import chromium
from tests.integration.books import check_books, deliver, ended, many_orders, order, placed
from tests.integration.running_company import Company, baton, running_company, until

STUCK: Final = 12
GROUP: Final = "no_reply:fulfilment:awaiting_payment:billing"
TOOK: Final = """() => { const it = performance.getEntriesByType('navigation')[0];
return it.responseStart - it.requestStart }"""
LONGEST: Final = 150  # characters of what a step showed


class Step(NamedTuple):
    """`took_ms`: from asking for the page to its first byte, which is all its work."""

    what: str
    page: str
    took_ms: float
    showed: str


@dataclass
class Walk:
    """What was seen on the way, and what command line and metrics said at the same moments."""

    page: Page
    console: str
    folder: Path
    steps: list[Step] = field(default_factory=list)
    stuck: object = None
    stuck_gauge: float = 0.0
    operation: Mapping[str, object] = field(default_factory=dict)
    acts: Sequence[Mapping[str, object]] = ()
    books: Mapping[str, int] = field(default_factory=dict)
    stuck_after: float = 0.0

    async def look(self, what: str, shows: str, path: str = "") -> str:
        """Goes there, or stays where a button led; keeps a picture and what the place showed."""
        if path:
            await self.page.goto(self.console + path)
        said = await self._said(shows)
        took_ms = float(await self.page.evaluate(TOOK))
        where = self.page.url.removeprefix(self.console).partition("#")[0]
        self.steps.append(Step(what, re.sub(r"op-\w+", "op-…", where), took_ms, said))
        name = f"{len(self.steps):02}-{re.sub(r'[^a-z]+', '-', what.lower()).strip('-')}.png"
        await self.page.screenshot(path=self.folder / name, full_page=True)
        return said

    async def _said(self, shows: str) -> str:
        said = await self.page.locator(shows).first.evaluate("it => it.innerText || it.textContent")
        return " ".join(str(said).split())

    async def seen(self, path: str, shows: str, words: str, within_s: float = 120.0) -> None:
        """Waits, reading the page anew, until that place holds the words."""

        async def there() -> bool:
            await self.page.goto(self.console + path)
            return words in await self._said(shows)

        await until(there, f"{path} shows {words!r}", within_s=within_s)


async def walk(company: Company, page: Page, folder: Path) -> Walk:
    """The whole of it, about three minutes: two of them are what an order waits to be stuck."""
    console = company.addresses["console"]
    token = company.home.token_file.read_text(encoding="utf-8").strip()
    await page.goto(login_address(console, token))
    on = Walk(page, console, folder)
    before, during = many_orders("calm", 10), [order(f"late-{n}") for n in range(STUCK)]
    await deliver(company)
    await company.publish(*placed(*before))
    await ended(company, before)
    await on.look("Orders flow", '.tile:has-text("Stuck")', "/")
    await on.look("Where they went", "main svg", "/flow/fulfilment")

    await _break(on)
    await company.publish(*placed(*during))
    await _find(company, on)
    await _mend(company, on)
    on.books = await check_books(company, [*before, *during])
    on.stuck_after = await stuck_gauge(company)
    return on


async def _break(on: Walk) -> None:
    await on.page.goto(f"{on.console}/learn")
    await on.page.get_by_role("button", name="Switch billing off").click()
    await on.look("Billing is stopped", '[role="status"]:has-text("Switched off")', "/learn")


async def _find(company: Company, on: Walk) -> None:
    await on.look("Who does not run", 'p:has-text("not ready")', "/services")
    await on.look("On the map", 'p:has-text("does not answer")', "/map")
    stuck = f"1 group · {STUCK} stuck sagas of {STUCK} open"
    await on.seen("/stuck", "#groups", stuck, within_s=240)
    await on.look("The first sign", '.tile:has-text("Stuck")', "/")
    await on.look("What is stuck", "#groups tbody", "/stuck")
    on.stuck = await baton(company, "sagas", "stuck")
    await baton(company, "sagas", "stuck", "--fail-if-any", code=1)
    await until(lambda: _gauge_is(company, STUCK), f"the gauge says {STUCK}")
    on.stuck_gauge = await stuck_gauge(company)
    await on.page.get_by_role("link", name="no reply").click()
    await on.look("Its members", "#members h2")
    await on.page.locator("#members tbody a").first.click()
    await on.look("One of them", "main p:has-text('waiting for')")


async def _mend(company: Company, on: Walk) -> None:
    await on.page.goto(f"{on.console}/stuck?group={GROUP}")
    await on.page.get_by_role("link", name="Retry").first.click()
    await on.look("What a retry would send", "main tbody")
    await on.page.get_by_label("Reason").fill("is billing there again?")
    await on.page.get_by_role("button", name=f"Retry {STUCK} sagas").click()
    await on.page.wait_for_url("**/operations/op-*")
    operation = on.page.url.removeprefix(on.console)
    await on.seen(operation, "#progress", f"paused: 1 of {STUCK} told")
    await on.look("One first: nothing moves", "#progress")

    await on.page.goto(f"{on.console}/learn")
    await on.page.get_by_role("button", name="Switch billing on").click()
    await on.look("Billing is started", "tr:has(th:text-is('billing'))", "/learn")
    await on.seen(operation, "#items tbody tr", "✓ progressed")
    await on.look("The one went on", "#items tbody tr")
    await on.seen("/stuck", "#groups", "Nothing is stuck")
    await on.page.goto(on.console + operation)
    await on.page.get_by_label("Reason").fill("the first went through")
    await on.page.get_by_role("button", name=f"Send the rest ({STUCK - 1})").click()
    await on.seen(operation, "#progress", "✓ done")
    await on.look("The rest, verified", "#progress")
    await on.look("Nothing is stuck", "#groups", "/stuck")
    await on.look("Who did what", "main tbody", "/audit")
    name = operation.rpartition("/")[2]
    said, acts = await baton(company, "ops", "show", name), await baton(company, "audit")
    assert isinstance(said, dict)
    assert isinstance(acts, list)
    on.operation, on.acts = said, acts[::-1]


async def _gauge_is(company: Company, number: int) -> bool:
    return await stuck_gauge(company) == number


async def stuck_gauge(company: Company) -> float:
    """Of every reason, as the orchestrator's metrics have it."""
    found = await company.metrics("orchestrator")
    return sum(value for (name, _), value in found.items() if name == "saga_stuck_instances")


def table(on: Walk) -> Table:
    shown = Table(title="one incident at the console")
    for column in ("", "step", "page", "ms", "what it showed"):
        shown.add_column(column, justify="right" if column in ("", "ms") else "left")
    for number, each in enumerate(on.steps, 1):
        said = each.showed if len(each.showed) <= LONGEST else f"{each.showed[:LONGEST]} …"
        shown.add_row(str(number), each.what, each.page, f"{each.took_ms:.0f}", said)
    return shown


@contextmanager
def _kept(given: Sequence[str]) -> Iterator[Path]:
    """The folder that is named, or one that is gone afterwards."""
    if given:
        folder = Path(given[0])
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


async def main(given: Sequence[str]) -> None:
    with _kept(given) as folder, tempfile.TemporaryDirectory(prefix="baton-incident-") as home:
        async with (
            running_company(Path(home), only=PROCESSES, BATON_HOME=home) as company,
            chromium() as browser,
        ):
            page = await browser.new_page(viewport={"width": 1280, "height": 900})
            Console(width=200).print(table(await walk(company, page, folder)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
