"""What a process tells of its dead letters and parked keys, and what a verb would do to them.

Metadata only: names of headers, sizes and digests, never a value. A rehearsal is the verb itself in
its own transaction, which is then rolled back: what it says is what would happen, and nothing does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Generic, NoReturn

from schemas.orchestrator import OperatorVerb
from schemas.topics import OPERATOR_TOPIC
from services.chassis.clock import Clock
from services.chassis.items import Application, Applied, Arrived, S
from services.chassis.key_verbs import SQL
from services.chassis.messages import Message, Record, unpack
from services.chassis.parked import Result
from services.chassis.store import Constraint, Plan, Select, Store, Value
from services.chassis.transaction import REDRIVEN_MAX, Batch, Setting, Transaction

SHOWN_MAX = 200
LISTED_MAX = 1_000
REHEARSED_MAX = REDRIVEN_MAX  # one slice: a rehearsal of all would keep the writer waiting
_REHEARSAL = "rehearsal"
_LISTED = {"parked": SQL["surface.parked"], "rejected": SQL["surface.rejected"]}
_NAMED = {"type": "ce_type", "id": "ce_id", "source": "ce_source", "operation": "ce_operationid"}
Told = dict[str, object]


class _Rehearsed(Exception):
    """Rolls back, with what was seen."""

    def __init__(self, told: Told) -> None:
        super().__init__("rehearsed")
        self.told = told


class Letters(Generic[S]):
    def __init__(
        self, store: Store, application: Application[S], setting: Setting, clock: Clock
    ) -> None:
        self._store, self._application = store, application
        self._setting, self._clock = setting, clock

    async def listed(self, kind: str, limit: int, wanted: Mapping[str, str]) -> list[Told]:
        """`wanted`: key, topic and reason, each may be empty. Parked keys or rejected records."""
        params: dict[str, Value] = {**wanted, "limit": limit}
        rows = await self._store.read(_LISTED[kind], params)
        return [
            {
                "kind": kind,
                **{name: value for name, value in row.items() if name != "headers"},
                "type": _header(row["headers"], "ce_type"),
            }
            for row in rows
        ]

    async def shown(self, key: str) -> Told | None:
        """A key with its newest dead letters and verbs; None where it never had any."""
        params: dict[str, Value] = {"key": key, "limit": SHOWN_MAX}
        parked = await self._store.read(SQL["surface.key"], {"key": key})
        letters = await self._store.read(SQL["surface.letters"], params)
        verbs = await self._store.read(SQL["surface.verbs"], params)
        if not (parked or letters or verbs):
            return None
        return {
            "key": key,
            "parked": parked[0] if parked else None,
            "records": [_letter(row) for row in reversed(letters)],
            "verbs": [_verb(row) for row in reversed(verbs)],
        }

    async def verb(self, verb_id: str) -> Told | None:
        rows = await self._store.read(SQL["surface.verb"], {"id": verb_id})
        return _verb(rows[0]) if rows else None

    async def rehearsed(self, verb: OperatorVerb) -> Told:
        """What the verb would lead to, as far as one slice goes."""
        try:
            await self._store.run(lambda: self._rehearse(verb))
        except _Rehearsed as seen:
            return seen.told
        except Constraint as fault:
            return {"result": Result.FAILED_AGAIN, "detail": f"constraint: {fault}", "records": []}
        raise AssertionError("a rehearsal never commits")

    def _rehearse(self, verb: OperatorVerb) -> Plan[NoReturn]:
        now_us, name = self._clock.now_us(), verb.business_key
        record = Record(OPERATOR_TOPIC, self._setting.place(name), 0, 0, name.encode(), b"", ())
        identity = (_REHEARSAL, _REHEARSAL, verb.avro_name)
        told = Message(OPERATOR_TOPIC, name, *identity, verb, b"", (), now_us)
        applied = yield from self._transaction(Batch(now_us, [Arrived(told, record)]))
        if applied.redrives:
            yield from self._transaction(Batch(now_us, redrive=name))
        raise _Rehearsed((yield from _seen(name)))

    def _transaction(self, batch: Batch) -> Plan[Applied]:
        return Transaction(batch, self._application, self._setting).plan()


def _seen(name: str) -> Plan[Told]:
    """What the verb left behind, before it is rolled back."""
    ((result, detail, applied),) = yield Select(SQL["rehearsal.verb"], (_REHEARSAL,))
    rows = yield Select(SQL["rehearsal.letters"], (name, _REHEARSAL, REHEARSED_MAX))
    records: list[Told] = []
    failed = result == Result.FAILED_AGAIN
    if rows and len(rows) < (total := int(rows[0][-1] or 0)):
        covered = f"of {total} records this tells {len(rows)}"
        detail = f"{detail!s}; {covered}" if detail else covered
    for seq, topic, offset, headers, state, became, reason, why, _ in rows:
        would = str(became)
        if state == "open":
            would, failed = (
                (" ".join(["fails:", f"{reason!s}:", str(why)]) if failed else "waits"),
                False,
            )
        letter = {"record": seq, "topic": topic, "offset": offset}
        records.append({**letter, "type": _header(headers, "ce_type"), "would": would})
    return {"result": result, "detail": detail, "applied": applied, "records": records}


def _letter(row: Mapping[str, Value]) -> Told:
    value = row["value"] if isinstance(row["value"], bytes) else b""
    headers = _headers(row["headers"])
    plain = {
        name: row[name]
        for name in ("kind", "state", "reason", "detail", "stage", "topic", "partition", "offset")
    }
    return {
        "record": row["seq"],
        **plain,
        **{name: headers.get(header, "") for name, header in _NAMED.items()},
        "written_ms": row["timestamp_ms"],
        "at_us": row["at_us"],
        "bytes": len(value),
        "sha256": hashlib.sha256(value).hexdigest(),
        "headers": list(headers),
        "failures": row["failures"],
        "release": row["release"],
        "became": row["became"],
        "settled_by": row["settled_by"],
    }


def _verb(row: Mapping[str, Value]) -> Told:
    kept = ("id", "verb", "actor", "reason", "record", "result", "detail", "applied", "at_us")
    return {"key": row["key_name"], **{name: row[name] for name in kept}}


def _headers(packed: Value) -> dict[str, str]:
    """Text for what is shown of some; an outsider's may be anything."""
    pairs = unpack(packed) if isinstance(packed, bytes) else ()
    return {name: value.decode(errors="replace")[:256] for name, value in pairs}


def _header(packed: Value, name: str) -> str:
    return _headers(packed).get(name, "")
