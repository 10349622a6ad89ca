"""Topics: who writes and reads each, what may stand on it, and how far its readers are behind.

The wiring and the messages come from the schemas, the numbers from the processes' own metrics and
from what the orchestrator's database says it applied. No record is read here, so no payload shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Final
from urllib.parse import quote

from orchestrator.operate.pages.company import Seen, behind_of, row_of
from orchestrator.operate.pages.view import Context, NoPage, Question, View
from orchestrator.operate.reading import Reading
from orchestrator.operate.scraping import Scraping
from schemas.catalogue import Contract, load_catalogue
from schemas.fingerprint import fingerprint
from schemas.releases import Release, releases
from schemas.shapes import Array, Enum, Field, Fixed, Map, Primitive, Record, Shape, Union
from schemas.topics import (
    DAY_MS,
    DEAD_LETTER_SUFFIX,
    RECORD_BYTES_MAX,
    RETENTION_MS,
    TOPICS,
    Topic,
    all_topics,
    topic_named,
)
from services.chassis.store import Unavailable

NEAR: Final = 5
EVERY_S: Final = 2.0


def topic_views(reading: Reading, scraping: Scraping) -> tuple[View, View]:
    async def listed(question: Question) -> Context:
        del question
        seen = await scraping.look()
        return {"topics": [_of_list(each, seen) for each in TOPICS], **_who_answers(seen)}

    async def one(question: Question) -> Context:
        topic, seen = known(question.get("topic")), await scraping.look()
        return {
            "title": topic.name,
            "topic": _of_list(topic, seen),
            "origin": topic.name.removesuffix(DEAD_LETTER_SUFFIX),
            "days": RETENTION_MS[topic.kind] // DAY_MS,
            "broker_kib": topic.max_message_bytes // 1024,
            "reader_kib": RECORD_BYTES_MAX // 1024,
            "readers": [_reader(name, topic, seen) for name in topic.readers],
            "messages": [_message(each) for each in topic.contracts],
            **await _applied(topic, reading),
            **_who_answers(seen),
        }

    return (
        View("topics", "/topics", "Topics", listed, ("table",), every_s=EVERY_S),
        View("topic", "/topics/{topic}", "Topic", one, ("numbers",), every_s=EVERY_S),
    )


def known(name: str) -> Topic:
    """Raises NoPage, which leads to those whose names are near."""
    try:
        return topic_named(name)
    except KeyError:
        names = [each.name for each in all_topics()]
        near = get_close_matches(name, names, n=NEAR, cutoff=0.5)
        links = {each: f"/topics/{quote(each)}" for each in near} | {"all topics": "/topics"}
        ask = "Did you mean one of these?" if near else "No topic has a name like it."
        raise NoPage("No such topic", f"{name} is no topic of Baton. {ask}", links=links) from None


def _of_list(topic: Topic, seen: Seen) -> Context:
    """What nobody who would know it has told is None, not nought."""
    concerned = [seen[name] for name in topic.readers if name in seen]
    heard = [each for each in concerned if each.samples is not None]
    dead = sum(each.total("saga_dead_letters_pending", topic=topic.name) for each in heard)
    row = row_of(topic, seen)
    return {
        **row,
        "behind": row["behind"] if heard else None,
        "dead": int(dead) if heard else None,
    }


def _who_answers(seen: Seen) -> Context:
    return {"known": len(seen), "silent": [each for each in seen.values() if each.silent]}


def _reader(name: str, topic: Topic, seen: Seen) -> Context:
    process = seen.get(name)
    if process is None or process.samples is None:
        state = "unknown" if process is None else process.state
        return {"name": name, "state": state, "behind": None, "late": None}
    late = process.most("saga_consumer_lag_seconds", topic=topic.name)
    behind = behind_of(name, topic.name, seen)
    return {"name": name, "state": process.state, "behind": behind, "late": late}


async def _applied(topic: Topic, reading: Reading) -> Context:
    """How far the orchestrator is, if it reads the topic; `unread`: why that is not known."""
    try:
        rows = (await reading.topics())[0] if "orchestrator" in topic.readers else []
    except Unavailable as fault:
        return {"applied": None, "unread": str(fault)}
    applied = next((row for row in rows if row["topic"] == topic.name), None)
    return {"applied": applied, "unread": ""}


def _message(contract: Contract) -> Context:
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
