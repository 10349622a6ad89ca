"""The catalogue of messages: every .avsc file read once, checked, and looked up by name or type.

Owns where schemas lie and what a contract says. Refuses to know how a record is encoded.
Invariant: a catalogue that exists is legal; `read_catalogue` raises with every complaint at
once. Python types are imported only when they are asked for, so that a catalogue can be read
before its types were generated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import cast

from schemas.rules import OVERTAKEN, complaints_of_messages, complaints_of_record, names_in
from schemas.shapes import JSON, IllegalSchemaError, Record, full_name_of, inlined, read_record

ROOT = Path(__file__).parent
NAMESPACE = "baton"


@dataclass(frozen=True, slots=True)
class Contract:
    """What is agreed about one message.

    `schema` is self-contained Avro JSON. `topic` is where it is published; None for a reply
    that is only a reply. `refusals` includes Overtaken for every command that has an undo;
    `undoes` and `undone_by` name the two commands of such a pair.
    """

    full_name: str
    kind: str
    topic: str | None
    key: str
    answers: tuple[str, ...]
    refusals: tuple[str, ...]
    owner: str
    schema: dict[str, JSON]
    undoes: str | None = None
    undone_by: str | None = None

    @property
    def name(self) -> str:
        return self.full_name.rpartition(".")[2]

    @property
    def python(self) -> type:
        """The generated type; raises AttributeError if `baton contracts generate` was not run."""
        return cast(type, getattr(import_module(f"schemas.{self.owner}"), self.name))


@dataclass(frozen=True)
class Catalogue:
    """`by_name` holds the messages, `records` every record by full name, parts included."""

    by_name: Mapping[str, Contract]
    records: Mapping[str, Record]

    @cached_property
    def by_type(self) -> Mapping[type, Contract]:
        return {contract.python: contract for contract in self.by_name.values()}

    @cached_property
    def owners(self) -> tuple[str, ...]:
        return tuple(sorted({_owner_of(name) for name in self.records}))

    def replies_of(self, service: str) -> tuple[Contract, ...]:
        """What may stand on the reply topic of a service: its answers, refusals and Overtaken."""
        commands = [c for c in self.by_name.values() if c.kind == "command" and c.owner == service]
        names = {name for c in commands for name in (*c.answers, *c.refusals)}
        return tuple(self.by_name[name] for name in sorted(names))

    def published_on(self, topic: str) -> tuple[Contract, ...]:
        """What may stand on a topic that is no reply topic."""
        return tuple(c for _, c in sorted(self.by_name.items()) if c.topic == topic)


@cache
def load_catalogue() -> Catalogue:
    """The catalogue of this distribution, read once per process."""
    return read_catalogue(ROOT)


def read_catalogue(root: Path) -> Catalogue:
    """Reads `<root>/<owner>/<Record>.avsc`; raises IllegalSchemaError with all complaints."""
    complaints: list[str] = []
    schemas: dict[str, dict[str, JSON]] = {}
    files = sorted(root.glob("*/*.avsc"))
    for path in files:
        try:
            schema = _read_file(path)
        except (IllegalSchemaError, json.JSONDecodeError, UnicodeDecodeError) as fault:
            complaints.append(f"{path.relative_to(root)}: {fault}")
        else:
            schemas[full_name_of(schema)] = schema
    whole = {name: inlined(schema, schemas) for name, schema in schemas.items()}
    records: dict[str, Record] = {}
    for name, schema in whole.items():
        try:
            records[name] = read_record(schema)
        except IllegalSchemaError as fault:
            complaints.append(str(fault))
    for record in records.values():
        complaints.extend(complaints_of_record(record))
    if len(records) == len(files):  # otherwise a broken file would be told twice, as missing
        complaints.extend(complaints_of_messages(records))
    if complaints:
        raise IllegalSchemaError("\n".join(dict.fromkeys(complaints)))
    return Catalogue(_contracts(records, whole), records)


def _read_file(path: Path) -> dict[str, JSON]:
    """One record, named as its file and its folder say."""
    schema = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise IllegalSchemaError("a schema file holds one record.")
    named, expected = schema.get("name"), path.stem
    space, owner = schema.get("namespace"), f"{NAMESPACE}.{path.parent.name}"
    if (named, space) != (expected, owner):
        raise IllegalSchemaError(f"holds {space}.{named}. Name it {owner}.{expected} or move it.")
    return cast(dict[str, JSON], schema)


def _owner_of(full_name: str) -> str:
    return full_name.split(".")[1]


def _contracts(
    records: Mapping[str, Record], schemas: Mapping[str, dict[str, JSON]]
) -> Mapping[str, Contract]:
    undone_by = {
        str(each.attributes["undoes"]): name
        for name, each in records.items()
        if "undoes" in each.attributes
    }
    found: dict[str, Contract] = {}
    for name, record in sorted(records.items()):
        given = record.attributes
        if "kind" not in given:
            continue
        overtaken = (OVERTAKEN,) if name in undone_by else ()
        found[name] = Contract(
            full_name=name,
            kind=str(given["kind"]),
            topic=str(given["topic"]) if "topic" in given else None,
            key=str(given["key"]),
            answers=names_in(record, "answers"),
            refusals=(*names_in(record, "refusals"), *overtaken),
            owner=_owner_of(name),
            schema=schemas[name],
            undoes=str(given["undoes"]) if "undoes" in given else None,
            undone_by=undone_by.get(name),
        )
    return found
