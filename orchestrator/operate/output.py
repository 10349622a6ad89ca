"""How every verb prints: results on standard output, in the form asked for; all else on stderr.

`-o table` is for people, the other forms for programs: an empty result is `[]` in JSON and nothing
in JSON lines, and nobody who pipes ever gets a colour. Progress and prompts appear only on a
terminal. Nothing heavy is imported here: `rich` is loaded when a table is really drawn.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Row = Mapping[str, object]
WIDTH_PIPED = 1_000  # whoever reads a pipe wants whole cells, not what fits a terminal


# What a stranger wrote must not move the cursor, colour the screen or turn a line around.
_TURNS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), *_TURNS], "\ufffd")
_OF_LINES = {each: shown for each, shown in _CONTROLS.items() if each != ord("\n")}


class Form(StrEnum):
    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Output:
    form: Form = Form.TABLE
    color: bool = True
    quiet: bool = False
    verbose: bool = False
    asks: bool = True

    def rows(self, columns: Sequence[str], rows: Sequence[Row], *, heading: bool = True) -> None:
        """Tables and CSV show `columns`, JSON the whole row. `heading`: of CSV."""
        if self.form is Form.JSON:
            print(json.dumps([dict(row) for row in rows], indent=1, default=str))
        elif self.form is Form.JSONL:
            for row in rows:
                print(json.dumps(dict(row), default=str), flush=True)
        elif self.form is Form.CSV:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            if heading:
                writer.writerow(columns)
            writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
        else:
            self._table(columns, rows)

    def one(self, row: Row) -> None:
        """A single thing: an object in JSON, a field a line for people."""
        if self.form is Form.JSON:
            print(json.dumps(dict(row), indent=1, default=str))
        elif self.form is Form.TABLE:
            width = max((len(name) for name in row), default=0)
            for name, value in row.items():
                print(f"{name.replace('_', ' '):<{width}}  {_cell(value)}")
        else:
            self.rows(list(row), [row])

    def stream(self, rows: Iterable[Row]) -> None:
        """A JSON object a line, each flushed: what is followed has no end to close a list at."""
        for row in rows:
            print(json.dumps(dict(row), default=str), flush=True)

    def lines(self, texts: Iterable[str]) -> None:
        """Lines for people, each flushed."""
        for text in texts:
            print(text.translate(_CONTROLS), flush=True)

    def say(self, text: str) -> None:
        """One line for the person at the terminal; `-q` silences it."""
        if not self.quiet:
            self.stderr().print(plain(text), markup=False, highlight=False)

    def fail(self, what: str, mend: str = "") -> None:
        """Never silenced: what is wrong, then what to type next."""
        console = self.stderr()
        console.print(f"✖ {plain(what)}", style="red", markup=False, highlight=False)
        if mend:
            console.print(f"  → {plain(mend)}", markup=False, highlight=False)

    def stderr(self) -> Console:
        return self._console(to_stderr=True)

    def _console(self, *, to_stderr: bool) -> Console:
        from rich.console import Console  # noqa: PLC0415  `baton --help` does without

        colorless = not self.color or "NO_COLOR" in os.environ
        piped = not (sys.stderr if to_stderr else sys.stdout).isatty()
        return Console(
            stderr=to_stderr,
            no_color=colorless,
            soft_wrap=to_stderr,
            emoji=False,  # `cup:one:300` is an order's line, not a picture
            width=WIDTH_PIPED if piped else None,
        )

    def _table(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        from rich.table import Table  # noqa: PLC0415  as above

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            numbers = all(isinstance(row.get(column), int | float | None) for row in rows)
            table.add_column(
                column.replace("_", " ").upper(),
                justify="right" if rows and numbers else "left",
                overflow="fold",
            )
        for row in rows:
            table.add_row(*(_escaped(_cell(row.get(column))) for column in columns))
        self._console(to_stderr=False).print(table)


def plain(text: str) -> str:
    """For a terminal: of what is not written, lines only."""
    return text.translate(_OF_LINES)


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return " ".join(_cell(item) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, default=str)
    return str(value).translate(_CONTROLS)
