"""Tells the sagas of bulk operations, at their rate, and looks what becomes of each.

`step` is one turn, driven by `run`, or by a test. What was told is marked after the broker has it,
and its id is derived: killed between the two, it is told again under the same id, which is once.
Everything is read by pages; how large an operation is makes a turn no longer.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final

import orjson

from orchestrator.engine.machine import Result
from orchestrator.operate.auditing import Audit, Kept
from orchestrator.operate.bulk import SQL, items_of, order_of
from orchestrator.operate.filters import parse
from orchestrator.operate.reading import PAGE_MAX, Place, Reading
from orchestrator.operate.saga_telling import SagaTelling, operator_verb
from orchestrator.operate.verifying import Became
from schemas.orchestrator import OperatorVerb
from services.chassis.bus import BusError
from services.chassis.clock import Clock
from services.chassis.retention import DAY_US
from services.chassis.store import Conflict, Plan, Row, Store, Unavailable, Write

SETTLED_US: Final = 120_000_000  # after the last was told, what did not move is unchanged
KEPT_US: Final = 365 * DAY_US
TOLD_MAX: Final = 200
LOOKED_AT_MAX: Final = 200
_PAUSE_S, _WAIT_S = 0.05, 0.5
_WATCHED = ("requested", "unchanged")
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Pace:
    """What a running operation may tell now, and which item is looked at next."""

    at_s: float
    credit: float = 1.0
    place: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_WATCHED, 0))


class BulkRunner:
    """`held`: why an operation cannot go on now, by its id."""

    def __init__(
        self, store: Store, reading: Reading, telling: SagaTelling, audit: Audit, clock: Clock
    ) -> None:
        self.held: dict[str, str] = {}
        self._store, self._reading, self._telling = store, reading, telling
        self._audit, self._clock = audit, clock
        self._paces: dict[int, _Pace] = {}

    async def run(self) -> None:
        """Until it is cancelled. What a database or Kafka does not do now is done later."""
        while True:
            busy = False
            try:
                busy = await self.step()
            except Unavailable as fault:
                _log.warning("bulk operations wait", extra={"reason": str(fault)})
            await asyncio.sleep(_PAUSE_S if busy else _WAIT_S)

    async def step(self) -> bool:
        """One turn of each operation; whether there is more to do at once."""
        active = await self._store.read(SQL["operations.active"])
        busy = False
        for row in active:
            if row["state"] == "collecting":
                busy |= await self._collect(row)
                continue
            pace = self._pace(row)
            told = row["state"] == "running" and await self._tell(row, pace)
            looked = await self._look(row, pace)
            busy |= told or looked
            await self._end(row)
        await self._forget()
        return busy

    def _pace(self, row: Kept) -> _Pace:
        now_s, rate = self._clock.monotonic_s(), _int(row["rate"])
        pace = self._paces.setdefault(_int(row["number"]), _Pace(now_s))
        pace.credit = min(float(rate), pace.credit + rate * (now_s - pace.at_s))
        pace.at_s = now_s
        return pace

    async def _collect(self, row: Kept) -> bool:
        number, total, place = _int(row["number"]), _int(row["total"]), _place(str(row["place"]))
        page = await self._reading.page(parse(str(row["query"])), PAGE_MAX, place)
        items = items_of(number, list(page.sagas), total)
        state = "running" if page.after is None else "collecting"
        after = orjson.dumps(page.after).decode()

        def collected() -> Plan[None]:
            changed: Row = (total + len(items), after, state, number)
            yield Write(SQL["operations.collected"], [changed], expect=1)
            yield Write(SQL["items.add"], items)

        try:
            await self._store.run(collected)
        except Conflict:
            _log.info("cancelled while it collected", extra={"operation": row["id"]})
        return True

    async def _tell(self, row: Kept, pace: _Pace) -> bool:
        allowed = min(int(pace.credit), TOLD_MAX, _int(row["first"]) or TOLD_MAX)
        if allowed < 1:
            return False
        items = await self._items(row, "pending", 0, allowed)
        if not items:
            return False
        verbs = [(_request(row, item), _verb(row, item)) for item in items]
        try:
            await self._telling.tell_many(verbs)
        except BusError as fault:
            self.held[str(row["id"])] = str(fault)
            return False
        self.held.pop(str(row["id"]), None)
        pace.credit -= len(items)
        number, count, now_us = row["number"], len(items), self._clock.now_us()

        def told() -> Plan[None]:
            rows: list[Row] = [("requested", "", number, item["n"]) for item in items]
            yield Write(SQL["items.set"], rows)
            yield Write(SQL["operations.sent"], [(now_us, count, count, number)])

        await self._store.run(told)
        return True

    async def _look(self, row: Kept, pace: _Pace) -> bool:
        """At some of those that were told: all of them in turn."""
        changed: list[Row] = []
        for state in _WATCHED:
            items = await self._items(row, state, pace.place[state], LOOKED_AT_MAX)
            pace.place[state] = _int(items[-1]["n"]) if len(items) == LOOKED_AT_MAX else 0
            changed += await self._became(row, items)
        if not changed:
            return False

        def seen() -> Plan[None]:
            yield Write(SQL["items.set"], changed)

        await self._store.run(seen)
        return True

    async def _became(self, row: Kept, items: list[Kept]) -> list[Row]:
        if not items:
            return []
        asked = {_request(row, item): item for item in items}
        rows = {request: _int(item["saga"]) for request, item in asked.items()}
        verb, via = str(row["verb"]), order_of(row, None).via
        changed: list[Row] = []
        results = await self._telling.results(rows, verb, _int(row["created_us"]))
        for request, (result, verified) in results.items():
            item = asked[request]
            state, detail = verified.became.value, verified.because
            if result != Result.APPLIED and verified.became is not Became.MOVED_ON:
                state, detail = "refused", result
            if (state, detail) == (item["state"], item["detail"]):
                continue
            changed.append((state, detail, item["operation"], item["n"]))
            if item["state"] == "requested":
                self._audit.count(verb, via, result)
        return changed

    async def _end(self, row: Kept) -> None:
        """When all is told, and all has moved or had its time."""
        if row["state"] == "paused" or await self._items(row, "pending", 0, 1):
            return
        watched = [await self._items(row, state, 0, 1) for state in _WATCHED]
        now_us, number = self._clock.now_us(), row["number"]
        fresh = await self._store.read(SQL["operations.one"], {"id": row["id"]})
        if any(watched) and now_us - _int(fresh[0]["sent_us"]) < SETTLED_US:
            return

        def ended() -> Plan[None]:
            yield Write(SQL["items.lost"], [(number,)])
            yield Write(SQL["operations.end"], [(now_us, number)])

        await self._store.run(ended)
        self._paces.pop(_int(number), None)

    async def _forget(self) -> None:
        """Some of the oldest operation that ended long ago."""
        params: Kept = {"before": self._clock.now_us() - KEPT_US}
        for row in await self._store.read(SQL["operations.old"], params):
            number = row["number"]

            def forgotten(number: object = number) -> Plan[None]:
                yield Write(SQL["items.forget"], [(_int(number), _int(number))])
                yield Write(SQL["operations.forget"], [(_int(number),)])

            await self._store.run(forgotten)

    async def _items(self, row: Kept, state: str, after: int, limit: int) -> list[Kept]:
        params: Kept = {
            "operation": row["number"],
            "state": state,
            "after": after,
            "limit": limit,
        }
        return await self._store.read(SQL["items.in"], params)


def _request(row: Kept, item: Kept) -> str:
    return f"{row['id']!s}.{item['n']!s}.{item['attempt']!s}"


def _verb(row: Kept, item: Kept) -> OperatorVerb:
    version = item["version"]
    order = order_of(row, None if version is None else _int(version))
    return operator_verb(str(item["key"]), str(item["saga_id"]), order)


def _place(text: str) -> Place | None:
    if not text:
        return None
    first, second = orjson.loads(text)
    return int(first), int(second)


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
