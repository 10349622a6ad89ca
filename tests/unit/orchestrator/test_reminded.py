"""A restored database that was told what it forgot: every saga, step, cause and moment enumerated.

The world (participants with what they did and answered) is ahead; the orchestrator's database is
an older copy. Nothing here knows how the engine decides: only that at the end all steps have
their effect or none has, and that an outcome which was published before is published again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from saga_cases import CASES, ORDER, PAID, Case, Row
from saga_walks import STEPS, step_id

from orchestrator.engine.decide import decide
from orchestrator.engine.instance import (
    CancelRequested,
    Entry,
    Instance,
    Publish,
    Replied,
    Resend,
    Send,
    Started,
    Stimulus,
    TimerFired,
    VerbRequested,
)
from orchestrator.engine.machine import TERMINAL, Forgotten, Kind, Phase, Result, Status
from orchestrator.engine.reminder import COMPLETED, reminded, reminder
from orchestrator.sagas.fulfilment import FULFILMENT
from orchestrator.testing import drive
from schemas.billing import PaymentAuthorised, PaymentVoided
from schemas.inventory import OutOfStock, StockReleased, StockReserved

CAUSES = ("none", "refusal", "silence", "cancellation")
# In which order the second life hears: what was said in the first, the request to cancel, nothing
# at all until it has lost patience. What it sends again is answered in the end.
HEARINGS = ("as it was", "backwards", "cancelled first", "cancelled last", "deaf first")


@dataclass
class World:
    """Participants as the chassis makes them: one effect an operation, stored replies."""

    case: Case
    refuses: str = ""
    effective: set[str] = field(default_factory=set)
    undone: set[str] = field(default_factory=set)
    said: dict[str, object] = field(default_factory=dict)

    def answer(self, name: str) -> object:
        step, _, kind = name.partition("/")
        row = next(each for each in self.case.rows if each.step == step)
        if name not in self.said:
            if kind == "undo":
                self.undone.add(step)
                self.effective.discard(step)
                self.said[name] = row.undone
            elif step == self.refuses:
                self.said[name] = row.no
            else:
                assert step not in self.undone, f"{step} is done anew after it was undone"
                self.effective.add(step)
                self.said[name] = row.yes
        return self.said[name]

    def copy(self) -> World:
        return World(self.case, self.refuses, {*self.effective}, {*self.undone}, dict(self.said))


@dataclass
class Life:
    """One saga in one database, with what it sent and nobody has answered to it yet."""

    case: Case
    instance: Instance[object] | None = None
    spoken: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()
    outcome: object = None

    def turn(self, stimulus: Stimulus) -> Result:
        decision = decide(self.case.saga, self.instance, stimulus, 1)
        self.instance = decision.instance
        for each in decision.sends:
            if isinstance(each, Publish):
                self.outcome = each.body if each.kind == "outcome" else self.outcome
                self.spoken += (each.id_suffix,)
            else:
                name = f"{each.step}/{each.kind.value}"
                assert isinstance(each, Send | Resend)
                self.spoken += (name,)
                self.unanswered += (name,)
        return decision.result

    def start(self, spoken: frozenset[str] = frozenset()) -> None:
        self.turn(Started(self.case.start, "evt-1", "digest", spoken))

    def hear(self, name: str, body: object) -> Result:
        assert self.instance is not None
        ask = self.case.saga.plan.asks[name]
        saga_id = self.instance.saga_id
        return self.turn(
            Replied(
                body,
                type(body).avro_name,  # type: ignore[attr-defined]
                f"{saga_id}/{name}",
                f"{saga_id}/{ask.step}",
                ask.contract.owner,
            )
        )

    def answered(self, world: World) -> bool:
        """The next command that waits is answered; False when none waits."""
        if not self.unanswered:
            return False
        name, self.unanswered = self.unanswered[0], self.unanswered[1:]
        self.hear(name, world.answer(name))
        return True

    def lose_patience(self) -> None:
        """Every timer fires, again and again, and no reply comes."""
        for _ in range(6):
            assert self.instance is not None
            for step in self.instance.steps:
                if step.status in (Status.SENT, Status.UNDOING):
                    kind = Kind.DO if step.status is Status.SENT else Kind.UNDO
                    self.turn(TimerFired(step.name, kind))

    def unheard(self, world: World) -> None:
        """What waits took effect, and none of its replies was heard."""
        for name in self.unanswered:
            world.answer(name)
        self.unanswered = ()
        self.lose_patience()

    def cancel(self) -> None:
        if self.case.saga.cancelled_by is not None:
            self.turn(CancelRequested("o-1", "cancel-1", "changed_mind"))

    def copy(self) -> Life:
        return Life(self.case, self.instance, self.spoken, self.unanswered, self.outcome)


def first_life(case: Case, row: Row, cause: str) -> list[tuple[Life, World]]:
    """Every moment of it. At the step of `row` the cause strikes, and then all is answered."""
    world = World(case, refuses=row.step if cause == "refusal" else "")
    life = Life(case)
    life.start()
    moments = [(life.copy(), world.copy())]
    struck = cause in ("none", "refusal")
    while life.unanswered:
        strikes = not struck and f"{row.step}/do" in life.unanswered
        struck = struck or strikes
        if strikes and cause == "silence":
            life.unheard(world)
        elif strikes:
            life.cancel()
        else:
            life.answered(world)
        moments.append((life.copy(), world.copy()))
    return moments


def second_life(before: Life, now: Life, world: World, hearing: str) -> Life:
    """From an older moment, told what was sent since, in a world that went on."""
    fresh = frozenset(now.spoken) - frozenset(before.spoken)
    if type(now.outcome) is type(now.case.completed):
        fresh |= {COMPLETED}
    life = before.copy()
    assert life.instance is not None
    life.instance = reminded(life.instance, fresh)
    life.unanswered = ()
    said = list(world.said.items())
    if hearing == "deaf first":
        life.lose_patience()
    if hearing == "cancelled first":
        life.cancel()
    for name, body in reversed(said) if hearing == "backwards" else said:
        life.hear(name, body)
    if hearing == "cancelled last":
        life.cancel()
    for _ in range(60):
        # What stays unanswered is sent again by its timer.
        if not life.answered(world):
            if life.instance.phase in TERMINAL:
                break
            life.lose_patience()
    return life


def every_second_life(case: Case, row: Row, cause: str) -> Iterator[tuple[Life, Life, World]]:
    moments = first_life(case, row, cause)
    for at, (now, world) in enumerate(moments):
        for earlier in sorted({0, at // 2, max(at - 1, 0)}):
            for hearing in HEARINGS:
                seen = world.copy()
                yield now, second_life(moments[earlier][0], now, seen, hearing), seen


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize(("case", "row"), STEPS, ids=step_id)
def test_whatever_was_forgotten_all_steps_have_their_effect_or_none(
    case: Case, row: Row, cause: str
) -> None:
    """No operator is needed, no step stands alone, and a published outcome is not contradicted."""
    if (cause == "refusal" and row.no is None) or (cause == "silence" and row.undo is None):
        pytest.skip("this step cannot")
    for now, life, world in every_second_life(case, row, cause):
        assert life.instance is not None
        assert life.instance.phase in TERMINAL
        steps = {each.step for each in case.rows}
        completed = life.instance.phase is Phase.COMPLETED
        assert world.effective == (steps if completed else set())
        if now.outcome is not None:
            assert type(life.outcome) is type(now.outcome)


def test_the_enumeration_sees_both_ends_and_forgotten_steps() -> None:
    """Vacuity: fulfilled and cancelled ones, and thousands with something to remember."""
    ends = {"completed": 0, "compensated": 0}
    for case, row in STEPS:
        for cause in CAUSES:
            if (cause == "refusal" and row.no is None) or (cause == "silence" and row.undo is None):
                continue
            for _, life, _ in every_second_life(case, row, cause):
                assert life.instance is not None
                ends[life.instance.phase.value] += 1
    assert min(ends.values()) > 1_000


# The rules one by one, as they read in the decisions.


def reply(body: object, step: str, kind: str, source: str) -> Replied:
    name = f"fulfilment:o-1/{step}"
    return Replied(body, type(body).avro_name, f"{name}/{kind}", name, source)  # type: ignore[attr-defined]


AUTHORISED = reply(PaymentAuthorised("o-1", "auth-7", PAID), "payment", "do", "billing")
VOIDED = reply(PaymentVoided("o-1", PAID), "payment", "undo", "billing")


def told(*spoken: str):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Awaiting stock, and told what else was sent."""
    run = drive(FULFILMENT, ORDER)
    assert run.instance is not None
    run.instance = reminded(run.instance, frozenset(spoken))
    return run


