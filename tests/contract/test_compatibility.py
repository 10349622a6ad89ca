"""Each kind of break with a released version is found, placed and given a remedy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import cast

import pytest

from schemas.compatibility import Finding, check, check_released
from schemas.releases import Release
from schemas.shapes import JSON

Schema = dict[str, JSON]
Change = Callable[[Schema], object]

SOLD = "baton.shop.Sold"
BACKWARD = "today's reader cannot read what it wrote:"
FORWARD = "its reader cannot read what today writes:"
RESOLVE = "Give the field a default, keep its type, or write a new message"
PUT_BACK = "Put it back, or write a new message"
KEEP = "Keep the type; add a field with a default"
WIDEN = "Put it back or widen it"
SYMBOL = "One side cannot read it; write a new message or a string"


def sold() -> Schema:
    """A released message with one of everything that can be broken."""
    piece: JSON = {
        "type": "record",
        "name": "Piece",
        "namespace": "baton.shop",
        "fields": [{"name": "quantity", "type": "int", "minimum": 1, "maximum": 9}],
    }
    how: JSON = {"type": "enum", "name": "How", "symbols": ["cash", "card"], "default": "cash"}
    return {
        "type": "record",
        "name": "Sold",
        "namespace": "baton.shop",
        "kind": "event",
        "topic": "shop.sale.events.v1",
        "key": "order_id",
        "total_minor": {"minimum": 0, "maximum": 100},
        "fields": [
            {"name": "order_id", "type": "string", "pattern": "^[a-z]{1,9}$"},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "pieces", "type": {"type": "array", "items": piece}, "max_items": 5},
            {"name": "how", "type": how},
            {"name": "note", "type": ["null", "string"], "max_length": 9, "default": None},
            {"name": "till", "type": "string", "max_length": 9, "default": "1"},
        ],
    }


def field(schema: Schema, position: int) -> Schema:
    return cast(list[Schema], schema["fields"])[position]


def inside(schema: Schema, *path: str) -> Schema:
    for step in path:
        schema = cast(Schema, schema[step])
    return schema


def quantity(schema: Schema) -> Schema:
    return field(inside(field(schema, 2), "type", "items"), 0)


def findings(change: Change) -> list[tuple[str, str, str]]:
    """Path, problem and remedy of what today's changed schema breaks."""
    today = copy.deepcopy(sold())
    change(today)
    found = check({SOLD: today}, [Release("0.1.0", SOLD, sold())])
    assert {(each.full_name, each.version) for each in found} <= {(SOLD, "0.1.0")}
    return [(each.path, each.problem, each.remedy) for each in found]


def appended(**declared: JSON) -> Change:
    return lambda schema: cast(list[JSON], schema["fields"]).append(declared)


@pytest.mark.parametrize(
    "change",
    [
        lambda _: None,
        appended(name="extra", type="string", max_length=3, default=""),
        lambda s: field(s, 5).update(max_length=10),
        lambda s: field(s, 5).update(doc="The till."),
        lambda s: s.update(doc="Something was sold."),
        lambda s: field(s, 2).update(max_items=6),
        lambda s: cast(list[JSON], s["fields"]).pop(5),
    ],
    ids=["nothing", "new default", "longer", "doc", "doc of record", "more", "defaulted gone"],
)
def test_what_breaks_no_reader_is_not_reported(change: Change) -> None:
    """Docs, wider bounds, and fields with a default that come or go are free to change."""
    assert findings(change) == []


