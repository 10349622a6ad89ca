"""The store as a port: a transaction is a generator that asks for rows and gives back writes.

A plan yields `Select` and `Write`, receives rows, and returns its result; it never awaits and
never knows which database answers. So one text of every transaction serves SQLite (driven as
one closure on its thread), a server (driven with awaits) and a simulation (driven in memory).
What a plan may be asked to do twice it must be able to do twice: it is made anew by its factory.

StoreError
├── Conflict        a guarded write hit fewer rows than it must: somebody else moved first
├── Constraint      the data broke a rule of the schema: the batch is replayed one by one
├── Unavailable     busy, disk full, not writable, connection lost: nobody's fault, try again
│   ├── InDoubt     lost while it committed: what was written may be there and in no memory
│   └── Absent      the server has no such database
├── AlreadyRunning  processes work on it that may not work beside this one
└── WrongDatabase   a person has to look: it is not this program's, or not this release's
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

Value: TypeAlias = "str | int | float | bytes | None"
Row: TypeAlias = tuple[Value, ...]
Given: TypeAlias = "Mapping[str, Value] | Sequence[Value]"
Param: TypeAlias = "Value | Sequence[Value] | Sequence[Sequence[Value]]"
T = TypeVar("T")


class StoreError(Exception):
    """The store could not do it."""


class Conflict(StoreError):
    """A guarded write missed its row."""


class Constraint(StoreError):
    """A row broke a rule of the schema."""


class Unavailable(StoreError):
    """The database did not answer or could not write."""


class InDoubt(Unavailable):
    """The answer to the commit was lost: it may be in the database, or not."""


class Absent(Unavailable):
    """There is no such database."""


class AlreadyRunning(StoreError):
    """Another process works on this database."""


class WrongDatabase(StoreError):
    """Not what this program left: a migration changed, a newer release or another program wrote."""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL by name. `IN :keys` and `:list` take one sequence; `:pairs` a sequence of tuples.

    `postgres` is the same where PostgreSQL, with its many writers, needs another text. What has
    no text for a database need not be asked there, and is answered with no rows.
    """

    name: str
    sql: str
    postgres: str | None = None


@dataclass(frozen=True, slots=True)
class Select:
    statement: Statement
    params: Sequence[Param] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """One statement over many rows. `expect`: how many rows it must hit in all, or Conflict."""

    statement: Statement
    rows: Sequence[Row]
    expect: int | None = None


Plan: TypeAlias = Generator["Select | Write", "list[Row]", T]


class Readable(Protocol):
    async def read(self, asked: Statement | str, params: Given = ()) -> list[dict[str, Value]]:
        """Rows by column name, on a read-only connection, in a transaction of its own."""


class Store(Readable, Protocol):
    """The database of one program; the only truth of what it did."""

    async def run(self, plan: Callable[[], Plan[T]]) -> T:
        """Everything the plan does in one durable transaction, or nothing and StoreError."""

    async def log_bytes(self) -> int:
        """Size of the write-ahead log where it is this process's to keep small, else 0."""

    async def close(self) -> None: ...


def statements(path: Path) -> dict[str, Statement]:
    """The named statements of a `.sql` file: each begins with a line `-- name: <name>`.

    After a line `-- on postgres` stands its text for PostgreSQL.
    """
    found: dict[str, Statement] = {}
    for part in re.split(r"^-- name:", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name, _, text = part.partition("\n")
        name = name.strip()
        if name in found:
            raise ValueError(f"{path}: the statement {name} stands there twice")
        sql, other, postgres = text.partition("-- on postgres\n")
        found[name] = Statement(name, _plain(sql), _plain(postgres) if other else None)
    return found


def _plain(text: str) -> str:
    lines = [each for each in text.splitlines() if not each.lstrip().startswith("--")]
    return "\n".join(lines).strip().rstrip(";")
