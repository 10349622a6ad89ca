"""What is personal in a message, and how it is shown to whom it is nobody's business.

A field says so itself in its schema (`"personal": true`), at any depth. Everything that shows what
a message holds, to a person or to a file, shows it through here.
"""

from __future__ import annotations

from schemas.shapes import Array, Map, Record, Shape, Union

MASK = "***"


def masked(shape: Shape, value: object, *, may_see: bool = False) -> object:
    """The value as JSON has it, with MASK where it is personal; fields that are not there stay so.

    Of a union every branch counts: what one of them calls personal is.
    """
    if may_see or value is None:
        return value
    if isinstance(shape, Union):
        for branch in shape.branches:
            value = masked(branch, value)
        return value
    if isinstance(shape, Array) and isinstance(value, list):
        return [masked(shape.items, each) for each in value]
    if isinstance(shape, Map) and isinstance(value, dict):
        return {name: masked(shape.values, each) for name, each in value.items()}
    if isinstance(shape, Record) and isinstance(value, dict):
        return {name: _of_field(shape, name, each) for name, each in value.items()}
    return value


def _of_field(record: Record, name: str, value: object) -> object:
    field = record.field_named(name)
    if field is None:
        return value
    if field.attributes.get("personal") and value is not None:
        return MASK
    return masked(field.shape, value)