BREAKS: list[tuple[str, Change, list[tuple[str, str, str]]]] = [
    (
        "a new field without default",
        appended(name="extra", type="string"),
        [(f"{SOLD}.extra", f"{BACKWARD} extra", RESOLVE)],
    ),
    (
        "a field without default removed",
        lambda s: cast(list[JSON], s["fields"]).pop(1),
        [(f"{SOLD}.at", f"{FORWARD} at", RESOLVE)],
    ),
    (
        "a number that became wider",
        lambda s: quantity(s).update(type="long"),
        [
            (
                f"{SOLD}.pieces.quantity",
                f"{FORWARD} reader type: int not compatible with writer type: long",
                RESOLVE,
            ),
            (f"{SOLD}.pieces[].quantity", "type changed from int to long", KEEP),
        ],
    ),
    (
        "text exchanged for bytes",
        lambda s: field(s, 5).update(type="bytes"),
        [(f"{SOLD}.till", "type changed from string to bytes", KEEP)],
    ),
    (
        "text exchanged for bytes in a union",
        lambda s: field(s, 4).update(type=["null", "bytes"]),
        [(f"{SOLD}.note", "type changed from string to bytes", KEEP)],
    ),
    (
        "a logical type removed",
        lambda s: field(s, 1).update(type="long"),
        [
            (
                f"{SOLD}.at",
                "logical type changed from timestamp-micros to none",
                "The same bytes would mean another thing; add a field",
            )
        ],
    ),
    (
        "a logical type changed",
        lambda s: inside(field(s, 1), "type").update(logicalType="timestamp-millis"),
        [
            (
                f"{SOLD}.at",
                "logical type changed from timestamp-micros to timestamp-millis",
                "The same bytes would mean another thing; add a field",
            )
        ],
    ),
    (
        "a symbol added behind a default",
        lambda s: inside(field(s, 3), "type").update(symbols=["cash", "card", "cheque"]),
        [(f"{SOLD}.how", "symbol cheque was added", SYMBOL)],
    ),
    (
        "a symbol removed behind a default",
        lambda s: inside(field(s, 3), "type").update(symbols=["cash"]),
        [(f"{SOLD}.how", "symbol card was removed", SYMBOL)],
    ),
    (
        "null removed from a union",
        lambda s: field(s, 4).update(type="string"),
        [
            (
                SOLD,
                f"{BACKWARD} reader type: string not compatible with writer type: null",
                RESOLVE,
            ),
            (f"{SOLD}.note", "type changed from union to string", KEEP),
        ],
    ),
    (
        "a third type in a union",
        lambda s: field(s, 4).update(type=["null", "string", "boolean"]),
        [
            (
                f"{SOLD}.note",
                f"{FORWARD} reader union lacking writer type: BOOLEAN",
                RESOLVE,
            ),
            (
                f"{SOLD}.note",
                "a union of 2 types became one of 3",
                "Keep the union; add a field with a default",
            ),
        ],
    ),
    (
        "a part moved to another owner",
        lambda s: inside(field(s, 2), "type", "items").update(namespace="baton.common"),
        [
            (
                f"{SOLD}.pieces[]",
                "renamed from baton.shop.Piece to baton.common.Piece",
                "Keep the name and the namespace",
            )
        ],
    ),
    (
        "a default changed",
        lambda s: field(s, 5).update(default="2"),
        [(f"{SOLD}.till", "its default changed", "Older records would change; put it back")],
    ),
    (
        "a smaller maximum",
        lambda s: quantity(s).update(maximum=8),
        [
            (
                f"{SOLD}.pieces[].quantity",
                "maximum changed from 9 to 8, so old records may break it",
                WIDEN,
            )
        ],
    ),
    (
        "a larger minimum",
        lambda s: quantity(s).update(minimum=2),
        [
            (
                f"{SOLD}.pieces[].quantity",
                "minimum changed from 1 to 2, so old records may break it",
                WIDEN,
            )
        ],
    ),
    (
        "a bound where none was",
        lambda s: field(s, 2).update(min_items=1),
        [
            (
                f"{SOLD}.pieces",
                "min_items changed from None to 1, so old records may break it",
                WIDEN,
            )
        ],
    ),
    (
        "another pattern",
        lambda s: field(s, 0).update(pattern="^[a-z]+$"),
        [
            (
                f"{SOLD}.order_id",
                "pattern changed from '^[a-z]{1,9}$' to '^[a-z]+$', so old records may break it",
                WIDEN,
            )
        ],
    ),
    (
        "a smaller total",
        lambda s: s.update(total_minor={"minimum": 0, "maximum": 99}),
        [
            (
                f"{SOLD}: total_minor",
                "maximum changed from 100 to 99, so old records may break it",
                WIDEN,
            )
        ],
    ),
    (
        "another topic",
        lambda s: s.update(topic="shop.sale.events.v2"),
        [
            (
                SOLD,
                "topic changed from 'shop.sale.events.v1' to 'shop.sale.events.v2'",
                PUT_BACK,
            )
        ],
    ),
    (
        "another kind",
        lambda s: s.update(kind="outcome"),
        [(SOLD, "kind changed from 'event' to 'outcome'", PUT_BACK)],
    ),
    (
        "another key",
        lambda s: s.update(key="till"),
        [(SOLD, "key changed from 'order_id' to 'till'", PUT_BACK)],
    ),
]


