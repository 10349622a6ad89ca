"""Whether today's messages can be read by every released version, and theirs by today's.

FULL_TRANSITIVE, both directions against every version, with the reference implementation's
checker for what Avro resolves, and with rules of our own for what it does not see: logical
types, text exchanged for bytes, moved names, enum symbols hidden behind a default, bounds that
became narrower, and what a contract says beside its fields. Knows no record and no topic.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from schemas.catalogue import load_catalogue
from schemas.fingerprint import fingerprint
from schemas.releases import Release, releases
from schemas.shapes import (
    JSON,
    Array,
    Enum,
    Field,
    Fixed,
    Map,
    Primitive,
    Record,
    Shape,
    Union,
    read_record,
)

LOWER_BOUNDS = ("minimum", "min_length", "min_items")
UPPER_BOUNDS = ("maximum", "max_length", "max_items")
OTHER_BOUNDS = ("pattern", "format")
CONTRACT = ("kind", "topic", "key")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that breaks a reader: where, against which version, and what to do."""

    full_name: str
    version: str
    path: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path} (against {self.version}): {self.problem}. {self.remedy}"


@dataclass(frozen=True, slots=True)
class _Change:
    path: str
    problem: str
    remedy: str


def check_released() -> tuple[Finding, ...]:
    """Everything in today's catalogue that breaks a released version; empty is well."""
    today = {name: contract.schema for name, contract in load_catalogue().by_name.items()}
    return check(today, releases())


def check(today: Mapping[str, dict[str, JSON]], released: Iterable[Release]) -> tuple[Finding, ...]:
    """`today` maps full names to self-contained schemas."""
    found: list[Finding] = []
    released = tuple(released)
    for old in released:
        new = today.get(old.full_name)
        found.extend(
            Finding(old.full_name, old.version, change.path, change.problem, change.remedy)
            for change in (_removed(old) if new is None else _changes(old, new))
        )
    return tuple(dict.fromkeys([*found, *_confusable(released)]))


def _removed(old: Release) -> Iterator[_Change]:
    yield _Change(old.full_name, "removed", "Put it back; stop writing it instead")


def _changes(old: Release, new: dict[str, JSON]) -> Iterator[_Change]:
    before, after = read_record(old.schema), read_record(new)
    yield from _resolution(old, new)
    yield from _of_contract(before, after)
    yield from _of_shape(old.full_name, before, after)


def _resolution(old: Release, new: dict[str, JSON]) -> Iterator[_Change]:
    """What Avro's own schema resolution cannot do, in either direction."""
    for problem, reader, writer in (
        ("today's reader cannot read what it wrote", new, old.schema),
        ("its reader cannot read what today writes", old.schema, new),
    ):
        messages, locations = _unresolved(reader, writer)
        for location in locations:
            detail = "; ".join(messages)
            path = _path_of(location, reader, old.full_name)
            yield _Change(
                path,
                f"{problem}: {detail}",
                "Give the field a default, keep its type, or write a new message",
            )


def _unresolved(reader: JSON, writer: JSON) -> tuple[list[str], list[str]]:
    """Messages and locations of the reference checker; it is slow to import, so only here."""
    from avro.compatibility import (  # noqa: PLC0415
        ReaderWriterCompatibilityChecker,
        SchemaCompatibilityType,
    )
    from avro.schema import parse  # noqa: PLC0415

    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    result = checker.get_compatibility(parse(json.dumps(reader)), parse(json.dumps(writer)))
    if result.compatibility is SchemaCompatibilityType.compatible:
        return [], []
    whole = {"/"}  # stands there beside the places themselves
    return sorted(result.messages), sorted(result.locations - whole or whole)


def _path_of(location: str, reader: JSON, full_name: str) -> str:
    """`/fields/3/type` in the words of this project: the message and the field's name."""
    path, here = [full_name], reader
    steps = iter(location.strip("/").split("/"))
    for step in steps:
        if step == "fields" and isinstance(here, dict) and isinstance(here["fields"], list):
            here = here["fields"][int(next(steps))]
            assert isinstance(here, dict)
            path.append(str(here["name"]))
        elif isinstance(here, dict) and step in here:
            here = here[step]
            while isinstance(here, dict) and isinstance(here.get("type"), dict):
                here = here["type"]
    return ".".join(path)


def _of_contract(old: Record, new: Record) -> Iterator[_Change]:
    """What is agreed beside the fields."""
    for name in CONTRACT:
        before, after = old.attributes.get(name), new.attributes.get(name)
        if before != after:
            problem = f"{name} changed from {before!r} to {after!r}"
            yield _Change(old.full_name, problem, "Put it back, or write a new message")
    yield from _of_replies(old, new)
    yield from _of_bounds(f"{old.full_name}: total_minor", _total(old), _total(new))


