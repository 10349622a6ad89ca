"""The rules of a participant against a model that cannot be wrong, under anything that may come.

Commands and undos of three orders, any of them repeated, refused, in one batch or several, answers
of the outside that come late or twice, and kills on either side of a commit: after each step the
operations, the effects and every reply are what the model says.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass

import pytest
from company import CODEC, HANDLERS, Kafka, Killed, Member, billing, command
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from test_participant import ASKING

from schemas.billing import PaymentAuthorised, PaymentDeclined, PaymentVoided
from schemas.common import Overtaken
from services.chassis.items import Begun, Returned
from services.chassis.reading import _calling

ORDERS = ("yes-1", "yes-2", "no-1")
LETTERS = st.tuples(st.sampled_from(ORDERS), st.booleans())


@dataclass
class Model:
    """One operation. `done`: the effect of its do happened; `waits`: its undo, for its do."""

    status: str = "new"
    reply: type | None = None
    undone: bool = False
    done: bool = False
    waits: bool = False

    def hear(self, *, undo: bool, asks: bool, yes: bool) -> None:
        if undo:
            self._undo(asks=asks)
        elif self.reply is None and self.status in ("undone", "undo_calling"):
            self.reply = Overtaken
        elif self.status == "new":
            if asks and yes:
                self.status = "calling"
            else:
                self._do(yes=yes)

    def _do(self, *, yes: bool) -> None:
        self.status = "done" if yes else "refused"
        self.reply = PaymentAuthorised if yes else PaymentDeclined
        self.done = yes

    def _undo(self, *, asks: bool) -> None:
        if self.status == "calling":
            self.waits = True
        elif self.status not in ("undone", "undo_calling"):
            self.status = "undo_calling" if asks else "undone"
            self.undone |= not asks

    def returned(self, what: str) -> None:
        """The outside's answer to this call; an answer nobody waits for changes nothing."""
        if what == "do" and self.status == "calling":
            self._do(yes=True)
            if self.waits:
                self.waits = False
                self._undo(asks=True)
        elif what == "undo" and self.status == "undo_calling":
            self.status, self.undone = "undone", True


class Operations(RuleBasedStateMachine):
    member: Member[object]
    asks: bool

    @initialize(asks=st.booleans())
    def choose(self, asks: bool) -> None:  # noqa: FBT001
        self.asks = asks
        self.member = billing(Kafka(), ASKING if asks else HANDLERS)
        self.models = {order: Model() for order in ORDERS}
        self.calls: list[Begun] = []
        self.answered: list[Begun] = []

    def apply(self, kill: str, *returned: Returned) -> None:
        """Whatever waits in the logs too, as one batch; killed, it is taken again after a start."""
        self.member.store.kill = kill
        with contextlib.suppress(Killed):
            batch = self.member.batch(self.member.waiting(), returned)
            applied = self.member.apply(batch)
            assert applied.errors == []
            self.calls += applied.calls
            return
        self.member.start()
        again = () if kill == "after" else returned
        self.member.apply(self.member.batch(self.member.waiting(), again))
        self.calls = self.member.store.drive(lambda: _calling([0], CODEC.decode))

    @rule(
        told=st.lists(LETTERS, min_size=1, max_size=5),
        kill=st.sampled_from(["", "", "before", "after"]),
    )
    def commands(self, told: list[tuple[str, bool]], kill: str) -> None:
        for order, undo in told:
            yes = self.asks or order.startswith("yes")
            method = "tok_ok" if yes else "tok_no"
            self.member.kafka.publish(command(order, method, undo=undo))
            self.models[order].hear(undo=undo, asks=self.asks, yes=yes)
        self.apply(kill)

    @rule(index=st.integers(0, 5), kill=st.sampled_from(["", "", "before", "after"]))
    def the_outside_answers(self, index: int, kill: str) -> None:
        if self.calls:
            begun = self.calls.pop(index % len(self.calls))
            self.answered.append(begun)
            self.models[begun.key].returned(begun.what)
            self.apply(kill, Returned(begun, {"name": begun.idempotency_key}))

    @rule(index=st.integers(0, 5))
    def an_answer_comes_twice(self, index: int) -> None:
        if self.answered:
            begun = self.answered[index % len(self.answered)]
            self.apply("", Returned(begun, {"name": "another"}))

    @rule()
    def it_begins_again(self) -> None:
        self.member.start()
        self.calls = self.member.store.drive(lambda: _calling([0], CODEC.decode))

    @rule()
    def it_speaks(self) -> None:
        self.member.relay()

    @invariant()
    def operations_are_the_models(self) -> None:
        rows = self.member.store.rows(
            "SELECT name, status, undo_waits IS NOT NULL FROM operations"
            " JOIN keys ON keys.id = operations.key"
        )
        expected = {
            (order, model.status, int(model.waits))
            for order, model in self.models.items()
            if model.status != "new"
        }
        assert set(rows) == expected

    @invariant()
    def each_effect_happened_once(self) -> None:
        """A tombstone is no effect; what was undone had been done, once."""
        rows = self.member.store.rows("SELECT order_id, done, undone FROM tally")
        seen = {str(order): (done, undone) for order, done, undone in rows}
        for order, model in self.models.items():
            undone = int(model.undone) if model.done or self.asks else 0
            assert seen.get(order, (0, 0)) == (int(model.done), undone)

    @invariant()
    def calls_are_open_exactly_where_one_is_awaited(self) -> None:
        awaited = Counter(
            (order, "do" if model.status == "calling" else "undo")
            for order, model in self.models.items()
            if model.status in ("calling", "undo_calling")
        )
        assert Counter((begun.key, begun.what) for begun in self.calls) == awaited

    @invariant()
    def every_reply_is_the_one_that_was_stored(self) -> None:
        """The same bytes under rising attempts, and of the kind that the model says."""
        rows = self.member.store.rows(
            "SELECT record_key, id LIKE '%/undo/reply', attempt, value FROM outbox ORDER BY seq"
        )
        said: dict[tuple[str, bool], list[tuple[object, object]]] = {}
        for key, undo, attempt, value in rows:
            said.setdefault((str(key), bool(undo)), []).append((attempt, value))
        for (order, undo), told in said.items():
            (body,) = {CODEC.decode(value) for _, value in told if isinstance(value, bytes)}
            model = self.models[order]
            assert type(body) is (PaymentVoided if undo else model.reply)
        attempts = Counter((key, attempt) for key, told in said.items() for attempt, _ in told)
        assert max(attempts.values(), default=1) == 1
        answered = {(order, False) for order, model in self.models.items() if model.reply}
        undone = {(order, True) for order, model in self.models.items() if model.status == "undone"}
        assert said.keys() == answered | undone


TestOperations = pytest.mark.searches(Operations.TestCase)
TestOperations.settings = settings(stateful_step_count=20)
