"""A small legal catalogue for tests to spoil in one place and to write to a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from schemas.catalogue import read_catalogue
from schemas.shapes import JSON, IllegalSchemaError

Schemas = dict[str, dict[str, JSON]]

ID = "^[a-z0-9-]{1,64}$"


def order_id() -> dict[str, JSON]:
    return {"name": "order_id", "type": "string", "pattern": ID, "doc": "The order."}


def message(name: str, kind: str, *fields: dict[str, JSON], **more: JSON) -> dict[str, JSON]:
    return {
        "type": "record",
        "name": name,
        "namespace": "baton.shop",
        "doc": "One sentence.",
        "kind": kind,
        "key": "order_id",
        **more,
        "fields": [order_id(), *fields],
    }


def a_legal_catalogue() -> Schemas:
    """A command with answer, refusal and undo, a list of records, and what they imply."""
    item: dict[str, JSON] = {
        "type": "record",
        "name": "Piece",
        "namespace": "baton.shop",
        "doc": "Goods.",
        "fields": [
            {"name": "sku", "type": "string", "max_length": 64, "doc": "The product."},
            {"name": "quantity", "type": "int", "minimum": 1, "maximum": 9, "doc": "Pieces."},
        ],
    }
    pieces: dict[str, JSON] = {
        "name": "pieces",
        "type": {"type": "array", "items": "baton.shop.Piece"},
        "max_items": 10,
        "doc": "The goods.",
    }
    overtaken = message("Overtaken", "reply") | {"namespace": "baton.common"}
    commands: dict[str, JSON] = {"topic": "shop.stock.commands.v1"}
    return {
        "Piece": item,
        "Overtaken": overtaken,
        "Reserve": message(
            "Reserve",
            "command",
            pieces,
            **commands,
            answers=["baton.shop.Reserved"],
            refusals=["baton.shop.SoldOut"],
        ),
        "Reserved": message("Reserved", "reply"),
        "SoldOut": message("SoldOut", "reply"),
        "Release": message(
            "Release",
            "command",
            **commands,
            answers=["baton.shop.Released"],
            refusals=[],
            undoes="baton.shop.Reserve",
        ),
        "Released": message("Released", "reply"),
    }


def written(schemas: Schemas, root: Path) -> Path:
    """Writes each schema as `<owner>/<Record>.avsc`, the owner being that of its namespace."""
    for name, schema in schemas.items():
        owner = root / str(schema["namespace"]).rpartition(".")[2]
        owner.mkdir(exist_ok=True)
        (owner / f"{name}.avsc").write_text(json.dumps(schema), encoding="utf-8")
    return root


def field(schemas: Schemas, name: str, position: int) -> dict[str, JSON]:
    return cast(list[dict[str, JSON]], schemas[name]["fields"])[position]


def add(schemas: Schemas, record: str, /, **declared: JSON) -> None:
    cast(list[dict[str, JSON]], schemas[record]["fields"]).append(declared)


def complaints(schemas: Schemas, root: Path) -> list[str]:
    """What reading these schemas is refused with, a line each."""
    with pytest.raises(IllegalSchemaError) as refusal:
        read_catalogue(written(schemas, root))
    return str(refusal.value).splitlines()
