"""What a former life of a restored database said: known by message id, as bytes.

`baton restore` fills the table from the process's own topics. A message is made once: where one
is to be made whose id was spoken, it is these bytes. A database that was never restored pays one
look for that in the life of its process. Refuses to know what a message means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from services.chassis.messages import Outgoing, Record
from services.chassis.packing import pack_reply, unpack_reply
from services.chassis.settings import Settings
from services.chassis.store import Plan, Row, Select, Write, statements

SQL = statements(Path(__file__).parent / "chassis.sql")
DAY_US = 86_400_000_000
By = Mapping[str, Outgoing]
NOTHING_SPOKEN: By = {}


class Contradicted(Exception):
    """What is decided now is not what was published before the database was restored."""

    def __init__(self, message_id: str, said: str, now: str) -> None:
        super().__init__(
            f"{message_id} was published as {said} before this database was restored, and would be"
            f" {now} now; deploy/RUNBOOK.md, 'database restored from a backup', says what to do"
        )


class Spoken:
    """Loads what was spoken of a batch's keys; whether there is any is asked once."""

    def __init__(self) -> None:
        self._any: bool | None = None

    def load(self, keys: Iterable[int]) -> Plan[By]:
        if self._any is None:
            self._any = bool((yield Select(SQL["spoken.any"])))
        if not self._any:
            return NOTHING_SPOKEN
        return (yield from spoken_of(sorted(set(keys))))


def spoken_keys() -> Plan[list[int]]:
    rows = yield Select(SQL["spoken.keys"])
    return [int(key or 0) for (key,) in rows]


def spoken_of(keys: Sequence[int]) -> Plan[By]:
    """By message id."""
    rows = yield Select(SQL["spoken.of"], (keys,))
    found: dict[str, Outgoing] = {}
    for message_id, topic, key, packed in rows:
        assert isinstance(packed, bytes)
        found[str(message_id)] = unpack_reply(packed, str(topic), str(key), 1)
    return found


def said_before(spoken: By, made: Outgoing) -> Outgoing:
    """The message as it was spoken, if it was; Contradicted if that was of another type."""
    before = spoken.get(made.id)
    if before is None:
        return made
    said, now = type_of(before), type_of(made)
    if said != now:
        raise Contradicted(made.id, said, now)
    return before


def type_of(out: Outgoing) -> str:
    return dict(out.headers).get("ce_type", b"").decode(errors="replace")


def remember(records: Sequence[Record], source: str, now_us: int) -> Plan[int]:
    """Those that `source` said become rows; how many of these records they were."""
    own: list[tuple[str, Outgoing]] = []
    for record in records:
        out = _said(record, source)
        if out is not None:
            own.append((out.key, out))
    names = sorted({key for key, _ in own})
    yield Write(SQL["keys.add"], [(name,) for name in names])
    rows = yield Select(SQL["keys.find"], (names,))
    ids = {str(row[0]): int(row[1] or 0) for row in rows}
    added: list[Row] = [(ids[key], out.id, out.topic, pack_reply(out), now_us) for key, out in own]
    yield Write(SQL["spoken.add"], added)
    return len(added)


def _said(record: Record, source: str) -> Outgoing | None:
    headers = dict(record.headers)
    message_id, key = headers.get("ce_id", b""), record.key or b""
    if headers.get("ce_source") != source.encode() or not message_id or not key:
        return None
    value, told = record.value or b"", record.headers
    return Outgoing(record.topic, key.decode("latin-1"), message_id.decode("latin-1"), value, told)


def old_spoken(settings: Settings, now_us: int) -> Plan[bool]:
    """Retention: as long as what they answer may still be read again."""
    yield Write(SQL["spoken.sweep"], [(now_us - settings.inbox_days * DAY_US,)])
    return False
