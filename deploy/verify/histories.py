"""I-9 and I-10: each saga's journal is a path of the declared graph, and none is left behind.

Both are of the orchestrator's database alone and hold at any moment. A cause must stand in the
inbox as long as the inbox keeps it; one cause has one effect on one saga.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from deploy.verify.evidence import Line, Outbox, Saga, Timer
from deploy.verify.facts import DAY_US, Facts
from deploy.verify.paths import EARLY, STUCK, edges
from deploy.verify.verdicts import Inquiry
from deploy.verify.wiring import ENDS, SAGAS

OVERDUE_US = 60_000_000
PREFIXES = {"running": "awaiting_", "compensating": "undoing_"}
# Refused, and yet remembered: these lines are versions too.
REMEMBERED = frozenset({("cancellation", "too_late"), ("cancellation", "finished")})
_CAUSED = frozenset({"started", "answered", "refused", "undo_answered", "cancellation"})


def journals(facts: Facts, finding: Inquiry) -> None:
    if facts.lacks(finding, "orchestrator"):
        return
    for saga in facts.sagas:
        lines = facts.lines.get(saga.id, ())
        finding.saw("sagas")
        finding.saw("lines", len(lines))
        if saga.definition in SAGAS:
            _path(finding, saga, lines)
        else:
            finding.note(f"the saga {saga.definition} is not declared here")
        _causes(facts, finding, saga, lines)
    numbers = {saga.id for saga in facts.sagas}
    for number in facts.lines.keys() - numbers:
        finding.wrong(f"the journal has lines of saga number {number}, which has no row")


def moves(line: Line) -> bool:
    """Whether the line is a version of its saga."""
    if line.result == "applied" or line.what == "forgotten":
        return True
    return (line.what, line.result) in REMEMBERED


def _path(finding: Inquiry, saga: Saga, lines: Sequence[Line]) -> None:
    state, version, legal = "", 0, edges(saga.definition)
    for line in lines:
        here = f"journal {line.seq}, {line.what}"
        if line.from_state != state:
            finding.wrong(f"{here}: from {line.from_state or 'nothing'}, was {state}", saga.key)
        if moves(line):
            version += 1
            if (line.from_state, line.to_state) not in legal.get(line.what, ()):
                way = f"from {line.from_state or 'nothing'} to {line.to_state or 'nothing'}"
                finding.wrong(f"{here}: no way leads {way}", saga.key)
        elif line.to_state != line.from_state:
            what = f"{here}: was {line.result}, and moved the saga to {line.to_state}"
            finding.wrong(what, saga.key)
        if line.version != version:
            finding.wrong(f"{here}: is version {line.version}, not {version}", saga.key)
            version = line.version
        state = line.to_state
    if version != saga.version:
        finding.wrong(f"is version {saga.version}, its journal ends with {version}", saga.key)
    expected = PREFIXES.get(saga.phase, saga.phase)
    if not state.startswith(expected):
        finding.wrong(f"is {saga.phase}, its journal ends with {state or 'nothing'}", saga.key)


def _causes(facts: Facts, finding: Inquiry, saga: Saga, lines: Sequence[Line]) -> None:
    horizon_us = facts.evidence.taken_us - facts.evidence.keeps.inbox_days * DAY_US
    inbox = facts.inbox["orchestrator"]
    effects: dict[tuple[str, str], int] = {}
    for line in lines:
        cause = (line.cause_source, line.cause_id)
        if line.what not in _CAUSED and not line.what.startswith("verb_"):
            continue
        if line.at_us >= horizon_us and (saga.key, *cause) not in inbox:
            what = f"journal {line.seq}, {line.what}: its cause {line.cause_id} is in no inbox"
            finding.wrong(what, saga.key)
        if line.result == "applied":
            if cause in effects:
                what = f"{line.cause_id} had two effects, journal {effects[cause]} and {line.seq}"
                finding.wrong(what, saga.key)
            effects[cause] = line.seq


def none_left_behind(facts: Facts, finding: Inquiry) -> None:
    """An open saga has a timer or something unsent, or a person is called, or was asked to wait."""
    if facts.lacks(finding, "orchestrator"):
        return
    timers: Mapping[str, list[Timer]] = defaultdict(list)
    for row in facts.rows("orchestrator", Timer):
        timers[row.key].append(row)
    unsent = {row.record_key for row in facts.rows("orchestrator", Outbox) if row.sent_us is None}
    ended = 0
    for saga in facts.sagas:
        finding.saw("sagas")
        if saga.phase in ENDS:
            ended += 1
        elif saga.phase == STUCK:
            finding.saw("sagas that need an operator")
            _called(facts, finding, saga)
        elif not (saga.phase == EARLY or saga.paused):
            finding.saw("open sagas")
            mine = [row for row in timers[saga.key] if row.name.startswith(f"{saga.definition}/")]
            if not mine and saga.key not in unsent:
                finding.wrong(f"is {saga.phase}, with no timer and nothing unsent", saga.key)
            _overdue(facts, finding, saga, mine)
    finding.note(f"{len(facts.sagas) - ended} open, {ended} ended")


def _called(facts: Facts, finding: Inquiry, saga: Saga) -> None:
    """Who needs an operator has said so; on the topic, as far as that is whole."""
    topic = SAGAS[saga.definition].topic if saga.definition in SAGAS else ""
    notice = f"{saga.saga_id}/attention/{saga.attentions}"
    if not saga.attention or saga.attentions < 1:
        finding.wrong("needs an operator, and nobody was called", saga.key)
        return
    if not topic or facts.unrest or not facts.whole(topic):
        return
    if not any(head.id == notice for head in facts.spoken(topic)):
        finding.wrong(f"needs an operator, and {notice} was never said", saga.key)


def _overdue(facts: Facts, finding: Inquiry, saga: Saga, timers: Sequence[Timer]) -> None:
    """Only where somebody runs who ought to fire them."""
    if facts.evidence.surfaces is None or saga.key in facts.excused or facts.unrest:
        return
    for row in timers:
        late_us = facts.evidence.taken_us - (row.due_us or facts.evidence.taken_us)
        if late_us > OVERDUE_US:
            what = f"its timer {row.name} is {late_us // 1_000_000} s overdue"
            finding.wrong(what, saga.key)
