"""Bodies of messages, read by the published .avsc files and nothing else.

Avro single-object encoding: C3 01, the CRC-64-AVRO fingerprint of the schema, the record. The
schemas are those beside the product and every released one, each made whole by putting a named
type in where it is first mentioned. What no schema reads is None: not to be read here is no
violation, the readers' dead letters say what became of it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import cast

import fastavro
from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

FOLDER = Path(__file__).parents[2] / "schemas"
_HEAD = b"\xc3\x01"
_HEAD_BYTES = 10
Body = Mapping[str, object]
Schema = str | list["Schema"] | dict[str, "Schema"]


def body_of(value: bytes | None) -> Body | None:
    """The record in these bytes, whatever else may be wrong with it."""
    if value is None or value[:2] != _HEAD:
        return None
    known = _schemas().get(value[2:_HEAD_BYTES])
    if known is None:
        return None
    stream = io.BytesIO(value)
    stream.seek(_HEAD_BYTES)
    try:
        return cast("Body", fastavro.schemaless_reader(stream, known, None))
    except Exception:  # noqa: BLE001  bytes of strangers may fail anywhere inside the decoder
        return None


@cache
def _schemas() -> Mapping[bytes, Schema]:
    """Parsed schemas by fingerprint."""
    current = _read(sorted(FOLDER.glob("*/*.avsc")))
    found: dict[bytes, Schema] = {}
    for folder in sorted(FOLDER.glob("released/*")):
        released = _read(sorted(folder.glob("*.avsc")))
        _add(released, {**current, **released}, found)
    _add(current, current, found)
    return found


def _add(
    schemas: Mapping[str, Schema], named: Mapping[str, Schema], found: dict[bytes, Schema]
) -> None:
    for schema in schemas.values():
        whole = _whole(schema, named, set())
        canonical = to_parsing_canonical_form(whole)
        mark = bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))
        found[mark] = parse_schema(whole, named_schemas={})


def _read(files: list[Path]) -> dict[str, Schema]:
    schemas = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return {f"{schema['namespace']}.{schema['name']}": schema for schema in schemas}


def _whole(schema: Schema, named: Mapping[str, Schema], seen: set[str]) -> Schema:
    """With the definition of each named type at its first mention."""
    if isinstance(schema, str):
        if schema not in named or schema in seen:
            return schema
        return _whole(named[schema], named, seen)
    if isinstance(schema, list):
        return [_whole(branch, named, seen) for branch in schema]
    assert isinstance(schema, dict)
    if "name" in schema and "namespace" in schema:
        seen.add(f"{schema['namespace']}.{schema['name']}")
    made = dict(schema)
    for part in ("type", "items", "values", "fields"):
        inner = made.get(part)
        if inner is not None:
            made[part] = _whole(inner, named, seen)
    return made
