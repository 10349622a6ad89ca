"""One batch, one transaction: what is applied, what is parked, and that nothing lies between."""

from __future__ import annotations

import pytest
from company import (
    COMMANDS,
    NOW_US,
    SECOND_US,
    Broken,
    Killed,
    Member,
    billing,
    command,
)

from services.chassis.items import NOTHING, Arrived, Effect, Item, Timer
from services.chassis.messages import TopicPartition
from services.chassis.store import Conflict
from services.chassis.transaction import Tick

PLACE = TopicPartition(COMMANDS, 0)


def tallies(member: Member[object]) -> list[tuple[object, ...]]:
    return member.store.rows("SELECT order_id, done, undone FROM tally ORDER BY order_id")


def everything(member: Member[object]) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, for "nothing changed" and "the same end"."""
    tables = [
        str(name)
        for (name,) in member.store.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
    ]
    return {name: member.store.rows(f"SELECT * FROM {name}") for name in tables}


def test_a_lost_compare_and_set_rolls_everything_back() -> None:
    """A batch whose believed offset is not the database's leaves no trace at all."""
    member = billing()
    first, second = (member.kafka.publish(command(each)) for each in ("a", "b"))
    member.take(first)
    before = everything(member)
    member.next[PLACE] = 0
    with pytest.raises(Conflict, match=r"offsets\.advance hit 0 of 1 rows"):
        member.take(first, second)
    assert everything(member) == before


def test_a_duplicate_is_answered_with_the_same_bytes_within_a_batch_and_across() -> None:
    """However often a command comes, it has one effect and one reply of rising attempts."""
    member = billing()
    one = command("a")
    copies = [member.kafka.publish(one) for _ in range(4)]
    applied = [member.take(*copies[:3]), member.take(copies[3])]
    out = [each for done in applied for _, each in done.out]
    assert tallies(member) == [("a", 1, 0)]
    assert {(each.id, each.key, each.value, each.headers) for each in out} == {
        ("fulfilment:a/pay/do/reply", "a", out[0].value, out[0].headers)
    }
    assert [each.attempt for each in out] == [1, 2, 3, 4]
    name = "baton.billing.AuthorisePayment"
    assert [each.results for each in applied] == [
        {(COMMANDS, name, "applied"): 1, (COMMANDS, name, "duplicate"): 2},
        {(COMMANDS, name, "duplicate"): 1},
    ]


def test_a_batch_is_one_commit() -> None:
    """Fifty records cost one transaction."""
    member = billing()
    records = [member.kafka.publish(command(f"o{each}")) for each in range(50)]
    commits = list[str]()
    member.store.connection.set_trace_callback(
        lambda sql: commits.append(sql) if sql in ("COMMIT", "ROLLBACK") else None
    )
    member.take(*records)
    assert commits == ["COMMIT"]


@pytest.mark.parametrize("kth", [0, 1, 24, 48, 49])
def test_a_raising_handler_parks_its_key_and_no_other(kth: int) -> None:
    """49 of 50 are applied in the same transaction; the key's followers wait in order."""
    member = billing()
    orders = [f"o{each:02}" for each in range(50)]
    records = [
        member.kafka.publish(command(each, "tok_broken" if at == kth else "tok_ok"))
        for at, each in enumerate(orders)
    ]
    bad = orders[kth]
    follower = member.kafka.publish(command(bad, undo=True))
    applied = member.take(*records, follower)
    assert tallies(member) == [(each, 1, 0) for each in orders if each != bad]
    assert member.parked() == [bad]
    assert member.dead() == [
        ("parked", "handler_raised", COMMANDS, kth, "open"),
        ("follower", "follower", COMMANDS, 50, "open"),
    ]
    assert [(key, type(error)) for key, error in applied.errors] == [(bad, Broken)]
    assert applied.dead == {(COMMANDS, "handler_raised"): 1}
    later = member.kafka.publish(command(bad, step="later"))
    member.take(later)
    assert member.dead("kind, offset") == [("parked", kth), ("follower", 50), ("follower", 51)]
    assert [out.id for _, out in member.unsent if out.key == bad] == [f"{COMMANDS}/0/{kth}/dlt"]


