"""What became of a saga after a verb was obeyed, told by its journal: a retry that is verified.

`progressed`: it moved on (a verb that only marks a saga has done so at once). `failed_again`: the
first thing that happened was a refusal, a time-out, or that it needs an operator. `unchanged`:
nothing happened yet that says either; sending again is no news. `moved_on`: it was not told any
more, because it had moved by itself since it was listed. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.engine.machine import TERMINAL, Phase, Result, StepEvent, Verb


class Became(StrEnum):
    PROGRESSED = "progressed"
    MOVED_ON = "moved_on"
    FAILED_AGAIN = "failed_again"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Happened:
    """What matters here of a line of the journal. `cause`: the message that it is about."""

    saga: int
    what: str
    result: str
    from_state: str
    to_state: str
    detail: str
    cause: str


@dataclass(frozen=True, slots=True)
class Verified:
    became: Became
    because: str = ""


UNCHANGED = Verified(Became.UNCHANGED)
_MARKS = frozenset({Verb.PAUSE, Verb.ASSIGN, Verb.UNASSIGN, Verb.NOTE})
_MOVES_BY_ITSELF = frozenset({Verb.SKIP})
_FAILS = frozenset({StepEvent.REFUSED.value, StepEvent.TIMED_OUT.value})
_ENDS = frozenset(phase.value for phase in TERMINAL)


def verified(verb: str, verb_id: str, lines: Sequence[Happened]) -> Verified:
    """`lines` are those of the saga in order, the verb's own among them; else it is unchanged."""
    own = next((at for at, line in enumerate(lines) if line.cause == verb_id), None)
    if own is None or lines[own].result != Result.APPLIED:
        return UNCHANGED
    told = lines[own]
    moved = told.from_state != told.to_state
    if verb in _MARKS or told.to_state in _ENDS or (moved and verb in _MOVES_BY_ITSELF):
        return Verified(Became.PROGRESSED, told.to_state)
    return next(filter(None, (_said_by(verb, line) for line in lines[own + 1 :])), UNCHANGED)


def moved_on(lines: Sequence[Happened]) -> Verified:
    """`lines` since it was listed, of a saga that had changed when it was to be told."""
    moves = [each for each in lines if each.from_state != each.to_state]
    if not moves:
        return UNCHANGED
    return Verified(Became.MOVED_ON, f"before it was told: {_led(moves[-1])}")


def _led(line: Happened) -> str:
    return f"{line.detail.removeprefix('baton.')} → {line.to_state}"


def _said_by(verb: str, line: Happened) -> Verified | None:
    if line.result != Result.APPLIED:
        return None
    moved = line.from_state != line.to_state
    became = _led(line)
    stopped = moved and line.to_state == Phase.NEEDS_OPERATOR
    refused = line.what in _FAILS and verb != Verb.COMPENSATE
    if stopped or refused:
        return Verified(Became.FAILED_AGAIN, became)
    answered = line.what in {StepEvent.ANSWERED, StepEvent.UNDO_ANSWERED}
    return Verified(Became.PROGRESSED, became) if moved or answered else None
