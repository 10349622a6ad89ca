"""What is to be said, numbered in the transaction that decided it.

Invariant: nothing is published that is not a committed row, and a key's rows are published in
the order of their numbers. Numbers are given while the batch holds what it speaks of, so for each
key number order is commit order.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.chassis.messages import Outgoing, pack, unpack
from services.chassis.store import Plan, Row, Select, Write, statements

SQL = statements(Path(__file__).parent / "chassis.sql")


class Outbox:
    """The messages of one batch. `behind`: unsent numbers of the same keys that go before them."""

    def __init__(self, now_us: int) -> None:
        self.behind: list[int] = []
        self._now_us = now_us
        self._out: list[tuple[int, Outgoing]] = []

    def add(self, key: int, message: Outgoing) -> None:
        self._out.append((key, message))

    def write(self) -> Plan[list[tuple[int, Outgoing]]]:
        """The rows as numbered, in order, ready to be published once this commits."""
        if not self._out:
            return []
        numbers = yield Select(SQL["outbox.number"], (range(1, len(self._out) + 1),))
        numbered = [
            (int(seq or 0), out) for (seq,), (_, out) in zip(numbers, self._out, strict=True)
        ]
        rows = [
            _row(seq, key, out, self._now_us)
            for (seq, out), (key, _) in zip(numbered, self._out, strict=True)
        ]
        keys = sorted({out.key for _, out in self._out})
        behind = yield Select(SQL["outbox.behind"], (keys,))
        self.behind = [int(seq or 0) for (seq,) in behind]
        yield Write(SQL["outbox.add"], rows, expect=len(rows))
        return numbered


def _row(seq: int, key: int, out: Outgoing, now_us: int) -> Row:
    return (
        seq,
        key,
        out.id,
        out.attempt,
        out.topic,
        out.key,
        out.value,
        out.packed or pack(out.headers),
        now_us,
    )


def outgoing(rows: Sequence[Row]) -> list[tuple[int, Outgoing]]:
    """Rows of `outbox.rows` as they are published."""
    return [
        (
            int(seq or 0),
            Outgoing(
                str(topic),
                str(key),
                str(message_id),
                value if isinstance(value, bytes) else b"",
                unpack(headers if isinstance(headers, bytes) else b"[]"),
                int(attempt or 1),
            ),
        )
        for seq, topic, key, message_id, value, headers, attempt in rows
    ]
