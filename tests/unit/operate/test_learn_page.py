"""The guided tour: lessons are real orders, switches are the supervisor's, and both are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from test_pages import Text
from website import LOOKS, Bench, Website, website

from deploy.local.faults import ProcessFailed
from orchestrator.operate.lessons import LESSONS, SWITCHES
from services.chassis.bus import BusError

EVERYBODY = dict.fromkeys((*SWITCHES, "orders", "inventory"), "ready")


@pytest.fixture
def bench() -> Bench:
    return Bench(dict(EVERYBODY))


@pytest.fixture
async def site(tmp_path: Path, bench: Bench) -> AsyncIterator[Website]:
    async with website(tmp_path, machine=bench) as opened:
        yield opened


async def audited(site: Website) -> list[tuple[object, ...]]:
    rows = await site.kept.read("SELECT action, target, result FROM audit ORDER BY seq", {})
    return [(row["action"], row["target"], row["result"]) for row in rows]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
async def test_a_lesson_is_a_real_order(site: Website, bench: Bench, lesson: object) -> None:
    """Goods first, then the order, with the test value that shows it; its saga is on the page."""
    assert lesson in LESSONS
    wanted = next(each for each in LESSONS if each is lesson)

    where = await site.send("/learn/play", [("lesson", wanted.name)])

    order = where.partition("order=")[2].partition("#")[0]
    assert where == f"/learn?lesson={wanted.name}&order={order}#watched"
    said = [dict(out.headers)["ce_type"].decode() for out in site.wire.sent]
    placed = ["baton.orders.OrderPlaced"] * (2 if wanted.twice else 1)
    assert said == ["baton.inventory.GoodsReceived", *placed]
    assert bench.asked == ([("kill", wanted.crash)] if wanted.crash else [])
    seen = Text(await site.page(where)).seen
    assert f"{order} ▶ awaiting stock" in seen
    assert await audited(site) == [("lesson", order, "asked"), ("lesson", order, "ok")]


async def test_a_switch_is_the_supervisors_and_is_kept(site: Website, bench: Bench) -> None:
    """Off and on again; while it is off the page says so above everything."""
    assert await site.send("/learn/turn", [("process", "billing"), ("to", "off")]) == (
        "/learn#switches"
    )
    assert bench.running is not None
    bench.running["billing"] = "stopped"
    assert "✖ Switched off: billing. Switch it on again" in Text(await site.page("/learn")).seen

    await site.send("/learn/turn", [("process", "billing"), ("to", "on")])

    assert bench.asked == [("stop", "billing"), ("start", "billing")]
    assert await audited(site) == [
        ("switch_off", "billing", "asked"),
        ("switch_off", "billing", "ok"),
        ("switch_on", "billing", "asked"),
        ("switch_on", "billing", "ok"),
    ]


@pytest.mark.parametrize(
    ("running", "why"),
    [
        (None, "Lessons place orders and stop processes, so they run only under `baton up`."),
        (
            {"billing": "ready", "orchestrator": "ready"},
            "Lessons need the sandboxes of payment provider and carrier, and none runs here.",
        ),
    ],
)
async def test_nothing_is_placed_where_money_is_real(
    site: Website, bench: Bench, running: dict[str, str] | None, why: str
) -> None:
    """Without the local stack and its sandboxes there is no button, and a POST is refused."""
    bench.running = running

    html = await site.page("/learn")
    refused = await site.send("/learn/play", [("lesson", "happy")], 409)
    await site.send("/learn/turn", [("process", "billing"), ("to", "off")], 409)

    assert f"! {why}" in Text(html).seen
    assert "/learn/play" not in html
    assert "/learn/turn" not in html
    assert why in Text(refused).seen
    assert (site.wire.sent, bench.asked) == ([], [])


async def test_only_operators_press_buttons(site: Website) -> None:
    """A viewer reads the tour without a button, and may not send its forms."""
    html = await site.page("/learn", token=LOOKS)
    assert "An order that goes well" in Text(html).seen
    assert '<form action="/learn/' not in html
    answer = await site.http.post(
        "/learn/play", content="lesson=happy", headers={"Authorization": f"Bearer {LOOKS}"}
    )
    assert answer.status_code == 403


async def test_what_is_not_there_is_told(site: Website, bench: Bench) -> None:
    """An unknown lesson or switch, a supervisor that cannot, a Kafka that is away."""
    unknown = await site.send("/learn/play", [("lesson", "<b>")], 404)
    assert "No such lesson" in Text(unknown).seen
    nothing = await site.send("/learn/turn", [("process", "kafka"), ("to", "off")], 404)
    assert "No such switch" in Text(nothing).seen
    bench.refuses = ProcessFailed("billing ended with 1", mend="baton logs billing")
    failed = await site.send("/learn/turn", [("process", "billing"), ("to", "on")], 409)
    assert "It did not work billing ended with 1." in Text(failed).seen
    site.wire.broken = BusError("no broker")
    away = await site.send("/learn/play", [("lesson", "happy")], 503)
    assert "Nothing was sent: Kafka does not take it (no broker)." in Text(away).seen


async def test_an_order_that_waits_in_kafka_is_explained(site: Website, bench: Bench) -> None:
    """With the orchestrator off nothing is taken up, and the page says why."""
    bench.running = {**EVERYBODY, "orchestrator": "stopped"}

    seen = Text(await site.page("/learn?lesson=happy&order=lesson-happy-1")).seen

    assert (
        "lesson-happy-1: placed, not taken up yet. The orchestrator is switched off, so the event"
        " waits in Kafka." in seen
    )
