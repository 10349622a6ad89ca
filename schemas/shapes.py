"""Avro schemas as values: a schema's JSON read once into a small tree of frozen shapes.

Owns reading, naming and the inlining of named types, so that every schema handed out is
self-contained. Knows no rule of what a good message is (rules.py) and no Python type made
from it (generate.py). Invariant: a shape has no cycle; a schema that refers to itself is
refused here, because decoding it can be driven to any depth by a few bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


class IllegalSchemaError(ValueError):
    """A schema that must not be used; the message names it, the place in it and the remedy."""


@dataclass(frozen=True, slots=True)
class Primitive:
    name: str
    logical: str = ""


@dataclass(frozen=True, slots=True)
class Array:
    items: Shape


@dataclass(frozen=True, slots=True)
class Map:
    values: Shape


@dataclass(frozen=True, slots=True)
class Union:
    branches: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Fixed:
    full_name: str
    size: int
    logical: str = ""


@dataclass(frozen=True, slots=True)
class Enum:
    full_name: str
    symbols: tuple[str, ...]
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """`attributes` are all of the field's JSON but name, type and doc; `default` among them."""

    name: str
    shape: Shape
    doc: str = ""
    attributes: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """`attributes` are what Avro does not know: kind, topic, key, answers and the like."""

    full_name: str
    fields: tuple[Field, ...]
    doc: str = ""
    attributes: Mapping[str, JSON] = field(default_factory=dict)

    def field_named(self, name: str) -> Field | None:
        return next((f for f in self.fields if f.name == name), None)


Shape: TypeAlias = "Primitive | Array | Map | Union | Fixed | Enum | Record"
Named: TypeAlias = "Fixed | Enum | Record"
Names: TypeAlias = Mapping[str, dict[str, JSON]]


def full_name_of(schema: Mapping[str, JSON], namespace: str = "") -> str:
    name, space = str(schema["name"]), str(schema.get("namespace", namespace))
    return name if "." in name or not space else f"{space}.{name}"


def inlined(schema: dict[str, JSON], names: Names) -> dict[str, JSON]:
    """The schema with every named type of `names` written out where it is first used."""
    result = _inline(schema, names, "", set())
    assert isinstance(result, dict)
    return result


def _inline(schema: JSON, names: Names, namespace: str, defined: set[str]) -> JSON:
    if isinstance(schema, list):
        return [_inline(branch, names, namespace, defined) for branch in schema]
    if isinstance(schema, str):
        name = schema if schema in PRIMITIVES or "." in schema else f"{namespace}.{schema}"
        if name in PRIMITIVES or name in defined or name not in names:
            return name
        return _inline(names[name], names, namespace, defined)
    if not isinstance(schema, dict):
        return schema
    result = dict(schema)
    if "name" in schema:
        name = full_name_of(schema, namespace)
        defined.add(name)
        namespace = name.rpartition(".")[0]
    for part in ("type", "items", "values"):
        if isinstance(schema.get(part), (list, dict)) or part in {"items", "values"} & set(schema):
            result[part] = _inline(schema[part], names, namespace, defined)
    if isinstance(fields := schema.get("fields"), list):
        result["fields"] = [_inline_field(each, names, namespace, defined) for each in fields]
    return result


def _inline_field(declared: JSON, names: Names, namespace: str, defined: set[str]) -> JSON:
    if not isinstance(declared, dict) or "type" not in declared:
        return declared
    return {**declared, "type": _inline(declared["type"], names, namespace, defined)}


