"""Operators' verbs for sagas: rehearsed, told, followed to a verified result. One way for all.

The JSON API, the pages and the bulk operations use this; it knows no HTTP. A verb has an id, and
telling it twice is telling it once. Invariant: nothing is queued here; what the broker did not
take was not told, and BusError says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

from orchestrator.engine.instance import Instance, VerbRequested
from orchestrator.engine.machine import Result, Verb
from orchestrator.engine.store import Sagas
from orchestrator.operate.auditing import NOT_TAKEN, Act, Audit, Via
from orchestrator.operate.database import Database
from orchestrator.operate.reading import Reading
from orchestrator.operate.rehearsing import Made, Preview, rehearse
from orchestrator.operate.sagas import SagaView
from orchestrator.operate.surfaces import Json
from orchestrator.operate.telling import Telling
from orchestrator.operate.verifying import UNCHANGED, Happened, Verified, moved_on, verified
from orchestrator.saga import Saga
from schemas.catalogue import Catalogue
from schemas.orchestrator import OperatorVerb
from services.chassis.codec import Codec
from services.chassis.packing import unpack_reply
from services.chassis.store import Unavailable, Value, statements

SQL = statements(Path(__file__).parent / "telling.sql")
BULK: Final = "op-"  # requests of bulk operations begin so, and nobody else's
ORPHAN: Final = "orphan_version"
LINES_MAX: Final = 20_000


class UnknownSaga(Exception):
    """No saga of this name; `near` are keys that begin alike."""

    def __init__(self, name: str, near: Sequence[str]) -> None:
        also = f"; keys that begin alike: {', '.join(near)}" if near else ""
        super().__init__(f"no saga {name} is known here{also}")
        self.near = tuple(near)


class KeyReused(Exception):
    """Another verb was told under this id before; says which."""


@dataclass(frozen=True, slots=True)
class SagaOrder:
    """What is told, by whom and why. `version`: of the saga that was seen; None: whatever it is.

    `via`: where it was said.
    """

    verb: Verb
    reason: str
    actor: str
    via: Via = "api"
    version: int | None = None
    step: str | None = None
    evidence: str = ""
    assignee: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a verb. `result`: applied, not_taken yet, or why the engine refused it.

    `saga` is how the saga stands now, which may be further on than the verb left it.
    """

    id: str
    verb: str
    actor: str
    reason: str
    result: str
    saga: SagaView
    at_us: int = 0
    version_before: int | None = None
    version_after: int | None = None
    verified: Verified = UNCHANGED

    @property
    def applied(self) -> bool:
        return self.result == Result.APPLIED

    @property
    def refused(self) -> bool:
        return self.result not in (Result.APPLIED, NOT_TAKEN)


