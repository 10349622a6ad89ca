"""Whether the last end was clean: written when a process stops, taken away when it starts."""

from __future__ import annotations

from pathlib import Path

from services.chassis.store import Plan, Select, Write, statements

SQL = statements(Path(__file__).parent / "chassis.sql")


def was_clean() -> Plan[bool]:
    """True for a new database and after a graceful stop; from now on the end is unclean."""
    rows = yield Select(SQL["meta.all"])
    found = {str(name): str(value) for name, value in rows}
    yield Write(SQL["meta.put"], [("clean", "0")])
    return found.get("clean", "1") == "1"


def end_cleanly() -> Plan[None]:
    yield Write(SQL["meta.put"], [("clean", "1")])
