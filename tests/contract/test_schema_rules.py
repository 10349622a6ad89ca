"""Each illegal schema is refused when it is read, by a message that names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from planted import Schemas, a_legal_catalogue, add, complaints, field

from schemas.shapes import JSON

Spoil = Callable[[Schemas], object]

PIECE = "baton.shop.Piece"
RESERVE = "baton.shop.Reserve"
RESERVED = "baton.shop.Reserved"
BOMB = "items without bytes: a short record makes millions. Give them a field."


def nested(depth: int) -> JSON:
    return {"type": "array", "items": nested(depth - 1)} if depth else "string"


def with_empty_record(schemas: Schemas) -> None:
    empty: JSON = {"type": "record", "name": "Nothing", "doc": "None.", "fields": []}
    listed: JSON = {"type": "array", "items": empty}
    add(schemas, "Reserve", name="bomb", type=listed, max_items=9, doc="Bomb.")


CASES: list[tuple[str, Spoil, list[str]]] = [
    (
        "a record that contains itself",
        lambda s: add(
            s, "Piece", name="parts", type={"type": "array", "items": "Piece"}, max_items=2, doc="."
        ),
        [f"{PIECE}.parts[]: {PIECE} contains itself. Recursion is refused; refer to it by an id."],
    ),
    (
        "a list of nulls",
        lambda s: add(
            s, "Reserve", name="bomb", type={"type": "array", "items": "null"}, max_items=9, doc="."
        ),
        [f"{RESERVE}.bomb: {BOMB}"],
    ),
    (
        "a map of nulls",
        lambda s: add(s, "Reserve", name="bomb", type={"type": "map", "values": "null"}, doc="."),
        [f"{RESERVE}.bomb: {BOMB}"],
    ),
    (
        "a list of empty records",
        with_empty_record,
        [
            f"{RESERVE}.bomb: {BOMB}",
            "baton.shop.Nothing: no fields. Give it its business key.",
        ],
    ),
    (
        "nesting beyond sixteen",
        lambda s: add(
            s, "Reserve", name="deep", type=nested(15), max_items=2, max_length=9, doc="."
        ),
        [f"baton.shop.Reserve.deep{'[]' * 15}: nested deeper than 16. Flatten it."],
    ),
    (
        "a map",
        lambda s: add(s, "Reserve", name="m", type={"type": "map", "values": "string"}, doc="."),
        [f"{RESERVE}.m: maps are not used. Write an array of records with a key field."],
    ),
    (
        "a fraction",
        lambda s: add(s, "Reserve", name="price", type="double", doc="."),
        [f"{RESERVE}.price: bytes, fixed and fractions are not used. Money is a long."],
    ),
    (
        "a logical type that is not ours",
        lambda s: add(
            s, "Reserve", name="day", type={"type": "int", "logicalType": "date"}, doc="."
        ),
        [
            f"{RESERVE}.day: logical type date on int. Times are long timestamp-micros.",
        ],
    ),
    (
        "a union of two kinds of text",
        lambda s: add(s, "Reserve", name="u", type=["string", "null"], max_length=9, doc="."),
        ['baton.shop.Reserve.u: the only union is ["null", X]. Write one message type per case.'],
    ),
    (
        "a union of three",
        lambda s: add(
            s, "Reserve", name="u", type=["null", "string", "boolean"], max_length=9, doc="."
        ),
        [f'{RESERVE}.u: the only union is ["null", X]. Write one message type per case.'],
    ),
    (
        "a type that is written out twice",
        lambda s: add(s, "Reserve", name="twice", type={**s["Piece"]}, doc="."),
        [f"{RESERVE}.twice: {PIECE} is defined twice. Refer to it by its name."],
    ),
    (
        "a field without doc",
        lambda s: field(s, "Reserve", 1).pop("doc"),
        [f"{RESERVE}.pieces: no doc. Say what it means and in which unit."],
    ),
    (
        "a record without doc",
        lambda s: s["Piece"].pop("doc"),
        [f"{PIECE}: no doc. Say what it means, in one sentence."],
    ),
    (
        "an enum without doc",
        lambda s: add(
            s, "Reserve", name="e", type={"type": "enum", "name": "E", "symbols": ["a"]}, doc="."
        ),
        [f"{RESERVE}.e: enum baton.shop.E has no doc. Say what it means."],
    ),
    (
        "a number without bounds",
        lambda s: field(s, "Piece", 1).pop("maximum"),
        [f"{PIECE}.quantity: a number without minimum and maximum. Bound it."],
    ),
    (
        "bounds beyond the Avro type",
        lambda s: field(s, "Piece", 1).update(maximum=2**31),
        [f"{PIECE}.quantity: 1..2147483648 is not a range of an Avro int. Correct it."],
    ),
    (
        "text without bounds",
        lambda s: field(s, "Piece", 0).pop("max_length"),
        [f"{PIECE}.sku: text without pattern, format or max_length. Bound it."],
    ),
    (
        "a pattern that is not anchored",
        lambda s: field(s, "Piece", 0).update(pattern="[a-z]+"),
        [f"{PIECE}.sku: pattern '[a-z]+' must begin with ^ and end with $."],
    ),
    (
        "a pattern that has no end",
        lambda s: field(s, "Piece", 0).update(pattern="^[a-z]+"),
        [f"{PIECE}.sku: pattern '^[a-z]+' must begin with ^ and end with $."],
    ),
    (
        "a pattern that is no regular expression",
        lambda s: field(s, "Piece", 0).update(pattern="^[a-z$"),
        [f"{PIECE}.sku: pattern '^[a-z$' is no regular expression. Correct it."],
    ),
    (
        "a format nobody knows",
        lambda s: field(s, "Piece", 0).update(format="ean"),
        [f"{PIECE}.sku: format 'ean' is not one of ['iso4217']."],
    ),
    (
        "a list without bounds",
        lambda s: field(s, "Reserve", 1).pop("max_items"),
        [f"{RESERVE}.pieces: a list without max_items. Bound it."],
    ),
    (
        "a misspelt attribute of a field",
        lambda s: field(s, "Piece", 1).update(maximun=3),
        [f"{PIECE}.quantity: attribute 'maximun' does not fit its type. Correct or remove it."],
    ),
    (
        "a misspelt attribute of a record",
        lambda s: s["Reserved"].update(topik="x"),
        [f"{RESERVED}: attribute 'topik' is not known. Correct or remove it."],
    ),
    (
        "a default of another type",
        lambda s: field(s, "Piece", 1).update(default=True),
        [f"{PIECE}.quantity: default True does not fit its (first) type. Correct it."],
    ),
    (
        "a field with a default before one without",
        lambda s: field(s, "Piece", 0).update(default=""),
        [f"{PIECE}.quantity: stands after a field with a default. Move it before."],
    ),
    (
        "a type that is not there",
        lambda s: add(s, "Reserve", name="x", type="baton.shop.Nil", doc="."),
        [f"{RESERVE}.x: baton.shop.Nil is not known. Write its .avsc file or correct the name."],
    ),
    (
        "a type that is none",
        lambda s: add(s, "Reserved", name="x", type={"type": "record"}, doc="."),
        ["baton.shop.Reserved.x: {'type': 'record'} is no Avro type. Correct it."],
    ),
    (
        "a field without type",
        lambda s: add(s, "Reserved", name="x"),
        ["baton.shop.Reserved: {'name': 'x'} is no field. Give it name and type."],
    ),
]


@pytest.mark.parametrize(
    ("spoil", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_an_illegal_schema_is_refused_by_name(
    tmp_path: Path, spoil: Spoil, expected: list[str]
) -> None:
    """The refusal names the schema, the place in it and what to do, and nothing else."""
    schemas = a_legal_catalogue()
    spoil(schemas)

    assert complaints(schemas, tmp_path) == expected
