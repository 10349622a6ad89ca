"""An installation in a folder, for whoever checks it later or elsewhere.

    manifest.json       when it was taken, where each log began and ended, what could not be read
    topics/*.jsonl      a record a line: partition, offset, time, key, value and headers in base64
    databases/*.db      a file of SQLite each, also of what lies on a PostgreSQL

It holds names and addresses of customers, as the databases do: the folder is its owner's alone.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from deploy.verify.books import books_in, read_books
from deploy.verify.evidence import Evidence, Keeps, Record

FORMAT = 1


class Unusable(Exception):
    """The folder cannot be written to, or holds no export; `str` says which and why."""


def prepare(folder: Path) -> Path:
    """Makes the folder, which must be new or empty; returns where the databases belong."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise Unusable(f"{folder} is not empty")
        for name in ("topics", "databases"):
            (folder / name).mkdir(mode=0o700)
    except OSError as fault:
        raise Unusable(f"{folder}: {fault.strerror}") from fault
    return folder / "databases"


def write_export(folder: Path, evidence: Evidence) -> None:
    """Topics and manifest; the databases were copied when they were read."""
    by_topic: dict[str, list[Record]] = {}
    for record in evidence.records:
        by_topic.setdefault(record.topic, []).append(record)
    for topic, records in by_topic.items():
        with (folder / "topics" / f"{topic}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(_line(record))}\n" for record in records)
    manifest = {
        "format": FORMAT,
        "taken_us": evidence.taken_us,
        "ends": [[*place, *ends] for place, ends in evidence.ends.items()],
        "moved": evidence.moved,
        "unread": list(evidence.unread),
        "keeps": {name: getattr(evidence.keeps, name) for name in Keeps.__slots__},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def read_export(folder: Path) -> Evidence:
    """Raises Unusable where it is none, Unreadable where a database is broken."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise Unusable(f"{folder} is of format {manifest['format']}, this release reads 1")
        ends = {(topic, number): (first, last) for topic, number, first, last in manifest["ends"]}
        return Evidence(
            list(_records(sorted((folder / "topics").glob("*.jsonl")))),
            read_books(books_in(folder / "databases")),
            manifest["taken_us"],
            ends,
            manifest["moved"],
            manifest["unread"],
            keeps=Keeps(**manifest["keeps"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise Unusable(f"{folder} holds no export: {fault}") from fault


def _line(record: Record) -> Mapping[str, object]:
    return {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": _text(record.key),
        "value": _text(record.value),
        "headers": [[name, _text(value)] for name, value in record.headers],
    }


def _records(files: Iterable[Path]) -> Iterator[Record]:
    for path in files:
        with path.open(encoding="utf-8") as file:
            for line in file:
                told = json.loads(line)
                yield Record(
                    path.stem,
                    told["partition"],
                    told["offset"],
                    told["timestamp_ms"],
                    _bytes(told["key"]),
                    _bytes(told["value"]),
                    tuple((name, _bytes(value) or b"") for name, value in told["headers"]),
                )


def _text(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode("ascii")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text, validate=True)
