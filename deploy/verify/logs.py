"""I-3, I-12 and I-13: nothing lost between logs and databases, and every bad record accounted for.

Each record below a consumer's position must be in its inbox (applied once, whatever it led to) or
among its dead letters; each of our records must stand in its speaker's outbox, and each sent row
of an outbox on its topic. Counts that processes keep in memory only are not derivable here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence

from deploy.verify.evidence import Offset, Outbox, Parked, Record, Spoken
from deploy.verify.facts import UNPLACED, Facts
from deploy.verify.verdicts import Inquiry
from deploy.verify.wiring import DEAD, OURS, READS, WIRES

KINDS = frozenset({"rejected", "parked", "follower"})
STATES = frozenset({"open", "redriven", "rejected", "discarded"})


def nothing_lost(facts: Facts, finding: Inquiry) -> None:
    facts.lacks(finding, *OURS)
    rest = facts.at_rest(finding)
    for process in facts.present(OURS):
        at = {(row.topic, row.partition): row.next for row in facts.rows(process, Offset)}
        for place, (start, end) in facts.ends.items():
            if place[0] not in READS[process]:
                continue
            finding.saw("positions")
            following, where = at.get(place, 0), f"{process} stands in {place[0]}/{place[1]}"
            if following > end and not facts.evidence.moved:
                finding.wrong(f"{where} at {following}, behind its end {end}")
            elif following < start < end:
                finding.wrong(f"{where} at {following}, before its start {start}")
        if not facts.evidence.moved:
            _applied(facts, finding, process, at)
    if rest:
        finding.note("every position is its log's end")


def _applied(
    facts: Facts, finding: Inquiry, process: str, at: Mapping[tuple[str, int], int]
) -> None:
    """Which records below the position were applied, repeated or turned away, one by one."""
    inbox = facts.inbox[process]
    dead = {
        (row.topic, row.partition, row.offset)
        for row in facts.dead[process]
        if row.stage != UNPLACED
    }
    seen: set[tuple[str, str, str]] = set()
    counts: Counter[str] = Counter()
    read = (head for topic in READS[process] for head in facts.heads[topic])
    for head in read:
        record = head.record
        if record.offset < at.get(record[:2], 0):
            if head.identity in inbox:
                counts["repeated" if head.identity in seen else "applied"] += 1
                seen.add(head.identity)
            elif record[:3] in dead:
                counts["turned away or parked"] += 1
            elif facts.forgotten(record, facts.evidence.keeps.inbox_days):
                counts["older than the inbox keeps"] += 1
            else:
                counts["lost"] += 1
                what = f"{process} is past it, with neither inbox row nor dead letter"
                finding.wrong(f"{what} ({head.source} {head.id})", head.key, record)
    for what, n in counts.items():
        finding.saw(f"records {what}", n)
    whole = all(facts.whole(topic) for topic in READS[process])
    for key, source, message_id in inbox.keys() - seen if whole else ():
        if not _redriven(facts, process, key):
            finding.wrong(f"{process} applied {source} {message_id}, which no topic holds", key)


def _redriven(facts: Facts, process: str, key: str) -> bool:
    """Applied from the row of a dead letter; its record may be gone from the topic."""
    return any(row.key == key and row.state == "redriven" for row in facts.dead[process])


def outbox_is_topics(facts: Facts, finding: Inquiry) -> None:
    for process in facts.present(OURS):
        rows = facts.rows(process, Outbox)
        _sent(facts, finding, process, rows)
    facts.lacks(finding, *OURS)
    if facts.at_rest(finding):
        _spoken(facts, finding)


def _sent(facts: Facts, finding: Inquiry, process: str, rows: Sequence[Outbox]) -> None:
    """Each sent row is on its topic with its bytes, and a key's first ones are in its order.

    What a former life said lies in the order in which that one said it; what is decided after it
    here was said after that life, too.
    """
    former = {(row.topic, row.key, row.id) for row in facts.rows(process, Spoken)}
    first: dict[tuple[str, str, str], Record] = {}
    for topic in {row.topic for row in rows} & WIRES.keys():
        for head in facts.heads[topic]:
            if head.source == process:
                first.setdefault((topic, head.key, head.id), head.record)
    found: dict[tuple[str, str, str], tuple[Outbox, Record]] = {}
    for row in sorted(rows):
        record = first.get((row.topic, row.record_key, row.id))
        if row.sent_us is None:
            finding.saw("unsent rows")
        elif row.topic.endswith(DEAD):
            _copy(facts, finding, process, row)
        elif record is None:
            _missing(facts, finding, process, row)
        else:
            finding.saw("sent rows")
            if record.value != row.value:
                finding.wrong(f"{process} sent {row.id} with other bytes", row.record_key, record)
            found.setdefault((row.topic, row.record_key, row.id), (row, record))
    _in_order(finding, process, found, former)


def _in_order(
    finding: Inquiry,
    process: str,
    found: Mapping[tuple[str, str, str], tuple[Outbox, Record]],
    former: Container[tuple[str, str, str]],
) -> None:
    last: dict[tuple[str, str], tuple[Outbox, Record]] = {}
    for place, (row, record) in found.items():
        before = last.get(place[:2])
        if before is None or record.offset > before[1].offset:
            last[place[:2]] = (row, record)
        elif place not in former:
            what = f"{process} said {row.id} before {before[0].id}, which is earlier in its outbox"
            finding.wrong(what, row.record_key, record)


def _copy(facts: Facts, finding: Inquiry, process: str, row: Outbox) -> None:
    origin = row.id.removesuffix("/dlt")
    finding.saw("copies of dead letters")
    if origin not in facts.copied and facts.whole(row.topic) and not facts.evidence.moved:
        finding.wrong(f"{process} sent a copy of {origin}, which no topic holds", row.record_key)


def _missing(facts: Facts, finding: Inquiry, process: str, row: Outbox) -> None:
    if facts.evidence.moved or not facts.whole(row.topic):
        finding.saw("sent rows whose topic is not whole")
    else:
        finding.wrong(f"{process} sent {row.id}, which {row.topic} does not hold", row.record_key)


def _spoken(facts: Facts, finding: Inquiry) -> None:
    """Nothing in the topics in our name that its speaker never decided."""
    days = facts.evidence.keeps.outbox_days
    said = {
        process: {(row.topic, row.record_key, row.id) for row in facts.rows(process, Outbox)}
        | {(row.topic, row.key, row.id) for row in facts.rows(process, Spoken)}
        for process in facts.present(OURS)
    }
    for topic in WIRES:
        for head in facts.spoken(topic):
            if head.source not in said:
                continue
            if (topic, head.key, head.id) in said[head.source]:
                finding.saw("records of ours")
            elif facts.forgotten(head.record, days):
                finding.saw("records older than outboxes keep")
            else:
                what = f"nobody at {head.source} decided to say {head.id}"
                finding.wrong(what, head.key, head.record)


def bad_records(facts: Facts, finding: Inquiry) -> None:
    facts.lacks(finding, *OURS)
    for process in facts.present(OURS):
        parked = {row.key for row in facts.rows(process, Parked)}
        finding.saw("parked keys", len(parked))
        _rows(facts, finding, process, parked)
    if facts.at_rest(finding):
        _copies(facts, finding)
    finding.note("that an unparked key ends as if it had never been parked is not derivable")


def _rows(facts: Facts, finding: Inquiry, process: str, parked: set[str]) -> None:
    """Each with a reason, a place that exists, the record that lies there, and a legal state."""
    lies = facts.lies
    waiting = set()
    for row in facts.dead[process]:
        finding.saw("dead letters")
        spot = f"{row.topic}/{row.partition}/{row.offset}"
        here = f"{process}: dead letter {row.seq} of {spot}"
        _, end = facts.ends.get((row.topic, row.partition), (0, 0))
        if not row.reason or row.kind not in KINDS or row.state not in STATES:
            finding.wrong(
                f"{here} is {row.kind}, {row.state}, reason {row.reason!r}", row.key or ""
            )
        if row.state == "open" and row.kind != "rejected":
            waiting.add(row.key or "")
        if row.stage == UNPLACED:
            continue
        if row.topic not in READS[process] or (row.offset >= end and not facts.evidence.moved):
            finding.wrong(f"{here} comes from nowhere", row.key or "")
        origin = lies.get((row.topic, row.partition, row.offset))
        if origin is not None and origin.value != row.value:
            finding.wrong(f"{here} is not the record that lies there", row.key or "", origin)
    for key in sorted(waiting ^ parked):
        said = "waits and is not parked" if key in waiting else "is parked and nothing waits"
        finding.wrong(f"{process}: its key {said}", key)


def _copies(facts: Facts, finding: Inquiry) -> None:
    """Each rejected or parked record has its copy, each copy its dead letter."""
    rows = {
        f"{row.topic}/{row.partition}/{row.offset}": row
        for process in facts.present(OURS)
        for row in facts.dead[process]
        if row.kind != "follower"
    }
    for origin, row in rows.items():
        if row.stage == UNPLACED:
            continue
        if origin not in facts.copied and facts.whole(row.topic + DEAD):
            finding.wrong(f"{origin} was {row.kind} and no topic holds a copy", row.key or "")
    for origin, record in facts.copied.items():
        finding.saw("copies on dead letters' topics")
        if origin not in rows and not facts.forgotten(record, facts.evidence.keeps.letter_days):
            finding.wrong(f"nobody's dead letter is {origin}, of which this is a copy", "", record)
