"""The map: every topic once, every process once, nothing overlapping, and who is down told."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from processes import Spoken
from test_pages import Text
from website import Website, website

from orchestrator.operate.pages.company import Sight, company
from orchestrator.operate.svg.company import Box, Company, draw_company
from schemas.topics import OPERATOR_TOPIC, TOPICS

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ("orchestrator", "orders", "inventory", "billing", "shipping", "crm", "analytics")


@pytest.fixture
def processes() -> dict[str, Spoken]:
    return {name: Spoken() for name in (*NAMES, "notifications")}


@pytest.fixture
async def site(tmp_path: Path, processes: dict[str, Spoken]) -> AsyncIterator[Website]:
    async with website(tmp_path, processes) as opened:
        yield opened


def drawn(whole: Company) -> ET.Element:
    return ET.fromstring(draw_company(whole))


def test_every_topic_is_in_the_picture_once() -> None:
    """Commands and replies as rails, the rest as lanes; operators' verbs are in the table."""
    whole = company({})
    published = {topic.name for topic in TOPICS if topic.kind in {"events", "outcomes"}}
    commanded = {
        topic.readers[0]
        for topic in TOPICS
        if topic.kind == "commands" and topic.name != OPERATOR_TOPIC
    }

    assert sorted(lane.topic for lane in whole.lanes) == sorted(published)
    assert sorted(rail.service for rail in whole.rails) == sorted(commanded)


