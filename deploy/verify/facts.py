"""What several checks need of the evidence, worked out once: who said what, what is settled.

A record that one of its readers rejected is set aside: it has no effect, and whoever forged it
proves nothing about us. A key is excused from what must be so at the end while its messages wait
for a person somewhere, or where one discarded some or vouched for a step: a recorded decision.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple, TypeVar, cast

from deploy.verify.bodies import Body, body_of
from deploy.verify.evidence import (
    DeadLetter,
    Evidence,
    Inbox,
    Line,
    Offset,
    Operation,
    Outbox,
    Parked,
    Place,
    Record,
    Saga,
)
from deploy.verify.verdicts import Inquiry
from deploy.verify.wiring import DEAD, ENDS, OURS, READS, SAGAS, WIRES, Declared

T = TypeVar("T")
DAY_US = 86_400_000_000
Spot = tuple[str, int, int]
UNPLACED = "record"  # a dead letter of a gateway's result: it never lay in a log
_ORIGIN = ("topic", "partition", "offset")


class Malformed(Exception):
    """A column does not hold what its table promises; nothing can be said of what needs it."""


class Head(NamedTuple):
    """A record with the part of its envelope that says who spoke of what."""

    record: Record
    key: str
    id: str
    source: str
    type: str
    causation: str
    operation: str

    @property
    def identity(self) -> tuple[str, str, str]:
        return (self.key, self.source, self.id)


class Facts:
    """Lazily: a check asks for what it needs."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.rows = evidence.rows
        self._bodies: dict[bytes, Body | None] = {}
        self._made: dict[str, object] = {}

    def has(self, process: str) -> bool:
        return process in self.evidence.tables

    def present(self, processes: Sequence[str]) -> list[str]:
        return [each for each in processes if each in self.evidence.tables]

    def lacks(self, finding: Inquiry, *processes: str) -> bool:
        """True, and said, where one of these databases is not among the evidence."""
        missing = [each for each in processes if not self.has(each)]
        for each in missing:
            finding.cannot(f"no database of {each}")
        return bool(missing)

    def at_rest(self, finding: Inquiry) -> bool:
        """Whether what must be so in the end may be asked; where not, the finding says why."""
        for reason in self.unrest:
            finding.cannot(reason)
        return not self.unrest

    def whole(self, topic: str) -> bool:
        """Nothing of this topic has been taken away by retention, and all of it was read."""
        starts = [start for (name, _), (start, _) in self.ends.items() if name == topic]
        return not any(starts) and not any(topic in each for each in self.evidence.unread)

    def body(self, head: Head) -> Body | None:
        value = head.record.value
        if value is None:
            return None
        if value not in self._bodies:
            self._bodies[value] = body_of(value)
        return self._bodies[value]

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What several checks work out of the same rows."""
        if name not in self._made:
            self._made[name] = make()
        return cast("T", self._made[name])

    @cached_property
    def ends(self) -> Mapping[Place, tuple[int, int]]:
        """First and next offset of each partition."""
        found = dict(self.evidence.ends)
        if not found:
            for record in self.evidence.records:
                place = (record[0], record[1])
                first, _ = found.get(place, (record[2], 0))
                found[place] = (first, record[2] + 1)
        return found

    @cached_property
    def heads(self) -> Mapping[str, Sequence[Head]]:
        """Of each topic but the dead letters', each partition in the order of its log."""
        found: dict[str, list[Head]] = {topic: [] for topic in WIRES}
        for record in self.evidence.records:
            if record[0] in found:
                found[record[0]].append(head_of(record))
        return found

    @cached_property
    def copies(self) -> Sequence[Record]:
        """What lies on the dead letters' topics."""
        return [Record(*each) for each in self.evidence.records if each[0].endswith(DEAD)]

    @cached_property
    def copied(self) -> Mapping[str, Record]:
        """The first copy of each dead letter, by the place that it says it comes from."""
        found: dict[str, Record] = {}
        for record in self.copies:
            told = dict(record.headers)
            parts = [told.get(f"dlt-original-{part}", b"") for part in _ORIGIN]
            found.setdefault("/".join(part.decode("utf-8", "replace") for part in parts), record)
        return found

    @cached_property
    def lies(self) -> Mapping[Spot, Record]:
        return {each.record[:3]: each.record for heads in self.heads.values() for each in heads}

    @cached_property
    def dead(self) -> Mapping[str, Sequence[DeadLetter]]:
        return {each: self.rows(each, DeadLetter) for each in self.present(OURS)}

    @cached_property
    def rejected(self) -> frozenset[Spot]:
        return frozenset(
            (row.topic, row.partition, row.offset)
            for rows in self.dead.values()
            for row in rows
            if "rejected" in (row.kind, row.state) and row.stage != UNPLACED
        )

    def spoken(self, topic: str) -> list[Head]:
        """The records of a topic that stand: rejected by none of its readers."""
        return [each for each in self.heads[topic] if each.record[:3] not in self.rejected]

    @cached_property
    def inbox(self) -> Mapping[str, Mapping[tuple[str, str, str], int]]:
        """When each process applied what, by key, source and id."""
        return {
            process: {row[:3]: row.at_us for row in self.rows(process, Inbox)}
            for process in self.present(OURS)
        }

    @cached_property
    def sagas(self) -> Sequence[Saga]:
        return self.rows("orchestrator", Saga)

    @cached_property
    def lines(self) -> Mapping[int, Sequence[Line]]:
        """The journal by the number of its saga."""
        found: dict[int, list[Line]] = defaultdict(list)
        for line in sorted(self.rows("orchestrator", Line)):
            found[line.saga].append(line)
        return found

    @cached_property
    def excused(self) -> frozenset[str]:
        keys = {row.key for process in self.present(OURS) for row in self.rows(process, Parked)}
        for process in self.present(OURS):
            keys.update(row.record_key for row in self.rows(process, Outbox) if row.blocked)
        for rows in self.dead.values():
            keys.update(row.key or "" for row in rows if row.state == "discarded")
        numbers = {
            line.saga
            for lines in self.lines.values()
            for line in lines
            if line.what == "verb_skip" and line.result == "applied"
        }
        keys.update(saga.key for saga in self.sagas if saga.id in numbers)
        return frozenset(keys)

    def ended(self, finding: Inquiry, definition: Declared) -> list[Saga]:
        """The sagas of a definition that have their end; the excused are counted and left out."""
        ended = [
            saga for saga in self.sagas if saga.definition == definition.name and saga.phase in ENDS
        ]
        kept = [saga for saga in ended if saga.key not in self.excused]
        if len(kept) < len(ended):
            finding.note(
                f"left out: {len(ended) - len(kept)} of {definition.name} with parked, blocked or"
                " discarded messages, or a step that an operator vouched for"
            )
        return kept

    @cached_property
    def unrest(self) -> Sequence[str]:
        """Why the books of several processes cannot be compared; empty when all is settled."""
        if self.evidence.moved:
            return [self.evidence.moved]
        return [*self.evidence.unread, *under_way(self)]

    def operations(self, process: str) -> Mapping[str, Operation]:
        return {row.operation: row for row in self.rows(process, Operation)}

    def forgotten(self, record: Record, days: int) -> bool:
        """So old that a process may have forgotten it."""
        return record.timestamp_ms * 1000 < self.evidence.taken_us - days * DAY_US


