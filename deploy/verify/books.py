"""The databases of an installation, read: a file of SQLite, or a database of a PostgreSQL.

What lies on a server is first copied, at one moment, into a file or the memory of an SQLite: the
columns that are checked and no others. So whatever is read later, an export too, is read in one
way. Writes nothing where it reads.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Final, TypeAlias, cast
from urllib.parse import urlsplit

from pydantic import SecretStr

from deploy.verify.evidence import TABLES, Tables, tables_of

Book: TypeAlias = Path | SecretStr
Rows: TypeAlias = list[tuple[object, ...]]
BUSY_WITHIN_S: Final = 10.0


class Unreadable(Exception):
    """A database is not what this release reads; `str` says which and why."""


def books_in(folder: Path) -> Mapping[str, Book]:
    """Of every process, as files of its name."""
    return {process: folder / f"{process}.db" for process in TABLES}


def ask(book: Book, *questions: str) -> list[Rows] | None:
    """The answers, or None where there is no such database."""
    if isinstance(book, SecretStr):
        url = book.get_secret_value()
        return cast("list[Rows] | None", _on_server(book, "ask", url, questions))
    if not book.exists():
        return None
    try:
        with closing(_opened(book)) as database:
            return [database.execute(each).fetchall() for each in questions]
    except sqlite3.Error as fault:
        raise Unreadable(f"{book}: {fault}") from fault


def read_books(books: Mapping[str, Book], copies: Path | None = None) -> Mapping[str, Tables]:
    """Of every process that has a database; copied into a folder on the way, where asked for."""
    found = {}
    for process, book in books.items():
        tables = _tables(process, book, copies / f"{process}.db" if copies else None)
        if tables is not None:
            found[process] = tables
    return found


def _tables(process: str, book: Book, copy: Path | None) -> Tables | None:
    try:
        if isinstance(book, SecretStr):
            with closing(sqlite3.connect(copy or ":memory:")) as into:
                there = _on_server(book, "copy", process, book.get_secret_value(), into)
                return tables_of(process, into) if there else None
        if not book.exists():
            return None
        with closing(_opened(book)) as database:
            if copy is None:
                return tables_of(process, database)
            with closing(sqlite3.connect(copy)) as into:
                database.backup(into)
                into.execute("PRAGMA journal_mode = DELETE")  # one file, without a -wal beside it
                return tables_of(process, into)
    except sqlite3.Error as fault:
        raise Unreadable(f"{_shown(book)}: {fault}") from fault


def _opened(file: Path) -> sqlite3.Connection:
    uri = f"{file.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_WITHIN_S, isolation_level=None)


def _on_server(book: SecretStr, function: str, *given: object) -> object:
    """What a function of `deploy.verify.postgres` returns, its faults told without a secret."""
    try:
        server = import_module("deploy.verify.postgres")
    except ModuleNotFoundError as fault:
        raise Unreadable(f"{_shown(book)}: pip install 'baton-saga[postgres]'") from fault
    try:
        return asyncio.run(getattr(server, function)(*given))
    except server.FAULTS as fault:
        said, secret = str(fault), urlsplit(book.get_secret_value()).password
        told = said.replace(secret, "…") if secret else said
        raise Unreadable(f"{_shown(book)}: {type(fault).__name__}: {told}") from None


def _shown(book: Book) -> str:
    if isinstance(book, Path):
        return str(book)
    parts = urlsplit(book.get_secret_value())
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
