"""Verbs about keys through the one transaction: in the end as if nothing had been wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from company import COMMANDS, NOW_US, Kafka, Killed, Member, billing, command
from telling import go_on, tell, verb, verbs
from test_participant import ASKING, World
from test_redrive import effects, mended, parked

from schemas.topics import OPERATOR_TOPIC
from services.chassis import key_verbs, transaction
from services.chassis.admission import Refused
from services.chassis.handlers import asks
from services.chassis.items import Returned, Unrecorded
from services.chassis.reading import _calling, _tried_at_a_start
from services.chassis.transaction import Batch

RAISED = "handler_raised: Broken in the handler of baton.billing.AuthorisePayment"


@pytest.mark.parametrize("word", ["unpark", "redrive"])
def test_an_unparked_key_ends_as_a_run_without_the_poison(word: str) -> None:
    """Rows, replies in order, operations and inbox are those of a run where nothing failed."""
    member, calm = parked("tok_x", "tok_y"), billing()
    for each in (member, calm):
        mended(each)
    for record in member.kafka.all(COMMANDS):
        calm.take(calm.kafka.append(COMMANDS, record.key, record.value, record.headers))
    tell(member, word)
    member.store.write("DELETE FROM inbox WHERE source = 'console'")
    assert effects(member) == effects(calm)
    assert verbs(member) == [("v-1", word, "applied", "", 3)]
    assert member.dead("state, became, settled_by") == [("redriven", "applied", "v-1")] * 3


def test_records_behind_a_key_that_was_parked_by_hand_wait_in_order() -> None:
    """No dead letter is at its head; what comes waits, and goes on as if it had not waited."""
    member, calm = billing(), billing()
    tell(member, "park", actor="ann")
    assert member.store.rows("SELECT reason, detail FROM parked_keys") == [("operator", "by ann")]
    for each in (member, calm):
        mended(each)
        for at, method in enumerate(("tok_x", "tok_y")):
            each.take(each.kafka.publish(command("a", method, step=f"s{at}")))
    assert member.dead("kind, reason, state") == [("follower", "follower", "open")] * 2
    assert member.store.rows("SELECT * FROM tally") == []
    tell(member, "unpark", name="v-2")
    member.store.write("DELETE FROM inbox WHERE source = 'console'")
    assert effects(member) == effects(calm)
    assert verbs(member, "id, result, applied") == [("v-1", "applied", 0), ("v-2", "applied", 2)]


def test_a_parked_key_without_records_is_simply_free_again() -> None:
    """Nothing waited, nothing is applied."""
    member = billing()
    tell(member, "park")
    tell(member, "unpark", name="v-2")
    assert (member.parked(), verbs(member)[1]) == ([], ("v-2", "unpark", "applied", "", 0))


def test_a_record_that_comes_in_the_batch_of_the_verb_waits_behind_it() -> None:
    """What stands behind a park queues; what stands behind an unpark comes after what waits."""
    member = billing()
    mended(member)
    verb_record = member.kafka.publish(verb("park"))
    member.take(verb_record, member.kafka.publish(command("a", "tok_x", step="s0")))
    assert member.dead("kind, offset, state") == [("follower", 0, "open")]
    unpark = member.kafka.publish(verb("unpark", name="v-2"))
    applied = member.take(unpark, member.kafka.publish(command("a", "tok_y", step="s1")))
    go_on(member, applied)
    assert member.store.rows("SELECT note FROM tally") == [("xy",)]


def test_a_discard_keeps_the_record_and_lets_the_others_go_on() -> None:
    """The row says by whom and why; the bytes are still there; followers keep their order."""
    member = parked("tok_x", "tok_y")
    mended(member)
    before = member.dead("value, headers")
    tell(member, "discard", reason="placed by a test", actor="ann")
    assert member.dead("kind, state, became, settled_by") == [
        ("parked", "discarded", "discarded", "v-1"),
        ("follower", "redriven", "applied", "v-1"),
        ("follower", "redriven", "applied", "v-1"),
    ]
    assert member.dead("value, headers") == before
    assert verbs(member, "verb, actor, reason, result, applied") == [
        ("discard", "ann", "placed by a test", "applied", 3)
    ]
    assert (member.store.rows("SELECT note FROM tally"), member.parked()) == ([("xy",)], [])


def test_a_redrive_that_fails_again_says_at_what() -> None:
    """What came before is applied; the next that fails is the head, and the key says why."""
    member = parked("tok_x", "tok_broken", "tok_y")
    mended(member, "tok_x")
    tell(member, "redrive")
    assert verbs(member) == [("v-1", "redrive", "failed_again", RAISED, 1)]
    assert member.dead("kind, reason, failures, state") == [
        ("parked", "handler_raised", 0, "redriven"),
        ("parked", "handler_raised", 1, "open"),
        ("follower", "follower", 0, "open"),
        ("follower", "follower", 0, "open"),
    ]
    assert member.parked() == ["a"]


def test_a_key_whose_next_record_fails_otherwise_says_so() -> None:
    """Why a key is parked is why its first record waits now."""
    member = parked()
    out = command("a", step="s9")
    strange = out.value[:2] + b"\x00" * 8 + out.value[10:]
    member.take(member.kafka.append(COMMANDS, b"a", strange, out.headers))
    mended(member)
    tell(member, "unpark")
    (why,) = member.store.rows("SELECT reason, detail FROM parked_keys")
    assert why == (
        "unknown_schema",
        "schema fingerprint 0000000000000000 is not known to this release",
    )


def test_the_same_failure_thrice_needs_force_or_a_newer_release() -> None:
    """A loop of redrives ends; a person who insists, or a mended release, tries again."""
    member = parked("tok_x")
    for at in range(4):
        tell(member, "redrive", name=f"v-{at}")
    told = verbs(member, "result, detail")
    assert told[:3] == [("failed_again", RAISED)] * 3
    assert told[3] == ("failed_before", "3 tries under 1.0 failed alike")
    tell(member, "redrive", name="forced", force=True)
    assert verbs(member, "result")[-1] == ("failed_again",)
    member.__post_init__()
    member.release = "1.1"
    member.__post_init__()
    mended(member)
    tell(member, "unpark", name="last")
    assert (verbs(member, "result")[-1], member.parked()) == (("applied",), [])


def test_only_tries_by_hand_that_fail_alike_are_counted() -> None:
    """A start's own try counts nothing, another failure or release begins anew."""
    member = parked()
    member.redrive("a")
    assert member.dead("failures") == [(0,)]
    for at in range(2):
        tell(member, "redrive", name=f"v-{at}")
    assert member.dead("failures, release") == [(2, "1.0")]
    member.release = "1.1"
    member.__post_init__()
    tell(member, "redrive", name="v-3")
    assert member.dead("failures, release") == [(1, "1.1")]


