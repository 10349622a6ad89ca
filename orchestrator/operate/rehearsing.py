"""What a verb would do to a saga before it is told: the engine's `decide`, on the saga as it is.

Nothing here guesses: what would be sent is what `decide` returns, money is what those commands
say. What follows after a turn back is played on with every undo answered and nothing else, which
is the most that it can come to. Pure: no clock, no database, no Kafka.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Final

from orchestrator.engine.decide import decide
from orchestrator.engine.instance import (
    Instance,
    Message,
    Replied,
    Resend,
    Send,
    Stimulus,
    TimerFired,
    VerbRequested,
)
from orchestrator.engine.machine import Kind, Phase, Result, Status, StepEvent
from orchestrator.saga import Saga
from schemas.catalogue import Catalogue
from schemas.common import Money

PLAYED_MAX: Final = 200
# name → the body of a command that was made before
Made = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Command:
    """A message that would be published. `again`: the very bytes that were sent before."""

    type: str
    topic: str
    service: str
    id: str
    again: bool
    money: tuple[Money, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """`refused` is empty where the verb would be obeyed; `then` is what could still follow."""

    saga_id: str
    version: int
    state: str
    becomes: str
    refused: str
    commands: tuple[Command, ...] = ()
    then: tuple[Command, ...] = ()

    @property
    def money(self) -> dict[str, dict[str, int]]:
        """Command type → currency → minor units, of what would be sent now."""
        found: dict[str, dict[str, int]] = {}
        for each in self.commands:
            for money in each.money:
                sums = found.setdefault(each.type, {})
                sums[money.currency] = sums.get(money.currency, 0) + money.amount_minor
        return found


def rehearse(
    saga: Saga[object],
    instance: Instance[object],
    asked: VerbRequested,
    *,
    made: Made,
    catalogue: Catalogue,
    now_us: int,
) -> Preview:
    decision = decide(saga, instance, asked, now_us)
    after = decision.instance or instance
    refused = "" if decision.result is Result.APPLIED else decision.result.value
    shown = _Showing(instance.saga_id, made, catalogue)
    turned = bool(after.reason) and not refused
    return Preview(
        saga_id=instance.saga_id,
        version=instance.version,
        state=instance.state,
        becomes=after.state,
        refused=refused,
        commands=tuple(shown.command(each) for each in decision.sends),
        then=tuple(shown.command(each) for each in _following(saga, after, now_us))
        if turned
        else (),
    )


class _Showing:
    def __init__(self, saga_id: str, made: Made, catalogue: Catalogue) -> None:
        self._saga_id, self._made, self._contracts = saga_id, made, catalogue.by_type

    def command(self, send: Message) -> Command:
        again = isinstance(send, Resend)
        if isinstance(send, Resend | Send):
            name = f"{send.step}/{send.kind.value}"
        else:
            name = send.id_suffix
        body = self._made[name] if isinstance(send, Resend) else send.body
        contract = self._contracts[type(body)]
        return Command(
            type=contract.full_name.removeprefix("baton."),
            topic=str(contract.topic),
            service=contract.owner,
            id=f"{self._saga_id}/{name}",
            again=again,
            money=_money(body),
        )


def _money(body: object) -> tuple[Money, ...]:
    assert is_dataclass(body)
    values = (getattr(body, each.name) for each in fields(body))
    return tuple(each for each in values if isinstance(each, Money))


def _following(saga: Saga[object], instance: Instance[object], now_us: int) -> list[Message]:
    """New messages until nothing moves: undos answered yes, what else is awaited never."""
    found: list[Message] = []
    for _ in range(PLAYED_MAX):
        stimulus = _next(saga, instance)
        if stimulus is None:
            break
        decision = decide(saga, instance, stimulus, now_us)
        if decision.instance is None or decision.instance is instance:
            break
        instance = decision.instance
        found += [each for each in decision.sends if not isinstance(each, Resend)]
    return found


def _next(saga: Saga[object], instance: Instance[object]) -> Stimulus | None:
    if instance.phase is not Phase.COMPENSATING and instance.phase is not Phase.RUNNING:
        return None
    for step in instance.steps:
        if step.status is Status.SENT:
            return TimerFired(step.name, Kind.DO)
    for step in instance.steps:
        if step.status is Status.UNDOING:
            return _undone(saga, instance.saga_id, step.name)
    return None


def _undone(saga: Saga[object], saga_id: str, step: str) -> Replied:
    ask = saga.plan.asks[f"{step}/{Kind.UNDO.value}"]
    yes = next(name for name, event in ask.reads.items() if event is StepEvent.UNDO_ANSWERED)
    return Replied(None, yes, f"{saga_id}/{ask.name}", f"{saga_id}/{step}", ask.contract.owner)
