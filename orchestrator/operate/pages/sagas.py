"""The list of sagas: filtered at the server, page by page, told by its address alone.

Rows stand still while somebody reads; only how many are new is live. The facets' counts are a few
seconds old at most, because many tabs ask for them. Owns which columns and saved views there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.engine.machine import Verb
from orchestrator.operate.counting import Sort, count, sorts
from orchestrator.operate.filters import Filter, parse
from orchestrator.operate.pages.terms import chips, narrowed, said, widened
from orchestrator.operate.pages.view import Context, NoPage, Question, View
from orchestrator.operate.reading import Place, Reading
from orchestrator.operate.saved_views import SavedViews
from orchestrator.operate.shapes import of_saga
from orchestrator.operate.tally import Counts
from services.chassis.envelope import timestamp
from services.chassis.store import StoreError

ROWS: Final = 50
NEW_MAX: Final = 100
FACETS_FOR_US: Final = 5_000_000
COLUMNS: Final = {
    "definition": "Definition",
    "state": "State",
    "stuck": "Stuck",
    "since": "Since",
    "deadline": "Deadline",
    "waiting_on": "Waiting on",
    "attempts": "Attempts",
    "reason": "Reason",
    "assignee": "Assignee",
    "started": "Started",
    "updated": "Updated",
    "definition_version": "Definition version",
    "version": "Version",
}
SHOWN: Final = ("definition", "state", "since", "deadline", "waiting_on", "attempts", "version")
FACETS: Final = {
    "phase": "Outcome",
    "state": "State",
    "stuck": "Stuck because",
    "service": "Waiting on",
    "reason": "Ended because",
    "definition": "Definition",
}
AGES: Final = ("10m", "1h", "1d")


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice of a facet: where it leads, how many sagas it has (None: not counted)."""

    name: str
    query: str
    chosen: bool
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the facets count, as of `made_us`."""

    made_us: int
    opened: Mapping[Sort, int]
    finished: Counts


class Facets:
    """The facets' numbers, counted at most once in FACETS_FOR_US."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._made: Numbers | None = None

    async def now(self) -> Numbers:
        now_us = self._reading.now_us()
        if self._made is None or not 0 <= now_us - self._made.made_us < FACETS_FOR_US:
            opened = await sorts(self._reading)
            self._made = Numbers(now_us, opened, await self._reading.finished_counts())
        return self._made


def sagas_view(reading: Reading, own: SavedViews) -> View:
    async def mine(actor: str) -> Context:
        """Without them, the page stands and says why."""
        try:
            return {"own": await own.of(actor), "unsaved": ""}
        except StoreError as fault:
            return {"own": {}, "unsaved": str(fault)}

    numbers = Facets(reading)

    async def context(asked: Question) -> Context:
        text = " ".join(asked.every("query"))
        wanted, after, now_us = parse(text), place_of(asked.get("after")), reading.now_us()
        seen = asked.get("seen")
        if seen.isascii() and seen.isdigit():
            return {"fresh": await reading.newer(wanted, int(seen), NEW_MAX), "text": text}
        newest = await reading.newest()
        page = await reading.page(wanted, ROWS, after)
        counts = await numbers.now()
        columns = [name for name in asked.every("column") if name in COLUMNS] or list(SHOWN)
        return {
            "text": text,
            "fresh": 0,
            "watching": {"seen": newest},
            "rows": [of_saga(each, now_us) for each in page.sagas],
            "next": None if page.after is None else f"{page.after[0]}-{page.after[1]}",
            "later": after is not None,
            "matching": await count(reading, wanted),
            "known": (await count(reading, Filter())).number,
            "columns": {name: COLUMNS[name] for name in COLUMNS if name in columns},
            "choices": COLUMNS,
            "verbs": [verb.value for verb in Verb],
            "chips": chips(text),
            "facets": facets(text, counts, reading.views.names),
            "saved": saved(text, timestamp(now_us)[:10]),
        }

    return View("sagas", "/sagas", "Sagas", context, ("news",), own=mine)


def facets(text: str, counts: Numbers, definitions: tuple[str, ...]) -> dict[str, list[Choice]]:
    """By title, each with what can be chosen of it, counted over all sagas."""
    found: dict[str, Counter[str]] = {name: Counter() for name in FACETS}
    found["definition"].update(dict.fromkeys(definitions, 0))
    found["phase"].update(dict.fromkeys(("open", "completed", "compensated"), 0))
    for kind, n in counts.opened.items():
        found["phase"]["open"] += n
        found["definition"][kind.definition] += n
        found["state"][kind.state] += n
        found["stuck"][kind.stuck] += n
        for service in kind.services.split("+"):
            found["service"][service] += n
    for (definition, phase, reason), n in counts.finished.items():
        found["phase"][phase] += n
        found["definition"][definition] += n
        found["reason"][reason] += n
    titled = {title: _values(text, name, found[name]) for name, title in FACETS.items()}
    return {**titled, "Older than": [_age(text, age) for age in AGES]}


def _values(text: str, name: str, counts: Mapping[str, int]) -> list[Choice]:
    chosen = said(text, name)
    names = dict.fromkeys([*counts, *sorted(chosen)])
    return [
        Choice(
            each,
            widened(text, name) if each in chosen else narrowed(text, name, each),
            each in chosen,
            counts.get(each, 0),
        )
        for each in names
        if each
    ]


def _age(text: str, age: str) -> Choice:
    term = f"age>{age}"
    chosen = term in text.split()
    others = [each for each in text.split() if not each.startswith("age>")]
    return Choice(age, " ".join(others if chosen else [*others, term]), chosen)


def saved(text: str, today: str) -> list[Choice]:
    """The views that everybody has. `today`: 2026-11-23, in UTC."""
    views = {
        "All": "",
        "Stuck": "stuck=any",
        "In flight": "phase=running",
        "Compensating": "phase=compensating,needs_operator",
        "Slow p95": "slow=p95",
        "Today": f"started={today}",
        "Last hour": "started<1h",
    }
    return [Choice(name, query, query == text) for name, query in views.items()]


def place_of(text: str) -> Place | None:
    """Where a page begins, as the page before it said."""
    first, _, second = text.partition("-")
    if not text:
        return None
    if first.isdigit() and second.isdigit() and text.isascii() and len(text) < 40:
        return int(first), int(second)
    raise NoPage(
        "No such page",
        "This is not where a page begins; follow `Older` from the first one.",
        links={"the first page": "/sagas"},
    )
