"""The fingerprint is the one that every Avro implementation computes."""

from __future__ import annotations

import json

import avro.schema
import fastavro.schema
import pytest

from schemas.catalogue import load_catalogue
from schemas.fingerprint import canonical_form, fingerprint
from schemas.shapes import JSON

NESTED: dict[str, JSON] = {
    "type": "record",
    "name": "Outer",
    "namespace": "a.b",
    "aliases": ["Old"],
    "doc": "Left out.",
    "fields": [
        {"name": "own", "type": {"type": "fixed", "name": "Eight", "size": 8}, "doc": "Left out."},
        {"name": "again", "type": ["null", "Eight"], "default": None},
        {"name": "map", "type": {"type": "map", "values": {"type": "string", "x": 1}}},
        {"name": "enum", "type": {"type": "enum", "name": "c.E", "symbols": ["A", "B"]}},
        {"name": "inner", "type": {"type": "record", "name": "In", "fields": []}},
    ],
}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ("int", "8f5c393f1ad57572"),
        ("string", "c70345637248018f"),
        ({"type": "long", "logicalType": "timestamp-micros"}, "b71df49344e154d0"),
    ],
)
def test_known_fingerprints(schema: JSON, expected: str) -> None:
    """Values that the Avro specification's own tests hold, little-endian as in a record."""
    assert fingerprint(schema).hex() == expected


@pytest.mark.parametrize("schema", ["null", ["null", "long"], NESTED])
def test_the_canonical_form_is_fastavro_s(schema: str | list[JSON] | dict[str, JSON]) -> None:
    """Names become full, what is not needed to read bytes is left out, the order is fixed."""
    expected = fastavro.schema.to_parsing_canonical_form(schema)

    assert canonical_form(schema) == expected
    assert fingerprint(schema).hex() == fastavro.schema.fingerprint(expected, "CRC-64-AVRO")


@pytest.mark.parametrize("name", sorted(load_catalogue().by_name))
def test_every_message_has_the_fingerprint_that_others_compute(name: str) -> None:
    """fastavro agrees on all; the reference package too, where there is no logical type.

    That package writes {"type":"long"} for a logical type where the specification says "long".
    """
    schema = load_catalogue().by_name[name].schema
    form = fastavro.schema.to_parsing_canonical_form(schema)
    assert fingerprint(schema).hex() == fastavro.schema.fingerprint(form, "CRC-64-AVRO")

    text = json.dumps(schema)
    plain = text.replace(', "logicalType": "timestamp-micros"', "").replace(
        '{"type": "long"}', '"long"'
    )
    assert fingerprint(schema) == avro.schema.parse(plain).fingerprint("CRC-64-AVRO")


def test_no_two_messages_share_a_fingerprint() -> None:
    """A reader finds exactly one schema for a record."""
    found = {fingerprint(each.schema) for each in load_catalogue().by_name.values()}

    assert len(found) == len(load_catalogue().by_name)
