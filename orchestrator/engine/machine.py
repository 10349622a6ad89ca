"""What may happen to a saga and to each of its steps: two tables, and a name for everything else.

Rules for editors: states are persisted by these names, so a name once released stays; a pair
(state, event) is either in a table or has a `Result` that says why not, never neither.
A saga's position is not here: it follows from the statuses of its steps, and `state_of` derives
the word that consoles, metrics and journals show. Clock, broker and database are unknown here.
The tables are drawn by `draw.mermaid_tables`; the picture is never written by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Kind(StrEnum):
    """Which of a step's two commands."""

    DO = "do"
    UNDO = "undo"


class Forgotten(StrEnum):
    """How far a step was in a life that this database does not remember."""

    DO = "do"  # its command was sent
    UNDO = "undo"  # its compensation was sent: that life had turned back
    END = "end"  # it was answered with yes, and the saga completed


class Status(StrEnum):
    """Where one step is."""

    IDLE = "idle"  # its turn has not come
    SENT = "sent"  # idle -> sent: its command is on the way
    DONE = "done"  # sent -> done: an answer came, or an operator vouched for it
    REFUSED = "refused"  # sent -> refused: nothing happened, so nothing is undone
    IN_DOUBT = "in_doubt"  # sent -> in_doubt: no reply in time; undone as if it were done
    UNDOING = "undoing"  # done, in_doubt -> undoing: its compensation is on the way
    UNDONE = "undone"  # undoing -> undone
    SKIPPED = "skipped"  # idle -> skipped: `when` said no, or an operator settled it by hand


class Phase(StrEnum):
    """Where the whole saga is."""

    RUNNING = "running"  # forward, or waiting for what was sent before turning back
    COMPENSATING = "compensating"  # undoing, last position first
    NEEDS_OPERATOR = "needs_operator"  # an undo is overdue, or the database was restored
    CANCELLED_EARLY = "cancelled_early"  # a cancellation came; its start has not
    COMPLETED = "completed"
    COMPENSATED = "compensated"


class StepEvent(StrEnum):
    """What can happen to a step."""

    SEND = "send"  # its turn has come
    OMIT = "omit"  # its turn has come and `when` said no
    ANSWERED = "answered"  # a reply among its command's answers
    REFUSED = "refused"  # a reply among its command's refusals, or Overtaken
    TIMED_OUT = "timed_out"  # `within` has passed without a reply
    UNDO = "undo"  # the saga turned back as far as this step
    UNDO_ANSWERED = "undo_answered"  # the compensation's answer
    VOUCHED = "vouched"  # an operator skipped it, with evidence
    RECALLED = "recalled"  # an operator turns back a saga whose database forgot this step


class PhaseEvent(StrEnum):
    """What can happen to a saga as a whole."""

    ALL_DONE = "all_done"  # every step is done or skipped
    TURN_BACK = "turn_back"  # refused, timed out, cancelled or told to; nothing is `sent` any more
    ALL_UNDONE = "all_undone"  # no step is left with an effect
    UNDO_OVERDUE = "undo_overdue"  # `undo_within` has passed without a reply
    UNDO_SETTLED = "undo_settled"  # no undo is overdue any more
    RESTORED = "restored"  # a reply to a command that this database never sent
    GO_ON = "go_on"  # an operator sends a restored saga forward again
    STARTED_LATE = "started_late"  # the start that a cancellation had overtaken


class Result(StrEnum):
    """What became of a stimulus: applied, or the reason why not."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"  # it was applied before
    LATE = "late"  # the saga had given up waiting for it; nothing is folded
    WRONG_COMMAND = "wrong_command"  # answers no command of this saga
    WRONG_TYPE = "wrong_type"  # neither an answer nor a refusal of that command
    WRONG_SOURCE = "wrong_source"  # spoken by a service that does not own that command
    NOT_SENT = "not_sent"  # about a step whose command was never sent; it has no effect
    CONTRADICTION = "contradiction"  # yes after no, or no after yes, to the same command
    FINISHED = "finished"  # the saga has its outcome
    TOO_LATE = "too_late"  # the pivot was sent or done: there is no way back
    CONFLICTING_START = "conflicting_start"  # a second start with other content
    NOT_STARTED = "not_started"  # no such saga, or only its cancellation is known
    NOT_CANCELLABLE = "not_cancellable"  # the definition names no cancelling event
    TOO_MANY_REQUESTS = "too_many_requests"  # more cancellation requests than are remembered
    NOT_WAITING = "not_waiting"  # a timer of a step that was settled meanwhile
    PAUSED = "paused"  # nothing is sent while paused
    PARKED = "parked"  # records of its key wait; it takes nothing but a note until they went on
    ALREADY_PAUSED = "already_paused"
    NOT_PAUSED = "not_paused"
    ALREADY_COMPENSATING = "already_compensating"
    UNKNOWN_STEP = "unknown_step"
    UNKNOWN_VERB = "unknown_verb"
    NOTHING_PENDING = "nothing_pending"  # no command is waiting for its reply
    STALE = "stale"  # the saga moved since the operator saw it
    NO_REASON = "no_reason"  # an operator acts with a reason or not at all
    NO_EVIDENCE = "no_evidence"  # a step is vouched for with evidence or not at all
    KEEPS_REPLY = "keeps_reply"  # later steps need what its reply says; it cannot be vouched for
    RESTORED = "restored"  # an effect that this database has forgotten


class Verb(StrEnum):
    """What an operator may tell a saga. Verbs for message keys are the chassis' affair."""

    RETRY = "retry"  # send the pending command again, same id and bytes
    COMPENSATE = "compensate"  # roll back from here; refused once the pivot is sent
    PAUSE = "pause"
    RESUME = "resume"
    SKIP = "skip"  # settle a step with evidence instead of its reply
    ASSIGN = "assign"
    UNASSIGN = "unassign"
    NOTE = "note"


