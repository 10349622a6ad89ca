"""A participant whose database went back in time keeps the word that it had given."""

from __future__ import annotations

from company import COMMANDS, REPLIES, Kafka, Member, billing, command

from services.chassis.messages import Record
from services.chassis.spoken import remember


def former(method: str) -> Record:
    """What a former life replied to the command for o-1."""
    member = billing(Kafka())
    member.take(member.kafka.publish(command("o-1", method)))
    (reply,) = member.relay()
    return reply


def told(*records: Record) -> Member[object]:
    """A new database that knows nothing but what it had said."""
    member = billing(Kafka())
    member.store.drive(lambda: remember(records, "billing", 1))
    return member


def test_a_refusal_given_before_is_given_again_and_has_no_effect() -> None:
    """Though the handler would say yes now: the very bytes of then, and no row."""
    reply = former("tok_no")
    member = told(reply)
    member.take(member.kafka.publish(command("o-1", "tok_ok")))
    (again,) = member.relay()

    assert (again.topic, again.key, again.value, again.headers) == (
        REPLIES, reply.key, reply.value, reply.headers,
    )  # fmt: skip
    assert member.store.rows("SELECT * FROM tally") == []
    assert member.store.rows("SELECT status FROM operations") == [("refused",)]


def test_a_yes_given_before_is_given_again_as_it_was() -> None:
    """The effect is had anew, the reply is the bytes of then."""
    reply = former("tok_ok")
    member = told(reply)
    member.clock.move(60)
    member.take(member.kafka.publish(command("o-1", "tok_ok")))
    (again,) = member.relay()

    assert (again.value, again.headers) == (reply.value, reply.headers)
    assert member.store.rows("SELECT done FROM tally") == [(1,)]


def test_a_no_after_a_yes_parks_the_key() -> None:
    """Nobody is told anything; a person puts right what differs."""
    member = told(former("tok_ok"))
    member.take(member.kafka.publish(command("o-1", "tok_no")))

    assert member.parked() == ["o-1"]
    assert [out.topic for _, out in member.unsent] == [f"{COMMANDS}.dlt"]
    assert member.dead("reason, detail") == [
        ("handler_raised", "Contradicted in the handler of baton.billing.AuthorisePayment")
    ]


def test_only_ones_own_words_are_remembered() -> None:
    """Another's record, one without an id and one without a key are passed over; twice is once."""
    mine = former("tok_ok")
    others = mine._replace(headers=(("ce_source", b"crm"), ("ce_id", b"x")))
    unnamed = mine._replace(headers=(("ce_source", b"billing"),))
    keyless = mine._replace(key=None)
    member = told(mine, others, unnamed, keyless, mine)

    assert member.store.rows("SELECT id FROM spoken") == [("fulfilment:o-1/pay/do/reply",)]


def test_a_database_never_restored_looks_once() -> None:
    """And never again in the life of its process."""
    member = billing(Kafka())
    asked: list[str] = []
    member.store.connection.set_trace_callback(asked.append)
    for order in ("o-1", "o-2", "o-3"):
        member.take(member.kafka.publish(command(order)))

    assert sum("FROM spoken" in each for each in asked) == 1
