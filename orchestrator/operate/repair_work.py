"""What `baton outbox republish` and `baton offsets accept` do, a database at a time.

Counting is done beside whoever writes; changing only while the process does not run, and it is
recorded in that database with author and reason.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from functools import partial

from deploy.local.home import Home
from deploy.local.stack import OURS
from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault
from orchestrator.operate.output import Output
from orchestrator.operate.stopped import (
    author,
    home_of_this_shell,
    kafka_for,
    known_process,
    known_topic,
    moment_us,
    stopped,
    store_of,
    time_text,
)
from services.chassis import repair
from services.chassis.bus_admin import log_bounds
from services.chassis.messages import TopicPartition
from services.chassis.repair import SQL, Author, Chosen
from services.chassis.sqlite import open_reader
from services.chassis.store import Plan

REPUBLISH_COLUMNS = ("service", "topic", "rows")
ACCEPT_COLUMNS = ("service", "topic", "partition", "stood_at", "reads_on_at")


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
        if not home.database(service).exists():
            continue
        found = asyncio.run(_counted(home, service, which))
        if found and not dry_run:
            with stopped(home, service):
                found = asyncio.run(_say_again(home, service, which, by))
        rows += [
            {"service": service, "topic": topic, "rows": n} for topic, n in sorted(found.items())
        ]
    output.rows(REPUBLISH_COLUMNS, rows)
    total = sum(int(str(row["rows"])) for row in rows)
    said = "would be said again" if dry_run else "are said again as soon as their services run"
    output.say(f"{total} messages {said}")


def accept(output: Output, topic: str, partition: int, reason: str) -> None:
    home, by = home_of_this_shell(), author(reason)
    place = TopicPartition(topic, partition)
    rows = []
    start, end = asyncio.run(_log_of(output, home, place))
    for service in known_topic(topic).readers:
        if not home.database(service).exists():
            continue
        at = asyncio.run(_position(home, service, place))
        if at is None or start <= at <= end:
            continue
        with stopped(home, service):
            asyncio.run(_accept(home, service, place, start, by))
        rows.append({"service": service, "topic": topic, "partition": partition,
                     "stood_at": at, "reads_on_at": start})  # fmt: skip
    output.rows(ACCEPT_COLUMNS, rows)
    if not rows:
        output.say(f"nobody stands outside {topic}[{partition}] ({start}..{end}); nothing is moved")


async def _counted(home: Home, service: str, which: Chosen) -> Counter[str]:
    """How many rows would be said again, read beside whoever writes."""
    found: Counter[str] = Counter()
    async with open_reader(home.database(service)) as reader:
        facts = {str(r["name"]): str(r["value"]) for r in await reader.read(SQL["meta.all"].sql)}
        after, full = 0, True
        while full:
            asked = (after, which.since_us, repair.SLICE)
            rows = [tuple(r.values()) for r in await reader.read(SQL["outbox.said"].sql, asked)]
            hit = repair.picked(which, rows, repair.partitions_in(facts))
            found.update(topic for _, topic in hit)
            full = len(rows) == repair.SLICE
            after = int(rows[-1][0] or 0) if rows else 0
    return found


async def _say_again(home: Home, service: str, which: Chosen, author: Author) -> Counter[str]:
    found: Counter[str] = Counter()
    async with store_of(home, service) as store:
        detail = f"topic {which.topic or 'each'}, partition {which.partition}, since "
        await store.run(
            partial(repair.record, "republish", detail + time_text(which.since_us), author)
        )
        after, more = 0, True
        while more:
            some, after = await store.run(partial(repair.say_again, which, after))
            found += some
            more = after > 0
    return found


async def _position(home: Home, service: str, place: TopicPartition) -> int | None:
    async with open_reader(home.database(service)) as reader:
        rows = await reader.read(SQL["offsets.all"].sql)
    at = {(str(r["topic"]), int(r["partition"] or 0)): int(r["next"] or 0) for r in rows}
    return at.get(place)


async def _accept(
    home: Home, service: str, place: TopicPartition, start: int, author: Author
) -> None:
    at = await _position(home, service, place)
    assert at is not None

    def move() -> Plan[None]:
        yield from repair.accept(place, at, start)
        detail = f"{place.topic}[{place.partition}]: {at} to {start}"
        yield from repair.record("accept", detail, author)

    async with store_of(home, service) as store:
        await store.run(move)


async def _log_of(output: Output, home: Home, place: TopicPartition) -> tuple[int, int]:
    async with kafka_for(output, home) as bootstrap:
        found = await log_bounds(bootstrap, place.topic)
    if place.partition not in found:
        raise VerbFault(
            f"{place.topic} has no partition {place.partition}",
            mend="baton topics check",
            code=Exit.NOT_FOUND,
        )
    return found[place.partition]
