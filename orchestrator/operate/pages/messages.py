"""Messages in words: what each means, its fields at any depth, how its releases differ. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise

from orchestrator.operate.pages.view import Context
from schemas.catalogue import Contract, load_catalogue
from schemas.fingerprint import fingerprint
from schemas.releases import Release, releases
from schemas.shapes import (
    JSON,
    Array,
    Enum,
    Field,
    Fixed,
    Map,
    Primitive,
    Record,
    Shape,
    Union,
    read_shape,
)


def message(contract: Contract) -> Context:
    record, today = load_catalogue().records[contract.full_name], fingerprint(contract.schema)
    return {
        "name": contract.name,
        "kind": contract.kind,
        "meaning": record.doc,
        "key": contract.key,
        "answers": [_short(each) for each in contract.answers],
        "refusals": [_short(each) for each in contract.refusals],
        "fields": list(fields_of(record)),
        "versions": [
            {"version": each.version, "same": fingerprint(each.schema) == today}
            for each in _released().get(contract.full_name, [])
        ],
        "changes": list(changes(_released().get(contract.full_name, []), contract.schema)),
    }


def changes(released: Sequence[Release], today: Mapping[str, JSON]) -> Iterator[Context]:
    """Field by field, from each release to the next, and to today's."""
    known = [(each.version, each.schema) for each in released] + [("today", today)]
    for (before, old), (after, new) in pairwise(known):
        was, is_ = _types(old), _types(new)
        for name in dict.fromkeys([*was, *is_]):
            if was.get(name) != is_.get(name):
                what = "changed" if name in is_ else "removed"
                yield {
                    "versions": f"{before} → {after}",
                    "field": name,
                    "what": what if name in was else "added",
                    "before": was.get(name, ""),
                    "after": is_.get(name, ""),
                }


def _types(schema: Mapping[str, JSON]) -> dict[str, str]:
    record = read_shape(dict(schema))
    assert isinstance(record, Record)
    return {
        str(each["name"]): f"{each['type']}{', personal' if each['personal'] else ''}"
        for each in fields_of(record)
    }


@cache
def _released() -> dict[str, list[Release]]:
    found: dict[str, list[Release]] = {}
    for each in releases():
        found.setdefault(each.full_name, []).append(each)
    return found


def fields_of(record: Record, place: str = "", *, personal: bool = False) -> Iterator[Context]:
    """Every field at any depth; what lies in a personal one is personal."""
    for field in record.fields:
        name, private = f"{place}{field.name}", personal or _personal(field)
        yield {
            "name": name,
            "type": type_of(field.shape),
            "meaning": field.doc,
            "personal": private,
        }
        for inner, mark in _records_in(field.shape):
            yield from fields_of(inner, f"{name}{mark}.", personal=private)


def _personal(field: Field) -> bool:
    return bool(field.attributes.get("personal"))


def _records_in(shape: Shape, mark: str = "") -> Iterator[tuple[Record, str]]:
    if isinstance(shape, Record):
        yield shape, mark
    elif isinstance(shape, Array):
        yield from _records_in(shape.items, f"{mark}[]")
    elif isinstance(shape, Map):
        yield from _records_in(shape.values, f"{mark}[]")
    elif isinstance(shape, Union):
        for branch in shape.branches:
            yield from _records_in(branch, mark)


def type_of(shape: Shape) -> str:
    """`list of OrderLine`, `text or nothing`: as people say it."""
    if isinstance(shape, Array):
        return f"list of {type_of(shape.items)}"
    if isinstance(shape, Map):
        return f"map of {type_of(shape.values)}"
    if isinstance(shape, Union):
        said = sorted((type_of(each) for each in shape.branches), key="nothing".__eq__)
        return " or ".join(said)
    if isinstance(shape, Record):
        return _short(shape.full_name)
    return _leaf(shape)


def _leaf(shape: Primitive | Fixed | Enum) -> str:
    if isinstance(shape, Enum):
        return f"one of {', '.join(shape.symbols)}"
    if isinstance(shape, Fixed):
        return shape.logical or f"{shape.size} bytes"
    plain = {"string": "text", "null": "nothing"}.get(shape.name, shape.name)
    return shape.logical or plain


def _short(full_name: str) -> str:
    return full_name.rpartition(".")[2]
