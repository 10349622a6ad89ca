"""What a person may do to the database of a process that does not run: plans, each recorded.

Republishing marks sent rows as unsent: at the next start the relay sends them first and in their
order, under the same ids, keys and bytes, before anything newer; whoever heard them knows them.
That order is why it is done to a stopped process only. Accepting a position moves it to where the
log begins now, never over a record that is still there. Nothing here is done without a reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.chassis.bus_publish import partition_of
from services.chassis.messages import TopicPartition
from services.chassis.startup import stand_back
from services.chassis.store import Plan, Row, Select, Write, statements

SQL = statements(Path(__file__).parent / "chassis.sql")
SLICE = 5_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which sent rows: of a topic or of all, of one partition or of each, since a moment."""

    topic: str = ""
    partition: int | None = None
    since_us: int = 0


@dataclass(frozen=True, slots=True)
class Author:
    """Who does it, when, and why."""

    actor: str
    reason: str
    at_us: int


def picked(chosen: Chosen, rows: Sequence[Row], partitions: int) -> list[tuple[int, str]]:
    """Number and topic of those rows of `outbox.said` that are meant."""
    return [
        (int(seq or 0), str(topic))
        for seq, topic, key in rows
        if chosen.topic in ("", topic)
        and chosen.partition in (None, partition_of(str(key), partitions))
    ]


def say_again(chosen: Chosen, after: int) -> Plan[tuple[Counter[str], int]]:
    """One slice of the outbox after this number: rows per topic, and its last number or 0."""
    rows = yield Select(SQL["outbox.said"], (after, chosen.since_us, SLICE))
    facts = yield Select(SQL["meta.all"])
    hit = picked(chosen, rows, partitions_in({str(name): str(value) for name, value in facts}))
    yield Write(SQL["outbox.unsend"], [(seq,) for seq, _ in hit], expect=len(hit))
    last = int(rows[-1][0] or 0) if len(rows) == SLICE else 0
    return Counter(topic for _, topic in hit), last


def partitions_in(facts: Mapping[str, str]) -> int:
    return int(facts.get("partitions", "1"))


def accept(place: TopicPartition, believed: int, now: int) -> Plan[None]:
    """Reads on at `now`. That Kafka was told a later position is no sign of an older copy."""
    yield from stand_back({place: believed})
    yield Write(SQL["offsets.accept"], [(now, *place, believed)], expect=1)


def last_said_us() -> Plan[int]:
    """When the last message was made that this database knows of; 0 when none is."""
    rows = yield Select(SQL["outbox.last_made"])
    return int(rows[0][0] or 0) if rows else 0


def record(what: str, detail: str, author: Author) -> Plan[None]:
    yield Write(
        SQL["repairs.add"], [(author.at_us, what, detail, author.actor, author.reason)], expect=1
    )
