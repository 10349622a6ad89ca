"""A test kit for sagas: drive one by hand, and compare whole messages.

`drive(FULFILMENT, order)` starts a saga; replies, time, cancellations and verbs are calls on the
`Run`, which may be chained. It runs the very `decide` of the orchestrator, with a clock that only
`wait` moves. Invariant checked on every send: the undo of a step can be built from the data known
before its own do, because a step in doubt has no reply; if it cannot, the saga fails here.
"""

from __future__ import annotations

from typing import Generic, Self, TypeVar

from orchestrator.engine.decide import decide
from orchestrator.engine.instance import (
    CancelRequested,
    Decision,
    Entry,
    Instance,
    Publish,
    Replied,
    Resend,
    Send,
    SetTimer,
    Started,
    Stimulus,
    TimerFired,
    VerbRequested,
)
from orchestrator.engine.machine import Kind, Result, Status
from orchestrator.engine.plan import Ask
from orchestrator.saga import Duration, Saga

__all__ = ["Run", "drive"]

D = TypeVar("D")


def drive(saga: Saga[D], start: object, *, message_id: str = "start-1") -> Run[D]:
    """A saga begun by this event."""
    return Run(saga, saga.key_of(start)).start(start, message_id=message_id)


class Run(Generic[D]):
    """One saga under test. Before `start`, nothing exists but what `cancel` leaves."""

    def __init__(self, saga: Saga[D], key: str) -> None:
        self.saga = saga
        self.key = key
        self.now_us = 0
        self.instance: Instance[D] | None = None
        self.result = Result.APPLIED
        self.journal: list[Entry] = []
        self.published: list[Publish] = []
        self._timers: dict[str, SetTimer] = {}
        self._made: dict[str, object] = {}
        self._sent: list[object] = []
        self._commands: list[object] = []

    def start(self, event: object, *, message_id: str = "start-1", digest: str = "") -> Self:
        """`digest` stands for the content; by default events are equal when they print equally."""
        return self._turn(Started(event, message_id, digest or repr(event)))

    def receive(self, reply: object, *, to: str | None = None) -> Self:
        """The reply to the command that waits for such a one, else to the last one sent.

        `to` names the step where several could be meant. Fails where no command sent so far has
        such a reply.
        """
        ask = self._answered_by(reply, to)
        saga_id = self.saga.saga_id(self.key)
        return self._turn(
            Replied(
                reply,
                _type_name(reply),
                f"{saga_id}/{ask.name}",
                f"{saga_id}/{ask.step}",
                ask.contract.owner,
            )
        )

    def wait(self, duration: Duration) -> Self:
        """Time passes; timers due within it fire in order. `sent` is what all of them sent."""
        until_us = self.now_us + duration
        sent: list[object] = []
        while due := [timer for timer in self._timers.values() if timer.due_us <= until_us]:
            timer = min(due, key=lambda each: each.due_us)
            self.now_us = timer.due_us
            del self._timers[timer.name]
            self._turn(TimerFired(timer.step, timer.kind))
            sent += self._sent
        self.now_us = until_us
        self._sent = sent
        return self

    def cancel(self, reason: str = "changed_mind", *, request_id: str = "cancel-1") -> Self:
        return self._turn(CancelRequested(self.key, request_id, reason))

    def verb(
        self,
        verb: str,
        step: str | None = None,
        *,
        reason: str = "a test",
        evidence: str = "",
        version_seen: int | None = None,
    ) -> Self:
        told = VerbRequested(verb, "tester", reason, step, evidence, version_seen)
        return self._turn(told)

    def stimulate(self, stimulus: Stimulus) -> Self:
        """Anything else that may reach a saga, just as it is."""
        return self._turn(stimulus)

    def sent(self) -> object:
        """The command sent by the last call; a tuple of them when it is not exactly one."""
        return self._sent[0] if len(self._sent) == 1 else tuple(self._sent)

    def commands(self) -> tuple[object, ...]:
        """Every command so far, re-sends included, in the order in which they were sent."""
        return tuple(self._commands)

    def outcome(self) -> object:
        """The one outcome, or None while there is none."""
        outcomes = [each.body for each in self.published if each.kind == "outcome"]
        if len(outcomes) > 1:
            raise AssertionError(f"{self.saga.name} published {len(outcomes)} outcomes")
        return outcomes[0] if outcomes else None

    def notices(self) -> tuple[object, ...]:
        """Every notice so far, in order."""
        return tuple(each.body for each in self.published if each.kind == "notice")

    @property
    def state(self) -> str:
        return "" if self.instance is None else self.instance.state

    def _turn(self, stimulus: Stimulus) -> Self:
        decision = decide(self.saga, self.instance, stimulus, self.now_us)
        self.instance, self.result = decision.instance, decision.result
        self.journal += decision.entries
        self._keep_timers(decision)
        self._sent = [self._body(each) for each in decision.sends if not isinstance(each, Publish)]
        self._commands += self._sent
        self.published += [each for each in decision.sends if isinstance(each, Publish)]
        return self

    def _keep_timers(self, decision: Decision[D]) -> None:
        for timer in decision.timers:
            if isinstance(timer, SetTimer):
                self._timers[timer.name] = timer
            else:
                self._timers.pop(timer.name, None)

    def _body(self, message: Send | Resend) -> object:
        """A re-send shows the very body that was made the first time."""
        name = f"{message.step}/{message.kind.value}"
        if isinstance(message, Send):
            self._made[name] = message.body
            if message.kind is Kind.DO:
                self._check_undo(message.step)
        return self._made[name]

    def _check_undo(self, step: str) -> None:
        undo = self.saga.plan.undos[self.saga.plan.index[step]]
        if undo is None or self.instance is None or self.instance.data is None:
            return
        try:
            undo.make(self.instance.data)
        except Exception as fault:
            raise AssertionError(
                f"saga {self.saga.name!r}, step {step!r}: its undo cannot be made before its "
                f"reply is known ({type(fault).__name__}: {fault}). Use only data from before."
            ) from fault

    def _answered_by(self, reply: object, to: str | None) -> Ask[D]:
        name = _type_name(reply)
        asks = [self.saga.plan.asks[made] for made in reversed(self._made)]
        fitting = [ask for ask in asks if name in ask.reads and to in {None, ask.step}]
        if not fitting:
            raise AssertionError(
                f"saga {self.saga.name!r} has sent nothing that {type(reply).__name__} answers; "
                f"sent so far: {', '.join(self._made) or 'nothing'}"
            )
        waiting = [ask for ask in fitting if self._waits_for(ask)]
        return (waiting or fitting)[0]

    def _waits_for(self, ask: Ask[D]) -> bool:
        status = Status.SENT if ask.kind is Kind.DO else Status.UNDOING
        return self.instance is not None and self.instance.steps[ask.index].status is status


def _type_name(reply: object) -> str:
    return str(getattr(type(reply), "avro_name", type(reply).__name__))