def test_an_early_reply_to_a_spoken_command_is_no_alarm() -> None:
    """It is refused as restored and changes nothing: the command will be sent again."""
    run = told("payment/do", "payment/undo")
    before = run.instance

    assert run.stimulate(AUTHORISED).result is Result.RESTORED
    assert run.stimulate(VOIDED).result is Result.RESTORED
    assert run.instance is before
    assert run.state == "awaiting_stock"


def test_a_timeout_before_a_spoken_step_does_not_turn_back() -> None:
    """The later step proves that this one was answered: it is asked again, for ever."""
    run = told("payment/do")
    asked = run.commands()[0]
    for _ in range(20):
        run.stimulate(TimerFired("stock", Kind.DO))
    assert run.sent() == asked
    assert run.state == "awaiting_stock"
    run.receive(StockReserved("o-1"))
    assert run.state == "awaiting_payment"


def test_a_refusal_before_a_spoken_step_needs_an_operator() -> None:
    """The participant said yes once: now it contradicts itself."""
    run = told("payment/do").receive(OutOfStock("o-1", ("a",)))

    assert run.state == "needs_operator"
    assert run.instance.attention == "restored"


def test_a_cancellation_waits_until_the_last_spoken_step_is_sent_again() -> None:
    """Then it is weighed as ever."""
    run = told("payment/do").cancel()
    assert run.instance.reason == ""
    run.receive(StockReserved("o-1"))
    assert (run.state, run.instance.reason) == ("awaiting_payment", "")
    run.receive(PaymentAuthorised("o-1", "auth-7", PAID))
    assert (run.state, run.instance.reason) == ("undoing_payment", "cancelled")


