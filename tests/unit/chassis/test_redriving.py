"""Redrives through the one writer: slices, lost races, and what cannot be written."""

from __future__ import annotations

import asyncio

import pytest
from company import CATALOGUE, CODEC, TALLY, Tally, billing, command
from telling import verb, verbs
from writing import SERVED, Writer, until, working

from schemas.billing import AuthorisePayment, PaymentAuthorised
from services.chassis import intake as intake_module
from services.chassis import transaction as transaction_module
from services.chassis.envelope import Maker
from services.chassis.handlers import Call, Result, asks, done
from services.chassis.items import Returned
from services.chassis.participant import Participant
from services.chassis.store import Conflict


async def _never(gateway: object, call: Call, key: str) -> Result:
    raise AssertionError((gateway, call, key))


ILLEGAL = asks(
    AuthorisePayment,
    ask=lambda cmd: Call("authorise", {"order_id": cmd.order_id}),
    call=_never,
    record=lambda cmd, _: done(
        PaymentAuthorised(cmd.order_id, "n", cmd.amount), Tally(cmd.order_id, 1, note="illegal")
    ),
)


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "_BACKOFF_FIRST_S", 0.0)
    monkeypatch.setattr(intake_module, "_BACKOFF_MAX_S", 0.0)


@pytest.fixture
def writer() -> Writer:
    return Writer(billing(handlers=SERVED))


async def test_a_redrive_with_a_broken_rule_goes_as_far_as_it_can(writer: Writer) -> None:
    """Records before the guilty one are applied; it and what is behind it stay parked."""
    writer.put(command("a", "tok_broken", step="s0"))
    for at, method in enumerate(("tok_ok", "tok_illegal", "tok_no"), 1):
        writer.put(command("a", method, step=f"s{at}"))
    async with working(writer):
        await until(lambda: writer.next() == 4)
        writer.member.store.write("UPDATE dead_letters SET state = 'discarded' WHERE seq = 1")
        await writer.intake.redrive("a")
        await until(lambda: not writer.intake._something())
    assert writer.member.dead("offset, state") == [
        (0, "discarded"),
        (1, "redriven"),
        (2, "open"),
        (3, "open"),
    ]
    assert (writer.tallies(), writer.member.parked()) == ([("a", 1)], ["a"])


async def test_a_redrive_that_loses_its_race_is_done_later_and_only_then_answered(
    writer: Writer,
) -> None:
    """Who waits for it hears nothing until positions were read again and the slice committed."""
    writer.put(command("a", "tok_broken"))
    async with working(writer):
        await until(lambda: writer.next() == 1)
        writer.member.store.faults = [Conflict("another owner")]
        redriven = writer.intake.redrive("a")
        await until(lambda: writer.positions.distrusted)
        for _ in range(5):
            await asyncio.sleep(0)
        assert (redriven.done(), writer.member.dead("state")) == (False, [("open",)])
        writer.member.store.write("UPDATE dead_letters SET value = ?", command("a").value)
        writer.load()
        await redriven
    assert (writer.tallies(), writer.member.parked()) == ([("a", 1)], [])


async def test_a_redrive_of_a_key_that_is_another_owners_is_a_conflict(writer: Writer) -> None:
    """Nothing is written for a partition that this process does not hold."""
    writer.put(command("a", "tok_broken"))
    async with working(writer):
        await until(lambda: writer.next() == 1)
        writer.positions.loaded({})
        with pytest.raises(Conflict, match="a is another process's now"):
            await writer.intake.redrive("a")
    assert writer.member.dead("state") == [("open",)]


async def test_a_verb_goes_on_by_itself_over_all_slices(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intake asks for slice after slice; records of others are taken between them."""
    monkeypatch.setattr(transaction_module, "REDRIVEN_MAX", 2)
    writer.put(command("a", "tok_broken", step="s0"))
    writer.put(*[command("a", step=f"s{at}") for at in range(1, 8)])
    async with working(writer):
        await until(lambda: writer.next() == 8)
        writer.put(verb("discard"), command("b"))
        await until(lambda: not writer.intake._something())
    assert verbs(writer.member, "result, applied") == [("applied", 8)]
    assert (writer.tallies(), writer.member.parked()) == ([("a", 7), ("b", 1)], [])


async def test_a_verb_stopped_by_a_broken_rule_says_so(writer: Writer) -> None:
    """The record that cannot be written is the head now, and counts as one more failure."""
    writer.put(command("a", "tok_broken", step="s0"))
    writer.put(*[command("a", m, step=m) for m in ("tok_ok", "tok_illegal", "tok_no")])
    async with working(writer):
        await until(lambda: writer.next() == 4)
        writer.put(verb("discard"))
        await until(lambda: not writer.intake._something())
    rule = "CHECK constraint failed: note <> 'illegal'"
    assert verbs(writer.member, "result, detail, applied") == [
        ("failed_again", f"constraint: {rule}", 2)
    ]
    assert writer.member.dead("kind, reason, failures, state") == [
        ("parked", "handler_raised", 0, "discarded"),
        ("follower", "follower", 0, "redriven"),
        ("parked", "constraint", 1, "open"),
        ("follower", "follower", 0, "open"),
    ]


async def test_a_result_that_breaks_a_rule_is_set_aside_and_its_call_is_over(
    writer: Writer,
) -> None:
    """The gateway hears that its result is kept, and makes the call no more."""
    writer.intake._application = Participant(  # type: ignore[assignment]
        Maker("billing", CODEC, CATALOGUE), writer.member.kafka.place, (ILLEGAL,), (TALLY,)
    )
    writer.put(command("a"))
    async with working(writer):
        await until(lambda: writer.next() == 1)
        (begun,) = writer.seen[0][0].calls
        assert await writer.intake.put_returned(Returned(begun, {})) is None
    detail = (
        "CHECK constraint failed: note <> 'illegal' in recording the result of"
        " baton.billing.AuthorisePayment"
    )
    assert writer.member.dead("reason, detail, stage") == [("constraint", detail, "record")]
    assert (writer.tallies(), writer.member.parked()) == ([], ["a"])
