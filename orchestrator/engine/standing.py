"""Where a saga stands: what it waits for, until when, and whether it is stuck and why.

The one definition of stuck, for console, command line and metrics: not old, but past a deadline or
stopped. Everything is derived from a saga's row, its timers and its definition; there is no clock
here and no database. A definition that is not in this release is read as far as it goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from orchestrator.engine.instance import Step
from orchestrator.engine.machine import TERMINAL, Forgotten, Kind, Phase, Status
from orchestrator.engine.plan import Ask
from orchestrator.saga import Saga

REASONS: Final = (
    "compensation_failed",
    "contract",
    "paused",
    "orphan_version",
    "retries_exhausted",
    "no_reply",
    "late_timer",
)
NEVER_SENT_AGAIN: Final = 5  # sends of a step that cannot be taken back, before it is exhausted
LATE_US: Final = 30_000_000
_PENDING = {Status.SENT: Kind.DO, Status.UNDOING: Kind.UNDO}
_NUMBERS = ("do_tries", "undo_tries", "since_us", "waited_us", "due_us", "remaining_us")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A command whose reply is outstanding. `deadline_us` and `next_us` are None while held.

    `put_off_us`: where its deadline stands by now, if somebody could not read for a while; that
    time is not counted against the service, but the order was promised `deadline_us`.
    """

    step: str
    kind: Kind
    service: str
    command: str
    answers: tuple[str, ...]
    since_us: int
    deadline_us: int | None
    put_off_us: int | None
    next_us: int | None
    attempt: int
    tries: int
    exhausted: bool
    overdue: bool

    def unanswered(self, now_us: int) -> bool:
        """Its deadline has passed, by the time that counts or by the clock."""
        promised_us = None if self.put_off_us is None else self.deadline_us
        return self.overdue or (promised_us is not None and promised_us <= now_us)


@dataclass(frozen=True, slots=True)
class Standing:
    """`timers`: due by name, None while its key is parked."""

    phase: Phase
    parked: bool
    paused: bool
    orphan: bool
    waiting: tuple[Waiting, ...]
    timers: Mapping[str, int | None]

    def stuck(self, now_us: int) -> str:
        """The first that holds of the seven reasons, or ""."""
        if self.phase in TERMINAL:
            return ""
        holds = (
            self.phase is Phase.NEEDS_OPERATOR,
            self.parked,
            self.paused,
            self.orphan,
            any(each.exhausted for each in self.waiting),
            any(each.unanswered(now_us) for each in self.waiting),
            late_us(self.timers, now_us) > LATE_US,
        )
        return next((reason for reason, so in zip(REASONS, holds, strict=True) if so), "")


def late_us(timers: Mapping[str, int | None], now_us: int) -> int:
    """By how much the oldest of them that is not held is late; 0 if none is."""
    return max(
        (now_us - due for due in timers.values() if due is not None and due < now_us), default=0
    )


def timers_of(column: str, definition: str) -> dict[str, int | None]:
    """Those of this saga among the timers of its key, by <step>/<do or undo>."""
    prefix = f"{definition}/"
    return {
        name.removeprefix(prefix): due
        for name, due in orjson.loads(column).items()
        if name.startswith(prefix)
    }


def steps_of(column: str, saga: Saga[object] | None) -> tuple[Step, ...]:
    """In the order of the definition, whatever order they were written in."""
    steps = {
        kept["name"]: Step(
            kept["name"],
            Status(kept["status"]),
            **{name: kept[name] for name in _NUMBERS if name in kept},
            forgotten=Forgotten(kept["forgotten"]) if "forgotten" in kept else None,
        )
        for kept in orjson.loads(column)
    }
    order = tuple(steps) if saga is None else saga.plan.names
    return tuple(steps[name] for name in order if name in steps)


def waiting_of(
    steps: tuple[Step, ...], saga: Saga[object] | None, timers: Mapping[str, int | None]
) -> tuple[Waiting, ...]:
    """Of an open saga."""
    found = []
    for step in steps:
        kind = _PENDING.get(step.status)
        if kind is None:
            continue
        ask = None if saga is None else saga.plan.asks.get(f"{step.name}/{kind.value}")
        due_us = timers.get(f"{step.name}/{kind.value}")
        found.append(_wait(step, kind, ask, due_us, saga))
    return tuple(found)


def patience_us(sagas: tuple[Saga[object], ...]) -> int:
    """The shortest time that any step grants: what is younger cannot be overdue."""
    return min((ask.every_us for saga in sagas for ask in saga.plan.asks.values()), default=0)


def short(full_name: str) -> str:
    """`baton.billing.PaymentCaptured` as people say it: billing.PaymentCaptured."""
    return full_name.removeprefix("baton.")


def _wait(
    step: Step, kind: Kind, ask: Ask[object] | None, due_us: int | None, saga: Saga[object] | None
) -> Waiting:
    attempt = step.do_tries if kind is Kind.DO else step.undo_tries
    if ask is None or saga is None:
        return Waiting(
            step.name, kind, "", "", (), step.since_us, None, None, due_us, attempt, 0, False, False
        )
    final = kind is Kind.DO and ask.index >= saga.plan.turning
    left_us = ask.within_us - step.waited_us - ask.interval_us(step.waited_us)
    return Waiting(
        step=step.name,
        kind=kind,
        service=ask.contract.owner,
        command=short(ask.contract.full_name),
        answers=tuple([short(name) for name in ask.contract.answers]),
        since_us=step.since_us,
        deadline_us=None if due_us is None else (step.due_us or due_us) + left_us,
        put_off_us=due_us + left_us if due_us and step.due_us and due_us > step.due_us else None,
        next_us=due_us,
        attempt=attempt,
        tries=saga.plan.steps[ask.index].tries,
        exhausted=final and attempt > NEVER_SENT_AGAIN,
        overdue=step.waited_us >= ask.within_us,
    )
