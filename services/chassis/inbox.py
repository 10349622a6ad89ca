"""What was applied before: the identity of a message is its key, its source and its id.

Invariant: a message is in the inbox exactly if its effects are in the database; both are written
by one transaction. Duplicates within a batch are found without asking the database again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from services.chassis.items import Arrived, Item
from services.chassis.messages import Message
from services.chassis.store import Plan, Row, Select, Write, statements

SQL = statements(Path(__file__).parent / "chassis.sql")


class Inbox:
    """The part of the inbox that one batch asks about, and what the batch adds to it."""

    def __init__(self, now_us: int) -> None:
        self._now_us = now_us
        self._seen: set[tuple[int, str, str]] = set()
        self._new: list[Row] = []

    def load(self, items: Sequence[Item], ids: Mapping[str, int]) -> Plan[None]:
        wanted = [
            (ids[item.key], item.message.source, item.message.id)
            for item in items
            if isinstance(item, Arrived)
        ]
        if wanted:
            rows = yield Select(SQL["inbox.seen"], (wanted,))
            self._seen = {(int(row[0] or 0), str(row[1]), str(row[2])) for row in rows}

    def knows(self, key: int, message: Message) -> bool:
        return (key, message.source, message.id) in self._seen

    def add(self, key: int, message: Message) -> None:
        self._seen.add((key, message.source, message.id))
        self._new.append((key, message.source, message.id, self._now_us))

    def write(self) -> Plan[None]:
        if self._new:
            yield Write(SQL["inbox.add"], self._new, expect=len(self._new))
