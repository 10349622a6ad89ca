"""What is open, how old, stuck why and how late: read from the store, every few seconds.

A look costs what is open, never what has ended: it goes by the index of open sagas, a page at a
time, on the connection for reading. Every process of several finds the same. What stuck means is
said in `engine.standing`, where console and command line read it, too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from orchestrator.engine.instance import state_of
from orchestrator.engine.machine import Phase
from orchestrator.engine.standing import Standing, late_us, steps_of, timers_of, waiting_of
from orchestrator.engine.store import SQL
from orchestrator.saga import Saga
from services.chassis.store import Readable, Value

PAGE: Final = 200  # some milliseconds of work, then others have their turn
_US = 1_000_000


@dataclass(slots=True)
class Open:
    """All open sagas at one moment. Places are (definition, state)."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    oldest_s: dict[tuple[str, str], float] = field(default_factory=dict)
    stuck: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    stuck_s: dict[tuple[str, str], float] = field(default_factory=dict)
    late_s: dict[str, float] = field(default_factory=dict)
    parked_alone: int = 0


async def look(store: Readable, sagas: Sequence[Saga[object]], now_us: int) -> Open:
    """`sagas`: every version of this release."""
    versions = {(saga.name, saga.version): saga for saga in sagas}
    found = Open()
    after = {"us": -1, "id": -1, "limit": PAGE}
    while True:
        rows = await store.read(SQL["sagas.open"], after)
        for row in rows:
            saga = versions.get((str(row["definition"]), _int(row["definition_version"])))
            _count(found, row, saga, now_us)
        if len(rows) < PAGE:
            break
        after |= {"us": _int(rows[-1]["started_us"]), "id": _int(rows[-1]["id"])}
        await asyncio.sleep(0)
    (alone,) = await store.read(SQL["parked.alone"])
    found.parked_alone = _int(alone["n"])
    return found


def _count(found: Open, row: Mapping[str, Value], saga: Saga[object] | None, now_us: int) -> None:
    definition, phase = str(row["definition"]), Phase(str(row["phase"]))
    steps = steps_of(str(row["steps"]), saga)
    timers = timers_of(str(row["timers"]), definition)
    place = (definition, state_of(phase, steps))
    found.counts[place] += 1
    # Oldest first: the first of a place is its oldest.
    age_s = max(0, now_us - _int(row["started_us"])) / _US
    found.oldest_s.setdefault(place, age_s)
    late_s = late_us(timers, now_us) / _US
    found.late_s[definition] = max(late_s, found.late_s.get(definition, 0.0))
    reason = Standing(
        phase,
        row["parked"] is not None,
        bool(row["paused"]),
        saga is None,
        waiting_of(steps, saga, timers),
        timers,
    ).stuck(now_us)
    if reason:
        found.stuck[*place, reason] += 1
        found.stuck_s.setdefault((definition, reason), age_s)


def _int(value: Value) -> int:
    assert isinstance(value, int)
    return value
