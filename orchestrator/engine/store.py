"""Sagas as rows: what one batch loads, changes in memory and writes once.

Knows how an instance is kept, not what it means. Everything is kept by name. A saga's row is
written at the version it was loaded with, so two writers cannot both move it. Made commands are
inserted when they are made and read only when they are sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson

from orchestrator.engine.instance import Cancellation, Instance, Step
from orchestrator.engine.machine import Forgotten, Phase, Status
from orchestrator.saga import Saga
from services.chassis.messages import Outgoing
from services.chassis.packing import pack_reply, unpack_reply
from services.chassis.store import Plan, Row, Select, Write, statements

SQL = statements(Path(__file__).parent / "store.sql")
MIGRATIONS = Path(__file__).parent / "migrations"
Definition = Callable[[str, int], Saga[object]]
_NONE_ASKED = "[]"
_CACHED_MAX = 5_000
_UNTOUCHED = Step("")[1:]
_STATUSES = {status.value: status for status in Status}
_STEP_NUMBERS = ("do_tries", "undo_tries", "since_us", "waited_us", "due_us", "remaining_us")


@dataclass(slots=True)
class Held:
    """One saga as this batch sees it; `row` is 0 and `loaded` None for one that is new.

    `cells` are the data and the changing columns as they stand, or will stand, in the database;
    `written` are the steps of `loaded` as JSON, where they are known.
    """

    key: int
    instance: Instance[object]
    row: int = 0
    loaded: Instance[object] | None = None
    cells: Row = (None,)
    written: list[str] = field(default_factory=list)


class Remembered(NamedTuple):
    """An instance, and the cells that it was read from or written as."""

    cells: Row
    instance: Instance[object]
    written: list[str]


Cache = dict[int, Remembered]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the journal, before its saga has a row."""

    saga_id: str
    values: Row


