"""One saga as an operator sees it: read from its row, with what follows from it and is not stored.

What it waits for and whether it is stuck is `engine.standing`'s to say; nothing here knows HTTP or
a terminal. A definition that is not in this release (`orphan`) is shown as far as its row speaks
for itself. Personal data is never read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from orchestrator.engine.instance import Cancellation, Step, state_of
from orchestrator.engine.machine import TERMINAL, Phase
from orchestrator.engine.standing import (
    Standing,
    Waiting,
    patience_us,
    steps_of,
    timers_of,
    waiting_of,
)
from orchestrator.operate.database import Found
from orchestrator.saga import Saga

KEPT_MAX: Final = 4_096


@dataclass(frozen=True, slots=True)
class Parked:
    reason: str
    detail: str
    since_us: int


@dataclass(frozen=True, slots=True)
class SagaView:
    """`row` is its place in the table. `timers`: due by name, None while its key is parked.

    `note`: why it was handed to its assignee.
    """

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
    assignee: str = ""
    note: str = ""

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
        """The first that holds of the seven reasons, or ""."""
        stands = Standing(
            self.phase,
            self.parked is not None,
            self.paused,
            self.orphan,
            self.waiting,
            self.timers,
        )
        return stands.stuck(now_us)


class Views:
    """Makes views; `sagas`: every definition of this release."""

    def __init__(self, sagas: tuple[Saga[object], ...]) -> None:
        self._sagas = {(saga.name, saga.version): saga for saga in sagas}
        self._made: dict[int, tuple[Found, SagaView]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for name, _ in self._sagas))

    @property
    def versions(self) -> list[str]:
        """`<name> <version>` of each, as the query for suspects compares them."""
        return [f"{name} {version}" for name, version in self._sagas]

    @property
    def patience_us(self) -> int:
        return patience_us(tuple(self._sagas.values()))

    def view(self, row: Found) -> SagaView:
        """Made once of a row that stays as it is: pages ask for the same ones again and again."""
        place = _int(row["id"])
        was, view = self._made.get(place, (None, None))
        if view is None or was != row:
            view = self._view(row)
            if len(self._made) >= KEPT_MAX:
                self._made.clear()
            self._made[place] = row, view
        return view

    def _view(self, row: Found) -> SagaView:
        definition, at = str(row["definition"]), _int(row["definition_version"])
        saga = self._sagas.get((definition, at))
        phase = Phase(str(row["phase"]))
        steps = steps_of(str(row["steps"]), saga)
        timers = timers_of(str(row["timers"]), definition)
        waiting = () if phase in TERMINAL else waiting_of(steps, saga, timers)
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
            assignee=str(row["assignee"] or ""),
            note=str(row["note"] or ""),
        )

    @property
    def definitions(self) -> tuple[Saga[object], ...]:
        return tuple(self._sagas.values())

    def definition(self, view: SagaView) -> Saga[object] | None:
        """None when it is gone from the release."""
        return self._sagas.get((view.definition, view.definition_version))

    def kind_of(self, view: SagaView, step: str) -> str:
        """compensatable, pivot or retriable; empty when the definition is gone."""
        saga = self._sagas.get((view.definition, view.definition_version))
        if saga is None:
            return ""
        return type(saga.plan.steps[saga.plan.index[step]]).__name__.lower()


def _parked(row: Found) -> Parked | None:
    if row["parked"] is None:
        return None
    return Parked(str(row["parked"]), str(row["parked_detail"]), _int(row["parked_us"]))


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
