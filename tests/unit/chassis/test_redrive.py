"""A parked key again: in order, as far as it goes, and in the end as if nothing had been wrong."""

from __future__ import annotations

import company
import pytest
from company import COMMANDS, Killed, Member, billing, command

from services.chassis import transaction


def parked(*methods: str, order: str = "a") -> Member[object]:
    """A process whose key `order` is parked by a raising handler, with these steps behind."""
    member = billing()
    member.take(member.kafka.publish(command(order, "tok_broken", step="s0")))
    for at, method in enumerate(methods, 1):
        member.take(member.kafka.publish(command(order, method, step=f"s{at}")))
    return member


def mended(member: Member[object], *methods: str) -> None:
    """This release's handler no longer raises, except for these methods."""

    def authorise(cmd, rows):  # noqa: ANN001, ANN202
        if cmd.payment_method in methods:
            raise company.Broken(cmd.order_id)
        before = rows.get(cmd.order_id) or company.Tally(cmd.order_id)
        note = f"{before.note}{cmd.payment_method[4:5]}"
        after = company.Tally(cmd.order_id, before.done + 1, before.undone, note)
        return company.done(
            company.PaymentAuthorised(cmd.order_id, f"a-{after.done}", cmd.amount), after
        )

    handlers = (
        company.answers(
            company.AuthorisePayment, authorise, loads=company.Tally, by=company.order_id
        ),
        company.HANDLERS[1],
    )
    maker = company.Maker("billing", company.CODEC, company.CATALOGUE)
    member.application = company.Participant(  # type: ignore[assignment]
        maker, member.kafka.place, handlers, (company.TALLY,)
    )


def effects(member: Member[object]) -> tuple[object, ...]:
    """What a key's records led to: rows, replies in order, operations."""
    return (
        member.store.rows("SELECT order_id, done, undone, note FROM tally"),
        member.store.rows(
            "SELECT id, attempt, value FROM outbox WHERE topic NOT LIKE '%.dlt' ORDER BY seq"
        ),
        member.store.rows("SELECT operation, status, reply, said FROM operations ORDER BY 1"),
        member.store.rows("SELECT id FROM inbox ORDER BY 1"),
        member.parked(),
    )


def test_a_redrive_ends_as_a_run_without_the_fault() -> None:
    """All that waited is applied in order; rows, replies and operations are those of a calm run."""
    member = parked("tok_x", "tok_y")
    calm = billing()
    for each in (member, calm):
        mended(each)
    for record in member.kafka.all(COMMANDS):
        calm.take(calm.kafka.append(COMMANDS, record.key, record.value, record.headers))
    member.redrive("a")
    assert effects(member) == effects(calm)
    assert [state for (state,) in member.dead("state")] == ["redriven"] * 3


def test_a_redrive_stops_at_the_first_that_fails_again() -> None:
    """What comes before it is applied, it and what is behind it stay, with no new dead letter."""
    member = parked("tok_x", "tok_z", "tok_y")
    mended(member, "tok_z")
    copies = len(member.unsent)
    applied = member.redrive("a")
    assert not applied.more
    assert member.dead("kind, offset, state") == [
        ("parked", 0, "redriven"),
        ("follower", 1, "redriven"),
        ("parked", 2, "open"),
        ("follower", 3, "open"),
    ]
    assert (member.parked(), len(member.unsent) - copies) == (["a"], 2)
    mended(member)
    member.redrive("a")
    assert member.store.rows("SELECT note FROM tally") == [("bxzy",)]
    assert [state for (state,) in member.dead("state")] == ["redriven"] * 4
    assert member.parked() == []


@pytest.mark.parametrize("waiting", [1, 2, 3, 4, 5])
def test_a_long_redrive_goes_on_in_slices(waiting: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the length is to the slice, slices asked for while `more` empty and free the key."""
    monkeypatch.setattr(transaction, "REDRIVEN_MAX", 2)
    member = parked(*["tok_x"] * (waiting - 1))
    mended(member)
    slices = 0
    while member.redrive("a").more:
        slices += 1
        assert slices <= waiting
    assert ([s for (s,) in member.dead("state")], member.parked()) == (["redriven"] * waiting, [])


def test_a_slice_that_fails_again_does_not_ask_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full slice whose first record fails again is not tried again for ever."""
    monkeypatch.setattr(transaction, "REDRIVEN_MAX", 2)
    member = parked("tok_x", "tok_x")
    assert not member.redrive("a").more


def test_a_key_whose_waiting_records_are_gone_is_free() -> None:
    """After a person discarded all that waited, a redrive takes the key out of parking."""
    member = parked()
    mended(member)
    member.store.write("UPDATE dead_letters SET state = 'discarded'")
    member.redrive("a")
    member.take(member.kafka.publish(command("a", step="next")))
    assert (member.parked(), member.store.rows("SELECT done FROM tally")) == ([], [(1,)])


def test_a_redrive_of_an_unknown_key_does_nothing() -> None:
    """A key that no database row names is no error."""
    member = billing()
    applied = member.redrive("nobody")
    assert (applied.more, applied.errors, member.parked()) == (False, [], [])


@pytest.mark.parametrize("kill", ["before", "after"])
def test_a_killed_redrive_is_resumed(kill: str) -> None:
    """Killed around its commit, a redrive asked for again ends the same."""
    calm, member = parked("tok_x"), parked("tok_x")
    for each in (calm, member):
        mended(each)
    calm.redrive("a")
    member.store.kill = kill
    with pytest.raises(Killed):
        member.redrive("a")
    member.start()
    member.redrive("a")
    assert effects(member) == effects(calm)


def test_an_unknown_schema_waits_and_is_understood_by_a_later_release() -> None:
    """Parked because its writer is newer; a release that knows the schema applies it."""
    member = billing()
    out = command("a")
    strange = out.value[:2] + b"\x00" * 8 + out.value[10:]
    record = member.kafka.append(COMMANDS, b"a", strange, out.headers)
    follower = member.kafka.publish(command("a", undo=True))
    member.take(record, follower)
    assert member.dead("kind, reason, offset") == [
        ("parked", "unknown_schema", 0),
        ("follower", "follower", 1),
    ]
    member.redrive("a")
    assert member.dead("kind, state") == [("parked", "open"), ("follower", "open")]
    readers = member.admission._codec._readers
    readers[b"\x00" * 8] = readers[out.value[2:10]]
    try:
        member.redrive("a")
    finally:
        del readers[b"\x00" * 8]
    assert member.store.rows("SELECT done, undone FROM tally") == [(1, 1)]
    assert (member.parked(), member.dead("state")) == ([], [("redriven",), ("redriven",)])
