"""One row an operation, for life: what was asked, what was answered, what is under way.

Transitions: new → calling → done | refused; new → done | refused; any of these → undo_calling →
undone, or → undone at once. `undone` with no reply is a tombstone: the undo came before its do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from services.chassis.items import Begun
from services.chassis.messages import Message, Outgoing
from services.chassis.packing import pack_begun, pack_message, unpack_reply
from services.chassis.store import Plan, Row, Select, Value, Write, statements

SQL = statements(Path(__file__).parent / "chassis.sql")
Place = tuple[str, str, str]


class Status(StrEnum):
    NEW = "new"
    CALLING = "calling"
    DONE = "done"
    REFUSED = "refused"
    UNDO_CALLING = "undo_calling"
    UNDONE = "undone"


class Operation(NamedTuple):
    key: str
    source: str
    id: str
    status: Status = Status.NEW
    reply: bytes | None = None
    undo_reply: bytes | None = None
    call: bytes | None = None
    undo_waits: bytes | None = None
    said: int = 1
    version: int = 0

    @property
    def place(self) -> Place:
        return (self.key, self.source, self.id)

    def calling(self, begun: Begun) -> Operation:
        undo = begun.what == "undo"
        return self._replace(
            status=Status.UNDO_CALLING if undo else Status.CALLING,
            call=pack_begun(begun),
            undo_waits=None if undo else self.undo_waits,
        )

    def awaits(self, what: str) -> bool:
        return self.status is (Status.UNDO_CALLING if what == "undo" else Status.CALLING)

    def with_undo_waiting(self, message: Message) -> Operation:
        return self._replace(undo_waits=pack_message(message))

    def settled(self) -> Operation:
        return self._replace(status=Status.DONE, call=None)

    def answered(self, packed: bytes, *, undo: bool, refused: bool) -> Operation:
        if undo:
            return self._replace(
                status=Status.UNDONE, undo_reply=packed, call=None, undo_waits=None
            )
        if self.status in (Status.UNDONE, Status.UNDO_CALLING):
            return self._replace(reply=packed)  # overtaken: the undo has the say
        status = Status.REFUSED if refused else Status.DONE
        return self._replace(status=status, reply=packed, call=None)


class Operations:
    """The operations that one batch works on."""

    def __init__(self, ids: Mapping[str, int], place: Callable[[str], int]) -> None:
        self._ids = ids
        self._place = place
        self._wanted: list[Place] = []
        self._known: dict[Place, Operation] = {}
        self._changed: set[Place] = set()

    def want(self, key: str, source: str, operation: str) -> None:
        self._wanted.append((key, source, operation))

    def load(self) -> Plan[None]:
        yield from self.fetch(self._wanted)

    def fetch(self, places: Sequence[Place]) -> Plan[None]:
        missing = {
            (self._ids[place[0]], place[1], place[2]): place
            for place in places
            if place not in self._known
        }
        if not missing:
            return
        rows = yield Select(SQL["operations.load"], (list(missing),))
        for row in rows:
            place = missing[int(row[0] or 0), str(row[1]), str(row[2])]
            self._known[place] = _operation(place, row)

    def of(self, message: Message) -> Operation:
        found = self.find(message.key, message.source, message.operation_id)
        return found or Operation(message.key, message.source, message.operation_id)

    def find(self, key: str, source: str, operation: str) -> Operation | None:
        return self._known.get((key, source, operation))

    def put(self, operation: Operation) -> None:
        self._known[operation.place] = operation
        self._changed.add(operation.place)

    def mark(self) -> tuple[dict[Place, Operation], set[Place]]:
        return dict(self._known), set(self._changed)

    def back_to(self, mark: tuple[dict[Place, Operation], set[Place]]) -> None:
        self._known, self._changed = mark

    def begin(self, begun: Begun) -> bool:
        """A reactor's call, unless the same one was begun before."""
        if self.find(begun.key, begun.source, begun.operation) is not None:
            return False
        self.put(Operation(begun.key, begun.source, begun.operation).calling(begun))
        return True

    def say_again(self, packed: bytes, topic: str, message: Message) -> Outgoing:
        operation = self.of(message)
        said = operation.said + 1
        self.put(operation._replace(said=said))
        return unpack_reply(packed, topic, message.key, said)

    def write(self) -> Plan[None]:
        changed = [each for place, each in self._known.items() if place in self._changed]
        new = [self._row(each) for each in changed if not each.version]
        old = [(*self._row(each), each.version) for each in changed if each.version]
        if new:
            yield Write(SQL["operations.add"], new, expect=len(new))
        if old:
            yield Write(SQL["operations.save"], old, expect=len(old))

    def _row(self, each: Operation) -> Row:
        return (
            each.status.value,
            each.reply,
            each.undo_reply,
            each.call,
            each.undo_waits,
            each.said,
            self._place(each.key),
            self._ids[each.key],
            each.source,
            each.id,
        )


def _operation(place: Place, row: Row) -> Operation:
    _, _, _, _, status, reply, undo_reply, call, undo_waits, said, version = row
    return Operation(
        *place,
        Status(str(status)),
        _bytes(reply),
        _bytes(undo_reply),
        _bytes(call),
        _bytes(undo_waits),
        int(said or 0),
        int(version or 0),
    )


def _bytes(value: Value) -> bytes | None:
    return value if isinstance(value, bytes) else None
