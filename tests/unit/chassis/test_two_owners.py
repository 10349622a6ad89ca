"""Two processes that both believe a partition is theirs, over one database: one of them is heard.

A timer is due and the reply that makes it needless lies in the log. Whoever acts in whatever
order, and dies at whichever side of a commit: no timer is lost, none fires twice.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from pathlib import Path

import pytest
from company import CATALOGUE, CODEC, HandClock, Kafka, Killed, Member
from order_world import NOW_US, SHOP, orchestrator, placed

from schemas.inventory import StockReserved
from services.chassis.envelope import Cause, Maker
from services.chassis.store import Conflict, Plan, T, Unavailable
from services.chassis.transaction import Batch, Tick

ACTS = ("A ticks", "B ticks", "A hears", "B hears")
DEATHS = [("", ""), *((act, side) for act in ACTS for side in ("before", "after"))]
TIMER = "fulfilment/stock/do"


class Pair:
    """Two members over copies of one prepared database, the timer of the first step due."""

    def __init__(self, file: Path, prepared: Path, kafka: Kafka, clock: HandClock) -> None:
        shutil.copy(prepared, file)
        self.clock = clock
        self.members = {name: orchestrator(kafka, clock, file=str(file)) for name in "AB"}
        for member in self.members.values():
            member.store.connection.execute("PRAGMA busy_timeout = 0")

    def act(self, act: str) -> str:
        """As the product's intake: a tick compares its partition's offsets too."""
        name, what = act.split()
        member = self.members[name]
        try:
            if what == "ticks":
                member.apply(tick(member, self.clock.us))
            else:
                member.consume()
        except Conflict:
            member.start()
            return "lost"
        except Killed:
            member.store.kill = ""
            member.start()
            return "killed"
        return "won"

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return self.members["A"].store.rows(sql)

    def close(self) -> None:
        for member in self.members.values():
            member.store.connection.close()


def tick(member: Member[object], now_us: int) -> Batch:
    batch = Batch(now_us, ticks=[Tick(0, now_us)])
    batch.advances = {place: (at, at) for place, at in member.next.items()}
    return batch


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Pair]]:
    folder = tmp_path_factory.mktemp("owners")
    kafka, clock = Kafka(), HandClock()
    first = orchestrator(kafka, clock, file=str(folder / "prepared"))
    kafka.publish(SHOP.event(placed(), "e-0", NOW_US, Cause()))
    first.consume()
    first.relay()
    first.store.connection.close()
    inventory = Maker("inventory", CODEC, CATALOGUE)
    links = Cause("fulfilment:o-1", "fulfilment:o-1/stock/do", "fulfilment:o-1/stock")
    said = "fulfilment:o-1/stock/do/reply"
    reply = inventory.message(
        "inventory.replies.v1", "o-1", StockReserved("o-1"), said, NOW_US, links
    )
    kafka.publish(reply)
    clock.move(10)
    made: list[Pair] = []

    def make() -> Pair:
        if made:
            made.pop().close()
        made.append(Pair(folder / "shared", folder / "prepared", kafka, clock))
        return made[0]

    yield make
    made.pop().close()


@pytest.mark.parametrize("death", DEATHS, ids="-".join)
def test_whoever_acts_first_no_timer_is_lost_or_fires_twice(
    pair: Callable[[], Pair], death: tuple[str, str]
) -> None:
    """In all orders of two ticks and two hearings, one of them perhaps ended by a kill."""
    doomed, side = death
    fates = set[str]()
    for order in permutations(ACTS):
        owners = pair()
        won: list[str] = []
        for act in order:
            if act == doomed:
                owners.members[act[0]].store.kill = side
            fate = owners.act(act)
            fates.add(fate)
            if fate == "won" or (fate == "killed" and side == "after"):
                won.append(act.split()[1])
        check(owners, won)
    assert fates == {"won", "lost", *(["killed"] if doomed else [])}


def check(owners: Pair, won: list[str]) -> None:
    """What was committed, in its order, says how often the timer fired: before the reply, once."""
    assert won.count("hears") >= 1
    fired = int(won[0] == "ticks")
    lines = owners.rows("SELECT what, result FROM journal ORDER BY seq")
    assert lines == [
        ("started", "applied"),
        *[("timer", "applied")] * fired,
        ("answered", "applied"),
    ]
    tries = owners.rows(
        "SELECT attempt FROM outbox WHERE id = 'fulfilment:o-1/stock/do' ORDER BY attempt"
    )
    assert tries == [(1,), (2,)][: 1 + fired]
    assert owners.rows("SELECT name FROM timers") == [("fulfilment/payment/do",)]
    assert owners.rows("SELECT version FROM sagas") == [(2 + fired,)]


def test_nobody_else_gets_in_between_two_statements(pair: Callable[[], Pair]) -> None:
    """At every statement of one owner's tick the other's is turned away; then it finds nothing."""
    asked = 0
    while True:
        owners = pair()
        first, second = owners.members["A"], owners.members["B"]
        reached = interrupt(first, asked, partial(refused, second, owners.clock.us))
        first.apply(tick(first, owners.clock.us))
        if not reached:
            break
        second.apply(tick(second, owners.clock.us))
        assert owners.rows("SELECT what FROM journal") == [("started",), ("timer",)]
        assert owners.rows("SELECT name FROM timers") == [(TIMER,)]
        asked += 1
    assert asked > 8


def refused(member: Member[object], now_us: int) -> None:
    with pytest.raises(Unavailable, match="locked"):
        member.apply(tick(member, now_us))


def interrupt(member: Member[object], at: int, then: Callable[[], None]) -> list[int]:
    """`then` happens before the statement of that number; the list says that it was reached."""
    drive, reached = member.store.drive, list[int]()

    def watched(plan: Callable[[], Plan[T]]) -> Plan[T]:
        inner, rows, number = plan(), None, 0
        try:
            while True:
                ask = inner.send(rows)  # type: ignore[arg-type]
                if number == at:
                    then()
                    reached.append(number)
                rows = yield ask
                number += 1
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    member.store.drive = lambda plan: drive(lambda: watched(plan))  # type: ignore[method-assign]
    return reached
