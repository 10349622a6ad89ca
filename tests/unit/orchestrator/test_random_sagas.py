"""Any stimulus in any order: nothing raises, and what must always hold always holds."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from saga_cases import CASES, Case, Row

from orchestrator.engine.decide import decide
from orchestrator.engine.instance import (
    CancelRequested,
    ClearTimer,
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
from orchestrator.engine.machine import TERMINAL, Kind, Phase, Result, Status, Verb
from orchestrator.saga import seconds
from schemas.common import Overtaken

INDEX = st.integers(0, 9)
EFFECTIVE = {Status.SENT, Status.DONE, Status.IN_DOUBT, Status.UNDOING}


class AnySaga(RuleBasedStateMachine):
    """One saga under arbitrary stimuli; timers fire when they like, also stale ones."""

    def __init__(self) -> None:
        super().__init__()
        self.case: Case = CASES[0]
        self.instance: Instance[object] | None = None
        self.now_us = 0
        self.outcomes: list[Publish] = []
        self.ids: list[str] = []
        self.attempts: dict[tuple[str, Kind], int] = {}
        self.timers: dict[str, SetTimer] = {}
        self.vouched: set[str] = set()

    @initialize(case=st.sampled_from(CASES), begun=st.sampled_from([True, True, True, False]))
    def choose(self, case: Case, begun: bool) -> None:  # noqa: FBT001
        self.case = case
        if begun:
            self.start("one")

    def tell(self, stimulus: Stimulus) -> None:
        before = self.instance
        decision = decide(self.case.saga, before, stimulus, self.now_us)
        after = decision.instance
        assert len(decision.entries) == 1
        assert decision.entries[0].result is decision.result
        if after is before:
            assert decision.result is not Result.APPLIED
            assert decision.sends == ()
            assert decision.timers == ()
            return
        assert after is not None
        assert after.version == (1 if before is None else before.version + 1)
        self.check_sends(before, after, decision.sends)
        for timer in decision.timers:
            if isinstance(timer, ClearTimer):
                self.timers.pop(timer.name, None)
            else:
                assert timer.interval_us > 0
                assert timer.due_us > self.now_us
                self.timers[timer.name] = timer
        if before is not None and before.phase in TERMINAL:
            assert after.phase is before.phase
            assert after.data == before.data
            assert [each.status for each in after.steps] == [each.status for each in before.steps]
        self.instance = after

    def check_sends(
        self,
        before: Instance[object] | None,
        after: Instance[object],
        sends: tuple[Send | Resend | Publish, ...],
    ) -> None:
        for message in sends:
            if isinstance(message, Publish):
                assert message.id_suffix not in self.ids
                self.ids.append(message.id_suffix)
                if message.kind == "outcome":
                    self.outcomes.append(message)
                    assert after.phase in TERMINAL
                continue
            assert not after.paused
            assert after.attention != "restored" or before is None or before.attention == ""
            attempt = message.attempt if isinstance(message, Resend) else 1
            name = (message.step, message.kind)
            assert attempt == self.attempts.get(name, 0) + 1
            self.attempts[name] = attempt

    @rule(digest=st.sampled_from(["one", "one", "two"]))
    def start(self, digest: str) -> None:
        self.tell(Started(self.case.start, "evt-1", digest))

    @rule(index=INDEX, which=st.sampled_from(["yes", "yes", "yes", "no", "undone", "overtaken"]))
    def reply(self, index: int, which: str) -> None:
        row = self.case.rows[index % len(self.case.rows)]
        overtaken = Overtaken("o-1")
        body = {"yes": row.yes, "no": row.no, "undone": row.undone, "overtaken": overtaken}[which]
        if body is None:
            return
        kind = Kind.UNDO if which == "undone" else Kind.DO
        if (row.step, kind) in self.attempts:
            self.reply_with(row, kind, body)

    @rule(index=INDEX, undone=st.booleans(), sure=st.sampled_from([False] * 9 + [True]))
    def reply_to_what_was_never_sent(self, index: int, undone: bool, sure: bool) -> None:  # noqa: FBT001
        """Rarely, for it stops the saga: the database was restored."""
        row = self.case.rows[index % len(self.case.rows)]
        if sure and undone and row.undone is not None:
            self.reply_with(row, Kind.UNDO, row.undone)
        elif sure:
            self.reply_with(row, Kind.DO, row.yes)

    def reply_with(self, row: Row, kind: Kind, body: object) -> None:
        saga_id = self.case.saga.saga_id(self.case.saga.key_of(self.case.start))
        ask = self.case.saga.plan.asks.get(f"{row.step}/{kind.value}")
        owner = ask.contract.owner if ask else "nobody"
        operation = f"{saga_id}/{row.step}"
        name = type(body).avro_name
        self.tell(Replied(body, name, f"{operation}/{kind.value}", operation, owner))

    @rule(index=INDEX)
    def reply_as_awaited(self, index: int) -> None:
        """What is outstanding is answered: without this, few sagas would ever end."""
        steps = self.instance.steps if self.instance else ()
        waiting = [i for i, s in enumerate(steps) if s.status in {Status.SENT, Status.UNDOING}]
        if waiting:
            at = waiting[index % len(waiting)]
            self.reply(at, "yes" if steps[at].status is Status.SENT else "undone")

    @rule(index=INDEX, unsent=st.booleans())
    def fire(self, index: int, unsent: bool) -> None:  # noqa: FBT001
        if self.timers:
            name = sorted(self.timers)[index % len(self.timers)]
            timer = self.timers.pop(name)
            self.now_us = max(self.now_us, timer.due_us)
            self.tell(TimerFired(timer.step, timer.kind, unsent))

    @rule(index=INDEX, kind=st.sampled_from(Kind))
    def fire_stale(self, index: int, kind: Kind) -> None:
        step = self.case.rows[index % len(self.case.rows)].step
        if f"{step}/{kind.value}" not in self.timers:
            self.tell(TimerFired(step, kind))

    @rule(request=st.sampled_from(["a", "b", "c"]))
    def cancel(self, request: str) -> None:
        self.tell(CancelRequested(self.case.saga.key_of(self.case.start), request, "why"))

    @rule(verb=st.sampled_from(Verb), index=INDEX, some=st.booleans())
    def verb(self, verb: Verb, index: int, some: bool) -> None:  # noqa: FBT001
        step = self.case.rows[index % len(self.case.rows)].step if some else None
        before = self.instance
        self.tell(VerbRequested(verb.value, "ada", "why", step, "seen"))
        if verb is Verb.SKIP and before is not self.instance and step is not None:
            self.vouched.add(step)

    @rule(count=st.integers(1, 600))
    def pass_time(self, count: int) -> None:
        self.now_us += seconds(count)

    @invariant()
    def at_most_one_outcome(self) -> None:
        finished = self.instance is not None and self.instance.phase in TERMINAL
        assert len(self.outcomes) == (1 if finished else 0)

    @invariant()
    def completed_means_all_done(self) -> None:
        if self.instance is not None and self.instance.phase is Phase.COMPLETED:
            assert {each.status for each in self.instance.steps} <= {Status.DONE, Status.SKIPPED}

    @invariant()
    def compensated_means_no_effect_is_left(self) -> None:
        if self.instance is None or self.instance.phase is not Phase.COMPENSATED:
            return
        for row, step in zip(self.case.rows, self.instance.steps, strict=True):
            assert step.status not in EFFECTIVE
            answered = step.status is Status.UNDONE
            assert not answered or (row.step, Kind.UNDO) in self.attempts

    @invariant()
    def an_open_saga_has_a_timer_or_is_held(self) -> None:
        """Liveness: nothing waits without something that wakes it."""
        instance = self.instance
        if instance is None or instance.finished or instance.phase is Phase.CANCELLED_EARLY:
            return
        armed = {name for name, timer in self.timers.items() if timer}
        for step in instance.steps:
            waiting = step.status in {Status.SENT, Status.UNDOING}
            kind = "do" if step.status is Status.SENT else "undo"
            named = f"{step.name}/{kind}" in armed
            assert named is (waiting and not instance.held)
            assert (step.remaining_us > 0) is (waiting and instance.held)
        if not instance.held:
            assert armed

    @invariant()
    def undos_never_overtake(self) -> None:
        """No undo is out while a do is: the saga turned back only when nothing was `sent`."""
        if self.instance is None:
            return
        statuses = [each.status for each in self.instance.steps]
        assert Status.SENT not in statuses or Status.UNDOING not in statuses


TestAnySaga = pytest.mark.searches(AnySaga.TestCase)
TestAnySaga.settings = settings(stateful_step_count=50)