class SagaTelling:
    def __init__(
        self,
        reading: Reading,
        database: Database,
        telling: Telling,
        catalogue: Catalogue,
        audit: Audit,
    ) -> None:
        self._reading, self._database, self._telling = reading, database, telling
        self._audit = audit
        self._catalogue, self._codec = catalogue, Codec(catalogue)

    async def preview(self, name: str, order: SagaOrder) -> Preview:
        """What `tell` would do to the saga as it is now. Raises UnknownSaga."""
        return await self.rehearsed(await self.find(name), order)

    async def rehearsed(self, saga: SagaView, order: SagaOrder) -> Preview:
        definition = self._reading.views.definition(saga)
        if definition is None:
            return Preview(saga.saga_id, saga.version, saga.state, saga.state, ORPHAN)
        instance = await self._instance(saga, definition)
        asked = VerbRequested(
            order.verb,
            order.actor,
            order.reason,
            order.step,
            order.evidence,
            order.version,
            saga.parked is not None,
            order.assignee,
        )
        return rehearse(
            definition,
            instance,
            asked,
            made=await self._made(saga),
            catalogue=self._catalogue,
            now_us=self._reading.now_us(),
        )

    async def tell(self, name: str, order: SagaOrder, request: str) -> Told:
        """`request` is its id. Raises UnknownSaga, KeyReused, NotKept; BusError: not told."""
        saga = await self.find(name)
        known = await self._known(saga, request, order)
        if known is not None:
            return known
        act = Act(order.actor, order.via, order.verb.value, saga.saga_id, order.reason, request)
        if order.version is not None and order.version != saga.version:
            await self._audit.done(act, Result.STALE.value)
            return _told(request, order, Result.STALE.value, saga)
        async with self._audit.acting(act) as became:
            await self._telling.tell(operator_verb(saga.key, saga.saga_id, order), verb_id(request))
            became.result = NOT_TAKEN

            async def taken() -> Json | None:
                try:
                    return (await self._rows([request])).get(request)
                except Unavailable:  # it is told: what becomes of it is looked at later
                    return None

            row = await self._telling.result(taken)
            if row is not None:
                became.result = str(row["result"])
        if row is not None:
            with suppress(Unavailable):
                return await self._of_row(request, row)
        return _told(request, order, NOT_TAKEN, saga)

    async def told(self, name: str, request: str) -> Told | None:
        """What became of it by now; None: it was not taken. Raises UnknownSaga, KeyReused."""
        saga = await self.find(name)
        return await self._known(saga, request, None)

    async def tell_many(self, verbs: Sequence[tuple[str, OperatorVerb]]) -> None:
        """Request and verb, all at once, not waiting for what becomes of them. Raises BusError.

        Who tells many at once writes one line of the audit for all.
        """
        await self._telling.tell_many([(verb, verb_id(request)) for request, verb in verbs])

    async def results(
        self, requests: Mapping[str, int], verb: str, listed_us: int
    ) -> dict[str, tuple[str, Verified]]:
        """Request → result and what became of it, of those that were taken.

        `requests`: request → row of its saga; `listed_us`: when they were chosen.
        """
        rows = await self._rows(list(requests))
        applied = [name for name, row in rows.items() if row["result"] == Result.APPLIED]
        stale = [name for name, row in rows.items() if row["result"] == Result.STALE]
        since_us = min((_int(rows[name]["at_us"]) for name in applied), default=0)
        lines = await self._lines([requests[name] for name in applied], since_us)
        moves = await self._lines([requests[name] for name in stale], listed_us + 1)
        became = {
            name: verified(verb, verb_id(name), lines.get(requests[name], [])) for name in rows
        } | {name: moved_on(moves.get(requests[name], [])) for name in stale}
        return {name: (str(row["result"]), became[name]) for name, row in rows.items()}

    async def _known(self, saga: SagaView, request: str, order: SagaOrder | None) -> Told | None:
        row = (await self._rows([request])).get(request)
        if row is None:
            return None
        same = order is None or order.verb == row["verb"]
        if row["saga_id"] != saga.saga_id or not same:
            raise KeyReused(f"{request} was given to {row['verb']} {row['saga_id']}")
        return await self._of_row(request, row)

    async def _of_row(self, request: str, row: Json) -> Told:
        saga = await self.find(str(row["saga_id"]))
        at_us = _int(row["at_us"])
        lines = await self._lines([saga.row], at_us)
        verb = str(row["verb"])
        return Told(
            id=request,
            verb=verb,
            actor=str(row["actor"]),
            reason=str(row["reason"]),
            result=str(row["result"]),
            saga=saga,
            at_us=at_us,
            version_before=_int(row["version_before"]),
            version_after=_int(row["version_after"]),
            verified=verified(verb, verb_id(request), lines.get(saga.row, [])),
        )

    async def find(self, name: str) -> SagaView:
        found = await self._reading.find(name)
        if not found:
            raise UnknownSaga(name, await self._reading.near(name))
        return found[0]

    async def _rows(self, requests: Sequence[str]) -> dict[str, Json]:
        ids = _texts(verb_id(each) for each in requests)
        rows = await self._database.read(SQL["verbs.told"], {"ids": ids})
        return {str(row["id"]).removeprefix("console/"): dict(row) for row in rows}

    async def _lines(self, rows: Sequence[int], since_us: int) -> dict[int, list[Happened]]:
        params: dict[str, Value] = {
            "sagas": orjson.dumps(list(rows)).decode(),
            "since": since_us,
            "limit": LINES_MAX,
        }
        found: dict[int, list[Happened]] = {}
        for row in await self._database.read(SQL["journal.after"], params):
            line = Happened(
                _int(row["saga"]),
                str(row["what"]),
                str(row["result"]),
                str(row["from_state"]),
                str(row["to_state"]),
                str(row["detail"]),
                str(row["cause_id"]),
            )
            found.setdefault(line.saga, []).append(line)
        return found

    async def _instance(self, saga: SagaView, definition: Saga[object]) -> Instance[object]:
        """Read as the engine reads it."""
        rows = await self._database.read(SQL["saga.whole"], {"saga": saga.row})
        codec = self._codec
        loaded = Sagas(lambda _name, _version: definition, codec.encode, codec.decode, {})
        loading = loaded.load([saga.row])
        next(loading)
        try:
            loading.send([tuple(row.values()) for row in rows])
        except StopIteration:
            return loaded.loaded()[0].instance
        raise AssertionError("loading sagas asks one question")

    async def _made(self, saga: SagaView) -> Made:
        rows = await self._database.read(SQL["made.of_saga"], {"saga": saga.row})
        made: dict[str, object] = {}
        for row in rows:
            packed = row["message"]
            assert isinstance(packed, bytes)
            value = unpack_reply(packed, str(row["topic"]), saga.key, 1).value
            made[str(row["name"])] = self._codec.decode(value)
        return made


def verb_id(request: str) -> str:
    """The id of its message."""
    return f"console/{request}"


def operator_verb(key: str, saga_id: str, order: SagaOrder) -> OperatorVerb:
    """Raises pydantic's ValidationError where a word is longer than it may be."""
    return OperatorVerb(
        business_key=key,
        saga_id=saga_id,
        verb=order.verb.value,
        step=order.step,
        actor=order.actor,
        reason=order.reason,
        version_seen=order.version,
        requested_at=datetime.now(UTC),
        evidence=order.evidence,
        assignee=order.assignee,
    )


def _told(request: str, order: SagaOrder, result: str, saga: SagaView) -> Told:
    return Told(request, order.verb, order.actor, order.reason, result, saga)


def _texts(texts: Iterable[str]) -> str:
    return orjson.dumps(list(texts)).decode()


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
