"""The committed types are those that the schemas make, and they behave as records should."""

from __future__ import annotations

import ast
from dataclasses import FrozenInstanceError, fields, is_dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import cast

import fastavro
import pytest
from pydantic import ValidationError
from samples import sample

import schemas.common
from schemas.catalogue import ROOT, load_catalogue
from schemas.common import Charge, Line, Money
from schemas.crm import OpenCustomerRecord
from schemas.generate import sources
from schemas.orders import OrderPlaced

PLACED_AT = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)


def test_the_committed_types_are_those_the_schemas_make() -> None:
    """A schema changed by hand is generated again before it is committed."""
    committed = {
        path.parent.name: path.read_text(encoding="utf-8") for path in ROOT.glob("*/__init__.py")
    }

    assert committed == sources(load_catalogue()), "run `baton contracts generate`"


def test_generated_modules_import_pydantic_and_schemas_only() -> None:
    """Types can be used where nothing else of Baton is installed."""
    imported = {
        node.module
        for text in sources(load_catalogue()).values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom)
    }

    assert imported == {
        "dataclasses",
        "typing",
        "pydantic",
        "pydantic.dataclasses",
        "schemas.common",
        "schemas.values",
    }


def test_every_type_has_its_schema_s_name_fields_and_defaults() -> None:
    """A type and its schema agree on name, field order and which fields may be left out."""
    for contract in load_catalogue().by_name.values():
        record, made = load_catalogue().records[contract.full_name], contract.python
        assert made.avro_name == contract.full_name  # type: ignore[attr-defined]
        assert [each.name for each in fields(made)] == [each.name for each in record.fields]


def test_a_record_is_the_object_s_dict() -> None:
    """What is encoded is exactly the fields, in the order of the schema."""
    line = Line("85123A", 6, 255, "WHITE HANGING HEART T-LIGHT HOLDER")
    placed = OrderPlaced("retail-536365", "17850", "GBP", (line,), "United Kingdom", PLACED_AT)

    assert placed.__dict__ == {
        "order_id": "retail-536365",
        "customer_id": "17850",
        "currency": "GBP",
        "lines": (line,),
        "country": "United Kingdom",
        "placed_at": PLACED_AT,
        "charges": (),
        "payment_method": "tok_ok",
    }
    assert list(placed.__dict__) == [each.name for each in fields(OrderPlaced)]


def test_a_decoded_record_becomes_equal_to_the_object_it_was_made_from() -> None:
    """Plain dicts and lists, as a decoder gives them, make the same object as typed values."""
    decoded = {
        "order_id": "o-1",
        "customer_id": None,
        "currency": "GBP",
        "lines": [{"sku": "A", "quantity": 2, "unit_price_minor": 50, "name": ""}],
        "country": "EIRE",
        "placed_at": PLACED_AT,
        "charges": [{"code": "POST", "amount_minor": -20}],
        "payment_method": "tok_slow",
    }

    made = OrderPlaced(
        order_id="o-1",
        customer_id=None,
        currency="GBP",
        lines=(Line("A", 2, 50),),
        country="EIRE",
        placed_at=PLACED_AT,
        charges=(Charge("POST", -20),),
        payment_method="tok_slow",
    )
    assert OrderPlaced(**decoded) == made  # type: ignore[arg-type]
    assert made.total_minor == 80


def plain(value: object) -> object:
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    return {k: plain(v) for k, v in vars(value).items()} if is_dataclass(value) else value


@pytest.mark.parametrize("name", sorted(load_catalogue().by_name))
def test_every_type_survives_avro(name: str) -> None:
    """What a strict writer of another implementation takes is read back as the same object."""
    contract, record = load_catalogue().by_name[name], load_catalogue().records[name]
    made = contract.python(**{each.name: sample(each, each.shape) for each in record.fields})
    schema, wire = fastavro.parse_schema(contract.schema), BytesIO()

    fastavro.schemaless_writer(wire, schema, plain(made), strict=True)

    wire.seek(0)
    read = cast(dict[str, object], fastavro.schemaless_reader(wire, schema))
    assert contract.python(**read) == made
    assert wire.read() == b""


def test_a_message_cannot_be_changed() -> None:
    """What was made stays as it was made."""
    money = Money(100, "GBP")

    with pytest.raises(FrozenInstanceError):
        money.amount_minor = 200  # type: ignore[misc]


def test_a_field_that_is_not_in_the_schema_is_refused() -> None:
    """A misspelt field is an error, not silence."""
    with pytest.raises(ValidationError, match="Unexpected keyword argument"):
        Money(amount_minor=1, currency="GBP", curency="GBP")  # type: ignore[call-arg]


def test_personal_fields_are_not_shown() -> None:
    """Neither the text of an object nor an error repeats what names a person."""
    record = OpenCustomerRecord("17850", "France", "Marie Curie")
    with pytest.raises(ValidationError) as refusal:
        OpenCustomerRecord("17850", "France", "Marie Curie " * 99)

    assert repr(record) == "OpenCustomerRecord(customer_id='17850', country='France')"
    assert "Marie" not in str(refusal.value)


def test_what_is_exported_is_what_the_folder_holds() -> None:
    """Each owner's package exports its records and its enums and nothing else."""
    assert schemas.common.__all__ == ["Charge", "Item", "Line", "Money", "Overtaken"]
    for owner in load_catalogue().owners:
        held = {path.stem for path in (ROOT / owner).glob("*.avsc")}
        module = __import__(f"schemas.{owner}", fromlist=["__all__"])
        assert {*module.__all__} - {"Verb"} == held
