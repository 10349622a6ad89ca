"""Counts every decision that was committed.

Counters move after the commit, so a crash may lose the last few; the store is the truth and
loses nothing. What is counted, and with which labels, stands in `orchestrator.metrics`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.engine.draw import edges
from orchestrator.engine.instance import Entry, Instance, Resend, Send
from orchestrator.engine.machine import Kind, Phase, Result, StepEvent
from orchestrator.engine.plan import Ask
from orchestrator.engine.shell import Moved
from orchestrator.gauges import look
from orchestrator.metrics import SAGAS, SagaMetrics, Shape
from orchestrator.saga import Saga
from schemas.common import Money
from services.chassis.metrics import Family, Meters
from services.chassis.store import Readable

_REPLIES = {"answered": "ok", "undo_answered": "ok", "refused": "rejected", "timed_out": "timeout"}
_MICROSECONDS = 1_000_000


def shape_of(saga: Saga[object]) -> Shape:
    """What of a definition becomes labels."""
    states = {f"awaiting_{name}": False for name in saga.plan.names}
    states |= {
        f"undoing_{name}": False
        for name, undo in zip(saga.plan.names, saga.plan.undos, strict=True)
        if undo is not None
    }
    states |= {phase.value: False for phase in (Phase.NEEDS_OPERATOR, Phase.CANCELLED_EARLY)}
    states |= {phase.value: True for phase in (Phase.COMPLETED, Phase.COMPENSATED)}
    asks = saga.plan.asks.values()
    return Shape(
        saga.name,
        states,
        saga.plan.names,
        {ask.contract.name: ask.contract.owner for ask in asks},
        tuple(edges(saga)),
        {ask.contract.name: tuple(_replies(saga, ask)) for ask in asks},
    )


def _replies(saga: Saga[object], ask: Ask[object]) -> Iterator[str]:
    """How a command may end. Only what can be taken back times out: the rest is sent again."""
    yield "ok"
    if StepEvent.REFUSED in ask.reads.values():
        yield "rejected"
    if ask.kind is Kind.DO and ask.index < saga.plan.turning:
        yield "timeout"


def _of_both(one: Shape, other: Shape) -> Shape:
    """Two versions of one definition, as labels."""
    return Shape(
        one.saga,
        {**one.states, **other.states},
        tuple(dict.fromkeys((*one.steps, *other.steps))),
        {**one.commands, **other.commands},
        tuple(dict.fromkeys((*one.edges, *other.edges))),
        {**one.replies, **other.replies},
    )


class SagaMeters:
    """Counts what `Shell` says moved, each saga by the version that it runs."""

    families: tuple[Family, ...] = SAGAS

    def __init__(self, sagas: Sequence[Saga[object]]) -> None:
        self._sagas = {(saga.name, saga.version): saga for saga in sagas}

    def begin(self, meters: Meters) -> None:
        shapes: dict[str, Shape] = {}
        for saga in self._sagas.values():
            shape = shape_of(saga)
            known = shapes.get(saga.name)
            shapes[saga.name] = shape if known is None else _of_both(known, shape)
        self._metrics = SagaMetrics(meters, shapes.values())

    def count(self, facts: Sequence[object]) -> None:
        for fact in facts:
            if isinstance(fact, Moved) and fact.after is not None:
                self._count(fact, fact.after)

    async def look(self, store: Readable, now_us: int) -> None:
        """What the store says of all that is open."""
        self._metrics.standing(await look(store, tuple(self._sagas.values()), now_us))

    def _count(self, moved: Moved, after: Instance[object]) -> None:
        saga = self._sagas.get((after.definition, after.definition_version))
        if saga is None or moved.decision.result is not Result.APPLIED:
            return
        before = moved.before
        if before is None and after.phase is not Phase.CANCELLED_EARLY:
            self._metrics.started(saga.name)
        if after.finished and not (before is not None and before.finished):
            self._finished(saga, after, moved.at_us)
        for entry in moved.decision.entries:
            if before is not None and entry.from_state != entry.to_state:
                self._metrics.moved(saga.name, (entry.from_state, entry.to_state), moved.trigger)
                stayed_s = (moved.at_us - before.updated_us) / _MICROSECONDS
                self._metrics.stayed(saga.name, entry.from_state, stayed_s, after.saga_id)
            if before is not None and entry.what in _REPLIES:
                self._replied(saga, before, entry, moved.at_us)
        for send in moved.decision.sends:
            if isinstance(send, Send | Resend):
                ask = saga.plan.asks[f"{send.step}/{send.kind.value}"]
                self._metrics.command_sent(saga.name, ask.contract.name)
                if isinstance(send, Resend):
                    cause = "operator" if moved.trigger == "operator" else "no_reply"
                    self._metrics.retried(saga.name, send.step, cause)

    def _finished(self, saga: Saga[object], after: Instance[object], at_us: int) -> None:
        seconds = (at_us - after.started_us) / _MICROSECONDS
        self._metrics.finished(saga.name, after.phase.value, seconds, after.saga_id)
        # Data that has an `amount` of money says by it what its saga is worth.
        if isinstance(worth := getattr(after.data, "amount", None), Money):
            self._metrics.valued(saga.name, after.phase.value, worth)

    def _replied(
        self, saga: Saga[object], before: Instance[object], entry: Entry, at_us: int
    ) -> None:
        kind = Kind.UNDO if entry.what == "undo_answered" else Kind.DO
        ask = saga.plan.asks.get(f"{entry.step}/{kind.value}")
        if ask is None:
            return
        waited_s = (at_us - before.steps[ask.index].since_us) / _MICROSECONDS
        result = _REPLIES[entry.what]
        self._metrics.command_replied(saga.name, ask.contract.name, result, waited_s)
        if kind is Kind.UNDO:
            self._metrics.compensated(saga.name, entry.step, result)
