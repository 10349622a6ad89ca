"""Which database a process keeps its truth in: a path is SQLite's file, a URL a PostgreSQL.

The driver of PostgreSQL is an optional part of the installation, so it is imported only when a
URL asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

from pydantic import SecretStr

from services.chassis import sqlite
from services.chassis.store import Absent, Readable, Store, WrongDatabase

Place: TypeAlias = Path | SecretStr


def open_store(place: Place, migrations: Mapping[str, Path]) -> AbstractAsyncContextManager[Store]:
    if isinstance(place, Path):
        return sqlite.open_store(place, migrations)
    opened: AbstractAsyncContextManager[Store] = _postgres().open_store(
        place.get_secret_value(), migrations
    )
    return opened


def open_reader(place: Place) -> AbstractAsyncContextManager[Readable]:
    """Of a database that other processes write."""
    if isinstance(place, Path):
        return sqlite.open_reader(place)
    opened: AbstractAsyncContextManager[Readable] = _postgres().open_reader(
        place.get_secret_value()
    )
    return opened


def open_alone(place: Place, migrations: Mapping[str, Path]) -> AbstractAsyncContextManager[Store]:
    """For repairs; raises AlreadyRunning. A server's database is not migrated by it."""
    if isinstance(place, Path):
        return sqlite.open_store(place, migrations)
    opened: AbstractAsyncContextManager[Store] = _postgres().open_alone(place.get_secret_value())
    return opened


async def is_there(place: Place) -> bool:
    """Raises Unavailable when a server does not say."""
    if isinstance(place, Path):
        return place.exists()
    try:
        async with open_reader(place):
            return True
    except Absent:
        return False


def shown(place: Place) -> str:
    """As a person may see it: without a secret."""
    if isinstance(place, Path):
        return str(place)
    named: str = _postgres().place(place.get_secret_value())
    return named


def _postgres() -> ModuleType:
    try:
        return import_module("services.chassis.postgres")
    except ModuleNotFoundError as error:
        raise WrongDatabase(
            "BATON_DATABASE names a PostgreSQL, whose driver is not installed:"
            " pip install 'baton-saga[postgres]'"
        ) from error
