"""What must be true before a process reads: its topics exist, with as many partitions as ever.

Topics are never created by a process that uses them: a misspelt name would become a topic in
which messages wait for ever. A database that cannot write now is waited for, as Kafka is; one that
is older than what was done from it is refused until it is told what it forgot.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import orjson

from schemas.topics import all_topics, topics_read_by
from services.chassis.bus import BusError, TopicsWrong
from services.chassis.bus_admin import Admin, describe_topics
from services.chassis.messages import TopicPartition
from services.chassis.store import (
    Plan,
    Select,
    Store,
    StoreError,
    T,
    Unavailable,
    Write,
    statements,
)

SQL = statements(Path(__file__).parent / "chassis.sql")
STOOD_BACK = "stood_back"  # the fact by which a database is known to be restored
_AGAIN_S = 1.0
_log = logging.getLogger(__name__)
Tell = Callable[[str, str], None]


class DatabaseOlder(StoreError):
    """Kafka was told of work that this database does not know: it is an older copy."""


class PartitionsChanged(BusError):
    """Where a key's records lie is not where this database expects them."""


async def wait_for_store(store: Store, plan: Callable[[], Plan[T]], tell: Tell) -> T:
    """The plan's result, once the database can write."""
    return await wait_for_disk(lambda: store.run(plan), tell)


async def wait_for_disk(work: Callable[[], Awaitable[T]], tell: Tell) -> T:
    """Its result, once it finds the database available; `tell` hears that it is not, and why."""
    while True:
        try:
            return await work()
        except Unavailable as error:
            tell("database", str(error))
            _log.error("waiting for the database", extra={"reason": str(error)})
            await asyncio.sleep(_AGAIN_S)


async def wait_for_topics(bootstrap: str, service: str, store: Store, tell: Tell) -> int:
    """Partitions of every topic, once Kafka answers and all topics stand as they must."""
    told = ""
    while True:
        try:
            counts = await describe_topics(bootstrap)
            partitions = check_topics(service, counts)
            await wait_for_store(store, partial(_remember, partitions), tell)
        except BusError as error:
            tell("kafka", str(error))
            if str(error) != told:
                told = str(error)
                _log.warning("waiting for Kafka", extra={"reason": told})
            await asyncio.sleep(_AGAIN_S)
        else:
            return partitions


async def refuse_older(bootstrap: str, service: str, store: Store, tell: Tell) -> bool:
    """Raises DatabaseOlder for a copy that `baton restore` has not looked at yet.

    A position is told to Kafka only after it is in the database. So one that Kafka knows and the
    database does not was written by a later life of it.
    """
    while True:
        try:
            async with Admin(bootstrap) as admin:
                told = await admin.committed(f"baton.{service}")
        except BusError as error:
            tell("kafka", str(error))
            await asyncio.sleep(_AGAIN_S)
            continue
        known = await wait_for_store(store, known_positions, tell)
        later = sorted(place for place, at in told.items() if at > known.get(place, 0))
        if later:
            place = later[0]
            raise DatabaseOlder(
                f"this database of {service} is older than its work: {place.topic}"
                f"[{place.partition}] was read up to {told[place]}, it knows {known.get(place, 0)}"
                f" ({len(later)} partitions so). Was it restored from a copy? Then type:"
                f" baton restore --service {service} --reason WHY   (deploy/RUNBOOK.md)"
            )
        return True


def known_positions() -> Plan[dict[TopicPartition, int]]:
    """Where this database stands or was once told to stand back from."""
    rows = yield Select(SQL["offsets.all"])
    facts = yield Select(SQL["meta.all"])
    known = {TopicPartition(str(row[0]), int(row[1] or 0)): int(row[2] or 0) for row in rows}
    accepted = {str(name): str(value) for name, value in facts}.get(STOOD_BACK, "[]")
    for topic, partition, at in orjson.loads(accepted):
        place = TopicPartition(topic, partition)
        known[place] = max(known.get(place, 0), at)
    return known


def stand_back(told: Mapping[TopicPartition, int]) -> Plan[None]:
    """From now on this database may be behind these positions: it is known why."""
    known = yield from known_positions()
    behind = [[*place, at] for place, at in {**known, **told}.items()]
    yield Write(SQL["meta.put"], [(STOOD_BACK, orjson.dumps(behind).decode())])


def check_topics(service: str, counts: dict[str, int]) -> int:
    """Raises TopicsWrong naming what is missing or uneven, and the command that mends it."""
    mine = [topic for topic in all_topics() if service in (*topic.readers, *topic.writers)]
    missing = sorted(topic.name for topic in mine if topic.name not in counts)
    if missing:
        raise TopicsWrong(missing, "missing")
    read = {topic.name: counts[topic.name] for topic in topics_read_by(service)}
    if len(set(read.values())) != 1:
        raise TopicsWrong(sorted(read), f"their partition counts differ ({read})")
    return next(iter(read.values()))


def _remember(partitions: int) -> Plan[None]:
    """A partition count that changed moves keys to other partitions: that is a migration."""
    rows = yield Select(SQL["meta.all"])
    known = {str(name): str(value) for name, value in rows}.get("partitions")
    if known is not None and known != str(partitions):
        raise PartitionsChanged(
            f"this database was made with {known} partitions a topic, now there are {partitions}:"
            " keys would move between partitions with work under way. Give the topics their"
            f" {known} partitions back (baton topics check shows them), or take a new database"
        )
    yield Write(SQL["meta.put"], [("partitions", str(partitions))])
