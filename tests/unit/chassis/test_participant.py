"""The three rules of a participant, over every order in which the world may come.

A letter is what happens next to one order: `d` its command, `D` the same operation under another
message id, `u` its undo, `r` the oldest call under way returns (or the last one returns again).
A repeated letter is a duplicate. Every word is its own order, so all words share each batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import pytest
from company import (
    COMMANDS,
    HANDLERS,
    Broken,
    Kafka,
    Member,
    Tally,
    billing,
    command,
    order_id,
)

from schemas.billing import AuthorisePayment, PaymentAuthorised, PaymentVoided, VoidPayment
from schemas.common import Overtaken
from services.chassis.handlers import (
    Answer,
    Call,
    Change,
    Result,
    asks,
    changed,
    done,
    reacts,
    sends,
)
from services.chassis.items import Applied, Begun, Returned
from services.chassis.messages import Outgoing, Record
from services.chassis.reading import _calling

WORDS = ["".join(letters) for length in range(1, 6) for letters in product("dDur", repeat=length)]


async def never(gateway: object, call: Call, key: str) -> Result:
    raise AssertionError((gateway, call, key))


def ask(cmd: AuthorisePayment, rows: Mapping[str, Tally]) -> Call | Answer:
    del rows
    return Call("authorise", {"order_id": cmd.order_id})


def record(cmd: AuthorisePayment, rows: Mapping[str, Tally], result: Result) -> Answer:
    before = rows.get(cmd.order_id) or Tally(cmd.order_id)
    after = replace(before, done=before.done + 1)
    return done(PaymentAuthorised(cmd.order_id, str(result["name"]), cmd.amount), after)


def ask_void(cmd: VoidPayment, rows: Mapping[str, Tally]) -> Call | Answer:
    del rows
    return Call("void", {"order_id": cmd.order_id})


def record_void(cmd: VoidPayment, rows: Mapping[str, Tally], result: Result) -> Answer:
    before = rows.get(cmd.order_id) or Tally(cmd.order_id)
    after = replace(before, undone=before.undone + 1, note=str(result["name"]))
    return done(PaymentVoided(cmd.order_id, cmd.amount), after)


ASKING = (
    asks(AuthorisePayment, ask=ask, call=never, record=record, loads=Tally, by=order_id),
    asks(
        VoidPayment,
        ask=ask_void,
        call=never,
        record=record_void,
        undoes=AuthorisePayment,
        loads=Tally,
        by=order_id,
    ),
)


class World:
    """A participant and the outside it calls, whose every call is counted by its key."""

    def __init__(self, member: Member[object]) -> None:
        self.member = member
        self.begun: dict[str, list[Begun]] = {}
        self.returned: dict[str, int] = {}
        self.calls: list[str] = []
        self.out: dict[str, list[Outgoing]] = {}

    def keep(self, applied: Applied) -> None:
        assert applied.errors == []
        for call in applied.calls:
            self.begun.setdefault(call.key, []).append(call)
            self.calls.append(call.idempotency_key)
        for _, out in applied.out:
            self.out.setdefault(out.key, []).append(out)

    def result(self, order: str) -> Returned | None:
        begun = self.begun.get(order, [])
        if not begun:
            return None
        at = min(self.returned.get(order, 0), len(begun) - 1)
        self.returned[order] = at + 1
        return Returned(begun[at], {"name": begun[at].idempotency_key})

    def records(self, order: str, letter: str) -> Record:
        made = command(order, undo=letter == "u")
        if letter == "D":
            headers = tuple(
                (name, b"another" if name == "ce_id" else value) for name, value in made.headers
            )
            made = made._replace(id="another", headers=headers)
        return self.member.kafka.publish(made)

    def happen(self, letters: Mapping[str, str]) -> None:
        """One batch: to each order its letter."""
        returned = [self.result(each) for each, letter in letters.items() if letter == "r"]
        batch = self.member.batch(
            [self.records(each, letter) for each, letter in letters.items() if letter != "r"],
            [each for each in returned if each],
        )
        self.keep(self.member.apply(batch))

    def settle(self) -> None:
        """Whatever is under way returns, until nothing is."""
        while open_ := {
            order: "r"
            for order, begun in self.begun.items()
            if self.returned.get(order, 0) < len(begun)
        }:
            self.happen(open_)


def orders() -> dict[str, str]:
    return {f"o{at}": word for at, word in enumerate(WORDS)}


def stepwise(world: World) -> None:
    """Letter by letter, each its own batch."""
    for at in range(5):
        world.happen({order: word[at] for order, word in orders().items() if len(word) > at})


def at_once(world: World) -> None:
    """Commands of all letters in one batch, then as many results as there were."""
    records = [
        world.records(order, letter)
        for order, word in orders().items()
        for letter in word
        if letter != "r"
    ]
    world.keep(world.member.take(*records))


@pytest.fixture(
    scope="module",
    params=[(HANDLERS, stepwise), (ASKING, stepwise), (HANDLERS, at_once), (ASKING, at_once)],
    ids=["answers", "asks", "answers at once", "asks at once"],
)
def ended(request: pytest.FixtureRequest) -> World:
    handlers, way = request.param
    world = World(billing(Kafka(), handlers))
    way(world)
    world.settle()
    return world


def replies_to(world: World, order: str, kind: str) -> list[Outgoing]:
    undo = f"fulfilment:{order}/pay/undo/reply"
    return [out for out in world.out.get(order, []) if (out.id == undo) == (kind == "undo")]


def tallies(world: World) -> dict[str, tuple[int, int]]:
    rows = world.member.store.rows("SELECT order_id, done, undone FROM tally")
    return {str(order): (int(did), int(undid)) for order, did, undid in rows}  # type: ignore[call-overload]


def test_every_word_has_at_most_one_effect_and_ends_undone_if_it_was_undone(ended: World) -> None:
    """Done once at most; whatever the order, an undo means that nothing is left done."""
    found = tallies(ended)
    asking = bool(ended.calls)
    for order, word in orders().items():
        did, undid = found.get(order, (0, 0))
        commands = [letter.lower() for letter in word if letter != "r"]
        if not commands:
            expected = (0, 0)
        elif "u" not in commands:
            expected = (1, 0)
        elif commands[0] == "u":
            expected = (0, 1 if asking else 0)
        else:
            expected = (1, 1)
        assert (did, undid) == expected, word
    assert len(ended.calls) == len(set(ended.calls))


def test_every_word_is_answered_in_the_same_bytes_under_rising_attempts(ended: World) -> None:
    """All replies of a command are one reply, and the first do decides which."""
    decode = ended.member.admission._codec.decode
    for order, word in orders().items():
        commands = [letter.lower() for letter in word if letter != "r"]
        did, undid = (replies_to(ended, order, kind) for kind in ("do", "undo"))
        for replies in (did, undid):
            assert len({(out.id, out.value, out.headers) for out in replies}) <= 1, word
            assert [out.attempt for out in replies] == sorted({out.attempt for out in replies})
        bodies = {type(decode(out.value)) for out in did}
        expected = Overtaken if commands[:1] == ["u"] else PaymentAuthorised
        assert bodies == ({expected} if "d" in commands else set()), word
        bodies = {type(decode(out.value)) for out in undid}
        assert bodies == ({PaymentVoided} if "u" in commands else set()), word


def test_after_every_word_each_command_is_answered_once_more(ended: World) -> None:
    """Nothing known to the inbox is met with silence once its outcome is known."""
    counts = {order: set(word) - {"r"} for order, word in orders().items()}
    kept = ended.out
    for letter in "du":
        ended.out = {}
        again = {order: letter for order, letters in counts.items() if letter in letters}
        ended.happen(again)
        kind = "undo" if letter == "u" else "do"
        answered = [order for order in again if len(replies_to(ended, order, kind)) == 1]
        assert answered == list(again)
    ended.out = kept
    assert len(ended.calls) == len(set(ended.calls))


def test_a_do_that_finds_its_undo_calling_is_overtaken() -> None:
    """The undo came first and is still under way outside: the do begins nothing."""
    world = World(billing(Kafka(), ASKING))
    for letter in "ud":
        world.happen({"a": letter})
    assert world.calls == ["fulfilment:a/pay/undo"]
    (reply,) = world.out["a"]
    assert world.member.admission._codec.decode(reply.value) == Overtaken("a")
    world.settle()
    assert [out.id for out in world.out["a"]] == [
        "fulfilment:a/pay/do/reply",
        "fulfilment:a/pay/undo/reply",
    ]
    rows = world.member.store.rows("SELECT status, call FROM operations")
    assert rows == [("undone", None)]


def test_an_undo_waits_for_a_calling_do_and_survives_a_restart() -> None:
    """The undo of a do that is under way is kept; a restart calls the do again, then undoes."""
    world = World(billing(Kafka(), ASKING))
    for letter in "duu":
        world.happen({"a": letter})
    assert (world.calls, world.out) == (["fulfilment:a/pay/do"], {})
    member = world.member
    found = member.store.drive(lambda: _calling([0], member.admission._codec.decode))
    assert found == world.begun["a"]
    world.keep(member.give(Returned(found[0], {"name": "late"})))
    assert world.calls == ["fulfilment:a/pay/do", "fulfilment:a/pay/undo"]
    found = member.store.drive(lambda: _calling([0], member.admission._codec.decode))
    assert [each.idempotency_key for each in found] == ["fulfilment:a/pay/undo"]
    world.keep(member.give(Returned(found[0], {"name": "undone"})))
    assert tallies(world) == {"a": (1, 1)}
    assert member.store.drive(lambda: _calling([0], member.admission._codec.decode)) == []


def test_a_waiting_undo_that_raises_takes_the_result_back_whole() -> None:
    """Neither the do's reply nor its rows are kept alone: the result is recorded again later."""
    broken = {"now": True}

    def ask_broken(cmd: VoidPayment, rows: Mapping[str, Tally]) -> Call | Answer:
        if broken["now"]:
            raise Broken(cmd.order_id)
        return ask_void(cmd, rows)

    handlers = (ASKING[0], replace(ASKING[1], ask=ask_broken))
    world = World(billing(Kafka(), handlers))
    for letter in "du":
        world.happen({"a": letter})
    member = world.member
    before = member.store.rows("SELECT * FROM operations")
    returned = Returned(world.begun["a"][0], {"name": "n"})
    applied = member.give(returned)
    assert [type(error) for _, error in applied.errors] == [Broken]
    assert (member.store.rows("SELECT * FROM operations"), tallies(world)) == (before, {})
    broken["now"] = False
    world.keep(member.give(returned))
    assert [out.id for out in world.out["a"]] == ["fulfilment:a/pay/do/reply"]
    assert (tallies(world), world.calls[1:]) == ({"a": (1, 0)}, ["fulfilment:a/pay/undo"])


