"""One saga as an operator sees it: read from its row, with what follows from it and is not stored.

State, what it waits for, since when and until when are derived here, from the row, its timers and
its definition; nothing here knows HTTP or a terminal. A definition that is not in this release
(`orphan`) is shown as far as its row speaks for itself. Personal data is never read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from orchestrator.engine.instance import Cancellation, Step, state_of
from orchestrator.engine.machine import TERMINAL, Forgotten, Kind, Phase, Status
from orchestrator.engine.plan import Ask
from orchestrator.operate.database import Found
from orchestrator.saga import Saga

NEVER_SENT_AGAIN = 5  # sends of a step that cannot be taken back, before it counts as exhausted
LATE_US = 30_000_000
_PENDING = {Status.SENT: Kind.DO, Status.UNDOING: Kind.UNDO}
_NUMBERS = ("do_tries", "undo_tries", "since_us", "waited_us", "due_us", "remaining_us")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A command whose reply is outstanding. `deadline_us` and `next_us` are None while held."""

    step: str
    kind: Kind
    service: str
    command: str
    answers: tuple[str, ...]
    since_us: int
    deadline_us: int | None
    next_us: int | None
    attempt: int
    tries: int
    exhausted: bool
    overdue: bool


@dataclass(frozen=True, slots=True)
class Parked:
    reason: str
    detail: str
    since_us: int


@dataclass(frozen=True, slots=True)
class SagaView:
    """`row` is its place in the table. `timers`: due by name, None while its key is parked."""

    row: int
    saga_id: str
    definition: str
    definition_version: int
    key: str
    phase: Phase
    state: str
    paused: bool
    version: int
    reason: str
    detail: str
    attention: str
    attentions: int
    started_us: int
    updated_us: int
    steps: tuple[Step, ...]
    cancellations: tuple[Cancellation, ...]
    timers: Mapping[str, int | None]
    parked: Parked | None
    waiting: tuple[Waiting, ...]
    orphan: bool

    @property
    def finished(self) -> bool:
        return self.phase in TERMINAL

    @property
    def services(self) -> str:
        """Whose replies are awaited, as a word for a column; empty for none."""
        return "+".join(dict.fromkeys(each.service for each in self.waiting))

    @property
    def since_us(self) -> int:
        """Since when it stands where it stands."""
        if self.parked is not None and not self.finished:
            return self.parked.since_us
        return min((each.since_us for each in self.waiting), default=self.updated_us)

    def stuck(self, now_us: int) -> str:
        """The first that holds of the seven reasons, or "": not old, but past its deadline."""
        if self.finished:
            return ""
        late = any(due is not None and due < now_us - LATE_US for due in self.timers.values())
        reasons = {
            "compensation_failed": self.phase is Phase.NEEDS_OPERATOR,
            "contract": self.parked is not None,
            "paused": self.paused,
            "orphan_version": self.orphan,
            "retries_exhausted": any(each.exhausted for each in self.waiting),
            "no_reply": any(each.overdue for each in self.waiting),
            "late_timer": late,
        }
        return next((reason for reason, holds in reasons.items() if holds), "")


REASONS = (
    "compensation_failed",
    "contract",
    "paused",
    "orphan_version",
    "retries_exhausted",
    "no_reply",
    "late_timer",
)


