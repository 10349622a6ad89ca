"""What processes say of themselves: rates, silence, and the page that tells both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from processes import Spoken
from test_pages import Text
from website import Website, website

CONSUMED = 'saga_events_consumed_total{service="billing",topic="t",event="e",result="applied"}'
HANDLED = 'saga_event_handle_seconds_bucket{service="billing",event="e"'


@pytest.fixture
def billing() -> Spoken:
    return Spoken(
        [
            "# TYPE saga_events_consumed_total counter",
            f"{CONSUMED} 100",
            'saga_consumer_lag_messages{service="billing",topic="t"} 12',
            'saga_consumer_lag_seconds{service="billing",topic="t"} 2.5',
            'saga_dead_letters_pending{service="billing",topic="t"} 3',
            'saga_build_info{service="billing",version="0.1.0",commit="x"} 1',
            f'{HANDLED},le="0.05"}} 90',
            f'{HANDLED},le="0.1"}} 96',
            f'{HANDLED},le="+Inf"}} 100',
        ]
    )


@pytest.fixture
async def site(tmp_path: Path, billing: Spoken) -> AsyncIterator[Website]:
    async with website(tmp_path, {"billing": billing, "crm": Spoken()}) as opened:
        yield opened


async def test_everybody_up_is_said_in_one_line(site: Website) -> None:
    """And each row has what it is for, how far behind it is, and what waits for a person."""
    seen = Text(await site.page("/services")).seen

    assert "✓ All 2 processes are up and ready." in seen
    assert "billing ✓ up holds, takes or releases the money" in seen
    assert "? 12 messages, 2.5 s 100 ms 0 3 0.1.0" in seen


async def test_rates_are_differences_of_looks_far_enough_apart(
    site: Website, billing: Spoken
) -> None:
    """One look for whoever asks within two seconds; a restart begins anew instead of falling."""
    await site.page("/services")
    await site.page("/services")
    assert billing.asked == 1

    site.playing.wait(20)
    billing.lines[1] = f"{CONSUMED} 150"
    process = (await site.scraping.look())["billing"]
    assert process.rate("saga_events_consumed_total") == 2.5

    site.playing.wait(20)
    billing.lines[1] = f"{CONSUMED} 7"
    process = (await site.scraping.look())["billing"]
    assert process.rate("saga_events_consumed_total") is None


async def test_a_silent_process_keeps_its_last_words(site: Website, billing: Spoken) -> None:
    """Since when, when it was heard last, and what to type."""
    await site.page("/services")
    site.playing.wait(10)
    billing.down = True
    await site.page("/services")
    site.playing.wait(60)

    seen = Text(await site.page("/services")).seen

    assert "✖ 1 of 2 not ready: billing." in seen
    assert (
        "✖ down since 1 min ago billing does not answer (ConnectError); last heard 1 min ago ."
        " baton status; baton logs billing" in seen
    )


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (httpx.Response(200, json={"ok": True}), "/readyz has no 'checks'"),
        (httpx.Response(200, json=[1]), "/readyz has no "),
        (httpx.Response(502, text="<h1>Bad gateway</h1>"), "unexpected character"),
    ],
)
async def test_whoever_else_answers_on_that_port_is_silent(
    tmp_path: Path, answer: httpx.Response, why: str
) -> None:
    """A proxy's error or a port that another took: the page stands, and says what came."""
    async with website(tmp_path, {"billing": lambda _: answer, "crm": Spoken()}) as site:
        seen = Text(await site.page("/services")).seen
        await site.page("/")
        await site.page("/map")

    assert "✖ 1 of 2 not ready: billing." in seen
    assert f"says what no process of Baton says: {why}" in seen


async def test_not_ready_says_why(site: Website, billing: Spoken) -> None:
    """The reasons are those of its readiness, escaped."""
    billing.not_ready = {"reading": "Kafka silent for <b>20 s</b>"}

    html = await site.page("/services")

    assert "! not ready reading: Kafka silent for <b>20 s</b>" in Text(html).seen.replace(
        "&lt;", "<"
    )
    assert "<b>20 s</b>" not in html
