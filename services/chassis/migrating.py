"""Which migrations a database still needs; each store applies them in its own way.

Numbered files of each owner, applied in the order of their names and noted with their digest.
Invariant: a file that was applied somewhere is never changed afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.chassis.store import WrongDatabase

FILES = "[0-9]*.sql"
LEDGER = (
    "CREATE TABLE IF NOT EXISTS migrations"
    " (owner TEXT, name TEXT, sha256 TEXT NOT NULL, PRIMARY KEY (owner, name))"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One file to apply; `note` is the statement that says so, of the same transaction."""

    file: Path
    text: str
    note: str


def missing(owner: str, files: Iterable[Path], applied: Mapping[str, str]) -> Iterator[Step]:
    """`applied`: name → digest of those of this owner. Raises WrongDatabase."""
    known = sorted(files, key=lambda file: file.name)
    for name in applied.keys() - {file.name for file in known}:
        raise WrongDatabase(
            f"this database has the migration {owner}/{name}, which this release does not know:"
            " a newer release wrote it. Install that release, or restore a copy made before it."
        )
    for file in known:
        text = file.read_text(encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        if applied.get(file.name, digest) != digest:
            raise WrongDatabase(f"the migration {file} changed after it was applied here")
        if file.name not in applied:
            noted = ", ".join(f"'{each}'" for each in (owner, file.name, digest))
            note = f"INSERT INTO migrations VALUES ({noted})"  # noqa: S608 - three names of ours
            yield Step(file, text, note)
