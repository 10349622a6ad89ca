"""Copies of the databases: taken while everything runs, put back while their process does not.

A copy is one consistent moment of one database, made by SQLite's own backup; the moments of two
databases differ, and need not agree: that is what `baton restore` is for. Invariant: nothing is
deleted here, and a copy never meets the write-ahead log of the database whose place it takes.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from .faults import HomeUnusable
from .home import Home, write_whole
from .stack import OURS

MANIFEST: Final = "manifest.json"
LOGS: Final = ("-wal", "-shm")


def backup(home: Home, folder: Path) -> list[dict[str, object]]:
    """One line a database, also kept in the folder's manifest. The folder must be new or empty."""
    if folder.exists() and any(folder.iterdir()):
        raise HomeUnusable(f"{folder} is not empty", mend="name a folder that does not exist yet")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    rows = [
        _copied(name, home.database(name), folder / f"{name}.db")
        for name in OURS
        if home.database(name).exists()
    ]
    write_whole(folder / MANIFEST, json.dumps({"databases": rows}, indent=1) + "\n")
    return rows


def put_back(home: Home, service: str, folder: Path, now: datetime) -> Path | None:
    """The copy takes the database's place; where that one lies now, if there was one."""
    copy = folder / f"{service}.db"
    if not copy.is_file():
        raise HomeUnusable(f"{copy} does not exist", mend=f"ls {folder}")
    place = home.database(service)
    draft = place.with_name(f".{place.name}.draft")
    shutil.copyfile(copy, draft)
    draft.chmod(0o600)
    aside = place.with_name(f"{place.name}.before-{now:%Y%m%dT%H%M%S}")
    moved = place.exists()
    for end in ("", *LOGS):
        old = place.with_name(place.name + end)
        if old.exists():
            old.rename(aside.with_name(aside.name + end))
    draft.rename(place)
    return aside if moved else None


def _copied(name: str, source: Path, target: Path) -> dict[str, object]:
    """The time is from before the copy began: what is newer may be in it, nothing older lacks."""
    at = datetime.now(tz=UTC)
    with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as database:
        target.touch(mode=0o600)
        with closing(sqlite3.connect(target)) as copy:
            database.backup(copy)
            return {"database": name, "at": at.isoformat(), **_facts(copy)}


def _facts(copy: sqlite3.Connection) -> Mapping[str, object]:
    (last,) = copy.execute("SELECT coalesce(max(seq), 0) FROM outbox").fetchone()
    rows = copy.execute("SELECT topic, partition, next FROM offsets ORDER BY topic, partition")
    offsets: dict[str, dict[int, int]] = {}
    for topic, partition, following in rows:
        offsets.setdefault(topic, {})[partition] = following
    return {"outbox": last, "offsets": offsets}
