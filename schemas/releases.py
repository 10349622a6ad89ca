"""The schemas of every released version, self-contained, one file per message.

Records of a released version may still lie in a topic or in a backup, so a version that was
written here is never changed and never removed: readers find the writer's schema in it by
fingerprint. Knows nothing of what may change between versions (compatibility.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.catalogue import ROOT, load_catalogue
from schemas.fingerprint import fingerprint
from schemas.shapes import JSON, IllegalSchemaError

RELEASED = ROOT / "released"
VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Release:
    """One message as one version wrote it."""

    version: str
    full_name: str
    schema: dict[str, JSON]


def releases(root: Path = RELEASED) -> tuple[Release, ...]:
    """Every released message, oldest version first."""
    versions = [each for each in root.iterdir() if VERSION.fullmatch(each.name)]
    versions.sort(key=lambda each: tuple(map(int, each.name.split("."))))
    return tuple(
        Release(version.name, path.stem, json.loads(path.read_text(encoding="utf-8")))
        for version in versions
        for path in sorted(version.glob("*.avsc"))
    )


def schemas_by_fingerprint(root: Path = RELEASED) -> Mapping[bytes, dict[str, JSON]]:
    """Every schema that a record may have been written with: the released ones and today's.

    Today's stand last and so win where a fingerprint is shared: such schemas differ in docs,
    defaults or bounds only, never in how bytes are read.
    """
    found = {fingerprint(each.schema): each.schema for each in releases(root)}
    today = load_catalogue().by_name.values()
    return found | {fingerprint(each.schema): each.schema for each in today}


def freeze(version: str, root: Path = RELEASED) -> tuple[Path, ...]:
    """Writes today's schemas as those of a version; raises if that version is there already."""
    if not VERSION.fullmatch(version):
        raise IllegalSchemaError(f"{version!r} is no version. Give three numbers, such as 1.2.0.")
    folder = root / version
    if folder.exists():
        raise IllegalSchemaError(
            f"{folder} exists. A released version stays; take the next number."
        )
    folder.mkdir(parents=True)
    written = []
    for name, contract in load_catalogue().by_name.items():
        path = folder / f"{name}.avsc"
        path.write_text(json.dumps(contract.schema, indent=2) + "\n", encoding="utf-8")
        written.append(path)
    return tuple(written)
