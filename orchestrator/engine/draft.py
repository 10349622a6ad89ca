"""One decision being made: a mutable copy of an instance, and what is to be sent for it.

Owns how a status, a timer and a message change together, so that none of the three is forgotten;
it does not know why they change. Every status comes from the tables of `machine`: a pair that is
not there raises KeyError, a fault, because refusals were sorted out before. A draft lives within
one call of `decide` and is never kept.
"""

from __future__ import annotations

from typing import Generic, TypeVar, cast

from orchestrator.engine.instance import (
    RESTORED,
    Cancellation,
    ClearTimer,
    Decision,
    Entry,
    Instance,
    Message,
    Publish,
    Resend,
    Send,
    SetTimer,
    Step,
    Timer,
)
from orchestrator.engine.machine import (
    PHASES,
    STEPS,
    Forgotten,
    Kind,
    PhaseEvent,
    Result,
    Status,
    StepEvent,
)
from orchestrator.engine.plan import Ask
from orchestrator.saga import Attention, Outcome, Refusal, Saga

D = TypeVar("D")


class Draft(Generic[D]):
    """`data` is the data of the instance; it is there in every phase but `cancelled_early`."""

    __slots__ = (
        "attention",
        "attentions",
        "before",
        "cancellations",
        "data",
        "detail",
        "now_us",
        "paused",
        "phase",
        "plan",
        "reason",
        "saga",
        "sends",
        "steps",
        "timers",
    )

    def __init__(self, saga: Saga[D], before: Instance[D], now_us: int) -> None:
        self.saga = saga
        self.plan = saga.plan
        self.before = before
        self.now_us = now_us
        self.phase = before.phase
        self.paused = before.paused
        self.steps = list(before.steps)
        self.data = cast("D", before.data)
        self.cancellations = before.cancellations
        self.reason = before.reason
        self.detail = before.detail
        self.attention = before.attention
        self.attentions = before.attentions
        self.sends: list[Message] = []
        self.timers: list[Timer] = []

    @property
    def held(self) -> bool:
        return self.paused or self.attention == RESTORED

    def move(self, event: PhaseEvent) -> None:
        self.phase = PHASES[self.phase][event]

    def send(self, ask: Ask[D]) -> None:
        """The first send of a command, and its timer. The maker sees the data as it is now."""
        step = self.steps[ask.index]
        due_us = self._arm(ask, 0)
        if ask.kind is Kind.DO:
            status, do_tries, undo_tries = _next(step, StepEvent.SEND), 1, 0
        else:
            status, do_tries, undo_tries = _next(step, StepEvent.UNDO), step.do_tries, 1
        # Being sent again settles that it was sent; what came of it is settled later.
        known = step.forgotten if ask.kind is Kind.DO else None
        known = None if known is Forgotten.DO else known
        self.steps[ask.index] = Step(
            step.name, status, do_tries, undo_tries, self.now_us, 0, due_us, forgotten=known
        )
        self.sends.append(Send(step.name, ask.kind, ask.make(self.data), ask.topic))

    def resend(self, ask: Ask[D], waited_us: int) -> None:
        """The kept bytes once more, and the timer anew."""
        step = self.steps[ask.index]
        due_us = self._arm(ask, waited_us)
        if ask.kind is Kind.DO:
            attempt = step.do_tries + 1
            step = step._replace(do_tries=attempt, waited_us=waited_us, due_us=due_us)
        else:
            attempt = step.undo_tries + 1
            step = step._replace(undo_tries=attempt, waited_us=waited_us, due_us=due_us)
        self.steps[ask.index] = step
        self.sends.append(Resend(step.name, ask.kind, attempt))

    def wait_again(self, ask: Ask[D]) -> None:
        """The timer anew, without a send: the command has not left the outbox."""
        step = self.steps[ask.index]
        due_us = self._arm(ask, step.waited_us)
        self.steps[ask.index] = step._replace(due_us=due_us)

    def close(self, index: int, event: StepEvent, reply: object | None = None) -> None:
        """What the step waited for is settled, and its timer ends.

        That an undo was forgotten still matters; that the do was is settled too.
        """
        step = self.steps[index]
        if step.due_us:
            kind = Kind.DO if step.status is Status.SENT else Kind.UNDO
            self.timers.append(ClearTimer(f"{step.name}/{kind.value}"))
        self.steps[index] = Step(
            step.name,
            _next(step, event),
            step.do_tries,
            step.undo_tries,
            step.since_us,
            step.waited_us,
            reply=reply,
            forgotten=Forgotten.UNDO if step.forgotten is Forgotten.UNDO else None,
        )

    def hold(self) -> None:
        """Timers stop and keep their remaining time.

        One that is overdue was stopped from outside, by an outage: it gets its whole interval.
        """
        for index, step in enumerate(self.steps):
            if step.due_us:
                ask = self.pending(index)
                left_us = step.due_us - self.now_us
                remaining_us = left_us if left_us > 0 else ask.interval_us(step.waited_us)
                self.steps[index] = step._replace(due_us=0, remaining_us=remaining_us)
                self.timers.append(ClearTimer(ask.name))

    def release(self) -> None:
        """Timers go on with the time that remained to them."""
        for index, step in enumerate(self.steps):
            if step.remaining_us:
                ask = self.pending(index)
                due_us = self._arm(ask, step.waited_us, step.remaining_us)
                self.steps[index] = step._replace(due_us=due_us, remaining_us=0)

    def pending(self, index: int) -> Ask[D]:
        """The command that a `sent` or `undoing` step waits for."""
        undo = self.plan.undos[index]
        if undo is not None and self.steps[index].status is Status.UNDOING:
            return undo
        return self.plan.dos[index]

    def publish_outcome(self, maker: str) -> None:
        """`completed` or `compensated`: the one outcome."""
        outcome = Outcome(self.before.start_id, self.reason, self.detail)
        completed = maker == "completed"
        make = self.saga.completed if completed else self.saga.compensated
        body = make(self.data, outcome)
        self.sends.append(Publish("outcome", "outcome", body, self.saga.topics[maker]))

    def call_operator(self, step: str, reason: str) -> None:
        """The notice that an operator is needed; counted, so that each has its own id."""
        self.attentions += 1
        body = self.saga.attention(self.data, Attention(step, reason, self.attentions))
        suffix = f"attention/{self.attentions}"
        self.sends.append(Publish("notice", suffix, body, self.saga.topics["attention"]))

    def refuse_cancellation(self, request: Cancellation, reason: Result) -> None:
        """Only a saga with a cancelling event is asked to cancel, and that has this notice."""
        make = self.saga.cancellation_refused
        assert make is not None
        body = make(self.data, Refusal(request.request_id, reason.value))
        suffix = f"cancellation/{request.request_id}"
        topic = self.saga.topics["cancellation_refused"]
        self.sends.append(Publish("notice", suffix, body, topic))

    def decision(self, entry: Entry, result: Result = Result.APPLIED) -> Decision[D]:
        """The draft as the next version of the instance."""
        before = self.before
        after = Instance(
            before.saga_id,
            before.definition,
            before.definition_version,
            before.key,
            self.phase,
            self.paused,
            tuple(self.steps),
            self.data,
            before.version + 1,
            before.start_id,
            before.start_digest,
            self.cancellations,
            self.reason,
            self.detail,
            self.attention,
            self.attentions,
            before.started_us,
            self.now_us,
        )
        return Decision(after, tuple(self.sends), tuple(self.timers), (entry,), result)

    def _arm(self, ask: Ask[D], waited_us: int, remaining_us: int = 0) -> int:
        interval_us = ask.interval_us(waited_us)
        due_us = self.now_us + (remaining_us or interval_us)
        self.timers.append(SetTimer(ask.name, ask.step, ask.kind, due_us, interval_us, ask.topic))
        return due_us


def _next(step: Step, event: StepEvent) -> Status:
    """The table's answer; a Result here is a fault of the caller, who should have refused."""
    target = STEPS[step.status][event]
    if isinstance(target, Result):
        raise KeyError(step.status, event)
    return target
