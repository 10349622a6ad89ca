"""Writes the Python types of the messages, one module per owner, from the catalogue.

Owns how a shape becomes Python text. Knows no Avro encoding. Invariant: the text depends on
the catalogue alone (no clock, no order of a folder, no formatter), so that a committed module
that differs from `sources()` is a drift and nothing else. What is written is in the
formatter's style already: a line that would be too long ends its brackets with a comma.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from schemas.catalogue import ROOT, Catalogue, load_catalogue
from schemas.rules import bounded
from schemas.shapes import JSON, Array, Enum, Field, Primitive, Record, Shape, Union, parts

WIDTH = 100
PYTHON = {"int": "int", "long": "int", "string": "str", "boolean": "bool", "null": "None"}
TEXT = {"min_length": "min_length", "max_length": "max_length"}
NUMBER = {"minimum": "ge", "maximum": "le"}
ITEMS = {"min_items": "min_length", "max_items": "max_length"}

HEADER = '''"""{doc}

Generated from the .avsc files of this folder by `baton contracts generate`: edit those, then
generate again. Values are checked when an object is made and never change afterwards.
"""

'''

TOTAL = '''
    @property
    def total_minor(self) -> int:
        """The sum of lines and charges in minor units of the currency."""
        goods = sum(line.quantity * line.unit_price_minor for line in self.lines)
        return goods + sum(charge.amount_minor for charge in self.charges)

    def __post_init__(self) -> None:
        if not {low} <= self.total_minor <= {high}:
            raise ValueError("total of lines and charges is outside {low}..{high} minor units")
'''


def sources(catalogue: Catalogue) -> Mapping[str, str]:
    """The text of `schemas/<owner>/__init__.py` for every owner."""
    return {owner: _module(owner, catalogue) for owner in catalogue.owners}


def write(root: Path = ROOT) -> tuple[Path, ...]:
    """Writes what differs and returns the paths written."""
    written: list[Path] = []
    for owner, text in sources(load_catalogue()).items():
        path = root / owner / "__init__.py"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            written.append(path)
    return tuple(written)


def _module(owner: str, catalogue: Catalogue) -> str:
    records = tuple(_in_order_of_use(owner, catalogue.records))
    enums = {each.full_name: each for record in records for each in _enums(record)}
    classes = [_class(record) for record in records]
    aliases = [_alias(each) for each in enums.values()]
    names = sorted([*enums, *(record.full_name for record in records)])
    exported = [name.rpartition(".")[2] for name in names]
    listed = "".join(f'    "{name}",\n' for name in exported)
    body = "".join([*aliases, *classes])
    doc = (
        "Parts that the messages of several owners are made of."
        if owner == "common"
        else f"Messages that {owner} owns."
    )
    imports = _imports(owner, records, body)
    return f"{HEADER.format(doc=doc)}{imports}\n__all__ = [\n{listed}]\n{body}"


def _in_order_of_use(owner: str, records: Mapping[str, Record]) -> Iterator[Record]:
    """The owner's records, each after those it is made of; otherwise by name."""
    given: set[str] = set()
    for name in sorted(records):
        for _, used, _ in reversed(list(parts(records[name], ""))):
            if isinstance(used, Record) and _owner(used) == owner and used.full_name not in given:
                given.add(used.full_name)
                yield used


def _enums(record: Record) -> Iterator[Enum]:
    for each in record.fields:
        for _, shape, _ in parts(each.shape, ""):
            if isinstance(shape, Enum) and shape.full_name.split(".")[1] == _owner(record):
                yield shape


def _owner(record: Record) -> str:
    return record.full_name.split(".")[1]


def _imports(owner: str, records: Iterable[Record], body: str) -> str:
    typing = [n for n in ("Annotated", "ClassVar", "Literal") if f"{n}[" in body]
    pydantic = [n for n in ("AfterValidator", "AwareDatetime", "Field") if n in body]
    values = [n for n in ("CONFIG", "iso4217") if n in body]
    foreign: dict[str, set[str]] = {}
    for record in records:
        for each in record.fields:
            inner = bounded(each.shape)
            if isinstance(inner, (Record, Enum)):
                _, other, name = inner.full_name.split(".")
                foreign.setdefault(other, set()).add(name)
    foreign.pop(owner, None)
    lines = ["from dataclasses import field\n"] if "= field(" in body else []
    lines += [f"from typing import {', '.join(typing)}\n\n"]
    if pydantic:
        lines += [f"from pydantic import {', '.join(pydantic)}\n"]
    lines += ["from pydantic.dataclasses import dataclass\n\n"]
    for other, names in sorted(foreign.items()):
        lines += [f"from schemas.{other} import {', '.join(sorted(names))}\n"]
    return "".join([*lines, f"from schemas.values import {', '.join(values)}\n"])