def test_a_future_that_turned_back_is_not_overtaken() -> None:
    """Nothing is sent that the forgotten life had not sent; the reason says why."""
    run = told("stock/undo").receive(StockReserved("o-1"))
    assert run.state == "undoing_stock"
    run.receive(StockReleased("o-1"))

    assert run.outcome().reason == "restored"
    assert run.state == "compensated"


def test_the_number_of_notices_goes_on_from_the_last_one_published() -> None:
    """Otherwise the next would have the id of one that was heard before."""
    run = told("attention/3", "payment/do").receive(OutOfStock("o-1", ("a",)))

    assert [each.attempt for each in run.notices()] == [4]


def test_reminding_writes_a_version_and_a_line_once() -> None:
    """Told the same again, nothing changes."""
    run = drive(FULFILMENT, ORDER)
    assert run.instance is not None
    spoken = frozenset({"payment/do", "stock/undo"})
    found = reminder(run.instance, spoken, 7)
    assert found is not None
    after, entry = found

    assert (after.version, after.updated_us) == (run.instance.version + 1, 7)
    assert [step.forgotten for step in after.steps[:3]] == [Forgotten.UNDO, Forgotten.DO, None]
    assert entry == Entry(
        "reminded",
        "awaiting_stock",
        "awaiting_stock",
        Result.APPLIED,
        detail="payment/do stock/undo",
    )
    assert reminder(after, spoken, 8) is None


@pytest.mark.parametrize("case", CASES, ids=step_id)
def test_a_finished_saga_is_told_nothing(case: Case) -> None:
    """Its outcome stands."""
    life = first_life(case, case.rows[0], "none")[-1][0]
    assert life.instance is not None

    assert reminded(life.instance, frozenset(f"{each.step}/undo" for each in case.rows)) is (
        life.instance
    )


def test_an_operator_may_still_turn_a_reminded_saga_back() -> None:
    """What was spoken is then undone as if it were in doubt."""
    run = told("payment/do")
    run.stimulate(VerbRequested("compensate", "tester", "customer agreed"))
    run.receive(StockReserved("o-1"))

    assert run.state == "undoing_payment"
