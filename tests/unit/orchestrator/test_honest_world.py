"""A saga among participants that keep their rules, over a network that keeps none.

Every message ever sent may arrive at any time, any number of times, in any order, or never; timers
fire when they like, people press every button. Participants are five lines: an operation has one
effect, is answered alike for ever, and an undo that came first overtakes its do. What the effects
then are is checked after every step, and that the saga ends once the world behaves, at the end.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from saga_cases import CASES, Case, Row

from orchestrator.engine.decide import decide
from orchestrator.engine.instance import (
    CancelRequested,
    ClearTimer,
    Entry,
    Instance,
    Publish,
    Replied,
    SetTimer,
    Started,
    Stimulus,
    TimerFired,
    VerbRequested,
)
from orchestrator.engine.machine import PHASES, STEPS, TERMINAL, Kind, Phase, Result, Status, Verb
from schemas.common import Overtaken

INDEX = st.integers(0, 19)
BUTTONS = (Verb.PAUSE, Verb.RESUME, Verb.RETRY, Verb.COMPENSATE, Verb.NOTE)
Command = tuple[str, Kind]


def _within(moves: dict[object, set[object]], most: int) -> dict[object, set[object]]:
    """Where one decision may lead: so many moves of the table at most, or none."""
    reach = {state: {state} for state in moves}
    for _ in range(most):
        reach = {s: set().union({s}, *(moves[each] for each in to)) for s, to in reach.items()}
    return reach


STEP_MOVES = _within(
    {s: {to for to in row.values() if isinstance(to, Status)} for s, row in STEPS.items()}, 2
)
PHASE_MOVES = _within({s: set(row.values()) for s, row in PHASES.items()}, 2)


class Operation(NamedTuple):
    """What a participant keeps for life: its one answer, and whether its effect is there."""

    reply: object | None = None
    effective: bool = False
    undone: bool = False
    times: int = 0


class HonestWorld(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.case: Case = CASES[0]
        self.instance: Instance[object] | None = None
        self.now_us = 0
        self.commands: list[Command] = []
        self.replies: list[tuple[Command, object]] = []
        self.operations: dict[str, Operation] = {}
        self.outcomes: list[Publish] = []
        self.timers: dict[str, SetTimer] = {}
        self.journal: list[Entry] = []

    @initialize(
        case=st.sampled_from(CASES),
        first=st.sampled_from(["nothing", "start", "turned back", "left alone", "cancelled early"]),
        depth=st.integers(0, 3),
    )
    def choose(self, case: Case, first: str, depth: int) -> None:
        self.case = case
        if first == "cancelled early":
            self.somebody_cancels("a")
        elif first != "nothing":
            self.start("one")
            self.for_a_while_all_goes_well(depth)
        if first in ("turned back", "left alone"):
            self.an_operator_presses(Verb.COMPENSATE)
            self.for_a_while_all_goes_well(1)
        if first == "left alone" and self.timers:
            self.a_long_silence(0, served=False)

    def tell(self, stimulus: Stimulus) -> Result:
        before = self.instance
        decision = decide(self.case.saga, before, stimulus, self.now_us)
        self.instance = after = decision.instance
        self.journal += decision.entries
        for send in decision.sends:
            if not isinstance(send, Publish):
                assert after is not None
                assert not after.paused
                self.commands.append((send.step, send.kind))
            elif send.kind == "outcome":
                self.outcomes.append(send)
        for timer in decision.timers:
            if isinstance(timer, ClearTimer):
                self.timers.pop(timer.name, None)
            else:
                self.timers[timer.name] = timer
        if after is not None and after is not before:
            self.check_path(before, after)
        return decision.result

    def check_path(self, before: Instance[object] | None, after: Instance[object]) -> None:
        """I-9: version by version, along edges of the two tables."""
        assert after.version == (1 if before is None else before.version + 1)
        first = before.phase if before else after.phase
        assert after.phase in (PHASE_MOVES[first] if before else {*Phase} - TERMINAL)
        for was, now in zip(before.steps if before else after.steps, after.steps, strict=True):
            assert now.status in STEP_MOVES[was.status]

    def row(self, index: int) -> Row:
        return self.case.rows[index % len(self.case.rows)]

    @rule(digest=st.sampled_from(["one", "one", "two"]))
    def start(self, digest: str) -> None:
        self.tell(Started(self.case.start, "evt-1", digest))

    @rule(index=INDEX, refuses=st.sampled_from([False, False, True]))
    def a_participant_hears(self, index: int, refuses: bool) -> None:  # noqa: FBT001
        """Any command that was ever sent, the latest more often than others."""
        if self.commands:
            step, kind = self.commands[-1 - index % len(self.commands)]
            self.serve(step, kind, refuses=refuses)

    def serve(self, step: str, kind: Kind, *, refuses: bool = False) -> None:
        row = next(each for each in self.case.rows if each.step == step)
        operation = self.operations.get(step, Operation())
        if kind is Kind.UNDO:
            body: object = row.undone
            operation = operation._replace(effective=False, undone=True)
        elif operation.reply is None:
            no = Overtaken("o-1") if operation.undone else row.no if refuses else None
            body = no or row.yes
            times = operation.times + (body is row.yes)
            operation = operation._replace(reply=body, effective=body is row.yes, times=times)
        else:
            body = operation.reply
        self.operations[step] = operation
        self.replies.append(((step, kind), body))

    @rule(index=INDEX)
    def the_saga_hears(self, index: int) -> None:
        """Any reply that was ever made, the latest more often than others."""
        if self.replies:
            (step, kind), body = self.replies[-1 - index % len(self.replies)]
            self.hear(step, kind, body)

    @rule(times=st.integers(1, 4))
    def for_a_while_all_goes_well(self, times: int) -> None:
        """What waits is served and heard: without this, few sagas would get anywhere."""
        for _ in range(times):
            for step in self.instance.steps if self.instance else ():
                if step.status in (Status.SENT, Status.UNDOING):
                    kind = Kind.DO if step.status is Status.SENT else Kind.UNDO
                    self.serve(step.name, kind)
                    self.hear(step.name, kind, self.replies[-1][1])

    def hear(self, step: str, kind: Kind, body: object) -> None:
        saga = self.case.saga
        operation = f"{saga.saga_id(saga.key_of(self.case.start))}/{step}"
        owner = saga.plan.asks[f"{step}/{kind.value}"].contract.owner
        name = type(body).avro_name  # type: ignore[attr-defined]
        self.tell(Replied(body, name, f"{operation}/{kind.value}", operation, owner))

    @rule(index=INDEX, unsent=st.sampled_from([False, False, True]))
    def a_timer_fires(self, index: int, unsent: bool) -> None:  # noqa: FBT001
        if self.timers:
            timer = self.timers.pop(sorted(self.timers)[index % len(self.timers)])
            self.now_us = max(self.now_us, timer.due_us)
            assert self.tell(TimerFired(timer.step, timer.kind, unsent)) is Result.APPLIED

    @precondition(lambda self: self.timers)
    @rule(index=INDEX, served=st.booleans())
    def a_long_silence(self, index: int, served: bool) -> None:  # noqa: FBT001
        """Longer than anybody waits for one reply, though the command may well have been served."""
        name = sorted(self.timers)[index % len(self.timers)]
        timer = self.timers[name]
        if served:
            self.serve(timer.step, timer.kind)
        for _ in range(12):
            if name in self.timers:
                self.now_us = max(self.now_us, self.timers.pop(name).due_us)
                self.tell(TimerFired(timer.step, timer.kind))
        assert self.instance is not None
        overdue = self.instance.phase is Phase.NEEDS_OPERATOR
        assert overdue or timer.kind is Kind.DO

    @rule(index=INDEX, kind=st.sampled_from(Kind))
    def a_stale_timer_fires(self, index: int, kind: Kind) -> None:
        step = self.row(index).step
        if f"{step}/{kind.value}" not in self.timers:
            assert self.tell(TimerFired(step, kind)) is not Result.APPLIED

    @rule(request=st.sampled_from(["a", "b"]))
    def somebody_cancels(self, request: str) -> None:
        self.tell(CancelRequested(self.case.saga.key_of(self.case.start), request, "why"))

    @rule(verb=st.sampled_from(BUTTONS))
    def an_operator_presses(self, verb: Verb) -> None:
        self.tell(VerbRequested(verb.value, "ada", "why"))

    @rule(index=INDEX)
    def an_operator_vouches(self, index: int) -> None:
        """Only for what has been seen to: the participant was made to do it first."""
        step = self.row(index).step
        status = (
            self.instance.steps[self.case.saga.plan.index[step]].status if self.instance else None
        )
        effective = self.operations.get(step, Operation()).effective
        if status is Status.UNDOING:
            self.serve(step, Kind.UNDO)
        elif status is not Status.SENT or not effective:
            return
        self.tell(VerbRequested(Verb.SKIP.value, "ada", "why", step, "seen to it"))

    def effective(self) -> set[str]:
        return {step for step, operation in self.operations.items() if operation.effective}

    @invariant()
    def one_outcome_for_ever(self) -> None:
        """I-2."""
        finished = self.instance is not None and self.instance.phase in TERMINAL
        assert len(self.outcomes) == int(finished)
        ended = [each for each in self.journal if each.from_state in ("completed", "compensated")]
        assert all(each.to_state == each.from_state for each in ended)

    @invariant()
    def all_or_nothing(self) -> None:
        """I-4, by what participants did, whatever still arrives after the end."""
        if self.instance is None or self.instance.phase not in TERMINAL:
            return
        skipped = {each.name for each in self.instance.steps if each.status is Status.SKIPPED}
        everything = {row.step for row in self.case.rows} - skipped
        completed = self.instance.phase is Phase.COMPLETED
        assert self.effective() == (everything if completed else set())

    @invariant()
    def each_effect_once_and_undone_once(self) -> None:
        """I-5: a step that was effective and ended undone was asked to be undone."""
        for step, operation in self.operations.items():
            assert operation.times <= 1
            assert not (operation.undone and operation.effective)
            assert not operation.undone or (step, Kind.UNDO) in self.commands

    @invariant()
    def nothing_happens_before_its_turn(self) -> None:
        """I-7: a position is begun when all before it stand; after the pivot nothing goes back."""
        plan, asked = self.case.saga.plan, {step for step, kind in self.commands if kind is Kind.DO}
        for earlier, later in pairwise(self.case.positions):
            if asked & {row.step for row in later}:
                assert {row.step for row in earlier} <= asked
        firm = set(plan.names[plan.turning :])
        undone = list(dict.fromkeys(step for step, kind in self.commands if kind is Kind.UNDO))
        places = [self.case.place_of(step) for step in undone]
        assert places == sorted(places, reverse=True)
        assert not firm.intersection(undone)
        assert not (undone and self.effective() & firm)

    @invariant()
    def the_journal_is_a_chain(self) -> None:
        """I-9: every line begins where the one before it ended."""
        states = [each.to_state for each in self.journal]
        assert [each.from_state for each in self.journal[1:]] == states[:-1]
        assert not self.journal or self.journal[0].from_state == ""

    @invariant()
    def something_will_wake_it(self) -> None:
        """I-10: an open saga has a timer, or waits for a person to resume it."""
        if self.instance is None or self.instance.phase is Phase.CANCELLED_EARLY:
            return
        if not self.instance.finished:
            assert self.timers or self.instance.held

    def teardown(self) -> None:
        """Once everything arrives, it ends; and what came too late changes nothing any more."""
        if self.instance is None or self.instance.phase is Phase.CANCELLED_EARLY:
            return
        self.tell(VerbRequested(Verb.RESUME.value, "ada", "why"))
        for _ in range(3 * len(self.case.rows)):
            for step, kind in list(dict.fromkeys(self.commands)):
                self.serve(step, kind)
            for (step, kind), body in list(self.replies):
                self.hear(step, kind, body)
        assert self.instance.finished, self.instance.state
        self.one_outcome_for_ever()
        self.all_or_nothing()
        self.each_effect_once_and_undone_once()
        self.nothing_happens_before_its_turn()


@pytest.mark.searches
def test_a_saga_among_honest_participants_ends_whole_or_not_at_all() -> None:
    """Whatever happens meanwhile; and every phase was met on the way."""
    met: set[object] = set()

    class Watched(HonestWorld):
        def tell(self, stimulus: Stimulus) -> Result:
            result = super().tell(stimulus)
            met.add(result)
            if self.instance is not None:
                met.update({self.instance.phase, *(each.status for each in self.instance.steps)})
            return result

    run_state_machine_as_test(Watched, settings=settings(stateful_step_count=40))
    assert set(Phase) <= met
    assert {Result.DUPLICATE, Result.LATE, Result.FINISHED, Result.NOT_WAITING} <= met
    # What only a lying participant or a restored database can say:
    assert not met & {Result.CONTRADICTION, Result.RESTORED, Result.WRONG_TYPE, Result.NOT_SENT}
