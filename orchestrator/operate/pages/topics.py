"""Topics: who writes and reads each, what may stand on it, and how far its readers are behind.

The wiring comes from the schemas, the numbers from the processes' own metrics and from what the
orchestrator's database says it applied. Records are `tail`'s, their schemas `messages`'.
"""

from __future__ import annotations

from asyncio import gather
from difflib import get_close_matches
from typing import Final
from urllib.parse import quote

from orchestrator.operate.pages.company import Seen, behind_of, row_of
from orchestrator.operate.pages.messages import message
from orchestrator.operate.pages.tail import tail_of
from orchestrator.operate.pages.view import Context, NoPage, Question, View
from orchestrator.operate.reading import Reading
from orchestrator.operate.scraping import Scraping
from orchestrator.operate.tailing import Tails
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


def topic_views(reading: Reading, scraping: Scraping, tails: Tails) -> tuple[View, View]:
    async def listed(question: Question) -> Context:
        del question
        seen = await scraping.look()
        return {"topics": [_of_list(each, seen) for each in TOPICS], **_who_answers(seen)}

    async def one(question: Question) -> Context:
        topic = known(question.get("topic"))
        seen, look = await gather(scraping.look(), tails.look(topic.name))
        keys = {each.key for each in reading.views.definitions}
        return {
            "title": topic.name,
            "topic": _of_list(topic, seen),
            "origin": topic.name.removesuffix(DEAD_LETTER_SUFFIX),
            "days": RETENTION_MS[topic.kind] // DAY_MS,
            "broker_kib": topic.max_message_bytes // 1024,
            "reader_kib": RECORD_BYTES_MAX // 1024,
            "readers": [_reader(name, topic, seen) for name in topic.readers],
            "messages": [message(each) for each in topic.contracts],
            "sagas": any(each.key in keys for each in topic.contracts),
            "tail": tail_of(look, question, reading.now_us()),
            **await _applied(topic, reading),
            **_who_answers(seen),
        }

    return (
        View("topics", "/topics", "Topics", listed, ("table",), every_s=EVERY_S),
        View("topic", "/topics/{topic}", "Topic", one, ("numbers", "gap", "tail"), every_s=EVERY_S),
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