def _alias(enum: Enum) -> str:
    name = enum.full_name.rpartition(".")[2]
    symbols = "".join(f'    "{symbol}",\n' for symbol in enum.symbols)
    return f"\n{name} = Literal[\n{symbols}]\n"


def _class(record: Record) -> str:
    name = record.full_name.rpartition(".")[2]
    lines = [
        "\n\n@dataclass(frozen=True, config=CONFIG)\n",
        f"class {name}:\n",
        _docstring(record),
        f'\n    avro_name: ClassVar[str] = "{record.full_name}"\n\n',
        *(_field(each) for each in record.fields),
    ]
    total = record.attributes.get("total_minor")
    if isinstance(total, dict):
        low, high = _number(total["minimum"]), _number(total["maximum"])
        lines.append(TOTAL.replace("{low}", low).replace("{high}", high))
    return "".join(lines)


def _docstring(record: Record) -> str:
    lines = textwrap.wrap(record.doc, WIDTH - 7)
    fields = [
        line
        for each in record.fields
        for line in textwrap.wrap(f"{each.name}: {each.doc}", WIDTH - 4, subsequent_indent="    ")
    ]
    text = "".join(f"    {line}\n" for line in [*lines[1:], "", *fields])
    text = text.replace("    \n", "\n")
    return f'    """{lines[0]}\n{text}    """\n'


def _field(declared: Field) -> str:
    value = ""
    if "default" in declared.attributes:
        value = f" = {_python_value(declared.attributes['default'])}"
    if declared.attributes.get("personal"):
        default = f"default{value.replace(' ', '')}, " if value else ""
        value = f" = field({default}repr=False)"
    head, annotation = f"    {declared.name}: ", _annotation(declared, declared.shape)
    if len(head + annotation + value) <= WIDTH:
        return f"{head}{annotation}{value}\n"
    return f"{head}{_exploded(annotation)}{value}\n"


def _exploded(annotation: str) -> str:
    """`Annotated[X, A, B(…)]` with one argument per line."""
    inside, union = annotation.removesuffix(" | None"), " | None" in annotation[-7:]
    arguments = _arguments(inside.removeprefix("Annotated[").removesuffix("]"))
    indent = "        " if not union else "            "
    listed = "".join(f"{indent}{argument},\n" for argument in arguments)
    if union:
        return f"(\n        Annotated[\n{listed}        ]\n        | None\n    )"
    return f"Annotated[\n{listed}    ]"


def _arguments(text: str) -> list[str]:
    """Splits at the commas that stand in no bracket and in no quotes."""
    found, start, depth, quoted = [], 0, 0, False
    for i, char in enumerate(text):
        quoted ^= char == '"'
        if quoted:
            continue
        depth += (char in "[(") - (char in "])")
        if char == "," and depth == 0:
            found.append(text[start:i].strip())
            start = i + 1
    return [*found, text[start:].strip()]


def _annotation(declared: Field, shape: Shape) -> str:
    match shape:
        case Union(branches):
            return f"{_annotation(declared, branches[1])} | None"
        case Array(items):
            inner = f"tuple[{_annotation(declared, items)}, ...]"
            return _annotated(inner, _arguments_of_field(declared, ITEMS))
        case Record(full_name=name) | Enum(full_name=name):
            return name.rpartition(".")[2]
        case Primitive("long", "timestamp-micros"):
            return "AwareDatetime"
        case Primitive("string"):
            extra = _arguments_of_field(declared, TEXT)
            if pattern := declared.attributes.get("pattern"):
                extra.append(f'pattern=r"{pattern}"')
            checks = [str(declared.attributes["format"])] if "format" in declared.attributes else []
            return _annotated("str", ["strict=True", *extra], checks)
        case Primitive(name):
            return _annotated(PYTHON[name], ["strict=True", *_arguments_of_field(declared, NUMBER)])
    raise AssertionError(f"{declared.name}: {shape!r} should have been refused by the rules")


def _annotated(inner: str, arguments: list[str], checks: Iterable[str] = ()) -> str:
    given = [f"Field({', '.join(arguments)})"] if arguments else []
    given += [f"AfterValidator({check})" for check in checks]
    return f"Annotated[{', '.join([inner, *given])}]" if given else inner


def _arguments_of_field(declared: Field, names: Mapping[str, str]) -> list[str]:
    given = declared.attributes
    return [f"{name}={_number(given[key])}" for key, name in names.items() if key in given]


def _number(value: JSON) -> str:
    assert isinstance(value, int)
    return f"{value:_}"


def _python_value(value: JSON) -> str:
    if value == []:
        return "()"
    return f'"{value}"' if isinstance(value, str) else repr(value)
