"""What `baton outbox republish` and `baton offsets accept` do, a database at a time.

Counting is done beside whoever writes; changing only while the process does not run, and it is
recorded in that database with author and reason.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

from deploy.local.home import Home
from deploy.local.stack import OURS
from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault
from orchestrator.operate.output import Output
from orchestrator.operate.stopped import (
    author,
    database_of,
    home_of_this_shell,
    kafka_for,
    known_process,
    known_topic,
    moment_us,
    stopped,
    store_of,
    time_text,
    told_of,
)
from services.chassis import repair
from services.chassis.bus_admin import Admin, log_bounds
from services.chassis.database import is_there, open_reader
from services.chassis.messages import TopicPartition
from services.chassis.repair import SQL, Author, Chosen
from services.chassis.store import Plan, Readable

REPUBLISH_COLUMNS = ("service", "topic", "rows")
ACCEPT_COLUMNS = ("service", "topic", "partition", "stood_at", "reads_on_at")


class Log(NamedTuple):
    """Of each partition asked for where it begins and ends, and the topic's id."""

    bounds: Mapping[int, tuple[int, int]]
    topic_id: str


def chosen(service: str, topic: str, partition: int, since: str) -> dict[str, Chosen]:
    """By service; raises where nothing was chosen."""
    if not topic and not since:
        raise VerbFault(
            "neither a topic nor a time was named",
            mend="baton outbox republish --topic TOPIC --reason WHY, or --since TIME",
            code=Exit.USAGE,
        )
    if topic:
        known_topic(topic)
    if service:
        known_process(service)
    rows = Chosen(topic, None if partition < 0 else partition, moment_us(since))
    return {name: rows for name in OURS if service in ("", name)}


def republish(
    output: Output, services: Mapping[str, Chosen], reason: str, *, dry_run: bool
) -> None:
    home, by = home_of_this_shell(), author(reason)
    rows: list[dict[str, object]] = []
    for service, which in services.items():
        if not _is_there(home, service):
            continue
        found = asyncio.run(_counted(home, service, which))
        if found and not dry_run:
            with stopped(output, home, service):
                found = asyncio.run(_say_again(home, service, which, by))
        rows += [
            {"service": service, "topic": topic, "rows": n} for topic, n in sorted(found.items())
        ]
    output.rows(REPUBLISH_COLUMNS, rows)
    total = sum(int(str(row["rows"])) for row in rows)
    said = "would be said again" if dry_run else "are said again as soon as their services run"
    output.say(f"{total} messages {said}")


def accept(output: Output, topic: str, partition: int, reason: str, *, everybody: bool) -> None:
    """`partition` -1 is each. Only readers outside the log, or of a topic that is no more, are
    moved; with `everybody` whoever has read any.
    """
    home, by = home_of_this_shell(), author(reason)
    readers = known_topic(topic).readers
    log = asyncio.run(_log_of(output, home, topic, partition))
    rows: list[dict[str, object]] = []
    for service in readers:
        if not _is_there(home, service):
            continue
        outside = asyncio.run(_outside(home, service, topic, log, everybody=everybody))
        if not outside:
            continue
        with stopped(output, home, service):
            asyncio.run(_accept(home, service, outside, log, by))
        rows += [
            {"service": service, **place._asdict(), "stood_at": at,
             "reads_on_at": log.bounds[place.partition][0]}
            for place, at in outside.items()
        ]  # fmt: skip
    output.rows(ACCEPT_COLUMNS, rows)
    if not rows:
        output.say(f"nobody stands outside the log of {topic}; nothing is moved")


def _is_there(home: Home, service: str) -> bool:
    with told_of(home, service):
        return asyncio.run(is_there(database_of(home, service)))


@asynccontextmanager
async def _reader_of(home: Home, service: str) -> AsyncIterator[Readable]:
    with told_of(home, service):
        async with open_reader(database_of(home, service)) as reader:
            yield reader


async def _counted(home: Home, service: str, which: Chosen) -> Counter[str]:
    """How many rows would be said again, read beside whoever writes."""
    found: Counter[str] = Counter()
    async with _reader_of(home, service) as reader:
        facts = {str(r["name"]): str(r["value"]) for r in await reader.read(SQL["meta.all"])}
        after, full = 0, True
        while full:
            asked = (after, which.since_us, repair.SLICE)
            rows = [tuple(r.values()) for r in await reader.read(SQL["outbox.said"], asked)]
            hit = repair.picked(which, rows, repair.partitions_in(facts))
            found.update(topic for _, topic in hit)
            full = len(rows) == repair.SLICE
            after = int(rows[-1][0] or 0) if rows else 0
    return found


async def _say_again(home: Home, service: str, which: Chosen, author: Author) -> Counter[str]:
    found: Counter[str] = Counter()
    async with store_of(home, service) as store:
        part = "each partition" if which.partition is None else f"partition {which.partition}"
        since = time_text(which.since_us)
        detail = f"{which.topic or 'each topic'}, {part}, since {since}"
        await store.run(partial(repair.record, "republish", detail, author))
        after, more = 0, True
        while more:
            some, after = await store.run(partial(repair.say_again, which, after))
            found += some
            more = after > 0
    return found


async def _outside(
    home: Home, service: str, topic: str, log: Log, *, everybody: bool
) -> dict[TopicPartition, int]:
    """Where the service stands in those partitions that it is to read anew."""
    async with _reader_of(home, service) as reader:
        rows = await reader.read(SQL["offsets.ids"])
    found: dict[TopicPartition, int] = {}
    for row in rows:
        place = TopicPartition(str(row["topic"]), int(row["partition"] or 0))
        at = int(row["next"] or 0)
        if place.topic == topic and place.partition in log.bounds:
            start, end = log.bounds[place.partition]
            stays = at == start if everybody else start <= at <= end
            stays &= row["topic_id"] in ("", log.topic_id)
            found.update({} if stays else {place: at})
    return found


async def _accept(
    home: Home, service: str, outside: Mapping[TopicPartition, int], log: Log, by: Author
) -> None:
    def move() -> Plan[None]:
        for place, at in outside.items():
            start, _ = log.bounds[place.partition]
            yield from repair.accept(place, at, start)
            detail = f"{place.topic}[{place.partition}]: {at} to {start}"
            yield from repair.record("accept", detail, by)

    async with store_of(home, service) as store:
        await store.run(move)


async def _log_of(output: Output, home: Home, topic: str, partition: int) -> Log:
    async with kafka_for(output, home) as bootstrap:
        found = await log_bounds(bootstrap, topic)
        async with Admin(bootstrap) as admin:
            topic_id = await admin.topic_id(topic)
    if partition >= 0 and partition not in found:
        raise VerbFault(
            f"{topic} has no partition {partition}", mend="baton topics check", code=Exit.NOT_FOUND
        )
    chosen = {part: log for part, log in found.items() if partition in (-1, part)}
    return Log(chosen, topic_id)
