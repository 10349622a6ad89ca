"""What one saga is, what can be told to it, and what it decides: plain values.

An `Instance` is persisted by name, never by index. Its `steps` stand in definition order, so
whoever rebuilds one from rows sorts them by the definition. All times and durations are integer
microseconds. Made commands are not here: the shell keeps the bytes of each `Send` by saga, step
and kind, and a `Resend` is exactly those bytes.
What is made anew for every message is a named tuple: as a frozen dataclass it costs four times
as much, which was a third of `decide`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeAlias, TypeVar

from orchestrator.engine.machine import TERMINAL, Forgotten, Kind, Phase, Result, Status

D = TypeVar("D")


class Step(NamedTuple):
    """One step of one saga.

    `waited_us` counts only time in which a reply could come: not pauses, not outages, not the
    time a command stood unsent. `due_us` is when its timer was set for, 0 when it has none;
    while nothing may be sent the rest stands in `remaining_us`. `reply` is kept only until the
    Parallel group around it is folded. `forgotten` says how far the step was in a
    life that this database does not remember: a reply came, or `baton restore` read it.
    """

    name: str
    status: Status = Status.IDLE
    do_tries: int = 0
    undo_tries: int = 0
    since_us: int = 0
    waited_us: int = 0
    due_us: int = 0
    remaining_us: int = 0
    reply: object | None = None
    forgotten: Forgotten | None = None


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A request to cancel. `answered`: accepted by turning back, or its refusal was published."""

    request_id: str
    reason: str
    answered: bool = False


class Instance(NamedTuple, Generic[D]):
    """One saga. `data` is None only while `cancelled_early`.

    `reason` is set as soon as the saga is bound to turn back, while it may still wait for what
    is `sent`; the first cause stands. `attention` says why it needs an operator; `attentions`
    counts the notices. `version` grows by one whenever the instance changes.
    """

    saga_id: str
    definition: str
    definition_version: int
    key: str
    phase: Phase
    paused: bool
    steps: tuple[Step, ...]
    data: D | None
    version: int
    start_id: str = ""
    start_digest: str = ""
    cancellations: tuple[Cancellation, ...] = ()
    reason: str = ""
    detail: str = ""
    attention: str = ""
    attentions: int = 0
    started_us: int = 0
    updated_us: int = 0

    @property
    def finished(self) -> bool:
        return self.phase in TERMINAL

    @property
    def held(self) -> bool:
        """Nothing may be sent: paused, or waiting for an operator after a restore."""
        return self.paused or self.attention == RESTORED

    @property
    def state(self) -> str:
        """What consoles, metrics and journals call the state; derived, never stored."""
        return state_of(self.phase, self.steps)


RESTORED = "restored"
NO_REPLY = "no_reply"
CANCELLED = "cancelled"
OPERATOR = "operator"

_FORWARD_ORDER = (Status.SENT, Status.IDLE, Status.REFUSED, Status.IN_DOUBT)
_BACKWARD_ORDER = (Status.UNDOING, Status.DONE, Status.IN_DOUBT)


def state_of(phase: Phase, steps: tuple[Step, ...]) -> str:
    """The phase, or `awaiting_` or `undoing_` the first step that is not settled.

    Paused with nothing left to undo it stays at the step that was undone last, which is the first.
    """
    if phase is Phase.RUNNING:
        return f"awaiting_{_first(steps, _FORWARD_ORDER) or steps[-1].name}"
    if phase is Phase.COMPENSATING:
        left = _first(steps[::-1], _BACKWARD_ORDER)
        return f"undoing_{left or _first(steps, (Status.UNDONE,)) or steps[0].name}"
    return phase.value


def _first(steps: tuple[Step, ...], order: tuple[Status, ...]) -> str:
    for status in order:
        for step in steps:
            if step.status is status:
                return step.name
    return ""


@dataclass(frozen=True, slots=True)
class Started:
    """The event that starts the saga. `content_digest` tells a repetition from a conflict.

    `spoken`: what a forgotten life of this database sent for the saga, as `reminded` reads it.
    """

    event: object
    message_id: str
    content_digest: str
    spoken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Replied:
    """A reply, with the envelope fields that say to which command and from whom."""

    body: object
    type_name: str
    causation_id: str
    operation_id: str
    source: str


@dataclass(frozen=True, slots=True)
class TimerFired:
    """`unsent`: the command still stands in the outbox, so it was no try."""

    step: str
    kind: Kind
    unsent: bool = False


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """A request to cancel; `key` names the saga that may not exist yet."""

    key: str
    request_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class VerbRequested:
    """What an operator asked. `version_seen` is the saga's version on the page, if known.

    `parked`: records of the saga's key wait for an operator, who sees to them first.
    `assignee`: whom it is handed to; its line of the journal says so where evidence would stand.
    """

    verb: str
    actor: str
    reason: str
    step: str | None = None
    evidence: str = ""
    version_seen: int | None = None
    parked: bool = False
    assignee: str = ""


Stimulus: TypeAlias = Started | Replied | TimerFired | CancelRequested | VerbRequested


class Send(NamedTuple):
    """A new command: the shell encodes `body` once and keeps the bytes with the step."""

    step: str
    kind: Kind
    body: object
    topic: str


class Resend(NamedTuple):
    """The kept bytes of a command once more. `attempt` counts sends from 1, so this is >= 2."""

    step: str
    kind: Kind
    attempt: int


class Publish(NamedTuple):
    """An outcome or a notice. Its message id is `{saga id}/{id_suffix}`."""

    kind: Literal["outcome", "notice"]
    id_suffix: str
    body: object
    topic: str


class SetTimer(NamedTuple):
    """Replaces the timer of that name. `awaits` is the topic whose reader must answer.

    After an outage the shell makes an overdue timer due at `caught up + interval_us`.
    """

    name: str
    step: str
    kind: Kind
    due_us: int
    interval_us: int
    awaits: str


class ClearTimer(NamedTuple):
    """Clearing a timer that already fired or never was is harmless."""

    name: str


class Entry(NamedTuple):
    """A line of the journal: ids and words, never a payload."""

    what: str
    from_state: str
    to_state: str
    result: Result
    step: str = ""
    detail: str = ""
    actor: str = ""
    evidence: str = ""


Message: TypeAlias = Send | Resend | Publish
Timer: TypeAlias = SetTimer | ClearTimer


class Decision(NamedTuple, Generic[D]):
    """What follows from one stimulus.

    `instance` is None only when nothing exists and nothing begins. It is the very object that
    went in when nothing changed. `entries` holds exactly one line per stimulus.
    """

    instance: Instance[D] | None
    sends: tuple[Message, ...]
    timers: tuple[Timer, ...]
    entries: tuple[Entry, ...]
    result: Result
