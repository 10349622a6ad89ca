"""One verb for many sagas, kept in the console's own database: made, shown, stopped, tried again.

The list is frozen with the versions that were seen, so a saga that moves on meanwhile is left
alone and not surprised. Nothing is told here; the runner does that. Invariants: an operation is
made once per request, has its line in the audit, and holds no list in memory.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast

from orchestrator.engine.machine import Verb
from orchestrator.operate.auditing import Act, Audit, Kept, Via
from orchestrator.operate.counting import count as counted
from orchestrator.operate.filters import BadFilter, Filter, parse
from orchestrator.operate.reading import Reading
from orchestrator.operate.rehearsing import Preview
from orchestrator.operate.saga_telling import BULK, KeyReused, SagaOrder, SagaTelling
from orchestrator.operate.sagas import SagaView
from services.chassis.clock import Clock
from services.chassis.store import Conflict, Plan, Row, Select, Store, Write, statements

SQL = statements(Path(__file__).parent / "bulk.sql")
NAMES_MAX: Final = 1_000
REHEARSED_MAX: Final = 500
RATE: Final = 20
RATE_MAX: Final = 1_000
ITEM_STATES: Final = (
    "pending",
    "telling",
    "requested",
    "progressed",
    "moved_on",
    "failed_again",
    "unchanged",
    "refused",
    "skipped",
)
Change = Literal["cancel", "resume", "retry"]


class UnknownOperation(Exception):
    """No operation of this id."""


class TooMany(Exception):
    """More match than can be counted, so nobody could confirm how many."""


class NotNow(Exception):
    """The operation is in a state in which it does not take this; says which."""


@dataclass(frozen=True, slots=True)
class BulkOrder:
    """`order` for each saga of `query`, or of `names`. `first`: so many, then it pauses.

    `seen`: how many were confirmed; None: nobody was asked.
    """

    order: SagaOrder
    query: str = ""
    names: tuple[str, ...] = ()
    rate: int = RATE
    first: int = 0
    seen: int | None = None


@dataclass(frozen=True, slots=True)
class BulkPreview:
    """`count` match; the first of them were rehearsed."""

    count: int
    rehearsed: tuple[Preview, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    row: Kept
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(self.row["id"])

    @property
    def state(self) -> str:
        return str(self.row["state"])


class Operations:
    def __init__(
        self, store: Store, reading: Reading, telling: SagaTelling, audit: Audit, clock: Clock
    ) -> None:
        self._store, self._reading, self._telling = store, reading, telling
        self._audit, self._clock = audit, clock

    async def preview(self, wanted: BulkOrder) -> BulkPreview:
        """Raises BadFilter, UnknownSaga, TooMany."""
        if wanted.names:
            named = await self._named(wanted)
            sagas, count = named[:REHEARSED_MAX], len(named)
        else:
            count = await self.count(wanted.query)
            sagas = list((await self._reading.page(parse(wanted.query), REHEARSED_MAX)).sagas)
        told = [await self._telling.rehearsed(saga, wanted.order) for saga in sagas]
        return BulkPreview(count, tuple(told))

    async def count(self, query: str) -> int:
        """How many match, exactly. Raises BadFilter, TooMany."""
        found = await counted(self._reading, _some(query))
        if not found.whole:
            told = f"{found.number} or more match {query!r}, too many to be counted"
            raise TooMany(f"{told}; narrow it, as with phase=open, and look again")
        return found.number

    async def begin(self, wanted: BulkOrder, request: str) -> Operation:
        """The same request is the same operation. Raises BadFilter, UnknownSaga, KeyReused."""
        known = await self._of(request)
        if known:
            return await self._same(known[0], wanted, request)
        order, name = wanted.order, f"{BULK}{secrets.token_hex(5)}"
        if not wanted.names:
            _some(wanted.query)
        sagas = await self._named(wanted)
        act = Act(order.actor, order.via, order.verb.value, name, order.reason, request)
        async with self._audit.acting(act, counted=False) as became:
            now_us = self._clock.now_us()
            await self._store.run(lambda: _begun(name, request, wanted, sagas, now_us))
            became.result = "ok"
        return await self._whole((await self._of(request))[0])

    async def made(self, request: str) -> bool:
        """Whether this request is an operation already."""
        return bool(await self._of(request))

    async def one(self, name: str) -> Operation:
        found = await self._store.read(SQL["operations.one"], {"id": name})
        if not found:
            raise UnknownOperation(f"no operation {name}; baton ops list shows them")
        return await self._whole(found[0])

    async def page(self, before: int, limit: int) -> list[Operation]:
        """Newest first; without their counts."""
        params: Kept = {"before": before, "limit": limit}
        return [Operation(row) for row in await self._store.read(SQL["operations.page"], params)]

    async def items(self, name: str, after: int, limit: int, state: str = "") -> list[Kept]:
        operation = await self.one(name)
        params: Kept = {"operation": operation.row["number"], "after": after, "limit": limit}
        if state:
            return await self._store.read(SQL["items.in"], {**params, "state": state})
        return await self._store.read(SQL["items.page"], params)

    async def change(self, name: str, change: Change, reason: str, *, actor: str, via: Via) -> None:
        """Raises UnknownOperation, NotNow."""
        operation = await self.one(name)
        act = Act(actor, via, change, name, reason, f"{name}/{change}/{self._clock.now_us()}")
        async with self._audit.acting(act, counted=change == "cancel") as became:
            try:
                await self._store.run(lambda: _changed(name, change))
            except Conflict as fault:
                became.result = "not_now"
                raise NotNow(f"{name} is {operation.state}: no {change} now") from fault
            became.result = "ok"

    async def _of(self, request: str) -> list[Kept]:
        return await self._store.read(SQL["operations.of_request"], {"request": request})

    async def _named(self, wanted: BulkOrder) -> list[SagaView]:
        """Each once, however often and by whichever name. Raises UnknownSaga."""
        sagas = [await self._telling.find(each) for each in wanted.names]
        return list({each.row: each for each in sagas}.values())

    async def _same(self, row: Kept, wanted: BulkOrder, request: str) -> Operation:
        order = wanted.order
        asked = (order.verb.value, wanted.query, order.step, order.assignee)
        same = asked == tuple(row[name] for name in ("verb", "query", "step", "assignee"))
        if wanted.names and same:
            items = await self.items(str(row["id"]), 0, NAMES_MAX)
            same = [each["saga"] for each in items] == [e.row for e in await self._named(wanted)]
        if not same:
            raise KeyReused(f"{request} was given to {Operation(row).id}")
        return await self._whole(row)

    async def _whole(self, row: Kept) -> Operation:
        params: Kept = {"operation": row["number"]}
        counted = await self._store.read(SQL["operations.counts"], params)
        counts = dict.fromkeys(ITEM_STATES, 0)
        counts |= {str(each["state"]): int(each["count"] or 0) for each in counted}
        return Operation(row, counts)


def _some(query: str) -> Filter:
    if not query.strip():
        raise BadFilter("it is empty: nothing acts on all there ever were; phase=open is all open")
    return parse(query)


def items_of(number: int, sagas: list[SagaView], so_far: int) -> list[Row]:
    return [
        (number, n, saga.row, saga.saga_id, saga.key, saga.version)
        for n, saga in enumerate(sagas, so_far + 1)
    ]


def order_of(row: Kept, version: int | None) -> SagaOrder:
    """What each saga of this operation is told."""
    return SagaOrder(
        verb=Verb(str(row["verb"])),
        reason=str(row["reason"]),
        actor=str(row["actor"]),
        via=cast("Via", row["via"]),
        version=version,
        step=None if row["step"] is None else str(row["step"]),
        evidence=str(row["evidence"]),
        assignee=str(row["assignee"]),
    )


def _begun(
    name: str, request: str, wanted: BulkOrder, sagas: list[SagaView], now_us: int
) -> Plan[None]:
    order = wanted.order
    row: Row = (
        name,
        request,
        order.verb.value,
        order.step,
        order.evidence,
        order.assignee,
        order.reason,
        order.actor,
        order.via,
        wanted.query,
        wanted.rate,
        wanted.first,
        wanted.seen,
        now_us,
    )
    yield Write(SQL["operations.add"], [row])
    if wanted.names:
        found = yield Select(SQL["operations.number"], (name,))
        for (number,) in found:
            yield Write(SQL["items.add"], items_of(int(number or 0), sagas, 0))
            yield Write(SQL["operations.collected"], [(len(sagas), "", "running", number)])


def _changed(name: str, change: Change) -> Plan[None]:
    statements_of = {
        "cancel": "operations.cancel",
        "resume": "operations.resume",
        "retry": "operations.again",
    }
    yield Write(SQL[statements_of[change]], [(name,)], expect=1)
    if change == "cancel":
        yield Write(SQL["items.skip"], [("cancelled", name)])
    elif change == "retry":
        yield Write(SQL["items.again"], [(name,)])
