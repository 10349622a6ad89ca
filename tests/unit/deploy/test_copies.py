"""Copies of databases: whole while somebody writes, and put back beside nobody's log."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.local.copies import backup, put_back
from deploy.local.faults import HomeUnusable
from deploy.local.home import Home

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


def writing(home: Home, seq: int) -> sqlite3.Connection:
    """A database of billing under way: its last rows stand only in its write-ahead log."""
    home.prepare()
    database = sqlite3.connect(home.database("billing"), isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA wal_autocheckpoint = 0")
    database.execute("CREATE TABLE IF NOT EXISTS outbox (seq INTEGER)")
    database.execute("CREATE TABLE IF NOT EXISTS offsets (topic, partition, next)")
    database.execute("INSERT INTO outbox VALUES (?)", (seq,))
    database.execute("INSERT INTO offsets VALUES ('t', 0, ?)", (seq,))
    return database


def rows(file: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT seq FROM outbox ORDER BY seq").fetchall()


def test_a_copy_holds_what_is_committed_while_others_write(tmp_path: Path) -> None:
    """And the manifest says when, and how far that database was."""
    home, folder = Home(tmp_path / "home"), tmp_path / "copy"
    with closing(writing(home, 7)):
        (row,) = backup(home, folder)

    assert rows(folder / "billing.db") == [(7,)]
    assert (folder / "billing.db").stat().st_mode & 0o077 == 0
    at = datetime.fromisoformat(str(row["at"]))
    assert at.tzinfo is not None
    assert {**row, "at": ""} == {
        "database": "billing", "at": "", "outbox": 7, "offsets": {"t": {0: 7}},
    }  # fmt: skip
    written = json.loads((folder / "manifest.json").read_text())
    assert written == {"databases": [{**row, "offsets": {"t": {"0": 7}}}]}


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(HomeUnusable, match="is not empty"):
        backup(Home(tmp_path / "home"), tmp_path)


def test_a_copy_does_not_meet_the_log_of_the_database_before(tmp_path: Path) -> None:
    """That one is kept whole under another name, log and all."""
    home, folder = Home(tmp_path / "home"), tmp_path / "copy"
    with closing(writing(home, 1)):
        backup(home, folder)
    newer = writing(home, 2)
    aside = put_back(home, "billing", folder, NOW)

    assert aside == home.data / "billing.db.before-20261123T140000"
    assert not home.database("billing").with_name("billing.db-wal").exists()
    assert rows(home.database("billing")) == [(1,)]
    assert rows(aside) == [(1,), (2,)]
    newer.close()


def test_a_copy_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with closing(writing(home, 1)), pytest.raises(HomeUnusable, match=r"billing\.db does not"):
        put_back(home, "billing", tmp_path / "nowhere", NOW)

    assert rows(home.database("billing")) == [(1,)]
