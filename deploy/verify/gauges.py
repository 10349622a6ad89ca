"""I-16: what a running process says of itself is what its database and the topics say.

Counters begin with the process, so rows are counted from its start on; only while it runs can
they be compared at all. What a crash loses of them is declared, and begins again at nothing. A
process whose partitions stand still may not call itself ready.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from deploy.verify.evidence import DeadLetter, Inbox, Outbox, Parked, Surface
from deploy.verify.facts import Facts
from deploy.verify.verdicts import Inquiry
from deploy.verify.wiring import DEAD, ENDS, OURS, SAGAS

# Linux tells a process's start to the second; nothing is done in the first half one.
START_US = 500_000
BEAT_US = 30_000_000
OTHER = "other"  # as what the copies of dead letters are counted
Sums = Mapping[tuple[str, ...], int]


def true_to_the_logs(facts: Facts, finding: Inquiry) -> None:
    surfaces = facts.evidence.surfaces
    if surfaces is None:
        finding.cannot("nothing runs; counters live only as long as their process")
        return
    for process in facts.present(OURS):
        if process not in surfaces:
            finding.cannot(f"{process} does not run")
            continue
        surface = surfaces[process]
        finding.saw("processes")
        _readiness(facts, finding, process, surface)
        began = _sum(surface, "process_start_time_seconds").get((), 0)
        if not began:
            finding.cannot(f"{process} does not say when it began")
        elif not facts.unrest:
            since_us = began * 1_000_000 + START_US
            _published(facts, finding, process, surface, since_us)
            _consumed(facts, finding, process, surface, since_us)
            _gauges(facts, finding, process, surface)
            if process == "orchestrator":
                _sagas(facts, finding, surface, since_us)
    facts.at_rest(finding)


def _readiness(facts: Facts, finding: Inquiry, process: str, surface: Surface) -> None:
    stopped = sum(_sum(surface, "saga_partitions_stopped").values())
    if surface.ready and stopped:
        finding.wrong(f"{process} is ready, and {stopped} of its partitions stand still")
    if not surface.ready:
        finding.note(f"{process} is not ready: {surface.reason}")
    beat_s = _sum(surface, "saga_heartbeat_timestamp_seconds").get((), 0)
    if surface.ready and facts.evidence.taken_us - beat_s * 1_000_000 > BEAT_US:
        finding.wrong(f"{process} is ready, and has measured nothing for {BEAT_US // 10**6} s")


def _published(
    facts: Facts, finding: Inquiry, process: str, surface: Surface, since_us: int
) -> None:
    """At least each row marked since; what was said again counts again, and lies there twice."""
    counted = _sum(surface, "saga_events_published_total", "topic")
    sent = Counter(
        OTHER if row.topic.endswith(DEAD) else row.topic
        for row in facts.rows(process, Outbox)
        if (row.sent_us or 0) >= since_us
    )
    for topic in sorted(counted.keys() | {(each,) for each in sent}):
        finding.saw("counters")
        n, rows = counted.get(topic, 0), sent[topic[0]]
        extra = _repeats(facts, process, topic[0])
        if not rows <= n <= rows + extra:
            what = f"{process} counts {n} published to {topic[0]}, its outbox {rows}"
            finding.wrong(what + (f" and {extra} repeats" if extra else ""))


def _repeats(facts: Facts, process: str, topic: str) -> int:
    """Copies beyond what the outbox decided: a relay that was cut off says them again."""
    found = [head for head in facts.heads.get(topic, ()) if head.source == process]
    rows = sum(1 for row in facts.rows(process, Outbox) if row.topic == topic)
    return max(len(found) - rows, 0)


def _consumed(
    facts: Facts, finding: Inquiry, process: str, surface: Surface, since_us: int
) -> None:
    """All but duplicates stand in the inbox or among the dead letters.

    The orchestrator decides on a repeated reply anew, so it may count more than it keeps.
    """
    by_result = _sum(surface, "saga_events_consumed_total", "result")
    n = sum(by_result.values()) - by_result.get(("duplicate",), 0)
    kept = sum(1 for row in facts.rows(process, Inbox) if row.at_us >= since_us)
    dead = [row for row in facts.rows(process, DeadLetter) if row.at_us >= since_us]
    rows = kept + sum(1 for row in dead if (row.kind, row.stage) != ("rejected", "handle"))
    finding.saw("counters")
    again = process == "orchestrator" and n > rows
    if n != rows and not again:
        finding.wrong(f"{process} counts {n} consumed, its tables have {rows}")
    letters = Counter(row.topic for row in dead if row.kind != "follower")
    counted = _sum(surface, "saga_dead_letters_total", "topic")
    _equal(finding, process, "dead letters", counted, _by_topic(letters))


def _gauges(facts: Facts, finding: Inquiry, process: str, surface: Surface) -> None:
    waiting = Counter(row.topic for row in facts.dead[process] if row.state == "open")
    blocked = {row.record_key for row in facts.rows(process, Outbox) if row.blocked}
    unsent = sum(1 for row in facts.rows(process, Outbox) if row.sent_us is None)
    for what, name, n in (
        ("unsent messages", "saga_outbox_pending", unsent),
        ("parked keys", "saga_parked_keys", len(facts.rows(process, Parked))),
    ):
        _equal(finding, process, what, _sum(surface, name), {(): n})
    if not blocked:
        _equal(finding, process, "blocked keys", _sum(surface, "saga_outbox_blocked_keys"), {})
    counted = _sum(surface, "saga_dead_letters_pending", "topic")
    _equal(finding, process, "open dead letters", counted, _by_topic(waiting))


def _sagas(facts: Facts, finding: Inquiry, surface: Surface, since_us: int) -> None:
    definitions = {saga.id: saga.definition for saga in facts.sagas}
    started: Counter[tuple[str, ...]] = Counter()
    finished: Counter[tuple[str, ...]] = Counter()
    for number, lines in facts.lines.items():
        name = definitions.get(number, "")
        for line in lines:
            if line.at_us < since_us or line.result != "applied" or name not in SAGAS:
                continue
            if line.what == "started" and not line.from_state:
                started[(name,)] += 1
            if line.to_state in ENDS and line.from_state not in ENDS:
                finished[name, line.to_state] += 1
    counted = _sum(surface, "saga_started_total", "saga")
    _equal(finding, "orchestrator", "sagas started", counted, started)
    counted = _sum(surface, "saga_finished_total", "saga", "outcome")
    _equal(finding, "orchestrator", "sagas ended", counted, finished)


def _equal(finding: Inquiry, process: str, what: str, counted: Sums, rows: Sums) -> None:
    for labels in sorted(counted.keys() | rows.keys()):
        finding.saw("counters")
        says, has = counted.get(labels, 0), rows.get(labels, 0)
        if says != has:
            of = f" of {' '.join(labels)}" if labels else ""
            finding.wrong(f"{process} counts {says} {what}{of}, its tables have {has}")


def _by_topic(counts: Counter[str]) -> Sums:
    return {(topic,): n for topic, n in counts.items()}


def _sum(surface: Surface, name: str, *labels: str) -> Sums:
    """The samples of a name, summed over every label but these."""
    found: Counter[tuple[str, ...]] = Counter()
    for (sample, of), value in surface.samples.items():
        if sample == name:
            told: dict[str, str] = dict(of)
            found[tuple(told.get(label, "") for label in labels)] += int(value)
    return found
