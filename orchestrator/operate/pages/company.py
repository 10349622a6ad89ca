"""The map: who commands whom and who hears what, with rates, lag and who is down.

The relations come from the table of topics, the numbers from the processes' own metrics; neither
is written here. Focus, search and thresholds are the question's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from markupsafe import Markup

from orchestrator.operate.pages.rendering import per_second, seconds
from orchestrator.operate.pages.services import PURPOSES
from orchestrator.operate.pages.view import Context, Question, View
from orchestrator.operate.scraping import Process, Scraping
from orchestrator.operate.svg.company import Box, Company, Lane, Rail, Side, draw_company
from schemas.topics import ANY, OPERATOR_TOPIC, TOPICS, Topic, reply_topic, topic_named

HUB = "orchestrator"
LEFT = ("orders", "inventory", "billing", "shipping")
RIGHT = ("crm", "analytics", "notifications")
ANYBODY, EVERYONE = "any shop or system", "any consumer"
OBSERVERS = (*RIGHT, EVERYONE)
Seen = Mapping[str, Process]


def map_view(scraping: Scraping) -> View:
    async def context(question: Question) -> Context:
        seen = await scraping.look()
        focus, hops = question.get("focus"), 2 if question.get("hops") == "2" else 1
        drawn = company(seen, focus=focus, hops=hops, observers=question.get("observers") != "0")
        return {
            "focus": focus,
            "hops": hops,
            "observers": question.get("observers") != "0",
            "names": [HUB, *LEFT, *RIGHT],
            "drawing": Markup(draw_company(drawn)),  # noqa: S704  every text in it is escaped
            "topics": [row_of(topic, seen) for topic in TOPICS],
            "silent": [each for each in seen.values() if each.silent],
        }

    return View("map", "/map", "Map of the company", context, ("company",), every_s=2.0)


def company(seen: Seen, *, focus: str = "", hops: int = 1, observers: bool = True) -> Company:
    told = [topic for topic in TOPICS if topic.kind in {"events", "outcomes"}]
    boxes = [
        Box(ANYBODY, "left", "places orders, delivers goods"),
        *(_box(name, "left", seen) for name in LEFT),
        _box(HUB, "hub", seen),
        *(_box(name, "right", seen) for name in RIGHT),
        Box(EVERYONE, "right", "your programs, following outcomes"),
    ]
    if not observers:
        boxes = [box for box in boxes if box.name not in OBSERVERS]
    names = {box.name for box in boxes}
    rails = [_rail(name, seen) for name in (*LEFT, *RIGHT) if name in names and _commands(name)]
    lanes = [_lane(topic, seen) for topic in told]
    lit = _lit(focus, hops, rails, lanes) if focus in names else names
    return Company(
        tuple(replace(box, dim=box.name not in lit) for box in boxes),
        tuple(replace(rail, dim=not _touches(focus, names, {rail.service, HUB})) for rail in rails),
        tuple(replace(lane, dim=not _touches(focus, names, _of(lane))) for lane in lanes),
    )


def _touches(focus: str, names: set[str], those: set[str]) -> bool:
    return focus not in names or focus in those


def _lit(focus: str, hops: int, rails: list[Rail], lanes: list[Lane]) -> set[str]:
    lit = {focus}
    for _ in range(hops):
        edges = [{rail.service, HUB} for rail in rails] + [_of(lane) for lane in lanes]
        lit = lit.union(*(edge for edge in edges if edge & lit))
    return lit


def _of(lane: Lane) -> set[str]:
    return {*lane.writers, *dict(lane.readers)}


def _box(name: str, side: Side, seen: Seen) -> Box:
    process = seen.get(name)
    state = process.state if process is not None else "down"
    return Box(name, side, PURPOSES[name], state, href=f"/map?focus={quote(name)}")


def _commands(name: str) -> list[Topic]:
    return [each for each in TOPICS if each.kind == "commands" and each.readers == (name,)]


def _rail(name: str, seen: Seen) -> Rail:
    topics = [topic.name for topic in _commands(name)]
    back = reply_topic(name)
    behind = max((behind_of(name, each, seen) for each in topics), default=0)
    waiting = behind_of(HUB, back, seen)
    return Rail(
        name,
        f"{rate_of(topics, seen)} · {behind} behind",
        f"{rate_of([back], seen)} · {waiting} behind",
    )


def _lane(topic: Topic, seen: Seen) -> Lane:
    writers = (ANYBODY, *(("orders",) if topic.name.startswith("orders.") else ()))
    readers = (*topic.readers, *((EVERYONE,) if topic.kind == "outcomes" else ()))
    return Lane(
        topic.name,
        topic.kind == "outcomes",
        rate_of([topic.name], seen),
        writers if topic.writers == ANY else topic.writers,
        tuple((name, _late(name, topic.name, seen)) for name in readers),
        href=f"/topics/{quote(topic.name)}",
    )


def rate_of(topics: list[str], seen: Seen) -> str:
    """What readers take in is what runs; of several readers the quickest tells.

    Who does not read a topic has nothing to tell of it: its nought is no rate.
    """
    rates = [
        rate
        for topic in topics
        for name in topic_named(topic).readers
        if name in seen
        and (rate := seen[name].rate("saga_events_consumed_total", topic=topic)) is not None
    ]
    return f"{per_second(max(rates, default=None))}/s"


def behind_of(name: str, topic: str, seen: Seen) -> int:
    process = seen.get(name)
    return 0 if process is None else int(process.total("saga_consumer_lag_messages", topic=topic))


def _late(name: str, topic: str, seen: Seen) -> str:
    behind, process = behind_of(name, topic, seen), seen.get(name)
    if not behind or process is None:
        return ""
    late = process.most("saga_consumer_lag_seconds", topic=topic)
    return f"{behind} messages and {seconds(late)} behind"


def row_of(topic: Topic, seen: Seen) -> Context:
    """A topic as the table beside the picture has it; an orphan has nobody at one end."""
    outside = topic.kind == "outcomes"
    return {
        "name": topic.name,
        "kind": topic.kind,
        "writers": ["anybody"] if topic.writers == ANY else list(topic.writers),
        "readers": [*topic.readers, *(["anybody"] if outside else [])],
        "types": [contract.name for contract in topic.contracts],
        "rate": rate_of([topic.name], seen),
        "behind": max((behind_of(name, topic.name, seen) for name in topic.readers), default=0),
        "orphan": not topic.writers or not (topic.readers or outside),
        "operators": topic.name == OPERATOR_TOPIC,
    }
