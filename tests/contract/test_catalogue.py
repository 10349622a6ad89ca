"""The catalogue: what it tells at once, and what today's contracts are."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted import a_legal_catalogue, complaints, written

from schemas.catalogue import Contract, load_catalogue, read_catalogue
from schemas.shapes import IllegalSchemaError, Record, parts, read_record


def test_all_complaints_are_told_at_once(tmp_path: Path) -> None:
    """An author sees every illegal schema in one run, not one per run."""
    schemas = a_legal_catalogue()
    schemas["Piece"].pop("doc")
    schemas["Reserved"].update(kind="rumour")

    named = {line.split(":")[0] for line in complaints(schemas, tmp_path)}
    assert named == {"baton.shop.Piece", "baton.shop.Reserved", "baton.shop.Reserve"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "shop/Reserved.avsc: Expecting property name"),
        ("[]", "shop/Reserved.avsc: a schema file holds one record."),
        (
            '{"type": "record", "name": "Reserved", "namespace": "baton.sho", "fields": []}',
            "shop/Reserved.avsc: holds baton.sho.Reserved. Name it baton.shop.Reserved or move it.",
        ),
    ],
)
def test_a_file_that_is_no_schema_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    """Broken JSON, another shape and a wrong name are told with the path of the file."""
    root = written(a_legal_catalogue(), tmp_path)
    (root / "shop" / "Reserved.avsc").write_text(text, encoding="utf-8")

    with pytest.raises(IllegalSchemaError) as refusal:
        read_catalogue(root)

    assert str(refusal.value).splitlines()[0].startswith(complaint)


def test_the_contract_says_what_the_schema_says(tmp_path: Path) -> None:
    """A contract is read whole; a command that has an undo may be refused as overtaken."""
    catalogue = read_catalogue(written(a_legal_catalogue(), tmp_path))

    reserve = catalogue.by_name["baton.shop.Reserve"]
    assert reserve == Contract(
        full_name="baton.shop.Reserve",
        kind="command",
        topic="shop.stock.commands.v1",
        key="order_id",
        answers=("baton.shop.Reserved",),
        refusals=("baton.shop.SoldOut", "baton.common.Overtaken"),
        owner="shop",
        schema=reserve.schema,
        undoes=None,
        undone_by="baton.shop.Release",
    )
    release = catalogue.by_name["baton.shop.Release"]
    assert (release.refusals, release.undoes) == ((), "baton.shop.Reserve")
    assert [reply.name for reply in catalogue.replies_of("shop")] == [
        "Overtaken",
        "Released",
        "Reserved",
        "SoldOut",
    ]


def test_schemas_are_self_contained() -> None:
    """A schema of the catalogue can be read with no other file at hand, and is what was written."""
    catalogue = load_catalogue()

    for name, contract in catalogue.by_name.items():
        assert read_record(contract.schema) == catalogue.records[name]


def test_every_record_and_field_has_a_doc() -> None:
    """Whoever reads a schema learns what each record and each field means."""
    records = {
        shape.full_name: shape
        for record in load_catalogue().records.values()
        for _, shape, _ in parts(record, record.full_name)
        if isinstance(shape, Record)
    }

    silent = [
        f"{name}.{each.name}" for name, r in records.items() for each in r.fields if not each.doc
    ]
    assert [name for name, record in records.items() if not record.doc] + silent == []
    assert len(records) == 53


def test_personal_fields_are_marked() -> None:
    """The fields that name a person are exactly these, so nobody adds one unnoticed."""
    personal = {
        f"{name}.{each.name}"
        for name, record in load_catalogue().records.items()
        for each in record.fields
        if each.attributes.get("personal")
    }

    assert personal == {
        "baton.customers.CustomerRegistered.name",
        "baton.customers.CustomerRegistered.email",
        "baton.crm.OpenCustomerRecord.name",
    }
