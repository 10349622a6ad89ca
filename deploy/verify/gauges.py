"""I-16: what a running process says of itself is what its database and the topics say.

Counters begin with the process, so rows are counted from its start on; only while it runs can
they be compared at all. Several processes of a program count together. What a crash loses of them
is declared, and begins again at nothing. What a commit did whose answer was lost is in no counter:
where there was one, fewer are counted than there are by right. A process whose partitions stand
still may not call itself ready.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from deploy.verify.evidence import DeadLetter, Inbox, Outbox, Parked, Surface
from deploy.verify.facts import Facts
from deploy.verify.verdicts import Inquiry
from deploy.verify.wiring import DEAD, ENDS, OURS, SAGAS

# Linux tells a process's start to the second; nothing is done in the first half one.
START_US = 500_000
BEAT_US = 30_000_000
OTHER = "other"  # as what the copies of dead letters are counted
Sums = Mapping[tuple[str, ...], int]


class Running(NamedTuple):
    """A program's processes by name, which count what they do each from its own start on.

    So what happened since the `latest` start is counted, and nothing from before the `earliest`.
    """

    program: str
    surfaces: Mapping[str, Surface]
    earliest_us: int
    latest_us: int

    def fewer(self, finding: Inquiry, what: str) -> None:
        """Wrong, unless it may be what commits did of which nobody here knows."""
        if n := self.sum("saga_commits_in_doubt_total").get((), 0):
            finding.cannot(f"{what}: {n} of its commits were in doubt")
        else:
            finding.wrong(what)

    def sum(self, name: str, *labels: str) -> Sums:
        found: Counter[tuple[str, ...]] = Counter()
        for surface in self.surfaces.values():
            found.update(_sum(surface, name, *labels))
        return found

    def since(self, happened: Iterable[tuple[tuple[str, ...], int]]) -> tuple[Sums, Sums]:
        """Of labels and moments: how many must be counted, and how many may be."""
        least: Counter[tuple[str, ...]] = Counter()
        most: Counter[tuple[str, ...]] = Counter()
        for labels, at_us in happened:
            least[labels] += at_us >= self.latest_us
            most[labels] += at_us >= self.earliest_us
        return +least, +most


def true_to_the_logs(facts: Facts, finding: Inquiry) -> None:
    surfaces = facts.evidence.surfaces
    if surfaces is None:
        finding.cannot("nothing runs; counters live only as long as their process")
        return
    for program in facts.present(OURS):
        own = {name: each for name, each in surfaces.items() if name.partition("-")[0] == program}
        if not own:
            finding.cannot(f"{program} does not run")
            continue
        for name, surface in own.items():
            finding.saw("processes")
            _readiness(facts, finding, name, surface)
        began = [_sum(each, "process_start_time_seconds").get((), 0) for each in own.values()]
        if not all(began):
            finding.cannot(f"{program} does not say when it began")
        elif not facts.unrest:
            times = [each * 1_000_000 + START_US for each in began]
            running = Running(program, own, min(times), max(times))
            _published(facts, finding, running)
            _consumed(facts, finding, running)
            for name, surface in own.items():
                _gauges(facts, finding, program, (name, surface))
            if program == "orchestrator":
                _sagas(facts, finding, running)
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


def _published(facts: Facts, finding: Inquiry, running: Running) -> None:
    """At least each row marked since; what was said again counts again, and lies there twice."""
    program = running.program
    counted = running.sum("saga_events_published_total", "topic")
    least, most = running.since(
        ((OTHER if row.topic.endswith(DEAD) else row.topic,), row.sent_us or 0)
        for row in facts.rows(program, Outbox)
    )
    for topic in sorted(counted.keys() | most.keys()):
        finding.saw("counters")
        n, rows = counted.get(topic, 0), least.get(topic, 0)
        extra = _repeats(facts, program, topic[0])
        if not rows <= n <= most.get(topic, 0) + extra:
            told = _range(rows, most.get(topic, 0))
            what = f"{program} counts {n} published to {topic[0]}, its outbox {told}"
            finding.wrong(what + (f" and {extra} repeats" if extra else ""))


def _repeats(facts: Facts, process: str, topic: str) -> int:
    """Copies beyond what the outbox decided: a relay that was cut off says them again.

    Dead letters are counted as OTHER, whatever topic they are of.
    """

    def meant(name: str) -> bool:
        return name.endswith(DEAD) if topic == OTHER else name == topic

    found = [
        head
        for name, heads in facts.heads.items()
        if meant(name)
        for head in heads
        if head.source == process
    ]
    rows = sum(1 for row in facts.rows(process, Outbox) if meant(row.topic))
    return max(len(found) - rows, 0)


def _consumed(facts: Facts, finding: Inquiry, running: Running) -> None:
    """All but duplicates stand in the inbox or among the dead letters.

    The orchestrator decides on a repeated reply anew, so it may count more than it keeps.
    """
    program = running.program
    by_result = running.sum("saga_events_consumed_total", "result")
    n = sum(by_result.values()) - by_result.get(("duplicate",), 0)
    dead = facts.rows(program, DeadLetter)
    taken = [row.at_us for row in facts.rows(program, Inbox)]
    taken += [row.at_us for row in dead if (row.kind, row.stage) != ("rejected", "handle")]
    least, most = (each.get((), 0) for each in running.since(((), at_us) for at_us in taken))
    finding.saw("counters")
    again = program == "orchestrator" and n > most
    told = f"{program} counts {n} consumed, its tables have {_range(least, most)}"
    if n < least:
        running.fewer(finding, told)
    elif n > most and not again:
        finding.wrong(told)
    letters = [((row.topic,), row.at_us) for row in dead if row.kind != "follower"]
    counted = running.sum("saga_dead_letters_total", "topic")
    _within(finding, running, "dead letters", counted, running.since(letters))


def _gauges(facts: Facts, finding: Inquiry, program: str, process: tuple[str, Surface]) -> None:
    """Each process measures what all of them share."""
    name, surface = process
    waiting = Counter(row.topic for row in facts.dead[program] if row.state == "open")
    blocked = {row.record_key for row in facts.rows(program, Outbox) if row.blocked}
    unsent = sum(1 for row in facts.rows(program, Outbox) if row.sent_us is None)
    for what, gauge, n in (
        ("unsent messages", "saga_outbox_pending", unsent),
        ("parked keys", "saga_parked_keys", len(facts.rows(program, Parked))),
    ):
        _equal(finding, name, what, _sum(surface, gauge), {(): n})
    if not blocked:
        _equal(finding, name, "blocked keys", _sum(surface, "saga_outbox_blocked_keys"), {})
    counted = _sum(surface, "saga_dead_letters_pending", "topic")
    _equal(finding, name, "open dead letters", counted, _by_topic(waiting))


def _sagas(facts: Facts, finding: Inquiry, running: Running) -> None:
    definitions = {saga.id: saga.definition for saga in facts.sagas}
    started: list[tuple[tuple[str, ...], int]] = []
    finished: list[tuple[tuple[str, ...], int]] = []
    for number, lines in facts.lines.items():
        name = definitions.get(number, "")
        for line in lines:
            if line.result != "applied" or name not in SAGAS:
                continue
            if line.what == "started" and not line.from_state:
                started.append(((name,), line.at_us))
            if line.to_state in ENDS and line.from_state not in ENDS:
                finished.append(((name, line.to_state), line.at_us))
    counted = running.sum("saga_started_total", "saga")
    _within(finding, running, "sagas started", counted, running.since(started))
    counted = running.sum("saga_finished_total", "saga", "outcome")
    _within(finding, running, "sagas ended", counted, running.since(finished))


def _equal(finding: Inquiry, process: str, what: str, counted: Sums, rows: Sums) -> None:
    for labels in sorted(counted.keys() | rows.keys()):
        finding.saw("counters")
        says, has = counted.get(labels, 0), rows.get(labels, 0)
        if says != has:
            finding.wrong(_told(process, says, what, labels, str(has)))


def _within(
    finding: Inquiry, running: Running, what: str, counted: Sums, rows: tuple[Sums, Sums]
) -> None:
    least, most = rows
    for labels in sorted(counted.keys() | most.keys()):
        finding.saw("counters")
        says, fewest, has = counted.get(labels, 0), least.get(labels, 0), most.get(labels, 0)
        told = _told(running.program, says, what, labels, _range(fewest, has))
        if says < fewest:
            running.fewer(finding, told)
        elif says > has:
            finding.wrong(told)


def _told(process: str, says: int, what: str, labels: tuple[str, ...], has: str) -> str:
    of = f" of {' '.join(labels)}" if labels else ""
    return f"{process} counts {says} {what}{of}, its tables have {has}"


def _range(least: int, most: int) -> str:
    return str(most) if least == most else f"{least} to {most}"


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
