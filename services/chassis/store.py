"""The store as a port: a transaction is a generator that asks for rows and gives back writes.

A plan yields `Select` and `Write`, receives rows, and returns its result; it never awaits and
never knows which database answers. So one text of every transaction serves SQLite (driven as
one closure on its thread), a server (driven with awaits) and a simulation (driven in memory).
What a plan may be asked to do twice it must be able to do twice: it is made anew by its factory.

StoreError
├── Conflict        a guarded write hit fewer rows than it must: somebody else moved first
├── Constraint      the data broke a rule of the schema: the batch is replayed one by one
└── Unavailable     busy, disk full, not writable, connection lost: nobody's fault, try again
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

Value: TypeAlias = "str | int | float | bytes | None"
Row: TypeAlias = tuple[Value, ...]
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


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL by name. `IN :keys` and `:list` take one sequence; `:pairs` a sequence of tuples."""

    name: str
    sql: str


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


class Store(Protocol):
    """One database of one process; the only truth of what it did."""

    async def run(self, plan: Callable[[], Plan[T]]) -> T:
        """Everything the plan does in one durable transaction, or nothing and StoreError."""

    async def read(
        self, sql: str, params: Mapping[str, Value] | Sequence[Value] = ()
    ) -> list[dict[str, Value]]:
        """Rows by column name, on a read-only connection, in a transaction of its own."""

    async def close(self) -> None: ...


def statements(path: Path) -> dict[str, Statement]:
    """The named statements of a `.sql` file: each begins with a line `-- name: <name>`."""
    found: dict[str, Statement] = {}
    name, lines = "", list[str]()
    for line in [*path.read_text(encoding="utf-8").splitlines(), "-- name: "]:
        if line.startswith("-- name:"):
            if name:
                sql = "\n".join(each for each in lines if not each.lstrip().startswith("--"))
                if name in found:
                    raise ValueError(f"{path}: the statement {name} stands there twice")
                found[name] = Statement(name, sql.strip().rstrip(";"))
            name, lines = line.partition(":")[2].strip(), []
        else:
            lines.append(line)
    return found
