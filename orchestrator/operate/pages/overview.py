"""Whether all is well: what is open, how it ended, what is stuck, who runs, what happened last.

Every number leads to the list that it counts. Shows what the API shows; owns no number. Before the
first saga it says how to start one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from markupsafe import Markup

from orchestrator.operate.counting import Sort, sorts
from orchestrator.operate.database import Found
from orchestrator.operate.flowing import flow_of
from orchestrator.operate.history import History, numbers
from orchestrator.operate.lessons import Lessons
from orchestrator.operate.pages.flow import chosen, traffic
from orchestrator.operate.pages.tiles import tiles, watched
from orchestrator.operate.pages.view import Context, NoPage, Question, View
from orchestrator.operate.reading import MOVES_LINES, Reading
from orchestrator.operate.sagas import Views
from orchestrator.operate.scraping import Process, Scraping
from orchestrator.operate.shapes import of_line
from orchestrator.operate.svg.flow import SMALL, draw_flow
from orchestrator.operate.trends import RANGES, Trend

NOTABLE_MAX: Final = 10
USUAL: Final = "1h"


def overview_view(reading: Reading, scraping: Scraping, history: History, lessons: Lessons) -> View:
    async def context(asked: Question) -> Context:
        range_ = asked.get("range", USUAL)
        if range_ not in RANGES:
            raise _no_range(range_)
        now = await numbers(reading)
        trend = Trend(await history.samples(), now, RANGES[range_])
        notable = await reading.notable(NOTABLE_MAX)
        return {
            "tiles": tiles(trend, now),
            "watched": watched(trend),
            "range": range_,
            "ranges": list(RANGES),
            "started": now.started,
            "unavailable": "" if now.started else lessons.unavailable(),
            **flow_now(await sorts(reading), reading.views),
            "notable": [{**of_line(row), "why": why(row)} for row in notable],
            "lines": MOVES_LINES,
            "processes": [of_process(each) for each in (await scraping.look()).values()],
        }

    return View("overview", "/", "Overview", context, ("tiles", "flow", "services", "notable"))


def flow_now(opened: Mapping[Sort, int], views: Views) -> Context:
    """Where the open sagas of the busiest definition stand, and how many others have."""
    counts = {
        name: sum(n for sort, n in opened.items() if sort.definition == name)
        for name in views.names
    }
    name = max(counts, key=lambda each: counts[each])
    saga = chosen(name, "", [each for each in views.definitions if each.name == name])
    flow = replace(flow_of(saga, traffic(opened, name)), size=SMALL)
    flow = replace(flow, edges=dict.fromkeys(flow.edges))
    return {
        "definition": name,
        "others": {each: n for each, n in counts.items() if each != name},
        # Every module of `svg` escapes what it is given.
        "wide": Markup(draw_flow(flow)),  # noqa: S704
        "narrow": Markup(draw_flow(flow, upright=True)),  # noqa: S704
    }


def why(row: Found) -> str:
    """Of a saga that turned back its reason; else what the line says."""
    turned = row["to_state"] == "compensated" and str(row["why"])
    return turned or str(row["detail"]).removeprefix("baton.")


def of_process(process: Process) -> Context:
    return {
        "name": process.name,
        "state": process.state,
        "known": not process.silent,
        "lag_s": process.most("saga_consumer_lag_seconds"),
        "letters": process.total("saga_dead_letters_pending"),
    }


def _no_range(given: str) -> NoPage:
    return NoPage(
        "No such range",
        f"There are no lines over {given}; choose one of these.",
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        links={each: f"/?range={each}" for each in RANGES},
    )