def _of_replies(old: Record, new: Record) -> Iterator[_Change]:
    for kind in ("answers", "refusals"):
        before, after = _names(old, kind), _names(new, kind)
        for name in sorted(after - before):
            problem = f"{name} was added to its {kind}; the orchestrators of then do not know it"
            yield _Change(old.full_name, problem, "Write a new command that can be answered so")
        for name in sorted(before - after):
            problem = f"{name} is no longer among its {kind}; services of then still send it"
            yield _Change(old.full_name, problem, "Put it back; stop sending it instead")


def _names(record: Record, attribute: str) -> set[str]:
    given = record.attributes.get(attribute)
    return {str(name) for name in given} if isinstance(given, list) else set()


def _total(record: Record) -> Mapping[str, JSON]:
    given = record.attributes.get("total_minor")
    return given if isinstance(given, dict) else {}


def _of_shape(path: str, old: Shape, new: Shape) -> Iterator[_Change]:
    match old, new:
        case Record(), Record():
            yield from _of_name(path, old.full_name, new.full_name)
            yield from _of_fields(path, old, new)
        case Enum(), Enum():
            yield from _of_name(path, old.full_name, new.full_name)
            yield from _of_symbols(path, old, new)
        case Fixed(), Fixed():
            yield from _of_logical(path, old.logical, new.logical)
        case Primitive(), Primitive():
            if old.name != new.name:
                problem = f"type changed from {old.name} to {new.name}"
                yield _Change(path, problem, "Keep the type; add a field with a default")
            yield from _of_logical(path, old.logical, new.logical)
        case (Array(before), Array(after)) | (Map(before), Map(after)):
            yield from _of_shape(f"{path}[]", before, after)
        case Union(before), Union(after):
            yield from _of_branches(path, before, after)
        case _ if type(old) is not type(new):
            problem = f"type changed from {_kind(old)} to {_kind(new)}"
            yield _Change(path, problem, "Keep the type; add a field with a default")


def _kind(shape: Shape) -> str:
    return shape.name if isinstance(shape, Primitive) else type(shape).__name__.lower()


def _of_name(path: str, old: str, new: str) -> Iterator[_Change]:
    if old != new:
        yield _Change(path, f"renamed from {old} to {new}", "Keep the name and the namespace")


def _of_logical(path: str, old: str, new: str) -> Iterator[_Change]:
    if old != new:
        problem = f"logical type changed from {old or 'none'} to {new or 'none'}"
        yield _Change(path, problem, "The same bytes would mean another thing; add a field")


def _of_symbols(path: str, old: Enum, new: Enum) -> Iterator[_Change]:
    for symbol in sorted({*old.symbols} ^ {*new.symbols}):
        problem = f"symbol {symbol} was {'removed' if symbol in old.symbols else 'added'}"
        yield _Change(path, problem, "One side cannot read it; write a new message or a string")


def _of_branches(path: str, old: tuple[Shape, ...], new: tuple[Shape, ...]) -> Iterator[_Change]:
    if len(old) != len(new):
        problem = f"a union of {len(old)} types became one of {len(new)}"
        yield _Change(path, problem, "Keep the union; add a field with a default")
    for before, after in zip(old, new, strict=False):
        yield from _of_shape(path, before, after)


def _of_fields(path: str, old: Record, new: Record) -> Iterator[_Change]:
    for before in old.fields:
        after = new.field_named(before.name)
        if after is None:
            continue
        here = f"{path}.{before.name}"
        yield from _of_shape(here, before.shape, after.shape)
        yield from _of_bounds(here, before.attributes, after.attributes)
        yield from _of_default(here, before, after)


def _of_default(path: str, old: Field, new: Field) -> Iterator[_Change]:
    """Records older than the field are read with the default, so it is part of their content."""
    if "default" in old.attributes and old.attributes["default"] != new.attributes.get("default"):
        yield _Change(path, "its default changed", "Older records would change; put it back")


def _of_bounds(path: str, old: Mapping[str, JSON], new: Mapping[str, JSON]) -> Iterator[_Change]:
    """Only narrowing: what was legal once must stay legal. Wider is read first, written later."""
    for name in (*LOWER_BOUNDS, *UPPER_BOUNDS, *OTHER_BOUNDS):
        before, after = old.get(name), new.get(name)
        if before == after or after is None:
            continue
        if isinstance(before, int) and isinstance(after, int):
            narrower = after > before if name in LOWER_BOUNDS else after < before
        else:
            narrower = True  # a bound where none was, or a pattern nobody can compare
        if narrower:
            problem = f"{name} changed from {before!r} to {after!r}, so old records may break it"
            yield _Change(path, problem, "Put it back or widen it")


def _confusable(released: Iterable[Release]) -> Iterator[Finding]:
    """Two released schemas with one fingerprint must have equal logical types."""
    first: dict[bytes, Release] = {}
    for each in released:
        other = first.setdefault(fingerprint(each.schema), each)
        pair = read_record(other.schema), read_record(each.schema)
        for change in _of_shape(each.full_name, *pair):
            if change.problem.startswith("logical type"):
                problem = f"shares its fingerprint with {other.version}, but {change.problem}"
                remedy = "Neither can be told from the other; that version must not be released"
                yield Finding(each.full_name, each.version, change.path, problem, remedy)