def test_no_box_lies_on_another() -> None:
    """Nor outside the picture."""
    root = drawn(company({}))
    boxes = [
        tuple(float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
        for rect in root.iter(f"{SVG}rect")
    ]

    assert len(boxes) == 10
    for n, (x, y, width, height) in enumerate(boxes):
        assert 0 <= x <= float(root.attrib["width"]) - width
        for other_x, other_y, other_width, other_height in boxes[n + 1 :]:
            beside = x + width <= other_x or other_x + other_width <= x
            assert beside or y + height <= other_y or other_y + other_height <= y


def test_words_stay_inside_their_boxes() -> None:
    """The purpose of each process fits into two lines of its box."""
    for link in drawn(company({})).iter(f"{SVG}g"):
        rect = link.find(f"{SVG}rect")
        if rect is None or "hub" in rect.attrib["class"]:
            continue
        lowest = max(float(each.attrib["y"]) for each in link.iter(f"{SVG}text"))
        assert lowest <= float(rect.attrib["y"]) + float(rect.attrib["height"]) - 6


def test_a_focus_dims_what_it_does_not_touch() -> None:
    """One step lights the hub and what shares a lane, two steps more."""
    near = company({}, Sight("shipping"))

    lit = {box.name for box in near.boxes if not box.dim}
    assert lit == {"shipping", "orchestrator", "inventory", "crm", "analytics", "notifications"}
    assert {rail.service for rail in near.rails if not rail.dim} == {"shipping"}
    assert {lane.topic for lane in near.lanes if not lane.dim} == {"shipping.shipment.events.v1"}
    assert {box.name for box in company({}, Sight("shipping", 2)).boxes if box.dim} == set()


def test_names_are_text() -> None:
    """A hostile name is escaped wherever it stands."""
    hostile = '"><script>alert(1)</script>'
    svg = draw_company(Company((Box(hostile, "left", hostile, "up", href=f"/{hostile}"),), (), ()))

    assert "<script" not in svg
    assert ET.fromstring(svg).find(f".//{SVG}a").attrib["aria-label"] == (  # type: ignore[union-attr]
        f"{hostile}, up: {hostile}"
    )


async def test_the_page_says_it_in_words_and_in_a_table(
    site: Website, processes: dict[str, Spoken]
) -> None:
    """Rates and lag stand on rails and in rows; a silent process is told with its moment."""
    taken = 'saga_events_consumed_total{service="billing",topic="billing.payment.commands.v1"}'
    behind = 'saga_consumer_lag_messages{service="billing",topic="billing.payment.commands.v1"} 12'
    processes["billing"].lines = [f"{taken} 100", behind]
    await site.page("/map")
    site.playing.wait(20)
    processes["billing"].lines = [f"{taken} 170", behind]
    await site.page("/map")
    processes["shipping"].down = True
    site.playing.wait(5)

    html = await site.page("/map")

    seen = Text(html).seen
    assert "✖ shipping does not answer; last known numbers are shown, since 0 s ago ." in seen
    assert "commands 2.8/s · 12 behind" in seen
    assert "commands ?/s · ? behind" in seen
    row = re.search(r"billing\.payment\.commands\.v1 commands: .*? 2\.8/s 12 ", seen)
    assert row is not None
    assert "orphan" not in seen


def test_a_search_lights_names_and_topics() -> None:
    """A service lights its neighbours, a topic those who meet there; nothing found dims all."""
    service = company({}, Sight(find="shipp"))
    topic = company({}, Sight(find="stock.events"))
    nothing = company({}, Sight(find="zzz"))

    assert {lane.topic for lane in service.lanes if not lane.dim} == {"shipping.shipment.events.v1"}
    assert {rail.service for rail in service.rails if not rail.dim} == {"shipping"}
    assert {lane.topic for lane in topic.lanes if not lane.dim} == {"inventory.stock.events.v1"}
    assert {rail.service for rail in topic.rails if not rail.dim} == set()
    assert "inventory" in {box.name for box in topic.boxes if not box.dim}
    assert {box.name for box in nothing.boxes if not box.dim} == set()


async def test_the_map_is_searched_and_thinned_by_its_address(
    site: Website, processes: dict[str, Spoken]
) -> None:
    """What runs slower is hidden and counted, what nobody told the rate of stays."""
    taken = 'saga_events_consumed_total{service="analytics",topic="orders.order.events.v1"}'
    processes["analytics"].lines = [f"{taken} 0"]
    await site.page("/map")
    site.playing.wait(20)
    processes["analytics"].lines = [f"{taken} 40"]
    await site.page("/map")

    slow = await site.page("/map?min=10")
    quick = await site.page("/map?min=1")
    lost = await site.page("/map?find=%3Cimg+src%3Dx%3E&min=%3Cimg%3E")

    assert "orders.order.events.v1  2.0/s" not in slow
    assert "orders.order.events.v1  2.0/s" in quick
    assert re.search(
        r"\d+ connections with less than 10/s are hidden here; the table has all\.", Text(slow).seen
    )
    assert "Nothing on the map has a name like <img src=x> ." in Text(lost).seen
    assert "<img" not in lost


async def test_without_kafka_the_last_known_map_is_shown(
    site: Website, processes: dict[str, Spoken]
) -> None:
    """Greyed, with since when, once everybody who answers says so; one alone is its own trouble."""
    await site.page("/map")
    processes["billing"].not_ready = {"reading": "Kafka silent for 12 s"}
    site.playing.wait(10)
    alone = await site.page("/map")
    for process in processes.values():
        process.not_ready = {"reading": "Kafka silent for 12 s"}
    processes["crm"].down = True
    site.playing.wait(60)

    gone = await site.page("/map")

    assert "company stale" not in alone
    assert "billing, not ready: " in alone
    assert 'class="picture company stale"' in gone
    assert (
        "✖ Kafka does not answer, says orchestrator, orders, inventory, billing, shipping,"
        " analytics, notifications. The map is as it was last known, since 1 min ago . Why"
        in Text(gone).seen
    )
    assert "orders, up: " in gone


async def test_a_console_that_never_saw_kafka_says_so(
    site: Website, processes: dict[str, Spoken]
) -> None:
    """It has no map from before."""
    for process in processes.values():
        process.not_ready = {"kafka": "waiting for Kafka and its topics"}

    seen = Text(await site.page("/map")).seen

    assert "notifications. No map from before is known here, so the numbers are what is left." in (
        seen
    )
