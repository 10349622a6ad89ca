"""What the orchestrator forgets when its days are over: sagas that ended long ago, and old verbs.

A saga goes whole: its row, its data, its made commands and its journal, in one transaction. The
journal stays append-only for every saga that has a row; the database itself refuses the rest.
An open saga is never touched, however old. Invariant: the saga with the highest number stays,
so that no number is given twice. What comes later for a saga that is gone is a dead letter.
"""

from __future__ import annotations

from orchestrator.engine.store import SQL
from services.chassis.retention import DAY_US
from services.chassis.settings import Settings
from services.chassis.store import Plan, Select, Write

SLICE = 200


def ended_sagas(settings: Settings, now_us: int) -> Plan[bool]:
    before_us = now_us - settings.journal_days * DAY_US
    rows = yield Select(SQL["sagas.ended"], (before_us, SLICE))
    for name in ("data.forget", "made.forget", "assignments.end", "sagas.forget", "journal.forget"):
        yield Write(SQL[name], rows)
    return len(rows) == SLICE


def old_verbs(settings: Settings, now_us: int) -> Plan[bool]:
    before_us = now_us - settings.journal_days * DAY_US
    rows = yield Select(SQL["verbs.old"], (SLICE, before_us))
    yield Write(SQL["verbs.forget"], rows)
    return len(rows) == SLICE


RULES = (ended_sagas, old_verbs)
