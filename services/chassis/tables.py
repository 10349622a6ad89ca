"""Rows of a service as frozen dataclasses, and the SQL that loads and writes them by key.

A row is replaced, never mutated. Every table has a `version`: a row that was loaded is updated
only at the version it was loaded with, so a lost update is a conflict and never a surprise.
Where there are many writers a row is locked as it is loaded, in the order of keys.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import orjson

from services.chassis.store import Statement, Value


@dataclass(frozen=True)
class Table:
    """One table: its row class, its key column, and the columns kept as JSON.

    A JSON column gives back lists and dicts, whatever went in: declare such fields accordingly.
    """

    row: type
    name: str
    key: str
    json: tuple[str, ...] = ()
    columns: tuple[str, ...] = field(init=False)
    select: Statement = field(init=False)
    insert: Statement = field(init=False)
    update: Statement = field(init=False)

    def __post_init__(self) -> None:
        if not dataclasses.is_dataclass(self.row):
            raise TypeError(f"table {self.name}: {self.row.__name__} is no dataclass")
        columns = tuple(each.name for each in dataclasses.fields(self.row))
        for name in (self.key, *self.json):
            if name not in columns:
                raise TypeError(f"table {self.name}: {self.row.__name__} has no field {name}")
        marks = ", ".join("?" for _ in columns)
        sets = ", ".join(f"{column} = ?" for column in columns)
        names = ", ".join(columns)
        load = f"SELECT {names}, version FROM {self.name} WHERE {self.key} IN :keys"  # noqa: S608
        put = object.__setattr__
        put(self, "columns", columns)
        put(
            self,
            "select",
            Statement(f"{self.name}.load", load, f"{load} ORDER BY {self.key} FOR UPDATE"),
        )
        put(
            self,
            "insert",
            Statement(
                f"{self.name}.insert",
                f"INSERT INTO {self.name} ({names}, version) VALUES ({marks}, 1)",  # noqa: S608
            ),
        )
        put(
            self,
            "update",
            Statement(
                f"{self.name}.update",
                f"UPDATE {self.name} SET {sets}, version = version + 1"  # noqa: S608
                f" WHERE {self.key} = ? AND version = ?",
            ),
        )

    def key_of(self, row: object) -> str:
        return str(getattr(row, self.key))

    def encode(self, row: object) -> tuple[Value, ...]:
        return tuple(
            orjson.dumps(getattr(row, column)).decode()
            if column in self.json
            else getattr(row, column)
            for column in self.columns
        )

    def decode(self, values: tuple[Value, ...]) -> tuple[object, int]:
        """The row and the version it was loaded with."""
        *cells, version = values
        if self.json:
            cells = [
                orjson.loads(cell) if column in self.json and isinstance(cell, str) else cell
                for column, cell in zip(self.columns, cells, strict=True)
            ]
        return self.row(*cells), int(version or 0)