def test_a_result_is_recorded_although_its_key_is_parked() -> None:
    """What the outside world did is a fact, whatever else is wrong with the order."""
    world = World(billing(Kafka(), ASKING))
    world.happen({"a": "d"})
    member = world.member
    out = command("a", undo=True)
    member.take(member.kafka.append(COMMANDS, b"a", out.value[:2] + bytes(8), out.headers))
    assert member.parked() == ["a"]
    world.settle()
    assert tallies(world) == {"a": (1, 0)}


def started(event: AuthorisePayment, rows: Mapping[str, Tally]) -> Change:
    before = rows.get(event.order_id) or Tally(event.order_id)
    call = Call("mail", {"to": event.order_id}, f"{event.order_id}/confirmation")
    return changed(replace(before, done=before.done + 1), calls=(call,))


def sent(call: Call, rows: Mapping[str, Tally], result: Result) -> Change:
    before = rows[str(call.body["to"])]
    return changed(replace(before, undone=before.undone + 1, note=str(result["id"])))


def test_a_call_begun_by_reactors_is_made_once_and_recorded_once() -> None:
    """Three events and a duplicate ask for the same mail: one call, one record, none left."""
    handlers = (
        reacts(AuthorisePayment, started, loads=Tally, by=order_id),
        sends("mail", call=never, record=sent, loads=Tally, by=lambda call: (call.body["to"],)),
    )
    member = billing(Kafka(), handlers)
    one, other = command("a"), command("a", step="again")
    first = member.take(*[member.kafka.publish(each) for each in (one, one, other)])
    second = member.take(member.kafka.publish(command("a", step="third")))
    call = Begun(
        "a", "billing", "a/confirmation", "send", Call("mail", {"to": "a"}, "a/confirmation"), None
    )
    assert (list(first.calls), list(second.calls)) == ([call], [])
    found = member.store.drive(lambda: _calling([0], member.admission._codec.decode))
    assert (found, call.idempotency_key) == ([call], "a/confirmation/send")
    member.give(Returned(call, {"id": "m-1"}), Returned(call, {"id": "m-2"}))
    assert member.store.rows("SELECT done, undone, note FROM tally") == [(3, 1, "m-1")]
    assert member.store.drive(lambda: _calling([0], member.admission._codec.decode)) == []