def under_way(facts: Facts) -> list[str]:
    """What is still to be read, said or called, a line a process."""
    found = []
    for process in facts.present(OURS):
        unsent = sum(
            1 for row in facts.rows(process, Outbox) if row.sent_us is None and not row.blocked
        )
        parked = {row.key for row in facts.rows(process, Parked)}
        calls = sum(
            1
            for row in facts.rows(process, Operation)
            if row.status.endswith("calling") and row.key not in parked
        )
        at = {(row.topic, row.partition): row.next for row in facts.rows(process, Offset)}
        unread = sum(
            max(end - max(at.get((topic, partition), 0), start), 0)
            for (topic, partition), (start, end) in facts.ends.items()
            if topic in READS[process]
        )
        parts = [(unread, "unread"), (unsent, "unsent"), (calls, "calls under way")]
        said = ", ".join(f"{n} {what}" for n, what in parts if n)
        if said:
            found.append(f"work in flight: {process} has {said}")
    return found


def head_of(record: Record) -> Head:
    """Never raises: headers of strangers may be anything."""
    told = {name: value for name, value in record[6] if value is not None}

    def text(name: str) -> str:
        return told.get(name, b"").decode("utf-8", "replace")

    return Head(
        record if isinstance(record, Record) else Record(*record),
        (record[4] or b"").decode("utf-8", "replace"),
        text("ce_id"),
        text("ce_source"),
        text("ce_type"),
        text("ce_causationid"),
        text("ce_operationid"),
    )


def opened(column: str | None, where: str) -> dict[str, object]:
    """A JSON object of a column; null is an empty one."""
    try:
        found = json.loads(column or "null")
    except ValueError as fault:
        raise Malformed(f"{where} is no JSON") from fault
    if not isinstance(found, dict | None):
        raise Malformed(f"{where} is no JSON object")
    return found or {}


def declared(saga: Saga) -> Declared | None:
    return SAGAS.get(saga.definition)