class Views:
    """Makes views; `sagas`: every definition of this release."""

    def __init__(self, sagas: tuple[Saga[object], ...]) -> None:
        self._sagas = {(saga.name, saga.version): saga for saga in sagas}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for name, _ in self._sagas))

    @property
    def versions(self) -> list[str]:
        """`<name> <version>` of each, as the query for suspects compares them."""
        return [f"{name} {version}" for name, version in self._sagas]

    @property
    def patience_us(self) -> int:
        """The shortest time that any step grants: what is younger cannot be overdue."""
        plans = [saga.plan for saga in self._sagas.values()]
        return min((ask.every_us for plan in plans for ask in plan.asks.values()), default=0)

    def view(self, row: Found) -> SagaView:
        definition, at = str(row["definition"]), _int(row["definition_version"])
        saga = self._sagas.get((definition, at))
        phase = Phase(str(row["phase"]))
        steps = _steps(str(row["steps"]), saga)
        prefix = f"{definition}/"
        timers: dict[str, int | None] = {
            name.removeprefix(prefix): due
            for name, due in orjson.loads(str(row["timers"])).items()
            if name.startswith(prefix)
        }
        waiting = () if phase in TERMINAL else tuple(_waiting(steps, saga, timers))
        return SagaView(
            row=_int(row["id"]),
            saga_id=str(row["saga_id"]),
            definition=definition,
            definition_version=at,
            key=str(row["key"]),
            phase=phase,
            state=state_of(phase, steps),
            paused=bool(row["paused"]),
            version=_int(row["version"]),
            reason=str(row["reason"]),
            detail=str(row["detail"]),
            attention=str(row["attention"]),
            attentions=_int(row["attentions"]),
            started_us=_int(row["started_us"]),
            updated_us=_int(row["updated_us"]),
            steps=steps,
            cancellations=tuple(
                Cancellation(*each) for each in orjson.loads(str(row["cancellations"]))
            ),
            timers=timers,
            parked=_parked(row),
            waiting=waiting,
            orphan=saga is None,
        )

    def definition(self, view: SagaView) -> Saga[object] | None:
        """None when it is gone from the release."""
        return self._sagas.get((view.definition, view.definition_version))

    def kind_of(self, view: SagaView, step: str) -> str:
        """compensatable, pivot or retriable; empty when the definition is gone."""
        saga = self._sagas.get((view.definition, view.definition_version))
        if saga is None:
            return ""
        return type(saga.plan.steps[saga.plan.index[step]]).__name__.lower()


def _steps(column: str, saga: Saga[object] | None) -> tuple[Step, ...]:
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


def _waiting(
    steps: tuple[Step, ...], saga: Saga[object] | None, timers: Mapping[str, int | None]
) -> list[Waiting]:
    found = []
    for step in steps:
        kind = _PENDING.get(step.status)
        if kind is None:
            continue
        ask = None if saga is None else saga.plan.asks.get(f"{step.name}/{kind.value}")
        due_us = timers.get(f"{step.name}/{kind.value}")
        found.append(_wait(step, kind, ask, due_us, saga))
    return found


def _wait(
    step: Step, kind: Kind, ask: Ask[object] | None, due_us: int | None, saga: Saga[object] | None
) -> Waiting:
    attempt = step.do_tries if kind is Kind.DO else step.undo_tries
    if ask is None or saga is None:
        return Waiting(
            step.name, kind, "", "", (), step.since_us, None, due_us, attempt, 0, False, False
        )
    final = kind is Kind.DO and ask.index >= saga.plan.turning
    left_us = ask.within_us - step.waited_us - ask.interval_us(step.waited_us)
    return Waiting(
        step=step.name,
        kind=kind,
        service=ask.contract.owner,
        command=_short(ask.contract.full_name),
        answers=tuple(_short(name) for name in ask.contract.answers),
        since_us=step.since_us,
        deadline_us=None if due_us is None else due_us + left_us,
        next_us=due_us,
        attempt=attempt,
        tries=saga.plan.steps[ask.index].tries,
        exhausted=final and attempt > NEVER_SENT_AGAIN,
        overdue=step.waited_us >= ask.within_us,
    )


def _parked(row: Found) -> Parked | None:
    if row["parked"] is None:
        return None
    return Parked(str(row["parked"]), str(row["parked_detail"]), _int(row["parked_us"]))


def _short(full_name: str) -> str:
    """`baton.billing.PaymentCaptured` as people say it: billing.PaymentCaptured."""
    return full_name.removeprefix("baton.")


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