@pytest.mark.parametrize(
    ("change", "expected"), [case[1:] for case in BREAKS], ids=[case[0] for case in BREAKS]
)
def test_a_break_is_found(change: Change, expected: list[tuple[str, str, str]]) -> None:
    """The finding names message, version, place, problem and remedy; nothing else is reported."""
    assert findings(change) == expected


def test_a_removed_message_is_found() -> None:
    """Records of it may still lie in a topic."""
    assert check({}, [Release("0.1.0", SOLD, sold())]) == (
        Finding(SOLD, "0.1.0", SOLD, "removed", "Put it back; stop writing it instead"),
    )


def test_a_break_is_found_against_every_version() -> None:
    """A change that the last version allows may break the one before it."""
    second = sold()
    cast(list[JSON], second["fields"]).pop(1)
    third = copy.deepcopy(second)

    found = check({SOLD: third}, [Release("0.1.0", SOLD, sold()), Release("0.2.0", SOLD, second)])

    assert [(each.version, each.path) for each in found] == [("0.1.0", f"{SOLD}.at")]


def test_a_refusal_added_to_a_command_is_found() -> None:
    """An orchestrator of then would not know what it was answered, and cannot undo it."""
    old: Schema = {**sold(), "answers": ["baton.shop.A", "baton.shop.B"], "refusals": []}
    new: Schema = {**sold(), "answers": ["baton.shop.A"], "refusals": ["baton.shop.C"]}

    found = check({SOLD: new}, [Release("0.1.0", SOLD, old)])

    gone = "baton.shop.B is no longer among its answers; services of then still send it"
    come = "baton.shop.C was added to its refusals; the orchestrators of then do not know it"
    assert [str(each) for each in found] == [
        f"{SOLD} (against 0.1.0): {gone}. Put it back; stop sending it instead",
        f"{SOLD} (against 0.1.0): {come}. Write a new command that can be answered so",
    ]


def test_two_released_schemas_with_one_fingerprint_have_equal_logical_types() -> None:
    """A reader tells schemas apart by fingerprint, which leaves logical types out."""
    millis = sold()
    inside(field(millis, 1), "type").update(logicalType="timestamp-millis")

    found = check({SOLD: millis}, [Release("0.1.0", SOLD, sold()), Release("0.2.0", SOLD, millis)])

    assert found[-1] == Finding(
        SOLD,
        "0.2.0",
        f"{SOLD}.at",
        "shares its fingerprint with 0.1.0, but logical type changed from timestamp-micros to "
        "timestamp-millis",
        "Neither can be told from the other; that version must not be released",
    )
    assert len(found) == 2


def test_today_s_messages_break_no_released_version() -> None:
    """FULL_TRANSITIVE: every version in schemas/released reads today's and is read by it."""
    assert check_released() == ()
