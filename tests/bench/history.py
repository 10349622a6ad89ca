"""A store that already holds finished sagas: as many rows as they would have left behind."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from services.chassis.store import statements

TABLES = statements(Path(__file__).with_name("history.sql"))


def add_history(database: Path, sagas: int) -> int:
    """Bytes that were added. The orchestrator must not be running."""
    before = database.stat().st_size
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TEMP TABLE numbers (i INTEGER PRIMARY KEY)")
        connection.executemany(
            "INSERT INTO numbers VALUES (?)", ((n,) for n in range(1, sagas + 1))
        )
        lasts = connection.execute("SELECT (SELECT max(id) FROM keys), (SELECT max(id) FROM sagas)")
        base = max(last or 0 for last in lasts.fetchone())
        connection.execute("BEGIN")
        for statement in TABLES.values():
            connection.execute(statement.sql, {"sagas": sagas, "base": base})
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.close()
    return database.stat().st_size - before