@dataclass
class _Reader:
    """Reads one self-contained schema. `open` holds the records that are being read."""

    finished: dict[str, Shape] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)

    def shape(self, schema: JSON, namespace: str, path: str) -> Shape:
        if isinstance(schema, str):
            return self._named(schema, namespace, path)
        if isinstance(schema, list):
            branches = (self.shape(s, namespace, f"{path}[{i}]") for i, s in enumerate(schema))
            return Union(tuple(branches))
        if not isinstance(schema, dict):
            raise IllegalSchemaError(
                f"{path}: {schema!r} is no Avro type. Name one or write it out."
            )
        return self._written_out(schema, namespace, path)

    def _written_out(self, schema: dict[str, JSON], namespace: str, path: str) -> Shape:
        named = isinstance(schema.get("name"), str)
        shape: Shape | None = None
        match schema:
            case {"type": "array", "items": inner}:
                shape = Array(self.shape(inner, namespace, f"{path}[]"))
            case {"type": "map", "values": inner}:
                shape = Map(self.shape(inner, namespace, f"{path}{{}}"))
            case {"type": "record", "fields": list()} if named:
                shape = self._record(schema, namespace, path)
            case {"type": "enum", "symbols": list()} | {"type": "fixed", "size": int()} if named:
                shape = self._finish(_without_parts(schema, namespace), path)
            case {"type": str(name)} if name in PRIMITIVES:
                shape = Primitive(name, str(schema.get("logicalType", "")))
            case {"type": (dict() | list()) as inner}:
                shape = self.shape(inner, namespace, path)
        if shape is None:
            raise IllegalSchemaError(f"{path}: {schema!r} is no Avro type. Correct it.")
        return shape

    def _named(self, name: str, namespace: str, path: str) -> Shape:
        if name in PRIMITIVES:
            return Primitive(name)
        full = name if "." in name or not namespace else f"{namespace}.{name}"
        if full in self.open:
            raise IllegalSchemaError(
                f"{path}: {full} contains itself. Recursion is refused; refer to it by an id."
            )
        if full not in self.finished:
            raise IllegalSchemaError(
                f"{path}: {full} is not known. Write its .avsc file or correct the name."
            )
        return self.finished[full]

    def _record(self, schema: dict[str, JSON], namespace: str, path: str) -> Shape:
        name = full_name_of(schema, namespace)
        self.open.append(name)
        fields = tuple(self._fields(schema["fields"], name))
        self.open.pop()
        avro = {"type", "name", "namespace", "fields", "doc"}
        extra = {key: value for key, value in schema.items() if key not in avro}
        return self._finish(Record(name, fields, str(schema.get("doc", "")), extra), path)

    def _fields(self, declared: JSON, record: str) -> Iterator[Field]:
        assert isinstance(declared, list)
        for each in declared:
            if not isinstance(each, dict) or not {"name", "type"} <= set(each):
                raise IllegalSchemaError(f"{record}: {each!r} is no field. Give it name and type.")
            name = str(each["name"])
            shape = self.shape(each["type"], record.rpartition(".")[0], f"{record}.{name}")
            extra = {key: each[key] for key in each if key not in {"name", "type", "doc"}}
            yield Field(name, shape, str(each.get("doc", "")), extra)

    def _finish(self, shape: Named, path: str) -> Named:
        name = shape.full_name
        if name in self.finished:
            raise IllegalSchemaError(f"{path}: {name} is defined twice. Refer to it by its name.")
        self.finished[name] = shape
        return shape


def _without_parts(schema: Mapping[str, JSON], namespace: str) -> Fixed | Enum:
    name = full_name_of(schema, namespace)
    symbols, size = schema.get("symbols"), schema.get("size")
    if isinstance(symbols, list):
        return Enum(name, tuple(map(str, symbols)), str(schema.get("doc", "")))
    assert isinstance(size, int)
    return Fixed(name, size, str(schema.get("logicalType", "")))


def read_shape(schema: JSON, path: str = "schema") -> Shape:
    """The shape of a self-contained schema; raises IllegalSchemaError where it is not one."""
    return _Reader().shape(schema, "", path)


def read_record(schema: dict[str, JSON]) -> Record:
    path = str(schema.get("name", "schema"))
    shape = read_shape(schema, path)
    if not isinstance(shape, Record):
        raise IllegalSchemaError(f"{path}: a schema file holds one record, not {shape!r}.")
    return shape


def parts(shape: Shape, path: str, depth: int = 1) -> Iterator[tuple[str, Shape, int]]:
    """The shape and all below it, each with its path and its depth (the outermost is 1)."""
    yield path, shape, depth
    match shape:
        case Array(inner):
            yield from parts(inner, f"{path}[]", depth + 1)
        case Map(inner):
            yield from parts(inner, f"{path}{{}}", depth + 1)
        case Union(branches):
            for branch in branches:
                yield from parts(branch, path, depth + 1)
        case Record(fields=fields):
            for each in fields:
                yield from parts(each.shape, f"{path}.{each.name}", depth + 1)


def is_empty(shape: Shape) -> bool:
    """Whether its values take no bytes at all, so that any number of them fits in a record."""
    match shape:
        case Primitive("null") | Fixed(size=0):
            return True
        case Record(fields=fields):
            return all(is_empty(each.shape) for each in fields)
    return False