STEPS: Mapping[Status, Mapping[StepEvent, Status | Result]] = {
    Status.IDLE: {
        StepEvent.SEND: Status.SENT,
        StepEvent.OMIT: Status.SKIPPED,
        StepEvent.RECALLED: Status.IN_DOUBT,
        StepEvent.VOUCHED: Status.SKIPPED,
        StepEvent.ANSWERED: Result.RESTORED,
        StepEvent.REFUSED: Result.NOT_SENT,
        StepEvent.UNDO_ANSWERED: Result.RESTORED,
    },
    Status.SENT: {
        StepEvent.ANSWERED: Status.DONE,
        StepEvent.REFUSED: Status.REFUSED,
        StepEvent.TIMED_OUT: Status.IN_DOUBT,
        StepEvent.VOUCHED: Status.DONE,
        StepEvent.UNDO_ANSWERED: Result.RESTORED,
    },
    Status.DONE: {
        StepEvent.UNDO: Status.UNDOING,
        StepEvent.ANSWERED: Result.DUPLICATE,
        StepEvent.REFUSED: Result.CONTRADICTION,
        StepEvent.UNDO_ANSWERED: Result.RESTORED,
    },
    Status.REFUSED: {
        StepEvent.ANSWERED: Result.CONTRADICTION,
        StepEvent.REFUSED: Result.DUPLICATE,
        StepEvent.UNDO_ANSWERED: Result.RESTORED,
    },
    Status.IN_DOUBT: {
        StepEvent.UNDO: Status.UNDOING,
        StepEvent.ANSWERED: Result.LATE,
        StepEvent.REFUSED: Result.LATE,
        StepEvent.UNDO_ANSWERED: Result.RESTORED,
    },
    Status.UNDOING: {
        StepEvent.UNDO_ANSWERED: Status.UNDONE,
        StepEvent.VOUCHED: Status.UNDONE,
        StepEvent.ANSWERED: Result.LATE,
        StepEvent.REFUSED: Result.LATE,
    },
    Status.UNDONE: {
        StepEvent.ANSWERED: Result.LATE,
        StepEvent.REFUSED: Result.LATE,
        StepEvent.UNDO_ANSWERED: Result.DUPLICATE,
    },
    Status.SKIPPED: {
        StepEvent.ANSWERED: Result.RESTORED,
        StepEvent.REFUSED: Result.NOT_SENT,
        StepEvent.UNDO_ANSWERED: Result.RESTORED,
    },
}

PHASES: Mapping[Phase, Mapping[PhaseEvent, Phase]] = {
    Phase.RUNNING: {
        PhaseEvent.ALL_DONE: Phase.COMPLETED,
        PhaseEvent.TURN_BACK: Phase.COMPENSATING,
        PhaseEvent.RESTORED: Phase.NEEDS_OPERATOR,
    },
    Phase.COMPENSATING: {
        PhaseEvent.ALL_UNDONE: Phase.COMPENSATED,
        PhaseEvent.UNDO_OVERDUE: Phase.NEEDS_OPERATOR,
        PhaseEvent.RESTORED: Phase.NEEDS_OPERATOR,
    },
    Phase.NEEDS_OPERATOR: {
        PhaseEvent.UNDO_SETTLED: Phase.COMPENSATING,
        PhaseEvent.TURN_BACK: Phase.COMPENSATING,
        PhaseEvent.GO_ON: Phase.RUNNING,
    },
    Phase.CANCELLED_EARLY: {PhaseEvent.STARTED_LATE: Phase.COMPENSATED},
    Phase.COMPLETED: {},
    Phase.COMPENSATED: {},
}

TERMINAL = frozenset({Phase.COMPLETED, Phase.COMPENSATED})
