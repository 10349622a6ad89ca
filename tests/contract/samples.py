"""A legal value for any field of any record, made from its schema."""

from __future__ import annotations

from datetime import UTC, datetime

from schemas.shapes import JSON, Array, Enum, Field, Primitive, Record, Shape, Union

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SAMPLES = {"^[A-Za-z0-9._-]{1,64}$": "a-1", "^[^@\\s]+@[^@\\s]+$": "a@b.example"}


def sample(declared: Field, shape: Shape) -> object:
    """A legal value of a field."""
    match shape:
        case Primitive("long", "timestamp-micros"):
            return NOW
        case Primitive("string" | "boolean" as name):
            return text(declared) if name == "string" else False
        case Union(branches):
            return sample(declared, branches[1])
        case Array(items):
            return [sample(declared, items)]
        case Record(fields=fields):
            return {each.name: sample(each, each.shape) for each in fields}
    return shape.symbols[0] if isinstance(shape, Enum) else max(0, least(declared))


def least(declared: Field) -> int:
    return number(declared.attributes["minimum"])


def text(declared: Field) -> str:
    if "format" in declared.attributes:
        return "GBP"
    return SAMPLES.get(str(declared.attributes.get("pattern")), "x")


def number(value: JSON) -> int:
    assert isinstance(value, int)
    return value


def python_type(full_name: str) -> type:
    _, owner, name = full_name.split(".")
    made = getattr(__import__(f"schemas.{owner}", fromlist=[name]), name)
    assert isinstance(made, type)
    return made
