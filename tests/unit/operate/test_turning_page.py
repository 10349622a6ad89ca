"""Draining a process and starting it again, from the page that says how each one is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from processes import Spoken
from test_pages import HOSTILE, Text
from website import LOOKS, Bench, Website, website

from deploy.local.faults import ProcessFailed

DRAIN = "/services/turn?process=billing&to=drain"


@pytest.fixture
def bench() -> Bench:
    return Bench({"billing": "ready", "crm": "stopped", "console": "ready", "kafka": "ready"})


@pytest.fixture
async def site(tmp_path: Path, bench: Bench) -> AsyncIterator[Website]:
    spoken = {"billing": Spoken(), "crm": Spoken(down=True), "console": Spoken()}
    async with website(tmp_path, spoken, machine=bench) as opened:
        yield opened


async def audited(site: Website) -> list[tuple[object, ...]]:
    rows = await site.kept.read("SELECT action, target, reason, result FROM audit ORDER BY seq", {})
    return [tuple(row.values()) for row in rows]


async def test_each_process_is_offered_what_can_be_done(site: Website, bench: Bench) -> None:
    """What runs is drained, what stopped is started with its last words beside it."""
    bench.said["crm"] = ("database is locked", HOSTILE)
    html = await site.page("/services")
    looks = await site.page("/services", token=LOOKS)
    seen = Text(html).seen

    assert "its last words database is locked" in seen
    assert HOSTILE in seen
    assert "<img" not in html
    assert ("Drain billing" in seen, "Start crm" in seen, "console" in seen) == (True,) * 3
    assert "Drain console" not in seen
    assert "Drain billing" not in looks


async def test_a_drain_says_what_follows_and_asks_why(site: Website, bench: Bench) -> None:
    """The form names what will wait; the button is the supervisor's stop, kept with its reason."""
    seen = Text(await site.page(DRAIN)).seen
    given = [("process", "billing"), ("to", "drain"), ("reason", "new release")]
    where = await site.send("/services/turn", given)

    assert "It holds, takes or releases the money." in seen
    assert "what comes in billing.payment.commands.v1 waits in Kafka, in its order" in seen
    assert "orders that wait for its reply become stuck (no reply)" in seen
    assert where == "/services#process-billing"
    assert bench.asked == [("stop", "billing")]
    assert await audited(site) == [
        ("drain", "billing", "new release", "asked"),
        ("drain", "billing", "new release", "ok"),
    ]


async def test_a_start_takes_up_what_waits(site: Website, bench: Bench) -> None:
    """The same way back."""
    seen = Text(await site.page("/services/turn?process=crm&to=start")).seen
    await site.send("/services/turn", [("process", "crm"), ("to", "start"), ("reason", "mended")])

    assert "It takes up what waits for it in Kafka where it stopped" in seen
    assert bench.asked == [("start", "crm")]


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ({"process": "billing", "to": "drain", "reason": " "}, 422, "Say why: the reason is kept"),
        ({"process": "nobody", "to": "drain", "reason": "x"}, 404, "Drain or start one of billing"),
        ({"process": "kafka", "to": "drain", "reason": "x"}, 404, "Drain or start one of billing"),
        ({"process": "billing", "to": "kill", "reason": "x"}, 404, "Drain or start one of billing"),
    ],
)
async def test_what_is_not_done_says_why(
    site: Website, bench: Bench, given: dict[str, str], status: int, said: str
) -> None:
    """Nothing is asked of the supervisor and nothing stands in the audit."""
    html = await site.send("/services/turn", list(given.items()), status)

    assert said in Text(html).seen
    assert (bench.asked, await audited(site)) == ([], [])


async def test_a_supervisor_that_cannot_is_told_and_kept(site: Website, bench: Bench) -> None:
    """Its own sentence, and the audit says failed."""
    bench.refuses = ProcessFailed("billing did not stop within 30 s", mend="baton logs billing")
    given = [("process", "billing"), ("to", "drain"), ("reason", "new release")]

    seen = Text(await site.send("/services/turn", given, 409)).seen

    assert "billing did not stop within 30 s." in seen
    assert [each[-1] for each in await audited(site)] == ["asked", "failed"]


async def test_where_somebody_else_keeps_the_processes_nothing_is_offered(tmp_path: Path) -> None:
    """Who asks all the same is told where to stop it."""
    async with website(tmp_path, {"billing": Spoken()}) as site:
        assert "Drain" not in Text(await site.page("/services")).seen
        seen = Text(await site.page(DRAIN, 409)).seen

    assert "stop and start the process where it is kept" in seen


async def test_who_only_looks_may_not(site: Website, bench: Bench) -> None:
    """Neither see the form nor send it."""
    await site.page(DRAIN, 403, token=LOOKS)
    answer = await site.http.post(
        "/services/turn",
        content="process=billing&to=drain&reason=x",
        headers={"Authorization": f"Bearer {LOOKS}"},
    )

    assert (answer.status_code, bench.asked) == (403, [])
