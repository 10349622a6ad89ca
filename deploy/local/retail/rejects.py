"""The rejects file: every row that was not imported, with its line, its reason and what was seen.

A file per imported file, written whole; importing again replaces it. A detail begins with a word
of ours, so that a spreadsheet never takes a cell of the input for a formula.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from deploy.local.home import Home, write_whole
from deploy.local.retail.rules import Rejected

COLUMNS = ("line", "reason", "detail")


def rejects_path(home: Home, imported: Path) -> Path:
    stem = imported.name.removesuffix(".gz").removesuffix(".csv")
    return home.data / "imports" / f"{stem}.rejects.csv"


def write_rejects(path: Path, rejected: Iterable[Rejected]) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows((row.line, row.reason, row.detail) for row in rejected)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, text.getvalue())
