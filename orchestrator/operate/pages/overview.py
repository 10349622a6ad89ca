"""Whether all is well: what is open, how it ended, what is stuck, who runs, what happened last.

Every number leads to the list that it counts. Shows what the API shows; owns no number.
"""

from __future__ import annotations

from typing import Final

from orchestrator.engine.machine import Phase
from orchestrator.operate.database import Found
from orchestrator.operate.filters import Filter
from orchestrator.operate.pages.view import Context, Question, View
from orchestrator.operate.reading import Reading
from orchestrator.operate.scraping import Process, Scraping
from orchestrator.operate.shapes import of_counts, of_line, of_stuck

LINES_LOOKED_AT: Final = 500
NOTABLE_MAX: Final = 10
SEVERE: Final = frozenset({"compensation_failed", "contract", "orphan_version"})
_NOTABLE: Final = frozenset({Phase.COMPENSATED, Phase.NEEDS_OPERATOR})


def overview_view(reading: Reading, scraping: Scraping) -> View:
    async def context(asked: Question) -> Context:
        del asked
        now_us = reading.now_us()
        stuck = of_stuck(await reading.stuck(Filter()), now_us, members=1)
        opened = await reading.open_counts()
        counts = of_counts(await reading.finished_counts(), opened, {}, now_us)
        last = await reading.journal_last()
        lines = await reading.journal_since(max(0, last - LINES_LOOKED_AT), LINES_LOOKED_AT)
        notable = [of_line(row) for row in reversed(lines) if is_notable(row)]
        groups = stuck["groups"]
        assert isinstance(groups, list)
        return {
            **counts,
            **shares(counts),
            "stuck": stuck["stuck"],
            "severe": sum(each["count"] for each in groups if each["reason"] in SEVERE),
            "oldest_stuck_s": max((each["oldest_s"] for each in groups), default=None),
            "notable": notable[:NOTABLE_MAX],
            "processes": [of_process(each) for each in (await scraping.look()).values()],
        }

    return View("overview", "/", "Overview", context, ("now",), 2.0)


def shares(counts: Context) -> Context:
    """Of what has finished, in per cent; None while nothing has."""
    phases = counts["phases"]
    assert isinstance(phases, dict)
    ends = {name: phases.get(name, 0) for name in (Phase.COMPLETED, Phase.COMPENSATED)}
    all_of_them = sum(ends.values())
    return {
        f"{name}_share": round(100 * number / all_of_them, 1) if all_of_them else None
        for name, number in ends.items()
    }


def is_notable(row: Found) -> bool:
    """A saga ended without success or stopped, or a person said something."""
    ended = row["to_state"] in _NOTABLE and row["to_state"] != row["from_state"]
    return ended or str(row["what"]).startswith("verb_")


def of_process(process: Process) -> Context:
    return {
        "name": process.name,
        "state": process.state,
        "known": not process.silent,
        "lag_s": process.most("saga_consumer_lag_seconds"),
        "letters": process.total("saga_dead_letters_pending"),
    }
