"""The questions that console and command line ask of the orchestrator's database.

Bounded all: a page examines at most EXAMINED_MAX rows and then says where to go on, so that a
filter that matches little cannot make the console read a whole history. Each query is a snapshot
of its own; an answer of several may be some milliseconds wide.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from orchestrator.engine.standing import REASONS
from orchestrator.operate.database import SQL, Database, Found
from orchestrator.operate.filters import Began, Filter
from orchestrator.operate.sagas import Parked, SagaView, Views
from orchestrator.operate.stuck import Group, Member, grouped, member, parked_member
from orchestrator.operate.tally import Counts, Tally
from orchestrator.operate.usual import Habits, Usuals, first_since, last_of
from services.chassis.clock import Clock
from services.chassis.store import Value

PAGE_MAX: Final = 1_000
EXAMINED_MAX: Final = 50_000
SUSPECTS_MAX: Final = 10_000
NEAR_MAX: Final = 3
MOVES_LINES: Final = 10_000
_WINDOW: Final = 5_000
_SLICE: Final = 500
# By how much one process may number a saga before another that began earlier.
_BESIDE_US: Final = 60_000_000
_SETTLES_WITHIN, _SETTLES_WITHIN_S = 20, 1.0
_NEWEST: Final = (1 << 62, 1 << 62)

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Page:
    """`after` is where the next page begins, None at the end. A page may be short before that."""

    sagas: tuple[SagaView, ...]
    after: Place | None


@dataclass(frozen=True, slots=True)
class Stuck:
    """`whole`: False when more than SUSPECTS_MAX had to be looked at, the oldest first."""

    groups: tuple[Group, ...]
    open: int
    oldest_open_us: int | None
    whole: bool


@dataclass(frozen=True, slots=True)
class OpenCount:
    definition: str
    phase: str
    reason: str
    count: int
    oldest_us: int


class Reading:
    def __init__(self, database: Database, views: Views, clock: Clock) -> None:
        self.views = views
        self._database, self._clock = database, clock
        self._tally = Tally(database)
        self._habits = Habits(database, views.definitions, clock)

    def now_us(self) -> int:
        return self._clock.now_us()

    async def find(self, name: str) -> tuple[SagaView, ...]:
        """The sagas of a business key, newest first, or the one of a saga id."""
        of_key = await self._of_key(name)
        if of_key:
            return of_key
        return tuple(
            each for each in await self._of_key(name.partition(":")[2]) if each.saga_id == name
        )

    async def near(self, name: str) -> list[str]:
        """Keys that begin as this one does, up to its last character or so."""
        key = name.rpartition(":")[2]
        for length in range(len(key), 2, -1):
            start = key[:length]
            found = await self._database.read(
                SQL["keys.near"],
                {"from": start, "upto": start + "\U0010ffff", "limit": NEAR_MAX},
            )
            if found:
                return [str(row["name"]) for row in found]
        return []

    async def page(self, wanted: Filter, limit: int, after: Place | None = None) -> Page:
        """The newest `limit` that match, older than `after`."""
        wanted = await _knowing(wanted, self._habits)
        if wanted.keys:
            return await self._of_keys(wanted, limit)
        now_us = self.now_us()
        lowest, place = await _began_between(self._database, wanted, now_us)
        place = after if after and after[1] < place[1] else place
        found: list[SagaView] = []
        examined, chunk = 0, limit if wanted == Filter() else PAGE_MAX
        while len(found) < limit and examined < EXAMINED_MAX:
            ids, beyond = await self._ids(wanted, place, chunk)
            views = await self._views([row["id"] for row in ids])
            for row in ids:
                view = views.get(_int(row["id"]))
                if view is not None and wanted.matches(view, now_us):
                    found.append(view)
                    if len(found) == limit:
                        return Page(tuple(found), (_int(row["started_us"]), _int(row["id"])))
            if beyond is None or beyond[1] <= lowest:
                return Page(tuple(found), None)
            examined += len(ids) if wanted.only_open or len(ids) == chunk else _WINDOW
            place = beyond
        return Page(tuple(found), place)

    async def journal(self, saga: SagaView, after: int, limit: int) -> list[Found]:
        params = {"saga": saga.row, "after": after, "limit": limit}
        return await self._database.read(SQL["journal.of_saga"], params)

    async def journal_before(self, saga: SagaView, before: int, limit: int) -> list[Found]:
        """The last `limit` lines before that one, oldest first."""
        params = {"saga": saga.row, "before": before, "limit": limit}
        return (await self._database.read(SQL["journal.before"], params))[::-1]

    async def journal_since(self, after: int, limit: int) -> list[Found]:
        """Those before which none can appear any more, so that who goes on after them has all."""
        params = {"after": after, "limit": limit}
        lines = await self._database.read(SQL["journal.since"], params)
        told = [each for n, each in enumerate(lines, after + 1) if each["seq"] == n]
        if len(told) == len(lines):
            return lines
        settled = await self._settled()
        if not settled:
            return told
        lines = await self._database.read(SQL["journal.since"], params)
        return [each for each in lines if _int(each["seq"]) <= settled]

    async def _settled(self) -> int:
        """Up to where every number was given to a transaction that has ended; 0 when one lasts.

        Where several processes write, a line may become visible after one with a higher number.
        """
        (ahead,) = await self._database.read(SQL["journal.ahead"])
        for _ in range(_SETTLES_WITHIN):
            (now,) = await self._database.read(SQL["journal.ahead"])
            if _int(now["oldest"]) >= _int(ahead["following"]):
                return _int(ahead["seq"])
            await asyncio.sleep(_SETTLES_WITHIN_S / _SETTLES_WITHIN)
        return 0

    async def journal_last(self) -> int:
        return _int((await self._database.read(SQL["journal.last"]))[0]["seq"])

    async def moves(self, definition: str, since_us: int) -> dict[tuple[str, str], int]:
        """(from, to) → how many went there since then, among the last MOVES_LINES lines."""
        params: dict[str, Value] = {
            "definition": definition,
            "since": since_us,
            "window": MOVES_LINES,
        }
        rows = await self._database.read(SQL["journal.moves"], params)
        return {(str(r["from_state"]), str(r["to_state"])): _int(r["count"]) for r in rows}

    async def usual(self) -> Usuals:
        """How long each command is waited for as a rule."""
        return await self._habits.now()

    async def notable(self, limit: int) -> list[Found]:
        """The newest first, among the last MOVES_LINES lines; `why` a saga turned back."""
        params = {"window": MOVES_LINES, "limit": limit}
        return await self._database.read(SQL["journal.notable"], params)

    async def stuck(self, wanted: Filter) -> Stuck:
        wanted, now_us = await _knowing(wanted, self._habits), self.now_us()
        params: dict[str, Value] = {
            "before": now_us - self.views.patience_us,
            "definitions": _texts(self.views.versions),
            "limit": SUSPECTS_MAX,
        }
        ids = await self._database.read(SQL["ids.suspect"], params)
        views = await self._views([row["id"] for row in ids])
        members = [
            member(view, reason)
            for view in views.values()
            if (reason := view.stuck(now_us)) and wanted.matches(view, now_us)
        ]
        if wanted in (Filter(), Filter(reasons=wanted.reasons)):
            rows = await self._database.read(SQL["keys.parked"], {"limit": SUSPECTS_MAX})
            members += [_parked_member(row) for row in rows if _contract(wanted)]
        counted = await self.open_counts()
        oldest = min((each.oldest_us for each in counted), default=None)
        return Stuck(
            grouped(members, REASONS),
            sum(each.count for each in counted),
            oldest,
            len(ids) < SUSPECTS_MAX,
        )

    async def open_counts(self) -> list[OpenCount]:
        rows = await self._database.read(SQL["counts.open"])
        return [
            OpenCount(
                str(row["definition"]),
                str(row["phase"]),
                str(row["reason"]),
                _int(row["count"]),
                _int(row["oldest_us"]),
            )
            for row in rows
        ]

    async def finished_counts(self) -> Counts:
        return await self._tally.counts()

    async def states(self) -> dict[tuple[str, str], int]:
        """(definition, state) → open sagas now."""
        counted: dict[tuple[str, str], int] = {}
        async for each in self.every_open(Filter()):
            place = (each.definition, each.state)
            counted[place] = counted.get(place, 0) + 1
        return counted

    async def newest(self) -> int:
        """The row of the saga that was begun last."""
        return await last_of(self._database)

    async def newer(self, wanted: Filter, row: int, limit: int) -> int:
        """How many that match began after the one in `row`, of the `limit` newest."""
        params = {"after": row, "limit": limit}
        ids = await self._database.read(SQL["ids.newer"], params)
        wanted = await _knowing(wanted, self._habits)
        now_us, views = self.now_us(), await self._views([each["id"] for each in ids])
        return sum(wanted.matches(each, now_us) for each in views.values())

    async def topics(self) -> tuple[list[Found], list[Found]]:
        """What the orchestrator applied of each topic it reads, and its open dead letters."""
        return (
            await self._database.read(SQL["topics.read"]),
            await self._database.read(SQL["topics.dead"]),
        )

    async def every_open(self, wanted: Filter) -> AsyncIterator[SagaView]:
        """A page at a time, so that a million of them hold up nobody and are never kept."""
        wanted = await _knowing(wanted, self._habits)
        now_us, place = self.now_us(), _NEWEST
        while True:
            params = {"us": place[0], "id": place[1], "limit": PAGE_MAX}
            ids = await self._database.read(SQL["ids.open"], params)
            for each in (await self._views([row["id"] for row in ids])).values():
                if not each.finished and wanted.matches(each, now_us):
                    yield each
            if len(ids) < PAGE_MAX:
                return
            place = _int(ids[-1]["started_us"]), _int(ids[-1]["id"])

    async def _ids(
        self, wanted: Filter, place: Place, limit: int
    ) -> tuple[list[Found], Place | None]:
        """Candidates older than `place`, and where to look on, None at the end."""
        if wanted.only_open:
            params: dict[str, Value] = {"us": place[0], "id": place[1], "limit": limit}
            ids = await self._database.read(SQL["ids.open"], params)
            if len(ids) < limit:
                return ids, None
            return ids, (_int(ids[-1]["started_us"]), _int(ids[-1]["id"]))
        if place == _NEWEST:
            place = (0, await self.newest() + 1)
        began, before = wanted.started.span_us(self.now_us())
        params = {
            "began": began,
            "before": before,
            "id": place[1],
            "window": _WINDOW,
            "phases": _texts(sorted(wanted.wanted_phases)),
            "definitions": _texts(sorted(wanted.definitions)) if wanted.definitions else None,
            "reasons": _texts(sorted(wanted.reasons)) if wanted.reasons else None,
            "limit": limit,
        }
        ids = await self._database.read(SQL["ids.all"], params)
        lowest = _int(ids[-1]["id"]) if len(ids) == limit else place[1] - _WINDOW
        return ids, ((0, lowest) if lowest > 1 else None)

    async def _of_keys(self, wanted: Filter, limit: int) -> Page:
        now_us = self.now_us()
        found = [
            view
            for key in sorted(wanted.keys)
            for view in await self._of_key(key)
            if wanted.matches(view, now_us)
        ]
        return Page(tuple(found[:limit]), None)

    async def _of_key(self, key: str) -> tuple[SagaView, ...]:
        ids = await self._database.read(SQL["ids.of_key"], {"key": key})
        return tuple((await self._views([row["id"] for row in ids])).values())

    async def _views(self, ids: Sequence[Value]) -> Mapping[int, SagaView]:
        """By row, in the order of the ids; others have their turn between slices."""
        found: dict[int, SagaView] = {}
        for at in range(0, len(ids), _SLICE):
            some = {"ids": orjson.dumps(ids[at : at + _SLICE]).decode()}
            rows = await self._database.read(SQL["sagas.rows"], some)
            found |= {_int(row["id"]): self.views.view(row) for row in rows}
        return found


async def _knowing(wanted: Filter, habits: Habits) -> Filter:
    """A filter that asks for what is slow has to know what is usual."""
    if not wanted.slow or wanted.usual:
        return wanted
    usual = {place: each.p95_us for place, each in (await habits.now()).items()}
    return replace(wanted, usual=usual)


async def _began_between(database: Database, wanted: Filter, now_us: int) -> tuple[int, Place]:
    """The row before, and the place after, those that began when it is asked for."""
    start_us, end_us = wanted.started.span_us(now_us)
    if wanted.started == Began() or wanted.only_open:
        return 0, _NEWEST
    last = await last_of(database)
    lowest = await first_since(database, start_us - _BESIDE_US, last)
    beyond = await first_since(database, end_us + _BESIDE_US, last)
    return lowest - 1, (0, beyond)


def _parked_member(row: Found) -> Member:
    parked = Parked(str(row["reason"]), str(row["detail"]), _int(row["since_us"]))
    return parked_member(str(row["key"]), parked)


def _contract(wanted: Filter) -> bool:
    return not wanted.reasons or "contract" in wanted.reasons


def _texts(texts: Sequence[str]) -> str:
    return orjson.dumps(list(texts)).decode()


def _int(value: Value) -> int:
    assert isinstance(value, int)
    return value
