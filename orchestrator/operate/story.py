"""A saga's journal as a story: what came, what changed, what went out, which timers ran. Pure.

Told from the lines and the definition alone. When a timer was due is worked out as `decide` sets
it, so it is right but for the time that a pause or an outage added; what is due now is the saga's
own timers' to say. Without its definition a saga's story lacks services and timers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal, NamedTuple

from orchestrator.engine.plan import Ask
from orchestrator.saga import Saga

CLOCK: Final = "clock"
# What ends the waiting for which of a step's two commands, and the status it leaves.
ENDS: Final = {
    "answered": ("do", "done"),
    "refused": ("do", "refused"),
    "timed_out": ("do", "in_doubt"),
    "undo_answered": ("undo", "undone"),
}


@dataclass(frozen=True, slots=True)
class RunTimer:
    """`ended`: the line with which it ended, 0 where none is known."""

    name: str
    due_us: int
    ended: int = 0
    fired: bool = False
    runs: bool = False


@dataclass(frozen=True, slots=True)
class Out:
    """What went out. `name`: <step>/<do or undo> of a command, else empty."""

    kind: Literal["command", "again", "outcome"]
    what: str
    name: str = ""
    to: str = ""
    attempt: int = 1


class Move(NamedTuple):
    """`before`: empty while no line said it."""

    step: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A line of the journal. `settled`: the command whose waiting it ended."""

    seq: int
    at_us: int
    version: int
    what: str
    came: str
    by: str
    cause_id: str
    result: str
    before: str
    after: str
    step: str
    detail: str
    actor: str
    evidence: str
    moves: tuple[Move, ...] = ()
    out: tuple[Out, ...] = ()
    timers: tuple[RunTimer, ...] = ()
    settled: str = ""

    @property
    def applied(self) -> bool:
        return self.result == "applied"


@dataclass
class _Told:
    """What is known while the lines are read; commands by <step>/<do or undo>."""

    asks: Mapping[str, Ask[object]]
    first_us: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)


def story(
    lines: Iterable[Mapping[str, object]],
    saga: Saga[object] | None,
    timers: Mapping[str, int | None] | None = None,
) -> list[Moment]:
    """`lines` as `shapes.of_line` tells them, oldest first; `timers`: due now, by name."""
    told = _Told({} if saga is None else saga.plan.asks)
    moments = [_moment(line, told) for line in lines]
    return _ended(moments, timers or {})


def _moment(line: Mapping[str, object], told: _Told) -> Moment:
    cause = line["cause"]
    sent = line["sent"]
    assert isinstance(cause, Mapping)
    assert isinstance(sent, list)
    what, step, at_us = str(line["what"]), str(line["step"] or ""), micros(str(line["at"]))
    settled = status = ""
    moves: list[Move] = []
    if step and line["result"] == "applied":
        settled, status = _settled(what, step, told)
        moves += _moved(step, status, told)
    elif line["result"] == "applied":
        moves += _changed(what, str(line["evidence"] or ""))
    out: list[Out] = []
    timers: list[RunTimer] = []
    for each in sent:
        gone = _out(str(each), told)
        out.append(gone)
        timers += _timer(gone, at_us, told)
        if gone.kind == "command":
            step_sent, _, way = gone.name.rpartition("/")
            moves += _moved(step_sent, "sent" if way == "do" else "undoing", told)
    return Moment(
        seq=int(str(line["seq"])),
        at_us=at_us,
        version=int(str(line["version"])),
        what=what,
        came=_came(what, str(cause["type"]), str(line["detail"] or "")),
        by=str(line["actor"] or cause["source"]),
        cause_id=str(cause["id"]),
        result=str(line["result"]),
        before=str(line["from_state"] or ""),
        after=str(line["to_state"] or ""),
        step=step,
        detail=str(line["detail"] or ""),
        actor=str(line["actor"] or ""),
        evidence=str(line["evidence"] or ""),
        moves=tuple(moves),
        out=tuple(out),
        timers=tuple(timers),
        settled=settled,
    )


def _came(what: str, cause: str, detail: str) -> str:
    if what.startswith("verb_"):
        return what.removeprefix("verb_")
    return f"timer {detail}" if cause == "timer" else cause


def _settled(what: str, step: str, told: _Told) -> tuple[str, str]:
    """The command whose waiting an applied line ends, and what the step is then."""
    if what == "verb_skip":
        undoing = told.status.get(step) == "undoing"
        return (f"{step}/undo", "undone") if undoing else (f"{step}/do", "done")
    way, status = ENDS.get(what, ("", ""))
    return (f"{step}/{way}", status) if way else ("", "")


def _changed(what: str, evidence: str) -> list[Move]:
    """What a verb changed of the saga that is no step."""
    changes = {
        "verb_pause": Move("paused", "no", "yes"),
        "verb_resume": Move("paused", "yes", "no"),
        "verb_assign": Move("owner", "", evidence),
        "verb_unassign": Move("owner", "", "nobody"),
    }
    return [changes[what]] if what in changes else []


def _out(sent: str, told: _Told) -> Out:
    if "/" in sent:
        told.attempts[sent] = told.attempts.get(sent, 1) + 1
        ask = told.asks.get(sent)
        what = sent if ask is None else ask.contract.name
        to = "" if ask is None else ask.contract.owner
        return Out("again", what, sent, to, told.attempts[sent])
    for name, ask in told.asks.items():
        if ask.contract.name == sent and name not in told.attempts:
            told.attempts[name] = 1
            return Out("command", sent, name, ask.contract.owner)
    return Out("outcome", sent)


def _timer(out: Out, at_us: int, told: _Told) -> list[RunTimer]:
    ask = told.asks.get(out.name)
    if ask is None:
        return []
    waited_us = at_us - told.first_us.setdefault(out.name, at_us)
    return [RunTimer(out.name, at_us + ask.interval_us(waited_us))]


def _moved(step: str, status: str, told: _Told) -> list[Move]:
    if not status:
        return []
    before, told.status[step] = told.status.get(step, ""), status
    return [Move(step, before, status)]


def _ended(moments: Sequence[Moment], due: Mapping[str, int | None]) -> list[Moment]:
    """Each timer with the line that fired it or made it needless, or as it is due now."""
    ends: dict[str, tuple[int, bool]] = {}
    found: list[Moment] = []
    for moment in reversed(moments):
        timers = [_end(timer, ends, due) for timer in moment.timers]
        found.append(replace(moment, timers=tuple(timers)))
        if moment.by == CLOCK:
            ends[moment.detail] = moment.seq, True
        elif moment.settled:
            ends[moment.settled] = moment.seq, False
        for timer in timers:
            ends.setdefault(timer.name, (0, False))
    return found[::-1]


def _end(
    timer: RunTimer, ends: Mapping[str, tuple[int, bool]], due: Mapping[str, int | None]
) -> RunTimer:
    ended, fired = ends.get(timer.name, (0, False))
    now_us = due.get(timer.name)
    if timer.name not in ends and now_us is not None:
        return replace(timer, due_us=now_us, runs=True)
    return replace(timer, ended=ended, fired=fired)


def micros(iso: str) -> int:
    return round(datetime.fromisoformat(iso).timestamp() * 1_000_000)
