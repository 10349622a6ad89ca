"""The guided tour on the real company: every button of /learn does what its chapter says."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from deploy.local.stack import PROCESSES
from orchestrator.operate.lessons import LESSONS, SWITCHES
from tests.acceptance.visitor import Visitor, visiting
from tests.integration.running_company import Company, running_company, until

pytestmark = [
    pytest.mark.stack,
    pytest.mark.costly,  # ten orders, half of them while a process is away
    pytest.mark.asyncio(loop_scope="module"),
]
GOES_WELL = [
    *("OrderPlaced", "ReserveStock", "StockReserved", "AuthorisePayment", "PaymentAuthorised"),
    *("BookShipment", "ShipmentBooked", "CapturePayment", "PaymentCaptured"),
    *("DispatchShipment", "ShipmentDispatched", "OrderFulfilled"),
]
SEEN = {
    "refused": [
        *GOES_WELL[:6],
        *("✖ ShipmentRefused", "VoidPayment", "PaymentVoided", "ReleaseStock", "StockReleased"),
        "OrderCancelled",
    ]
}
WAITS = {
    "payment": "awaiting payment",
    "carrier": "awaiting shipment",
    "billing": "awaiting payment",
    "shipping": "awaiting shipment",
    "orchestrator": "placed, not taken up yet. The orchestrator is switched off",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def company(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Company]:
    home = tmp_path_factory.mktemp("learning")
    async with running_company(home, only=PROCESSES, BATON_HOME=str(home)) as company:
        yield company


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def visitor(company: Company) -> AsyncIterator[Visitor]:
    async with visiting(company) as visitor:
        yield visitor


@pytest.mark.parametrize("lesson", [each.name for each in LESSONS])
async def test_a_chapter_shows_what_it_says(
    company: Company, visitor: Visitor, lesson: str
) -> None:
    """Its button places one order, whose story appears there, and which ends as was told."""
    known, lives = await duplicates(company), company.keeper("orchestrator").status().restarts
    page = await visitor.press("/learn", "/learn/play", {"lesson": lesson})
    order = page.partition("order=")[2]
    story = (await ended(visitor, page)).partition("What happens")[2]

    assert in_order(story, SEEN.get(lesson, GOES_WELL))
    assert paid(company, order) == ((4200, 0, 4200) if lesson == "refused" else (4200, 4200, 0))
    asked = "SELECT count(*) FROM sagas JOIN keys ON keys.id = sagas.key WHERE keys.name = ?"
    assert company.rows("orchestrator", asked, order) == [(1,)]
    tries = "SELECT tries FROM call WHERE key LIKE ? AND key LIKE '%/payment/do'"
    assert company.rows("payment", tries, f"%{order}%") == [(2 if lesson == "silent" else 1,)]
    if lesson == "twice":
        assert await duplicates(company) == known + 1
    killed = company.keeper("orchestrator").status().restarts - lives
    assert killed == (1 if lesson == "crash" else 0)


@pytest.mark.parametrize("process", SWITCHES)
async def test_a_switch_holds_an_order_up_and_lets_it_go(visitor: Visitor, process: str) -> None:
    """Off, the order stands where the process is needed; on again, it goes on by itself."""
    await visitor.press("/learn", "/learn/turn", {"process": process, "to": "off"})
    assert f"✖ Switched off: {process}. Switch it on again" in await visitor.seen("/learn")
    page = await visitor.press("/learn", "/learn/play", {"lesson": "happy"})

    async def waits() -> bool:
        return WAITS[process] in await visitor.seen(page)

    await until(waits, f"the order waits: {WAITS[process]}")
    await visitor.press("/learn", "/learn/turn", {"process": process, "to": "on"})

    assert in_order(await ended(visitor, page), GOES_WELL)
    assert "Switched off" not in await visitor.seen("/learn")
    acts = await visitor.seen(f"/audit?target={process}")
    assert in_order(acts, ["switch_on", "ok", "switch_on", "asked", "switch_off", "ok"])


async def ended(visitor: Visitor, page: str) -> str:
    """What the page shows once its order has an outcome."""

    async def has_ended() -> bool:
        seen = await visitor.seen(page)
        return "✓ completed" in seen or "✓ compensated" in seen

    await until(has_ended, f"the order of {page} has ended")
    return await visitor.seen(page)


def in_order(seen: str, words: Sequence[str]) -> bool:
    return re.search(".*?".join(map(re.escape, words)), seen) is not None


def paid(company: Company, order: str) -> tuple[object, ...]:
    """What the payment provider authorised, captured and voided for the order."""
    has = "SELECT authorised, captured, voided FROM payment WHERE order_id = ?"
    return company.rows("payment", has, order)[0]


async def duplicates(company: Company) -> float:
    """Orders that the orchestrator knew already, since its start."""
    found = await company.metrics("orchestrator")
    labels = {("result", "duplicate"), ("event", "baton.orders.OrderPlaced")}
    return sum(
        value
        for (name, given), value in found.items()
        if name == "saga_events_consumed_total" and labels <= given
    )
