"""The name of a schema inside a record: CRC-64-AVRO of its Parsing Canonical Form.

Source: Apache Avro 1.12 specification, "Transforming into Parsing Canonical Form" and "Schema
Fingerprints". The form leaves out docs, defaults, bounds and logical types, so two schemas that
differ only in those share a fingerprint; compatibility.py forbids what that would confuse.
"""

from __future__ import annotations

import json
from functools import cache

from schemas.shapes import JSON, PRIMITIVES, full_name_of

EMPTY = 0xC15D213AA4D7A795
KEPT_IN_ORDER = ("name", "type", "fields", "symbols", "items", "values", "size")


def fingerprint(schema: JSON) -> bytes:
    """The 8 bytes as they stand in a single-object header: little-endian."""
    return _crc64(canonical_form(schema).encode()).to_bytes(8, "little")


def canonical_form(schema: JSON) -> str:
    return json.dumps(_canonical(schema, ""), separators=(",", ":"), ensure_ascii=False)


def _canonical(schema: JSON, namespace: str) -> JSON:
    if isinstance(schema, list):
        return [_canonical(branch, namespace) for branch in schema]
    if isinstance(schema, str):
        simple = schema in PRIMITIVES or "." in schema or not namespace
        return schema if simple else f"{namespace}.{schema}"
    if not isinstance(schema, dict):
        return schema
    kind = schema["type"]
    if isinstance(kind, (dict, list)) or kind in PRIMITIVES:
        return _canonical(kind, namespace)
    result = dict(schema)
    if "name" in schema:
        result["name"] = full_name_of(schema, namespace)
        namespace = str(result["name"]).rpartition(".")[0]
    for part in ("items", "values"):
        if part in schema:
            result[part] = _canonical(schema[part], namespace)
    if isinstance(fields := schema.get("fields"), list):
        result["fields"] = [_canonical_field(each, namespace) for each in fields]
    return {key: result[key] for key in KEPT_IN_ORDER if key in result}


def _canonical_field(declared: JSON, namespace: str) -> JSON:
    assert isinstance(declared, dict)
    return {"name": declared["name"], "type": _canonical(declared["type"], namespace)}


@cache
def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (EMPTY & -(value & 1))  # noqa: PLW2901
        table.append(value)
    return tuple(table)


def _crc64(data: bytes) -> int:
    table, crc = _table(), EMPTY
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc
