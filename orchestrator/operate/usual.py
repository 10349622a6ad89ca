"""How long each command is waited for as a rule: p50 and p95 of sagas begun in the last day.

Told by the journals of SAMPLED of them at most, evenly picked, however many there were; fewer than
ENOUGH answers tell nothing. Looked at again after FOR_US at the earliest, and only when asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import orjson

from orchestrator.engine.plan import Ask
from orchestrator.operate.database import SQL, Database, Found
from orchestrator.operate.story import ENDS
from orchestrator.saga import Saga
from services.chassis.clock import Clock
from services.chassis.store import Value

SAMPLED, LINES_MAX, ENOUGH = 200, 5_000, 20
DAY_US: Final = 86_400_000_000
FOR_US: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class Usual:
    """`of`: how many answers told it."""

    p50_us: int
    p95_us: int
    of: int


Usuals = Mapping[tuple[str, str], Usual]  # (definition, <step>/<do or undo>)


class Habits:
    """`definitions`: of this release, by name and version."""

    def __init__(
        self, database: Database, definitions: Iterable[Saga[object]], clock: Clock
    ) -> None:
        self._database, self._clock = database, clock
        self._asks = {(each.name, each.version): each.plan.asks for each in definitions}
        self._turn = asyncio.Lock()
        self._made_us = 0
        self._known: Usuals = {}

    async def now(self) -> Usuals:
        async with self._turn:
            now_us = self._clock.now_us()
            if not 0 <= now_us - self._made_us < FOR_US:
                self._known, self._made_us = usuals(await self._took(now_us)), now_us
            return self._known

    async def _took(self, now_us: int) -> list[tuple[str, str, int]]:
        last = await last_of(self._database)
        first = await first_since(self._database, now_us - DAY_US, last)
        step = max(1, (last - first + 1) // SAMPLED)
        picked = orjson.dumps(list(range(last, first - 1, -step))[:SAMPLED]).decode()
        params: dict[str, Value] = {"ids": picked, "limit": LINES_MAX}
        lines = await self._database.read(SQL["journal.sampled"], params)
        found: list[tuple[str, str, int]] = []
        for _, of_saga in groupby(lines, lambda line: line["saga"]):
            rows = list(of_saga)
            definition, version = str(rows[0]["definition"]), _int(rows[0]["definition_version"])
            asks = self._asks.get((definition, version), {})
            found += [(definition, *each) for each in took(rows, asks)]
        return found


def took(lines: Iterable[Found], asks: Mapping[str, Ask[object]]) -> Iterator[tuple[str, int]]:
    """Of a saga's lines, oldest first: each command that was answered, and after how long."""
    began: dict[str, int] = {}
    for line in lines:
        at_us, way = _int(line["at_us"]), ENDS.get(str(line["what"]), ("", ""))[0]
        name = f"{line['step']!s}/{way}"
        if line["result"] == "applied" and name in began and line["what"] != "timed_out":
            yield name, max(0, at_us - began[name])
        for sent in str(line["sent"]).split():
            named = (each for each, ask in asks.items() if ask.contract.name == sent)
            first = next((each for each in named if each not in began), "")
            began[first] = at_us


def usuals(found: Iterable[tuple[str, str, int]]) -> Usuals:
    """By nearest rank."""
    by_name: dict[tuple[str, str], list[int]] = {}
    for definition, name, us in found:
        by_name.setdefault((definition, name), []).append(us)
    return {
        place: Usual(_rank(those, 50), _rank(those, 95), len(those))
        for place, those in by_name.items()
        if len(those) >= ENOUGH
    }


def _rank(those: list[int], percent: int) -> int:
    return sorted(those)[-(-len(those) * percent // 100) - 1]


async def last_of(database: Database) -> int:
    """The row of the saga that was begun last."""
    return _int((await database.read(SQL["ids.last"]))[0]["id"])


async def first_since(database: Database, us: int, last: int) -> int:
    """The first row that began then or later: rows are numbered nearly as they begin."""
    low, high = 1, last + 1
    while low < high:
        middle = (low + high) // 2
        (row,) = await database.read(SQL["ids.at"], {"id": middle})
        if _int(row["started_us"]) >= us:
            high = middle
        else:
            low = _int(row["id"]) + 1
    return low


def _int(value: Value) -> int:
    assert isinstance(value, int)
    return value
