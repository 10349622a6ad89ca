"""The two-lane picture of a definition with what stands where, and the list of definitions.

Counts are those of the open sagas of that definition, all versions; each leads to its list. What
went from state to state is counted in the last hour, as far as the newest lines of the journal go.
"""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

from orchestrator.operate.counting import sorts
from orchestrator.operate.flowing import Traffic, flow_of
from orchestrator.operate.pages.view import Context, NoPage, Question, View
from orchestrator.operate.pictures import draw
from orchestrator.operate.reading import MOVES_LINES, Reading
from orchestrator.operate.svg.flow import draw_flow
from orchestrator.saga import Saga

HOUR_US: Final = 3_600_000_000


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


def flow_view(reading: Reading) -> View:
    async def context(asked: Question) -> Context:
        name, version = asked.get("definition"), asked.get("version")
        versions = [each for each in reading.views.definitions if each.name == name]
        saga = chosen(name, version, versions)
        now: dict[str, int] = {}
        stuck: dict[str, int] = {}
        for sort, n in (await sorts(reading)).items():
            if sort.definition == name:
                now[sort.state] = now.get(sort.state, 0) + n
                stuck[sort.state] = stuck.get(sort.state, 0) + n * bool(sort.stuck)
        went = await reading.moves(name, reading.now_us() - HOUR_US)
        flow = flow_of(saga, Traffic(now, stuck, went, counted=True))
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
        }

    return View("flow", "/flow/{definition}", "Flow", context, ("picture",), every_s=2.0)


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
