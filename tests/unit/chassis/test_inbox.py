"""Inbox and outbox against a model: any batches, killed or not, in any order."""

from __future__ import annotations

import contextlib

import pytest
from company import COMMANDS, DirectStore, Kafka, Killed
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.chassis.admission import Refused
from services.chassis.inbox import Inbox
from services.chassis.items import Arrived, TurnedAway
from services.chassis.messages import Message, Outgoing, Record
from services.chassis.outbox import Outbox, outgoing
from services.chassis.store import Plan, Select, Write
from services.chassis.transaction import SQL

NAMES = st.tuples(st.sampled_from("ab"), st.sampled_from("st"), st.sampled_from("123"))
SAID = st.tuples(st.sampled_from("ab"), st.booleans())


def message(key: str, source: str, name: str) -> Message:
    return Message(COMMANDS, key, name, source, "t", None, b"", (), 0)


class Books(RuleBasedStateMachine):
    """What one process applied and said, beside a set and a list that cannot be wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.store = DirectStore()
        self.ids = {"a": 1, "b": 2}
        self.applied: set[tuple[str, str, str]] = set()
        self.unsent: list[tuple[int, Outgoing]] = []
        self.said = 0
        self.now_us = 0

    @rule(
        names=st.lists(NAMES, max_size=6),
        says=st.lists(SAID, max_size=3),
        kill=st.sampled_from(["", "before", "after"]),
    )
    def batch(
        self, names: list[tuple[str, str, str]], says: list[tuple[str, bool]], kill: str
    ) -> None:
        self.now_us += 1
        items = [
            Arrived(message(*each), Record(COMMANDS, 0, 0, 0, None, None, ())) for each in names
        ]
        refused = TurnedAway(items[0].record, Refused("r", "d", "s"), "a") if items else None
        fresh: list[tuple[str, str, str]] = []
        made = [
            Outgoing(
                "t",
                key,
                f"m-{self.said + at}",
                b"v",
                (("h", b"\xff"),),
                1,
                b'[["h","\\u00ff"]]' if packed else b"",
            )
            for at, (key, packed) in enumerate(says)
        ]

        def plan() -> Plan[list[tuple[int, Outgoing]]]:
            fresh.clear()
            inbox, outbox = Inbox(self.now_us), Outbox(self.now_us)
            yield from inbox.load([*items, *([refused] if refused else [])], self.ids)
            for item, name in zip(items, names, strict=True):
                key = self.ids[item.key]
                if not inbox.knows(key, item.message):
                    inbox.add(key, item.message)
                    fresh.append(name)
            for out in made:
                outbox.add(self.ids[out.key], out)
            yield from inbox.write()
            return (yield from outbox.write())

        self.store.kill = kill
        numbered: list[tuple[int, Outgoing]] | None = None
        with contextlib.suppress(Killed):
            numbered = self.store.drive(plan)
        if kill == "before":
            return
        assert fresh == [each for each in dict.fromkeys(names) if each not in self.applied]
        self.applied |= set(fresh)
        self.said += len(made)
        first = max([seq for seq, _ in self.unsent], default=self.last())
        rows = [(first + at, out) for at, out in enumerate(made, 1)]
        if numbered is not None:
            assert numbered == rows
        self.unsent += rows
        self.highest = self.unsent[-1][0] if self.unsent else self.last()

    def last(self) -> int:
        return getattr(self, "highest", 0)

    @rule(count=st.integers(1, 4))
    def sent(self, count: int) -> None:
        gone, self.unsent = self.unsent[:count], self.unsent[count:]

        def plan() -> Plan[None]:
            yield Write(SQL["outbox.sent"], [(self.now_us, seq) for seq, _ in gone])

        self.store.drive(plan)

    @rule()
    def sweep(self) -> None:
        def plan() -> Plan[None]:
            last = yield Select(SQL["outbox.last"])
            yield Write(SQL["outbox.sweep"], [(last[0][0], self.now_us + 1)])

        self.store.drive(plan)

    @invariant()
    def the_inbox_is_what_was_applied(self) -> None:
        names = {number: name for name, number in self.ids.items()}
        rows = self.store.rows("SELECT key, source, id FROM inbox")
        assert {(names[int(str(k))], s, i) for k, s, i in rows} == self.applied

    @invariant()
    def the_outbox_is_what_was_said_and_not_sent(self) -> None:
        def plan() -> Plan[list[tuple[int, Outgoing]]]:
            unsent = yield Select(SQL["outbox.unsent"], ([], 100))
            return outgoing((yield Select(SQL["outbox.rows"], ([seq for seq, _ in unsent],))))

        bare = [(seq, out._replace(packed=b"")) for seq, out in self.unsent]
        assert self.store.drive(plan) == bare


TestBooks = pytest.mark.searches(Books.TestCase)
TestBooks.settings = settings(stateful_step_count=15)


def test_an_empty_batch_asks_the_database_nothing() -> None:
    """No messages, nothing said: no statement at all."""
    kafka = Kafka()
    assert kafka.logs == {}
    inbox, outbox = Inbox(0), Outbox(0)
    assert list(inbox.load([], {})) == []
    assert list(inbox.write()) == []
    assert list(outbox.write()) == []
