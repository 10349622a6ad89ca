"""Tells the sagas of bulk operations, at their rate, and looks what becomes of each.

`step` is one turn, driven by `run`, or by a test. What is told is kept as `telling` before it
leaves, and its id is derived: what the broker may have is told again under the same id, which is
once, and is never said to be skipped. What goes wrong with one operation holds up no other.
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
from orchestrator.operate.telling import EXPIRES_US
from orchestrator.operate.verifying import Became
from schemas.orchestrator import OperatorVerb
from services.chassis.bus import BusError
from services.chassis.clock import Clock
from services.chassis.retention import DAY_US
from services.chassis.store import Conflict, Plan, Row, Store, Unavailable, Write

SETTLED_US: Final = 120_000_000  # after the last was told, what did not move is unchanged
LOST_US: Final = EXPIRES_US + 60_000_000  # and what was not taken never will be, by any clock
KEPT_US: Final = 365 * DAY_US
ACTIVE_MAX: Final = 100
TOLD_MAX: Final = 200
LOOKED_AT_MAX: Final = 200
_PAUSE_S, _WAIT_S = 0.05, 0.5
_ON_THEIR_WAY = ("telling", "requested")
_WATCHED = (*_ON_THEIR_WAY, "unchanged")
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
        self._after = [0, 0]  # of those that are not paused, and of those that are

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
        """One turn of each operation, of many in turn; whether there is more to do at once."""
        busy = False
        for paused in (0, 1):
            after: Kept = {"paused": paused, "after": self._after[paused], "limit": ACTIVE_MAX}
            rows = await self._store.read(SQL["operations.active"], after)
            self._after[paused] = _int(rows[-1]["number"]) if len(rows) == ACTIVE_MAX else 0
            for row in rows:
                busy |= await self._guarded(row)
        await self._forget()
        return busy

    async def _guarded(self, row: Kept) -> bool:
        """What it runs into holds this one up, is shown with it, and is tried again."""
        name, before = str(row["id"]), self.held.pop(str(row["id"]), "")
        try:
            return await self._turn(row)
        except (BusError, Unavailable) as fault:
            why = str(fault)
            if why != before:
                _log.warning("a bulk operation waits", extra={"operation": name, "reason": why})
        except Exception as fault:  # noqa: BLE001  whatever it is, the others go on
            why = f"{type(fault).__name__}: {fault}"
            if why != before:
                _log.exception("a bulk operation cannot go on", extra={"operation": name})
        self.held[name] = why
        return False

    async def _turn(self, row: Kept) -> bool:
        if row["state"] == "collecting":
            return await self._collect(row)
        pace = self._pace(row)
        looked = await self._look(row, pace)
        told = row["state"] != "cancelled" and await self._tell(row, pace)
        await self._end(row)
        return told or looked

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
        total += len(items)
        grew = row["seen"] is not None and total > _int(row["seen"])
        state = "cancelled" if grew else "running" if page.after is None else "collecting"
        after = orjson.dumps(page.after).decode()

        def collected() -> Plan[None]:
            yield Write(SQL["operations.collected"], [(total, after, state, number)], expect=1)
            yield Write(SQL["items.add"], items)
            if grew:
                told = f"it grew: only {_int(row['seen'])} were confirmed"
                yield Write(SQL["items.skip"], [(told, row["id"])])

        try:
            await self._store.run(collected)
        except Conflict:
            _log.info("cancelled while it collected", extra={"operation": row["id"]})
        return True

    async def _tell(self, row: Kept, pace: _Pace) -> bool:
        """Those that may have left first, and then some more."""
        items, more = await self._items(row, "telling", 0, TOLD_MAX), list[Kept]()
        if not items and row["state"] == "running":
            most = min(TOLD_MAX, _int(row["first"]) or TOLD_MAX)
            allowed = max(0, min(int(pace.credit), most))
            items = more = await self._items(row, "pending", 0, allowed)
        if not items or not await self._leaving(row, more):
            return False
        pace.credit -= len(more)
        await self._telling.tell_many([(_request(row, item), _verb(row, item)) for item in items])

        def told() -> Plan[None]:
            yield Write(
                SQL["items.set"], [_set("requested", "", item, was="telling") for item in items]
            )

        await self._store.run(told)
        return True

    async def _leaving(self, row: Kept, more: list[Kept]) -> bool:
        """Kept before they leave; not when they were cancelled meanwhile."""
        count, now_us = len(more), self._clock.now_us()
        marked = [_set("telling", "", item, was="pending") for item in more]

        def leaving() -> Plan[None]:
            yield Write(SQL["items.set"], marked, expect=count)
            yield Write(SQL["operations.sent"], [(now_us, count, count, row["number"])])

        try:
            await self._store.run(leaving)
        except Conflict:
            _log.info("cancelled before they were told", extra={"operation": row["id"]})
            return False
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
            changed.append(_set(state, detail, item))
            if item["state"] in _ON_THEIR_WAY:
                self._audit.count(verb, via, result)
        return changed

    async def _end(self, row: Kept) -> None:
        """When all is told, and all has moved or had its time."""
        if await self._items(row, "pending", 0, 1):
            return
        watched = [each for each in _WATCHED if await self._items(row, each, 0, 1)]
        if "telling" in watched and row["state"] != "cancelled":
            return
        now_us, number = self._clock.now_us(), row["number"]
        fresh = await self._store.read(SQL["operations.one"], {"id": row["id"]})
        patience_us = LOST_US if set(watched) & set(_ON_THEIR_WAY) else SETTLED_US
        if watched and now_us - _int(fresh[0]["sent_us"]) < patience_us:
            return

        def ended() -> Plan[None]:
            yield Write(SQL["operations.end"], [(now_us, number)], expect=1)
            yield Write(SQL["items.lost"], [(number,)])

        try:
            await self._store.run(ended)
        except Conflict:
            _log.info("told to try again as it ended", extra={"operation": row["id"]})
            return
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


def _set(state: str, detail: str, item: Kept, *, was: str = "") -> Row:
    """`was`: how it must still be, if not as it was read."""
    return state, detail, item["operation"], item["n"], item["attempt"], was or item["state"]


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
