"""The two-lane picture of a definition with what stands where, and the list of definitions.

Counts are those of the open sagas of that definition, all versions; each leads to its list. What
went from state to state is counted in a window, as far as the newest lines of the journal go; how
long sagas stay in a state is what the orchestrator measured since it began.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from markupsafe import Markup

from orchestrator.operate.counting import Sort, sorts
from orchestrator.operate.flowing import HEATS, Traffic, differences, flow_of
from orchestrator.operate.pages.view import Context, NoPage, Question, View
from orchestrator.operate.pictures import draw
from orchestrator.operate.reading import MOVES_LINES, Reading
from orchestrator.operate.scraping import Scraping
from orchestrator.operate.svg.flow import draw_flow
from orchestrator.saga import Saga

WINDOWS: Final = {"15m": 900, "1h": 3_600, "24h": 86_400}  # seconds
SHARE: Final = 0.95


def flows_view(reading: Reading) -> View:
    async def context(asked: Question) -> Context:
        del asked
        opened = await sorts(reading)
        rows = []
        for name in reading.views.names:
            those = {sort: n for sort, n in opened.items() if sort.definition == name}
            stuck = sum(n for sort, n in those.items() if sort.stuck)
            versions = [each.version for each in reading.views.definitions if each.name == name]
            rows.append(
                {
                    "name": name,
                    "versions": sorted(versions),
                    "open": sum(those.values()),
                    "stuck": stuck,
                }
            )
        return {"rows": rows}

    return View("flows", "/flow", "Flow", context, ("definitions",), every_s=2.0)


def flow_view(reading: Reading, scraping: Scraping) -> View:
    async def context(asked: Question) -> Context:
        name, version = asked.get("definition"), asked.get("version")
        versions = [each for each in reading.views.definitions if each.name == name]
        saga = chosen(name, version, versions)
        window, heat = _asked(asked, "window", WINDOWS, "1h"), _asked(asked, "heat", HEATS, "")
        went = await reading.moves(name, reading.now_us() - WINDOWS[window] * 1_000_000)
        took_s, numbers = await _took_s(scraping, name), traffic(await sorts(reading), name)
        flow = flow_of(saga, replace(numbers, went=went, took_s=took_s, heat=heat))
        older = [each for each in versions if each.version < saga.version]
        before = max(older, key=lambda each: each.version, default=None)
        return {
            "title": f"Flow of {name}",
            "definition": name,
            "version": saga.version,
            "versions": sorted(each.version for each in versions),
            # Every module of `svg` escapes what it is given.
            "wide": Markup(draw_flow(flow)),  # noqa: S704
            "narrow": Markup(draw_flow(flow, upright=True)),  # noqa: S704
            "mermaid": draw(name, "mermaid", saga.version),
            "rows": [state for each in flow.columns for state in (*each.above, *each.below)],
            "lines": MOVES_LINES,
            "windows": tuple(WINDOWS),
            "window": window,
            "heats": HEATS,
            "heat": heat,
            "before": None if before is None else before.version,
            "changed": [] if before is None else differences(before, saga),
        }

    return View("flow", "/flow/{definition}", "Flow", context, ("picture",), every_s=2.0)


def traffic(opened: Mapping[Sort, int], name: str) -> Traffic:
    """How many sagas of a definition are in each state, and how many of them stuck."""
    now, stuck = Counter[str](), Counter[str]()
    for sort, n in opened.items():
        if sort.definition == name:
            now[sort.state] += n
            stuck[sort.state] += n * bool(sort.stuck)
    return Traffic(now, stuck, counted=True)


def _asked(asked: Question, name: str, known: Collection[str], usual: str) -> str:
    """What nobody knows is answered as if nothing had been asked."""
    given = asked.get(name)
    return given if given in known else usual


async def _took_s(scraping: Scraping, definition: str) -> dict[str, float]:
    """By state, within what time all but a few left it; of the orchestrator that saw most."""
    found: dict[str, float] = {}
    for process in (await scraping.look()).values():
        for state in process.labels("saga_state_duration_seconds_count", "state"):
            wanted = {"saga": definition, "state": state}
            took_s = process.quantile_s("saga_state_duration_seconds", SHARE, **wanted)
            if took_s is not None:
                found[state] = max(took_s, found.get(state, 0.0))
    return found


def chosen(name: str, version: str, versions: list[Saga[object]]) -> Saga[object]:
    """The version that is asked for, else the newest. Raises NoPage."""
    found = [each for each in versions if not version or str(each.version) == version]
    if not found:
        what = f"{name} v{version}" if versions else name
        raise NoPage(
            "No such definition",
            f"No saga is called {what} in this release.",
            links={"all definitions": "/flow"},
        )
    return max(found, key=lambda saga: saga.version)
