"""What a legal schema is, and what a legal set of messages is.

Each rule is a generator of complaints that name the schema, the field and the remedy; the
catalogue collects them all and refuses to load if there is one. Knows no file and no Python
type. Invariant: no bytes can make a reader of a legal schema recurse, allocate without bound
or build a number, text or list that its author did not allow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

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
    is_empty,
    parts,
)

DEPTH_MAX = 16
OVERTAKEN = "baton.common.Overtaken"
TOPIC_KINDS = {
    "event": "events",
    "command": "commands",
    "operator": "commands",
    "outcome": "outcomes",
    "reply": "events",
}
TOPIC = re.compile(r"[a-z]+\.[a-z]+\.(events|commands|outcomes)\.v[1-9][0-9]*")
NULL = Primitive("null")
TIME = "long timestamp-micros"
INTEGERS = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
PYTHON_TYPES = {"null": type(None), "string": str, "boolean": bool, "int": int, "long": int}
RECORD_ATTRIBUTES = frozenset(
    {"kind", "topic", "key", "answers", "refusals", "undoes", "total_minor"}
)
TEXT_BOUNDS = frozenset({"pattern", "format", "min_length", "max_length"})
NUMBER_BOUNDS = frozenset({"minimum", "maximum"})
LIST_BOUNDS = frozenset({"min_items", "max_items"})
FORMATS = frozenset({"iso4217"})


def complaints_of_record(record: Record) -> Iterator[str]:
    """Everything that is wrong with one record and with what it contains."""
    for path, shape, depth in parts(record, record.full_name):
        if depth == DEPTH_MAX + 1:
            yield f"{path}: nested deeper than {DEPTH_MAX}. Flatten it."
        yield from _of_shape(path, shape)
    for name in sorted(set(record.attributes) - RECORD_ATTRIBUTES):
        yield f"{record.full_name}: attribute {name!r} is not known. Correct or remove it."


def _of_shape(path: str, shape: Shape) -> Iterator[str]:
    match shape:
        case Array(inner) | Map(inner) if is_empty(inner):
            yield f"{path}: items without bytes: a short record makes millions. Give them a field."
        case Map():
            yield f"{path}: maps are not used. Write an array of records with a key field."
        case Fixed() | Primitive("bytes" | "float" | "double"):
            yield f"{path}: bytes, fixed and fractions are not used. Money is a long."
        case Primitive(name, logical) if logical and f"{name} {logical}" != TIME:
            yield f"{path}: logical type {logical} on {name}. Times are {TIME}."
        case Union(branches) if len(branches) != 2 or branches[0] != NULL:
            yield f'{path}: the only union is ["null", X]. Write one message type per case.'
        case Enum(full_name=name, doc=""):
            yield f"{path}: enum {name} has no doc. Say what it means."
        case Record(full_name=name, fields=fields, doc=doc):
            yield from _of_record_itself(name, fields, doc)


def _of_record_itself(name: str, fields: tuple[Field, ...], doc: str) -> Iterator[str]:
    if not doc:
        yield f"{name}: no doc. Say what it means, in one sentence."
    if not fields:
        yield f"{name}: no fields. Give it its business key."
    with_default = False
    for each in fields:
        yield from _of_field(f"{name}.{each.name}", each)
        if with_default and "default" not in each.attributes:
            yield f"{name}.{each.name}: stands after a field with a default. Move it before."
        with_default = with_default or "default" in each.attributes


def bounded(shape: Shape) -> Shape:
    """What the bounds of a field speak about: the shape without null and without its list."""
    if isinstance(shape, Union):
        return bounded(next((b for b in shape.branches if b != NULL), NULL))
    return bounded(shape.items) if isinstance(shape, Array) else shape


def _of_field(path: str, declared: Field) -> Iterator[str]:
    given, inner = declared.attributes, bounded(declared.shape)
    if not declared.doc:
        yield f"{path}: no doc. Say what it means and in which unit."
    allowed = {"default", "personal"}
    if _has_list(declared.shape):
        allowed |= LIST_BOUNDS
        if "max_items" not in given:
            yield f"{path}: a list without max_items. Bound it."
    if inner == Primitive("string"):
        allowed |= TEXT_BOUNDS
        yield from _of_text(path, given)
    if isinstance(inner, Primitive) and inner.name in INTEGERS and not inner.logical:
        allowed |= NUMBER_BOUNDS
        yield from _of_number(path, given, inner.name)
    for name in sorted(set(given) - allowed):
        yield f"{path}: attribute {name!r} does not fit its type. Correct or remove it."
    if "default" in given and not _default_fits(given["default"], declared.shape):
        yield f"{path}: default {given['default']!r} does not fit its (first) type. Correct it."


def _has_list(shape: Shape) -> bool:
    return any(isinstance(each, Array) for each in (shape, *getattr(shape, "branches", ())))


def _of_text(path: str, given: Mapping[str, JSON]) -> Iterator[str]:
    pattern = given.get("pattern")
    if isinstance(pattern, str) and not (pattern.startswith("^") and pattern.endswith("$")):
        yield f"{path}: pattern {pattern!r} must begin with ^ and end with $."
    if isinstance(pattern, str) and not _compiles(pattern):
        yield f"{path}: pattern {pattern!r} is no regular expression. Correct it."
    if "format" in given and given["format"] not in FORMATS:
        yield f"{path}: format {given['format']!r} is not one of {sorted(FORMATS)}."
    if not {"pattern", "max_length", "format"} & set(given):
        yield f"{path}: text without pattern, format or max_length. Bound it."


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _of_number(path: str, given: Mapping[str, JSON], avro: str) -> Iterator[str]:
    low, high = given.get("minimum"), given.get("maximum")
    if not isinstance(low, int) or not isinstance(high, int):
        yield f"{path}: a number without minimum and maximum. Bound it."
    elif not INTEGERS[avro][0] <= low <= high <= INTEGERS[avro][1]:
        yield f"{path}: {low}..{high} is not a range of an Avro {avro}. Correct it."


def _default_fits(default: JSON, shape: Shape) -> bool:
    match shape:
        case Union(branches):
            return _default_fits(default, branches[0])
        case Primitive(name):
            return type(default) is PYTHON_TYPES.get(name)
        case Enum(symbols=symbols):
            return default in symbols
    return isinstance(shape, Array) and default == []


def complaints_of_messages(records: Mapping[str, Record]) -> Iterator[str]:
    """What is wrong between messages: keys, topics, answers, refusals, undos."""
    messages = {name: each for name, each in records.items() if "kind" in each.attributes}
    answered: set[str] = {OVERTAKEN}
    undone: set[JSON] = set()
    for name, message in messages.items():
        yield from _of_key(name, message)
        yield from _of_topic(name, message)
        yield from _of_answers(name, message, messages)
        yield from _of_undo(name, message, messages, undone)
        yield from _of_total(name, message)
        answered |= {*names_in(message, "answers"), *names_in(message, "refusals")}
        undone.add(message.attributes.get("undoes"))
    if undone - {None} and OVERTAKEN not in messages:
        yield f"{OVERTAKEN}: missing, though there are undos. Write it."
    for name in sorted(messages.keys() - answered):
        if messages[name].attributes["kind"] == "reply":
            yield f"{name}: a reply that no command names. Add it to answers or refusals of one."


def names_in(message: Record, attribute: str) -> tuple[str, ...]:
    given = message.attributes.get(attribute, [])
    return tuple(map(str, given)) if isinstance(given, list) else (str(given),)


def _of_key(name: str, message: Record) -> Iterator[str]:
    key = message.attributes.get("key")
    declared = message.field_named(str(key))
    if declared is None:
        yield f"{name}: key {key!r} is not one of its fields. Name the field of the business key."
    elif declared.shape != Primitive("string") or not declared.attributes.get("pattern"):
        yield f"{name}: key field {key} must be a string with a pattern."
    elif message.fields[0] is not declared:
        yield f"{name}: key field {key} must come first."


def _of_topic(name: str, message: Record) -> Iterator[str]:
    kind, topic = message.attributes["kind"], message.attributes.get("topic")
    if kind not in TOPIC_KINDS:
        yield f"{name}: kind {kind!r} is not one of {sorted(TOPIC_KINDS)}."
        return
    if topic is None and kind == "reply":
        return
    form = TOPIC.fullmatch(str(topic))
    if form is None:
        yield f"{name}: topic {topic!r} is not <domain>.<entity>.<kind>.v<N>."
    elif form[1] != TOPIC_KINDS[str(kind)]:
        yield f"{name}: kind {kind} on {topic}; it belongs on one of {TOPIC_KINDS[str(kind)]}."


def _of_answers(name: str, message: Record, messages: Mapping[str, Record]) -> Iterator[str]:
    answers, refusals = names_in(message, "answers"), names_in(message, "refusals")
    if message.attributes["kind"] != "command":
        if {"answers", "refusals", "undoes"} & set(message.attributes):
            yield f"{name}: only a command has answers, refusals or undoes. Remove them."
        return
    if not answers:
        yield f"{name}: a command without answers. Name the reply that means done."
    for each in sorted({*answers} & {*refusals}):
        yield f"{name}: {each} is both answer and refusal. Decide."
    for each in (*answers, *refusals):
        reply = messages.get(each)
        if reply is None or reply.attributes["kind"] != "reply":
            yield f"{name}: {each} is no reply of this catalogue. Write it or correct it."
        elif each.rpartition(".")[0] != name.rpartition(".")[0]:
            yield f"{name}: {each} belongs to another owner; who answers owns both."
        elif reply.attributes.get("key") != message.attributes.get("key"):
            yield f"{name}: {each} has another key field than its command. Use one key."


def _of_undo(
    name: str, message: Record, messages: Mapping[str, Record], undone: set[JSON]
) -> Iterator[str]:
    target = message.attributes.get("undoes")
    if target is None:
        return
    do = messages.get(str(target))
    if do is None or do.attributes["kind"] != "command" or do is message:
        yield f"{name}: undoes {target}, which is no other command. Correct the name."
        return
    if names_in(message, "refusals"):
        yield f"{name}: undoes {target} and so may not be refused. Remove its refusals."
    if "undoes" in do.attributes:
        yield f"{name}: undoes {target}, itself an undo. An undo is final."
    if target in undone:
        yield f"{name}: undoes {target}, which has an undo already. Keep one."
    if do.attributes.get("topic") != message.attributes.get("topic"):
        yield f"{name}: undoes {target} from another topic; they would overtake one another."
    if do.attributes.get("key") != message.attributes.get("key"):
        yield f"{name}: undoes {target}, which has another key field. Use one key."


def _of_total(name: str, message: Record) -> Iterator[str]:
    total = message.attributes.get("total_minor")
    if total is None:
        return
    listed = {
        each.name: each.shape.items.full_name
        for each in message.fields
        if isinstance(each.shape, Array) and isinstance(each.shape.items, Record)
    }
    if (listed.get("lines"), listed.get("charges")) != ("baton.common.Line", "baton.common.Charge"):
        yield f"{name}: total_minor needs lines of baton.common.Line and charges of …Charge."
    if not isinstance(total, dict) or set(total) != NUMBER_BOUNDS:
        yield f"{name}: total_minor needs a minimum and a maximum, and nothing else."
