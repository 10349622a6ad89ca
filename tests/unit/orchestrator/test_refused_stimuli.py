"""What a saga does not take: each mismatch is named, journalled, and changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from saga_cases import CASES, ORDER, PAID

from orchestrator.engine.decide import decide
from orchestrator.engine.instance import (
    ClearTimer,
    Entry,
    Instance,
    Replied,
    SetTimer,
    TimerFired,
    VerbRequested,
)
from orchestrator.engine.machine import Kind, Result, Verb
from orchestrator.saga import seconds
from orchestrator.sagas.fulfilment import FULFILMENT, Order
from orchestrator.testing import Run, drive
from schemas.billing import PaymentAuthorised, PaymentDeclined
from schemas.common import Overtaken
from schemas.inventory import OutOfStock, StockReleased, StockReserved

WIDE = next(case for case in CASES if case.name == "wide")
RESERVED = Replied(
    StockReserved("o-1"),
    "baton.inventory.StockReserved",
    "fulfilment:o-1/stock/do",
    "fulfilment:o-1/stock",
    "inventory",
)

MISMATCHES = {
    "another saga": (
        replace(RESERVED, causation_id="fulfilment:o-2/stock/do"),
        Result.WRONG_COMMAND,
    ),
    "a prefix of another saga": (
        replace(RESERVED, causation_id="fulfilment:o-11/stock/do"),
        Result.WRONG_COMMAND,
    ),
    "no step of the saga": (
        replace(RESERVED, causation_id="fulfilment:o-1/stack/do"),
        Result.WRONG_COMMAND,
    ),
    "a pivot's undo": (
        replace(RESERVED, causation_id="fulfilment:o-1/capture/undo"),
        Result.WRONG_COMMAND,
    ),
    "no command": (replace(RESERVED, causation_id=""), Result.WRONG_COMMAND),
    "another operation": (
        replace(RESERVED, operation_id="fulfilment:o-1/payment"),
        Result.WRONG_COMMAND,
    ),
    "another service": (replace(RESERVED, source="billing"), Result.WRONG_SOURCE),
    "another reply": (
        replace(RESERVED, type_name="baton.billing.PaymentVoided"),
        Result.WRONG_TYPE,
    ),
    "the undo's reply": (
        replace(RESERVED, type_name="baton.inventory.StockReleased"),
        Result.WRONG_TYPE,
    ),
    "a refusal of a step never sent": (
        Replied(
            PaymentDeclined("o-1", "no"),
            "baton.billing.PaymentDeclined",
            "fulfilment:o-1/payment/do",
            "fulfilment:o-1/payment",
            "billing",
        ),
        Result.NOT_SENT,
    ),
}


def assert_untouched(
    before: Instance[Order] | None, stimulus: object, result: Result, what: str
) -> None:
    """Nothing is sent or timed, the very same instance comes back, one line says why."""
    decision = decide(FULFILMENT, before, stimulus, 7)

    assert decision.instance is before
    assert decision.sends == ()
    assert decision.timers == ()
    assert decision.result is result
    (entry,) = decision.entries
    assert entry.result is result
    assert entry.what == what
    assert entry.from_state == entry.to_state == ("" if before is None else before.state)


@pytest.mark.parametrize("mismatch", MISMATCHES)
def test_a_reply_that_does_not_match_is_refused(mismatch: str) -> None:
    """Command id, operation, speaker and type must all match the outstanding command."""
    stimulus, result = MISMATCHES[mismatch]
    what = "refused" if result is Result.NOT_SENT else "replied"

    assert_untouched(drive(FULFILMENT, ORDER).instance, stimulus, result, what)


def test_a_reply_to_an_unknown_saga_is_refused() -> None:
    """Nothing begins by a reply, nor where only a cancellation is known."""
    early = Run(FULFILMENT, "o-1").cancel().instance

    assert_untouched(None, RESERVED, Result.NOT_STARTED, "replied")
    assert_untouched(early, RESERVED, Result.NOT_STARTED, "replied")


def test_a_retriable_step_cannot_be_overtaken() -> None:
    """Its command may be undone elsewhere, but this saga never sends that undo."""
    run = WIDE.begin()
    for position in WIDE.positions[:2]:
        for row in position:
            run.receive(row.yes)
    before = run.instance
    name = "wide:o-1/profile"
    overtaken = Replied(Overtaken("o-1"), Overtaken.avro_name, f"{name}/do", name, "analytics")

    assert run.stimulate(overtaken).result is Result.WRONG_TYPE
    assert before is run.instance


def test_a_reply_ends_its_timer_and_begins_the_next() -> None:
    """In one decision: nothing is left that could fire for a settled step."""
    decision = decide(FULFILMENT, drive(FULFILMENT, ORDER).instance, RESERVED, seconds(3))

    assert decision.timers == (
        ClearTimer("stock/do"),
        SetTimer(
            "payment/do",
            "payment",
            Kind.DO,
            seconds(43),
            seconds(40),
            "billing.payment.commands.v1",
        ),
    )


def test_a_timer_of_a_settled_step_is_refused() -> None:
    """It was cleared, but had fired already."""
    run = drive(FULFILMENT, ORDER).receive(StockReserved("o-1"))

    for kind in Kind:
        fired = TimerFired("stock", kind)
        assert_untouched(run.instance, fired, Result.NOT_WAITING, "timer")


def test_a_timer_of_nothing_is_refused() -> None:
    """No saga, no step, no undo."""
    run = drive(FULFILMENT, ORDER)

    assert_untouched(None, TimerFired("stock", Kind.DO), Result.NOT_STARTED, "timer")
    assert_untouched(run.instance, TimerFired("stack", Kind.DO), Result.UNKNOWN_STEP, "timer")
    assert_untouched(run.instance, TimerFired("capture", Kind.UNDO), Result.UNKNOWN_STEP, "timer")


def test_a_timer_while_paused_is_refused() -> None:
    """Its remaining time is kept with the step."""
    run = drive(FULFILMENT, ORDER).verb("pause")

    assert_untouched(run.instance, TimerFired("stock", Kind.DO), Result.PAUSED, "timer")


def told(verb: str, **changes: object) -> VerbRequested:
    given = VerbRequested(verb, "ada", "because")
    return replace(given, **changes)


RUNNING_REFUSALS = {
    "unknown verb": (told("delete"), Result.UNKNOWN_VERB),
    "no reason": (told("retry", reason="  "), Result.NO_REASON),
    "stale": (told("retry", version_seen=0), Result.STALE),
    "unknown step": (told("retry", step="stack"), Result.UNKNOWN_STEP),
    "retry of an idle step": (told("retry", step="payment"), Result.NOTHING_PENDING),
    "resume": (told("resume"), Result.NOT_PAUSED),
    "skip without evidence": (told("skip", step="stock"), Result.NO_EVIDENCE),
    "skip without step": (told("skip", evidence="seen"), Result.UNKNOWN_STEP),
    "skip of an idle step": (
        told("skip", step="payment", evidence="seen"),
        Result.NOTHING_PENDING,
    ),
}


@pytest.mark.parametrize("refusal", RUNNING_REFUSALS)
def test_a_verb_that_does_not_fit_is_refused(refusal: str) -> None:
    """Reason, evidence, version and state are all checked."""
    verb, result = RUNNING_REFUSALS[refusal]

    assert_untouched(drive(FULFILMENT, ORDER).instance, verb, result, f"verb_{verb.verb}")


def test_a_verb_for_no_saga_is_refused() -> None:
    """Nor can a saga be moved of which only the cancellation is known."""
    early = Run(FULFILMENT, "o-1").cancel().instance

    assert_untouched(None, told("retry"), Result.NOT_STARTED, "verb_retry")
    assert_untouched(early, told("pause"), Result.NOT_STARTED, "verb_pause")


@pytest.mark.parametrize("verb", ["retry", "compensate", "pause", "resume", "skip"])
def test_a_finished_saga_obeys_nobody(verb: str) -> None:
    """Terminal phases absorb."""
    run = drive(FULFILMENT, ORDER).receive(OutOfStock("o-1", ("a",)))

    assert_untouched(run.instance, told(verb), Result.FINISHED, f"verb_{verb}")


def test_a_paused_saga_is_neither_paused_nor_retried() -> None:
    """Nothing is sent while paused."""
    run = drive(FULFILMENT, ORDER).verb("pause")

    assert_untouched(run.instance, told("pause"), Result.ALREADY_PAUSED, "verb_pause")
    assert_untouched(run.instance, told("retry"), Result.PAUSED, "verb_retry")


@pytest.mark.parametrize("verb", [each.value for each in Verb])
@pytest.mark.parametrize("stale", [True, False])
def test_a_saga_whose_key_is_parked_takes_a_note_and_nothing_else(verb: str, stale: bool) -> None:  # noqa: FBT001
    """What waits for it would be overtaken; that it is parked is said before all else."""
    run = drive(FULFILMENT, ORDER).verb("pause" if verb == "resume" else "note")
    asked = replace(told(verb), parked=True, version_seen=99 if stale else None)
    if verb == "note":
        decision = decide(FULFILMENT, run.instance, asked, 0)
        assert decision.result is (Result.STALE if stale else Result.APPLIED)
    else:
        assert_untouched(run.instance, asked, Result.PARKED, f"verb_{verb}")


def test_a_saga_that_turns_back_is_not_told_to() -> None:
    """Neither while it waits for what is sent, nor while it undoes."""
    bound = drive(FULFILMENT, ORDER).cancel()
    undoing = drive(FULFILMENT, ORDER).receive(StockReserved("o-1"))
    undoing.receive(PaymentDeclined("o-1", "no"))

    for run in (bound, undoing):
        again = told("compensate")
        assert_untouched(run.instance, again, Result.ALREADY_COMPENSATING, "verb_compensate")


def test_the_journal_names_who_did_what_and_why() -> None:
    """Actor, reason and evidence stand in the line; payloads do not."""
    run = drive(FULFILMENT, ORDER).verb(
        "skip", "stock", reason="shelf counted", evidence="ticket 9"
    )

    assert run.journal == [
        Entry("started", "", "awaiting_stock", Result.APPLIED, "", "start-1"),
        Entry(
            "verb_skip",
            "awaiting_stock",
            "awaiting_payment",
            Result.APPLIED,
            "stock",
            "shelf counted",
            "tester",
            "ticket 9",
        ),
    ]


def test_every_applied_stimulus_is_one_version_and_one_line() -> None:
    """The first version is 1, and the journal's states are a chain."""
    run = drive(FULFILMENT, ORDER).receive(StockReserved("o-1"))
    run.receive(PaymentAuthorised("o-1", "auth-7", PAID)).cancel().verb("note")
    assert run.instance is not None

    assert run.instance.version == len(run.journal) == 5
    for earlier, later in zip(run.journal, run.journal[1:], strict=False):
        assert earlier.to_state == later.from_state


def test_a_late_line_is_written_though_nothing_changes() -> None:
    """Late, early and duplicate are lines of the journal."""
    run = drive(FULFILMENT, ORDER).receive(StockReserved("o-1"))
    run.receive(PaymentDeclined("o-1", "no")).receive(StockReserved("o-1"))

    assert run.journal[-1] == Entry(
        "answered",
        "undoing_stock",
        "undoing_stock",
        Result.LATE,
        "stock",
        "baton.inventory.StockReserved",
    )
    assert run.receive(StockReleased("o-1")).state == "compensated"