def test_never_queued_topics_pass_a_parked_key() -> None:
    """A topic that does not queue is applied although its key is parked."""
    member = billing(never_queued=frozenset({COMMANDS}))
    member.take(member.kafka.publish(command("a", "tok_broken")))
    member.take(member.kafka.publish(command("a", step="verb")))
    assert (tallies(member), member.parked()) == ([("a", 1, 0)], ["a"])


@pytest.mark.parametrize("kill", ["before", "after"])
def test_a_killed_batch_is_whole_or_absent(kill: str) -> None:
    """Killed around the commit, a restart from the database ends as an undisturbed run."""
    calm, killed = billing(), billing()
    for member in (calm, killed):
        for order, method in (("a", "tok_ok"), ("b", "tok_broken"), ("b", "tok_ok")):
            member.kafka.publish(command(order, method))
    calm.consume()
    killed.store.kill = kill
    with pytest.raises(Killed):
        killed.consume()
    killed.start()
    if kill == "before":
        assert killed.next[PLACE] == 0
        killed.consume()
    assert everything(killed) == everything(calm)
    killed.start()
    calm.start()
    assert killed.unsent == calm.unsent


class Clockwork:
    """An application of timers: an order sets one, `seen` is what fired and what arrived."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.sets: dict[str, Effect] = {}
        self.breaks: set[str] = set()

    def load(self, items, ids, now_us):  # noqa: ANN001, ANN201
        del items, ids, now_us
        return self
        yield

    def apply(self, state, item: Item, now_us: int):  # noqa: ANN001, ANN201
        del state
        name = item.message.id if isinstance(item, Arrived) else f"{item.key}:{item.name}"
        if name in self.breaks:
            raise Broken(name)
        self.seen.append(name)
        effect = self.sets.get(name, NOTHING)
        timers = [
            Timer(each.name, now_us + each.due_us, each.interval_us, each.awaits, each.message_id)
            for each in effect.timers
        ]
        return Effect("applied", effect.out, timers, effect.cleared)
        yield

    def again(self, state, item, now_us) -> Effect:  # noqa: ANN001
        del state, item, now_us
        return Effect("duplicate")

    def write(self, state, now_us):  # noqa: ANN001, ANN201
        del state, now_us
        return
        yield


def clockwork() -> tuple[Member[object], Clockwork]:
    member, works = billing(), Clockwork()
    member.application = works  # type: ignore[assignment]
    return member, works


def do(order: str, step: str = "pay") -> str:
    return f"fulfilment:{order}/{step}/do"


def wait(name: str = "t", seconds: float = 10, message_id: str = "") -> Effect:
    us = round(seconds * SECOND_US)
    return Effect(timers=[Timer(name, us, us, COMMANDS, message_id)])


def timers(member: Member[object]) -> list[tuple[object, ...]]:
    return member.store.rows(
        "SELECT keys.name, timers.name, (due_us - ?) / 1000000, held_us / 1000000"
        " FROM timers JOIN keys ON keys.id = timers.key ORDER BY 1, 2",
        NOW_US,
    )


def test_a_timer_fires_once_when_it_is_due() -> None:
    """Not before its time, then once; its row goes with the transaction that fires it."""
    member, works = clockwork()
    works.sets[do("a")] = wait()
    member.take(member.kafka.publish(command("a")))
    member.clock.move(9.9)
    early = member.tick()
    member.clock.move(0.1)
    due, again = member.tick(), member.tick()
    assert [each.fired for each in (early, due, again)] == [0, 1, 0]
    assert (works.seen, timers(member)) == ([do("a"), "a:t"], [])


@pytest.mark.parametrize("kill", ["before", "after"])
def test_a_killed_timer_is_neither_lost_nor_fired_twice(kill: str) -> None:
    """The row and its effects go together, at whichever side of the commit the process dies."""
    member, works = clockwork()
    works.sets[do("a")] = wait()
    works.sets["a:t"] = wait("next", 5)
    member.take(member.kafka.publish(command("a")))
    member.clock.move(10)
    member.store.kill = kill
    with pytest.raises(Killed):
        member.tick()
    left = {"before": ("a", "t", 10, None), "after": ("a", "next", 15, None)}
    assert timers(member) == [left[kill]]
    member.start()
    member.tick()
    assert timers(member) == [("a", "next", 15, None)]


def test_a_parked_keys_timers_are_held_and_go_on_with_what_remained() -> None:
    """Parked for an hour with 4 s left, a timer is due 4 s after the redrive."""
    member, works = clockwork()
    works.sets[do("a")] = wait()
    works.breaks.add(do("a", "bad"))
    member.take(member.kafka.publish(command("a")))
    member.clock.move(6)
    member.take(member.kafka.publish(command("a", step="bad")))
    assert timers(member) == [("a", "t", None, 4)]
    member.clock.move(3600)
    assert member.tick().fired == 0
    works.breaks.clear()
    member.redrive("a")
    assert (timers(member), member.parked()) == ([("a", "t", 3610, None)], [])


def test_a_timer_due_in_the_batch_that_parks_its_key_is_held() -> None:
    """The timer does not fire behind the record that parked its key; nothing of it is lost."""
    member, works = clockwork()
    works.sets[do("a")] = wait()
    works.breaks.add(do("a", "bad"))
    member.take(member.kafka.publish(command("a")))
    member.clock.move(10)
    batch = member.batch([member.kafka.publish(command("a", step="bad"))])
    batch.ticks = [Tick(0, member.clock.now_us())]
    assert member.apply(batch).fired == 0
    assert (works.seen, timers(member)) == ([do("a")], [("a", "t", None, 0)])


@pytest.mark.parametrize(
    ("step", "after"),
    [("again", [("a", "t", 20, None)]), ("over", [])],
)
def test_a_timer_that_its_batch_set_anew_or_cleared_does_not_fire(
    step: str, after: list[tuple[object, ...]]
) -> None:
    """What a record of the same batch made needless or moved is not fired by the old row."""
    member, works = clockwork()
    works.sets[do("a")] = wait()
    works.sets[do("a", "again")] = wait()
    works.sets[do("a", "over")] = Effect(cleared=["t"])
    member.take(member.kafka.publish(command("a")))
    member.clock.move(10)
    batch = member.batch([member.kafka.publish(command("a", step=step))])
    batch.ticks = [Tick(0, member.clock.now_us())]
    assert member.apply(batch).fired == 0
    assert (works.seen, timers(member)) == ([do("a"), do("a", step)], after)


def test_a_timer_set_for_a_parked_key_is_held_too() -> None:
    """What passes a parked key may set a timer; that one waits like the others."""
    member, works = clockwork()
    member.never_queued = frozenset({COMMANDS})
    member.__post_init__()
    works.breaks.add(do("a", "bad"))
    works.sets[do("a", "verb")] = wait()
    member.take(member.kafka.publish(command("a", step="bad")))
    member.take(member.kafka.publish(command("a", step="verb")))
    assert timers(member) == [("a", "t", None, 10)]


def test_an_unsent_command_is_not_a_try() -> None:
    """While the command a timer waits for stands unsent in the outbox, its time starts again."""
    member, works = clockwork()
    out = command("a")
    works.sets[do("a")] = Effect(out=[out], timers=wait(message_id=out.id).timers)
    member.take(member.kafka.publish(out))
    member.clock.move(10)
    assert (member.tick().fired, timers(member)) == (0, [("a", "t", 20, None)])
    member.relay()
    member.clock.move(10)
    assert (member.tick().fired, timers(member)) == (1, [])


def test_a_timer_whose_handler_raises_is_asked_again_an_interval_later() -> None:
    """A fault in one timer costs the others nothing, and the timer is not lost."""
    member, works = clockwork()
    works.breaks.add("a:t")
    for order in "ab":
        works.sets[do(order)] = wait()
        member.take(member.kafka.publish(command(order)))
    member.clock.move(10)
    applied = member.tick()
    assert [(key, type(error)) for key, error in applied.errors] == [("a", Broken)]
    assert (works.seen[2:], timers(member)) == (["b:t"], [("a", "t", 20, None)])
