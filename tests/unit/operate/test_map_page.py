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

from orchestrator.operate.pages.company import company
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
    near = company({}, focus="shipping")

    lit = {box.name for box in near.boxes if not box.dim}
    assert lit == {"shipping", "orchestrator", "inventory", "crm", "analytics", "notifications"}
    assert {rail.service for rail in near.rails if not rail.dim} == {"shipping"}
    assert {lane.topic for lane in near.lanes if not lane.dim} == {"shipping.shipment.events.v1"}
    assert {box.name for box in company({}, focus="shipping", hops=2).boxes if box.dim} == set()


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
    row = re.search(r"billing\.payment\.commands\.v1 commands: .*? 2\.8/s 12 ", seen)
    assert row is not None
    assert "orphan" not in seen