@pytest.mark.parametrize("kill", ["before", "after"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_redrive_killed_between_slices_is_resumed(
    at: int, kill: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed around any of its slices, the restart finds the verb and ends as a calm run."""
    monkeypatch.setattr(transaction, "REDRIVEN_MAX", 2)
    calm, member = (parked(*["tok_x", "tok_y", "tok_x", "tok_z"]) for _ in range(2))
    for each in (calm, member):
        mended(each)
    tell(calm, "redrive")
    applied = member.take(member.kafka.publish(verb("redrive")))
    assert applied.redrives == ["a"]
    for _ in range(at):
        assert member.redrive("a").more
    member.store.kill = kill
    with pytest.raises(Killed):
        member.redrive("a")
    member.start()
    resumed = member.store.drive(lambda: key_verbs.unfinished(started=True))
    assert resumed == ([] if (at, kill) == (2, "after") else ["a"])
    for key in resumed:
        while member.redrive(key).more:
            pass
    assert effects(member) == effects(calm)
    assert verbs(member) == verbs(calm) == [("v-1", "redrive", "applied", "", 5)]


def test_a_verb_that_ends_the_process_at_every_start_is_given_up() -> None:
    """After three starts it is not resumed any more, and its row says why."""
    member = parked()
    member.take(member.kafka.publish(verb("redrive")))
    resumed = [member.store.drive(lambda: key_verbs.unfinished(started=True)) for _ in range(4)]
    assert resumed == [["a"], ["a"], ["a"], []]
    assert verbs(member, "result, detail") == [
        ("failed_again", "killed_process: it ended the process")
    ]


def test_a_second_verb_waits_its_turn() -> None:
    """While one goes on for a key, another is refused; afterwards it is not."""
    member = parked()
    member.take(member.kafka.publish(verb("redrive")))
    member.take(member.kafka.publish(verb("discard", name="v-2")))
    member.redrive("a")
    tell(member, "discard", name="v-3")
    assert verbs(member, "id, result") == [
        ("v-1", "failed_again"),
        ("v-2", "busy"),
        ("v-3", "applied"),
    ]


def test_a_repeated_verb_is_one_verb() -> None:
    """The same id again changes nothing and leaves no second row."""
    member = parked("tok_x")
    mended(member)
    for _ in range(2):
        again = tell(member, "discard")
    assert verbs(member) == [("v-1", "discard", "applied", "", 2)]
    assert again.results == {(OPERATOR_TOPIC, "baton.orchestrator.OperatorVerb", "duplicate"): 1}


def test_a_verb_that_comes_too_late_is_refused_by_name() -> None:
    """What its sender did not want any more is not done."""
    member = parked()
    tell(member, "discard", expires_us=NOW_US - 1)
    tell(member, "discard", name="v-2", expires_us=NOW_US)
    assert verbs(member, "result") == [("expired",), ("applied",)]


def test_a_verb_for_another_service_leaves_nothing_behind() -> None:
    """It is read by every process; only the one that it names takes it."""
    member = parked()
    before = list(member.store.connection.iterdump())
    applied = member.take(member.kafka.publish(verb("discard", key="b", service="crm")))
    changed = set(member.store.connection.iterdump()) ^ set(before)
    assert {line.split("(")[0] for line in changed} == {'INSERT INTO "offsets" VALUES'}
    assert applied.results == {(OPERATOR_TOPIC, "baton.orchestrator.OperatorVerb", "ignored"): 1}


def test_a_verb_that_cannot_be_read_parks_no_key() -> None:
    """A console of a later release harms nobody's order."""
    member = billing()
    out = verb("park")
    strange = out.value[:2] + b"\x00" * 8 + out.value[10:]
    member.take(member.kafka.append(OPERATOR_TOPIC, b"a", strange, out.headers))
    assert (member.dead("kind, reason, state"), member.parked()) == (
        [("rejected", "unknown_schema", "rejected")],
        [],
    )


def forged_release(member: Member[object]) -> Callable[[], None]:
    """Until called, this release takes what mallory says for a command of the orchestrator."""
    writers = member.admission._writers
    before, writers[COMMANDS] = writers[COMMANDS], frozenset({"orchestrator", "mallory"})

    def back() -> None:
        writers[COMMANDS] = before

    return back


def reject(member: Member[object]) -> None:
    out = command("a", "tok_x")
    headers = [(n, b"mallory" if n == "ce_source" else v) for n, v in out.headers]
    member.take(member.kafka.append(COMMANDS, b"a", out.value, headers))


def test_a_rejected_record_is_redriven_where_a_later_release_reads_it() -> None:
    """It parks its key until it is applied; what comes meanwhile waits; then the key is free."""
    member = billing()
    mended(member)
    reject(member)
    tell(member, "redrive", record=1)
    assert verbs(member, "result, detail") == [
        (
            "still_refused",
            "wrong_writer: only orchestrator may write billing.payment.commands.v1",
        )
    ]
    forged_release(member)
    applied = member.take(member.kafka.publish(verb("redrive", name="v-2", record=1)))
    member.take(member.kafka.publish(command("a", "tok_y", step="s1")))
    assert member.parked() == ["a"]
    go_on(member, applied)
    assert member.store.rows("SELECT note FROM tally") == [("xy",)]
    assert (member.parked(), verbs(member)[1]) == ([], ("v-2", "redrive", "applied", "", 2))


def test_a_rejected_record_that_fails_parks_its_key() -> None:
    """Understood and not applicable: visible, in order, and to be discarded."""
    member = billing()
    reject(member)
    forged_release(member)
    mended(member, "tok_x")
    tell(member, "redrive", record=1)
    assert (member.parked(), verbs(member, "result, detail")) == (
        ["a"],
        [("failed_again", RAISED)],
    )
    tell(member, "discard", name="v-2")
    assert (member.parked(), member.dead("state")) == ([], [("discarded",)])


def test_a_follower_that_is_rejected_now_says_so() -> None:
    """A redrive by a release that refuses a record closes it as rejected, and goes on."""
    member = parked("tok_x")
    back = forged_release(member)
    out = command("a", "tok_y", step="forged")
    headers = [(n, b"mallory" if n == "ce_source" else v) for n, v in out.headers]
    member.take(member.kafka.append(COMMANDS, b"a", out.value, headers))
    back()
    mended(member)
    tell(member, "unpark")
    assert member.dead("state, became") == [
        ("redriven", "applied"),
        ("redriven", "applied"),
        ("rejected", "rejected: wrong_writer"),
    ]
    assert member.parked() == []


def recording(*, raises: bool) -> Member[object]:
    """A billing whose do is under way, and whose recorder raises or does not."""
    member = billing(Kafka(), ASKING)
    World(member).happen({"a": "d"})
    if raises:
        recorder_of(member, _raising)
    return member


def recorder_of(member: Member[object], record: Callable[..., object]) -> None:
    application = member.application
    handler = ASKING[0]
    assert handler.ask is not None
    assert handler.call is not None
    changed = asks(
        handler.message,  # type: ignore[arg-type]
        ask=handler.ask,
        call=handler.call,
        record=record,
        loads=handler.loads.table,
        by=handler.loads.by,
    )
    application._handlers[handler.message] = changed  # type: ignore[attr-defined]


def _raising(cmd: object, rows: object, result: object) -> object:
    raise ZeroDivisionError(cmd, rows, result)


def calls(member: Member[object]) -> list[str]:
    found = member.store.drive(lambda: _calling([0], member.admission.decode))
    return [each.idempotency_key for each in found]


def test_a_result_that_cannot_be_recorded_parks_its_key_and_is_kept() -> None:
    """The operation stays calling, no call is made again, and its caller hears that it is kept."""
    member = recording(raises=True)
    (begun,) = member.store.drive(lambda: _calling([0], member.admission.decode))
    applied = member.give(Returned(begun, {"name": "n"}))
    assert (applied.responses, applied.dead) == ([None], {(COMMANDS, "record_raised"): 1})
    assert [type(error) for _, error in applied.errors] == [ZeroDivisionError]
    assert member.dead("kind, reason, detail, stage, value, state") == [
        (
            "parked",
            "record_raised",
            "ZeroDivisionError in recording the result of baton.billing.AuthorisePayment",
            "record",
            b'{"name":"n"}',
            "open",
        )
    ]
    assert member.store.rows("SELECT status FROM operations") == [("calling",)]
    assert (member.parked(), calls(member)) == (["a"], [])
    member.take(member.kafka.publish(command("a", undo=True)))
    assert member.dead("kind")[1:] == [("follower",)]


def test_a_kept_result_is_recorded_by_a_release_that_can() -> None:
    """Also at its start, without a person; the money was never asked for twice."""
    member, calm = recording(raises=True), recording(raises=False)
    for each in (member, calm):
        (begun,) = each.store.drive(lambda: _calling([0], member.admission.decode))
        each.give(Returned(begun, {"name": "n"}))
        each.take(each.kafka.publish(command("a", undo=True)))
    tell(member, "redrive")
    assert verbs(member, "result") == [("failed_again",)]
    tell(member, "discard", name="v-2")
    assert verbs(member, "result")[1] == ("gateway_result",)
    recorder_of(member, ASKING[0].record)  # type: ignore[arg-type]
    assert member.store.drive(_tried_at_a_start) == ["a"]
    member.redrive("a")
    member.store.write("DELETE FROM inbox WHERE source = 'console'")
    assert effects(member) == effects(calm)
    assert member.dead("state, became") == [("redriven", "recorded"), ("redriven", "applied")]


def test_a_result_that_breaks_a_rule_of_the_schema_is_kept_too() -> None:
    """What stands instead of it in the replay of a batch sets it aside and answers its caller."""
    member = recording(raises=False)
    (begun,) = member.store.drive(lambda: _calling([0], member.admission.decode))
    returned = Returned(begun, {"name": "n"})
    applied = member.give(Unrecorded(returned, Refused("constraint", "x", "record", final=False)))
    assert applied.responses == [None]
    assert (member.dead("reason, state"), calls(member)) == ([("constraint", "open")], [])
    batch = Batch(member.clock.now_us(), redrive="a", redrive_max=1)
    batch.unfit = Refused("constraint", "y", "handle", final=False)
    member.take(member.kafka.publish(verb("redrive")))
    assert not member.apply(batch).more
    assert verbs(member, "result, detail") == [("failed_again", "constraint: y")]
    assert member.dead("stage, failures") == [("record", 1)]
