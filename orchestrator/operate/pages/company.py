"""The map: who commands whom and who hears what, with rates, lag and who is down.

The relations come from the table of topics, the numbers from the processes' own metrics; neither
is written here. Focus, search and thresholds are the question's. While Kafka does not answer, the
last map before that is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final, NamedTuple
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
# What fails in a process that Kafka does not answer.
KAFKA_CHECKS: Final = frozenset({"kafka", "reading"})
FIND_MAX: Final = 80
_RATE = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")
Seen = Mapping[str, Process]


@dataclass(frozen=True, slots=True)
class Sight:
    """What of it is to be seen: `focus` a process, `find` a part of any name, `least` a rate."""

    focus: str = ""
    hops: int = 1
    observers: bool = True
    find: str = ""
    least: float = 0.0


def map_view(scraping: Scraping) -> View:
    last: dict[str, Seen] = {}

    async def context(question: Question) -> Context:
        seen, asked = await scraping.look(), asked_of(question)
        gone = broker_gone(seen)
        if not gone:
            last["known"] = seen
        shown = last.get("known", seen) if gone else seen
        whole = company(shown, asked)
        drawn = draw_company(replace(whole, stale=bool(gone)))
        return {
            "asked": asked,
            "names": [HUB, *LEFT, *RIGHT],
            "drawing": Markup(drawn),  # noqa: S704  every text in it is escaped
            "found": not asked.find or any(not each.dim for each in whole.boxes),
            "hidden": _edges(company(shown, replace(asked, least=0.0))) - _edges(whole),
            "topics": [row_of(topic, shown) for topic in TOPICS],
            "silent": [each for each in seen.values() if each.silent],
            "gone": gone,
            "known_us": _moment(last["known"]) if "known" in last else 0,
        }

    return View("map", "/map", "Map of the company", context, ("company",), every_s=2.0)


def asked_of(question: Question) -> Sight:
    least = question.get("min")
    return Sight(
        question.get("focus"),
        2 if question.get("hops") == "2" else 1,
        question.get("observers") != "0",
        question.get("find").strip().lower()[:FIND_MAX],
        float(least) if _RATE.fullmatch(least) else 0.0,
    )


def broker_gone(seen: Seen) -> list[str]:
    """Those who say that Kafka does not answer, if everybody says so who says anything."""
    told = [each for each in seen.values() if not each.silent and each.checks]
    away = [
        each.name
        for each in told
        if any(not check.ok and check.name in KAFKA_CHECKS for check in each.checks)
    ]
    return away if len(away) == len(told) else []


def _edges(company: Company) -> int:
    return len(company.rails) + len(company.lanes)


def _moment(seen: Seen) -> int:
    return max((each.seen_us or 0 for each in seen.values()), default=0)


def company(seen: Seen, asked: Sight = Sight()) -> Company:
    told = [topic for topic in TOPICS if topic.kind in {"events", "outcomes"}]
    boxes = [
        Box(ANYBODY, "left", "places orders, delivers goods"),
        *(_box(name, "left", seen) for name in LEFT),
        _box(HUB, "hub", seen),
        *(_box(name, "right", seen) for name in RIGHT),
        Box(EVERYONE, "right", "your programs, following outcomes"),
    ]
    if not asked.observers:
        boxes = [box for box in boxes if box.name not in OBSERVERS]
    names = {box.name for box in boxes}
    commanded = [name for name in (*LEFT, *RIGHT) if name in names and _commands(name)]
    rails = [name for name in commanded if _busy(_rail_topics(name), seen, asked.least)]
    lanes = [_lane(topic, seen) for topic in told if _busy([topic.name], seen, asked.least)]
    edges = [
        *(Edge(frozenset({name, HUB}), " ".join([name, *_rail_topics(name)])) for name in rails),
        *(Edge(frozenset(_of(lane)), lane.topic) for lane in lanes),
    ]
    lit = _lit(asked, names, edges)
    dims = iter([lit is not None and not edge.near(lit.centre, asked) for edge in edges])
    return Company(
        tuple(replace(box, dim=lit is not None and box.name not in lit.names) for box in boxes),
        tuple(replace(_rail(name, seen), dim=next(dims)) for name in rails),
        tuple(replace(lane, dim=next(dims)) for lane in lanes),
    )


class Edge(NamedTuple):
    """Who meets there, and the names of its topics."""

    ends: frozenset[str]
    topics: str

    def near(self, centre: AbstractSet[str], asked: Sight) -> bool:
        found = not asked.focus and bool(asked.find) and asked.find in self.topics
        return found or bool(self.ends & centre)


class Lit(NamedTuple):
    """`centre`: what was asked for; `names`: all that lights up with it."""

    centre: AbstractSet[str]
    names: AbstractSet[str]


def _lit(asked: Sight, names: AbstractSet[str], edges: Sequence[Edge]) -> Lit | None:
    """None where nothing in particular is asked for."""
    if asked.focus in names:
        centre = {asked.focus}
    elif asked.find:
        centre = {name for name in names if asked.find in name}
    else:
        return None
    lit = set(centre)
    for _ in range(asked.hops):
        lit = lit.union(*(edge.ends for edge in edges if edge.near(lit, asked)))
    return Lit(centre, lit)


def _rail_topics(name: str) -> list[str]:
    return [*(topic.name for topic in _commands(name)), reply_topic(name)]


def _busy(topics: Sequence[str], seen: Seen, least: float) -> bool:
    """What nobody told the rate of is not hidden for it."""
    rates = [rate_per_s([topic], seen) for topic in topics]
    return any(rate is None or rate >= least for rate in rates)


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
    return Rail(
        name,
        f"{rate_of(topics, seen)} · {_behind(name, topics, seen)} behind",
        f"{rate_of([back], seen)} · {_behind(HUB, [back], seen)} behind",
    )


def _behind(name: str, topics: Sequence[str], seen: Seen) -> str:
    """Who is silent falls behind by what nobody counts."""
    if name in seen and seen[name].silent:
        return "?"
    return str(max((behind_of(name, each, seen) for each in topics), default=0))


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
    return f"{per_second(rate_per_s(topics, seen))}/s"


def rate_per_s(topics: Sequence[str], seen: Seen) -> float | None:
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
    return max(rates, default=None)


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
        "rate_per_s": rate_per_s([topic.name], seen),
        "behind": max((behind_of(name, topic.name, seen) for name in topic.readers), default=0),
        "orphan": not topic.writers or not (topic.readers or outside),
        "operators": topic.name == OPERATOR_TOPIC,
    }
