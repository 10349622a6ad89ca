"""What is taken away when its days are over: a rule for each table that grows.

A rule is a plan for one slice, and says whether there may be another; a program adds the rules of
its own tables. Two tables are kept for life on purpose: `operations`, because a duplicate gets its
stored reply however late it comes, and `keys`, which they refer to (a number is never given to
another name). Invariant: the outbox's last row stays, because the next number is one more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from services.chassis.settings import Settings
from services.chassis.spoken import old_spoken
from services.chassis.store import Plan, Select, Write, statements

SQL = statements(Path(__file__).parent / "chassis.sql")
SLICE = 2_000
KEYS_A_SLICE = 20_000
PARKED = statements(Path(__file__).parent / "parked.sql")
DAY_US = 86_400_000_000
_SWEEPS_A_ROUND = 60
Rule: TypeAlias = Callable[[Settings, int], Plan[bool]]


def sent_messages(settings: Settings, now_us: int) -> Plan[bool]:
    """Rows are sent about in their order: a slice with nothing to take is the end of it."""
    before_us = now_us - settings.outbox_days * DAY_US
    last = yield Select(SQL["outbox.last"])
    seq = int(last[0][0] or 0)
    old = yield Select(SQL["outbox.old"], (seq, before_us))
    yield Write(SQL["outbox.sweep"], [(seq, before_us)])
    return bool(old[0][0])


def settled_dead_letters(settings: Settings, now_us: int) -> Plan[bool]:
    before_us = now_us - settings.dead_letter_days * DAY_US
    old = yield Select(SQL["dead.settled"], (before_us, SLICE))
    yield Write(SQL["dead.forget"], old)
    return len(old) == SLICE


def told_key_verbs(settings: Settings, now_us: int) -> Plan[bool]:
    """As long as the dead letters that they settled."""
    before_us = now_us - settings.dead_letter_days * DAY_US
    old = yield Select(PARKED["verbs.old"], (before_us, SLICE))
    yield Write(PARKED["verbs.forget"], old)
    return len(old) == SLICE


def finished_attempts(settings: Settings, now_us: int) -> Plan[bool]:
    del settings, now_us
    yield Write(SQL["attempts.sweep"], [()])
    return False


class AppliedMessages:
    """The inbox, by ranges of keys: all of them are gone through once in sixty sweeps."""

    def __init__(self) -> None:
        self._from = 0
        self._left: Iterator[int] = iter(())

    def __call__(self, settings: Settings, now_us: int) -> Plan[bool]:
        rows = yield Select(SQL["keys.last"])
        last = int(rows[0][0] or 0)
        left = next(self._left, None)
        if left is None:
            slices = 1 + last // (KEYS_A_SLICE * _SWEEPS_A_ROUND)
            self._left = iter(range(slices - 1, -1, -1))
            left = next(self._left)
        before_us = now_us - settings.inbox_days * DAY_US
        to = self._from + KEYS_A_SLICE
        yield Write(SQL["inbox.sweep"], [(before_us, self._from, to - 1)])
        self._from = 0 if to > last else to
        return left > 0


def rules() -> tuple[Rule, ...]:
    """Those of the chassis's own tables."""
    return (
        AppliedMessages(),
        sent_messages,
        settled_dead_letters,
        told_key_verbs,
        finished_attempts,
        old_spoken,
    )