class Sagas:
    """The sagas of one batch. Replies kept inside a Parallel are encoded by the codec given."""

    def __init__(
        self,
        definition: Definition,
        encode: Callable[[object], bytes],
        decode: Callable[[bytes], object],
        cache: Cache,
    ) -> None:
        self._definition, self._encode, self._decode = definition, encode, decode
        self._cache = cache
        self._held: dict[str, Held] = {}
        self._changed: dict[str, Held] = {}
        self._made: dict[tuple[str, str], Outgoing] = {}
        self._lines: list[Line] = []
        self._verbs: list[Row] = []
        self._handed: dict[str, Row] = {}

    def load(self, keys: Sequence[int]) -> Plan[None]:
        rows = yield Select(SQL["sagas.load"], (keys,))
        for row in rows:
            held = self._read(row)
            self._held[held.instance.saga_id] = held

    def find(self, saga_id: str) -> Held | None:
        return self._held.get(saga_id)

    def loaded(self) -> list[Held]:
        return list(self._held.values())

    def put(self, key: int, instance: Instance[object]) -> None:
        held = self._held.get(instance.saga_id)
        if held is None:
            held = self._held[instance.saga_id] = Held(key, instance)
        held.instance = instance
        self._changed[instance.saga_id] = held

    def put_made(self, saga_id: str, name: str, message: Outgoing) -> None:
        self._made[saga_id, name] = message

    def made(self, saga_id: str, name: str, key: str, attempt: int) -> Plan[Outgoing]:
        """The bytes of a command that was made before, for one more attempt."""
        fresh = self._made.get((saga_id, name))
        if fresh is not None:
            return unpack_reply(pack_reply(fresh), fresh.topic, key, attempt)
        rows = yield Select(SQL["made.find"], (self._held[saga_id].row, name))
        topic, packed = rows[0]
        assert isinstance(packed, bytes)
        return unpack_reply(packed, str(topic), key, attempt)

    def note(self, saga_id: str, values: Row) -> None:
        """A line of the journal: the columns of `journal.add` after the saga."""
        self._lines.append(Line(saga_id, values))

    def note_verb(self, values: Row) -> None:
        self._verbs.append(values)

    def hand(self, saga_id: str, values: Row) -> None:
        """To whom, by whom, why and when; nobody is an empty text."""
        self._handed[saga_id] = values

    def write(self) -> Plan[None]:
        yield from self._write_sagas()
        self._remember()
        if self._made:
            yield Write(
                SQL["made.add"],
                [
                    (self._held[saga_id].row, name, made.topic, pack_reply(made))
                    for (saga_id, name), made in self._made.items()
                ],
                expect=len(self._made),
            )
        lines = [
            (self._held[line.saga_id].row, *line.values)
            for line in self._lines
            if line.saga_id in self._held
        ]
        if lines:
            yield Write(SQL["journal.add"], lines, expect=len(lines))
        if self._verbs:
            yield Write(SQL["verbs.add"], self._verbs)
        if self._handed:
            handed = [(self._held[name].row, *values) for name, values in self._handed.items()]
            yield Write(SQL["assignments.put"], [row for row in handed if row[1]])
            yield Write(SQL["assignments.end"], [(row[0],) for row in handed if not row[1]])

    def _write_sagas(self) -> Plan[None]:
        changed = self._changed.values()
        new = [held for held in changed if held.loaded is None]
        if new:
            numbers = yield Select(SQL["sagas.number"], (range(1, len(new) + 1),))
            for held, (row,) in zip(new, numbers, strict=True):
                held.row = int(row or 0)
            yield Write(SQL["sagas.add"], [self._new(held) for held in new], expect=len(new))
        old = [self._old(held) for held in changed if held.loaded is not None]
        if old:
            yield Write(SQL["sagas.save"], old, expect=len(old))
        data = [(held.row, held.cells[0]) for held in changed if _data_moved(held)]
        if data:
            yield Write(SQL["data.put"], data, expect=len(data))

    def _remember(self) -> None:
        """Sagas under way, for their next message; finished ones hear hardly any more."""
        if len(self._cache) > _CACHED_MAX:
            self._cache.clear()
        for held in self._changed.values():
            if held.instance.finished:
                self._cache.pop(held.row, None)
            else:
                self._cache[held.row] = Remembered(held.cells, held.instance, held.written)

    def _new(self, held: Held) -> Row:
        instance = held.instance
        return (
            *self._moving(held),
            held.row,
            held.key,
            instance.saga_id,
            instance.definition,
            instance.definition_version,
        )

    def _old(self, held: Held) -> Row:
        assert held.loaded is not None
        return (*self._moving(held), held.row, held.loaded.version)

    def _moving(self, held: Held) -> Row:
        """The columns that change; remembers them, after the data, as what the row then holds."""
        instance = held.instance
        data = self._data(instance) if _data_moved(held) else held.cells[0]
        moving = (
            instance.phase.value,
            int(instance.paused),
            f"[{','.join(self._steps(held))}]",
            instance.version,
            instance.start_id,
            instance.start_digest,
            _NONE_ASKED
            if not instance.cancellations
            else orjson.dumps([astuple(each) for each in instance.cancellations]).decode(),
            instance.reason,
            instance.detail,
            instance.attention,
            instance.attentions,
            instance.started_us,
            instance.updated_us,
        )
        held.cells = (data, *moving)
        return moving

    def _steps(self, held: Held) -> list[str]:
        """Each step as JSON; those that did not move since they were written are as they were."""
        steps, before = held.instance.steps, held.loaded and held.loaded.steps
        if before is None or not held.written:
            written = [self._step(step) for step in steps]
        else:
            written = [
                old if step is was else self._step(step)
                for step, was, old in zip(steps, before, held.written, strict=True)
            ]
        held.written = written
        return written

    def _step(self, step: Step) -> str:
        """Only what differs from a step whose turn has not come: rows stay small."""
        if step.status is Status.IDLE and step == (step.name, *_UNTOUCHED):
            return f'{{"name":"{step.name}","status":"idle"}}'
        kept: dict[str, object] = {"name": step.name, "status": step.status}
        for name in _STEP_NUMBERS:
            value = getattr(step, name)
            if value:
                kept[name] = value
        if step.reply is not None:
            kept["reply"] = self._encode(step.reply).decode("latin-1")
        if step.forgotten is not None:
            kept["forgotten"] = step.forgotten.value
        return orjson.dumps(kept).decode()

    def _data(self, instance: Instance[object]) -> str | None:
        if instance.data is None:
            return None
        saga = self._definition(instance.definition, instance.definition_version)
        return saga.dump(instance.data).decode()

    def _read(self, row: Row) -> Held:
        number, saga_id, name, version, key, data, phase, paused, steps, *rest = row
        at, start_id, digest, asked, reason, detail, attention, attentions, *times = rest
        known = self._cache.get(int(number or 0))
        if known is not None and known.cells == row[5:]:
            # Remembered by the very text it was written as: it cannot be another one.
            instance = known.instance
            return Held(0, instance, int(number or 0), instance, known.cells, known.written)
        saga = self._definition(str(name), int(version or 0))
        by_name = {each["name"]: self._step_of(each) for each in orjson.loads(str(steps))}
        fresh: Instance[object] = Instance(
            saga_id=str(saga_id),
            definition=saga.name,
            definition_version=saga.version,
            key=str(key),
            phase=Phase(str(phase)),
            paused=bool(paused),
            steps=tuple([by_name[each] for each in saga.plan.names]),
            data=None if data is None else saga.load(str(data)),
            version=int(at or 0),
            start_id=str(start_id),
            start_digest=str(digest),
            cancellations=_cancellations(str(asked)),
            reason=str(reason),
            detail=str(detail),
            attention=str(attention),
            attentions=int(attentions or 0),
            started_us=int(times[0] or 0),
            updated_us=int(times[1] or 0),
        )
        return Held(0, fresh, int(number or 0), fresh, row[5:])

    def _step_of(self, kept: dict[str, object]) -> Step:
        values = {**kept, "status": _STATUSES[str(kept["status"])]}
        if "reply" in kept:
            values["reply"] = self._decode(str(kept["reply"]).encode("latin-1"))
        if "forgotten" in kept:
            values["forgotten"] = Forgotten(str(kept["forgotten"]))
        return Step(**values)  # type: ignore[arg-type]


def _data_moved(held: Held) -> bool:
    return held.loaded is None or held.instance.data is not held.loaded.data


def _cancellations(column: str) -> tuple[Cancellation, ...]:
    if column == _NONE_ASKED:
        return ()
    return tuple([Cancellation(*each) for each in orjson.loads(column)])
