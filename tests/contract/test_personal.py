"""What is personal is masked, wherever in a message it stands."""

from __future__ import annotations

import pytest

from schemas.catalogue import load_catalogue
from schemas.personal import MASK, masked
from schemas.shapes import Array, Field, Map, Primitive, Record, Shape, Union

TEXT = Primitive("string")
PERSON = Record("x.Person", (Field("id", TEXT), Field("name", TEXT, attributes={"personal": True})))
ADA = {"id": "1", "name": "Ada Lovelace"}
HIDDEN = {"id": "1", "name": MASK}


@pytest.mark.parametrize(
    ("shape", "value", "shown"),
    [
        (PERSON, ADA, HIDDEN),
        (PERSON, {"id": "1", "name": None}, {"id": "1", "name": None}),
        (PERSON, {"id": "1", "more": "kept"}, {"id": "1", "more": "kept"}),
        (Array(PERSON), [ADA, ADA], [HIDDEN, HIDDEN]),
        (Map(PERSON), {"a": ADA}, {"a": HIDDEN}),
        (Union((Primitive("null"), PERSON)), ADA, HIDDEN),
        (Union((Primitive("null"), PERSON)), None, None),
        (Record("x.Order", (Field("of", PERSON),)), {"of": ADA}, {"of": HIDDEN}),
    ],
)
def test_it_is_masked_at_any_depth(shape: Shape, value: object, shown: object) -> None:
    """And only that; who may see it sees all."""
    assert masked(shape, value) == shown
    assert masked(shape, value, may_see=True) == value


def test_a_canary_in_every_field_marked_personal_is_never_shown() -> None:
    """Of every contract there is."""
    for record in load_catalogue().records.values():
        canary = {field.name: f"canary-{field.name}" for field in record.fields}
        shown = masked(record, canary)
        assert isinstance(shown, dict)
        personal = {f.name for f in record.fields if f.attributes.get("personal")}
        assert {name for name, value in shown.items() if value == MASK} == personal
