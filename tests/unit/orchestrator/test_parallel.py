"""Parallel groups: every arrival order, every combination of refusals, whole messages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations, product

import pytest
from saga_cases import CASES, CUSTOMER, ORDER, Case, Row
from saga_walks import answer_undos, step_id

from orchestrator.engine.machine import Phase
from orchestrator.saga import Compensatable, Duration, Outcome, Parallel, Pivot, Saga, minutes
from orchestrator.sagas.fulfilment import FULFILMENT, Order, book_shipment, cancel_shipment
from orchestrator.sagas.onboarding import ONBOARDING
from orchestrator.testing import Run, drive
from schemas.analytics import EraseProfile, ProfileErased, ProfileStarted, StartProfile
from schemas.billing import (
    AccountOpened,
    AccountRefused,
    AuthorisePayment,
    CapturePayment,
    CloseAccount,
    OpenAccount,
    PaymentAuthorised,
    VoidPayment,
)
from schemas.common import Money
from schemas.crm import (
    CloseCustomerRecord,
    CustomerRecordClosed,
    CustomerRecordOpened,
    OpenCustomerRecord,
)
from schemas.orchestrator import (
    CustomerNeedsAttention,
    CustomerOnboarded,
    CustomerRefused,
    OrderFulfilled,
)
from schemas.shipping import BookShipment, ShipmentBooked

WIDE = next(case for case in CASES if case.name == "wide")
GROUP = WIDE.positions[0]
ORDERS = list(permutations(range(3)))
ANSWERS = list(product(("yes", "no", "silence"), repeat=3))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("answers", ANSWERS, ids="-".join)
def test_a_group_ends_the_same_in_every_arrival_order(
    order: tuple[int, ...], answers: tuple[str, ...]
) -> None:
    """Undone is exactly what was done or is in doubt, together, once nothing is `sent`."""
    run = WIDE.begin()
    for index in order:
        reply = {"yes": GROUP[index].yes, "no": GROUP[index].no, "silence": None}[answers[index]]
        if reply is not None:
            run.receive(reply)
    if "silence" in answers:
        assert run.instance is not None
        assert run.instance.phase is Phase.RUNNING
        silent = [row for row, answer in zip(GROUP, answers, strict=True) if answer == "silence"]
        run.wait(Duration(max(row.within for row in silent)))
    undos = [
        row.undo for row, answer in zip(GROUP, answers, strict=True) if answer in {"yes", "silence"}
    ]

    if set(answers) == {"yes"}:
        assert WIDE.positions[1][0].do == run.sent()
        return
    sent = [command for command in run.commands() if command in [row.undo for row in GROUP]]
    assert undos == sent
    answer_undos(run, WIDE)
    assert WIDE.cancelled(*first_cause(order, answers)) == run.outcome()


def first_cause(order: tuple[int, ...], answers: tuple[str, ...]) -> tuple[str, str]:
    """The first refusal that arrived; without one, the first time-out."""
    for index in order:
        if answers[index] == "no":
            return GROUP[index].why, GROUP[index].step
    silent = [row for row, answer in zip(GROUP, answers, strict=True) if answer == "silence"]
    return "no_reply", min(silent, key=lambda row: row.within).step


@pytest.mark.parametrize("order", ORDERS)
def test_undos_of_a_group_may_be_answered_in_any_order(order: tuple[int, ...]) -> None:
    """The outcome waits for the last of them."""
    run = WIDE.begin().cancel()
    for row in GROUP:
        run.receive(row.yes)
    for index in order:
        assert run.outcome() is None
        run.receive(GROUP[index].undone)

    assert WIDE.cancelled("cancelled", "changed_mind") == run.outcome()


@dataclass(frozen=True)
class Trail:
    """Data that remembers the order in which replies were folded."""

    order_id: str
    amount: Money
    folded: tuple[str, ...] = ()

    @classmethod
    def from_event(cls, placed: object) -> Trail:
        del placed
        return cls("o-1", Money(4_700, "GBP"))


def authorise(trail: Trail) -> AuthorisePayment:
    return AuthorisePayment("o-1", None, trail.amount, "|".join(trail.folded) or "none")


def void(trail: Trail) -> VoidPayment:
    return VoidPayment(trail.order_id, trail.amount)


def book(trail: Trail) -> BookShipment:
    return BookShipment("o-1", "|".join(trail.folded) or "none", GROUP[0].do.items)


def capture(trail: Trail) -> CapturePayment:
    return CapturePayment("o-1", trail.amount, "|".join(trail.folded))


def keep_authorisation(trail: Trail, reply: PaymentAuthorised) -> Trail:
    return replace(trail, folded=(*trail.folded, reply.authorisation_id))


def keep_tracking(trail: Trail, reply: ShipmentBooked) -> Trail:
    return replace(trail, folded=(*trail.folded, reply.tracking))


def test_a_group_folds_in_definition_order_and_its_makers_see_the_data_before_it() -> None:
    """Replies come shipment first; data is folded payment first, and only when both are there."""
    saga = replace(
        FULFILMENT,
        name="trail",
        data=Trail.from_event,
        steps=[
            Parallel(
                Compensatable(
                    "payment", authorise, undo=void, within=minutes(2), keep=keep_authorisation
                ),
                Compensatable(
                    "shipment",
                    book,
                    undo=cancel_shipment,
                    within=minutes(2),
                    keep=keep_tracking,
                ),
            ),
            Pivot("capture", capture, within=minutes(2)),
        ],
    )
    run = drive(saga, ORDER)
    payment, shipment = run.commands()

    assert payment.payment_method == "none"
    assert shipment.country == "none"
    run.receive(ShipmentBooked("o-1", "second"))
    assert run.instance.data.folded == ()
    run.verb("pause").receive(PaymentAuthorised("o-1", "first", Money(1, "GBP"))).verb("resume")
    assert CapturePayment("o-1", Money(4_700, "GBP"), "first|second") == run.sent()
    assert [step.reply for step in run.instance.steps] == [None, None, None]


def shipped(order: Order, outcome: Outcome) -> OrderFulfilled:
    return OrderFulfilled(order.order_id, None, outcome.start_id, order.amount, "none")


SHIPPING = replace(FULFILMENT, name="shipping", completed=shipped)


def conditional(*whens: bool) -> Saga[Order]:
    """Three shipments in a row of positions, the middle two parallel, each under a condition."""
    steps = [
        Compensatable(
            f"s{number}",
            book_shipment,
            undo=cancel_shipment,
            within=minutes(2),
            when=(lambda order, answer=answer: order is not None and answer),
        )
        for number, answer in enumerate(whens)
    ]
    return replace(SHIPPING, name="conditional", steps=[steps[0], Parallel(*steps[1:3]), steps[3]])


@pytest.mark.parametrize("whens", list(product((True, False), repeat=4)), ids=str)
@pytest.mark.parametrize("refused", [False, True])
def test_a_step_whose_condition_says_no_is_skipped_both_ways(
    whens: tuple[bool, ...],
    refused: bool,  # noqa: FBT001
) -> None:
    """It is neither sent nor undone; when all say no, the saga completes at once."""
    run = drive(conditional(*whens), ORDER)
    asked = [f"s{number}" for number, answer in enumerate(whens) if answer]
    last = asked[-1] if refused and asked else None
    for name in asked:
        row = GROUP[2]
        run.receive(row.no if name == last else row.yes, to=name)
    undone = [name for name in reversed(asked) if name != last] if last else []
    for name in undone:
        run.receive(GROUP[2].undone, to=name)

    sent = run.commands()
    assert [GROUP[2].do] * len(asked) + [GROUP[2].undo] * len(undone) == list(sent)
    assert run.state == ("compensated" if last else "completed")


def test_a_condition_is_asked_once() -> None:
    """Its answer is stored as the step's status; a pause or a reply does not ask again."""
    asked: list[str] = []

    def when(order: Order) -> bool:
        asked.append(order.order_id)
        return True

    step = Compensatable("s", book_shipment, undo=cancel_shipment, within=minutes(2), when=when)
    run = drive(replace(SHIPPING, name="once", steps=[step]), ORDER)
    run.verb("pause").verb("resume").wait(minutes(1)).receive(GROUP[2].yes)

    assert asked == ["o-1"]
    assert run.state == "completed"


def onboarded() -> Run[object]:
    return drive(ONBOARDING, CUSTOMER)


def test_a_customer_is_onboarded_everywhere_at_once() -> None:
    """Account, record and profile are asked for together."""
    run = onboarded()

    assert (
        OpenAccount("17850", "United Kingdom"),
        OpenCustomerRecord("17850", "United Kingdom", "Ada"),
        StartProfile("17850", "United Kingdom"),
    ) == run.sent()
    run.receive(ProfileStarted("17850")).receive(AccountOpened("17850", "acc-1"))
    assert run.state == "awaiting_record"
    assert CustomerOnboarded("17850") == run.receive(CustomerRecordOpened("17850")).outcome()


def test_a_refused_account_erases_the_rest_together() -> None:
    """Billing says no: record and profile are taken back at once, when all have answered."""
    run = onboarded().receive(AccountRefused("17850", "sanctioned"))
    assert run.receive(ProfileStarted("17850")).sent() == ()

    assert (
        CloseCustomerRecord("17850"),
        EraseProfile("17850"),
    ) == run.receive(CustomerRecordOpened("17850")).sent()
    run.receive(CustomerRecordClosed("17850")).receive(ProfileErased("17850"))
    assert CustomerRefused("17850", "sanctioned") == run.outcome()


def test_overdue_undos_of_a_group_are_one_call_for_an_operator() -> None:
    """One notice for both; the saga leaves needs_operator when none is overdue any more."""
    run = onboarded().wait(minutes(12))
    assert run.state == "needs_operator"
    assert (CustomerNeedsAttention("17850", "account", "no_reply", 1),) == run.notices()
    assert CloseAccount("17850") in run.commands()

    run.receive(ProfileErased("17850")).receive(CustomerRecordClosed("17850"))
    assert run.state == "needs_operator"
    run.verb("skip", "account", evidence="closed by hand")
    assert CustomerRefused("17850", "no_reply") == run.outcome()


def test_a_saga_without_a_cancelling_event_cannot_be_cancelled() -> None:
    """Nobody defined what it would mean."""
    run = onboarded()
    before = run.instance

    assert run.cancel().result.value == "not_cancellable"
    assert before is run.instance


@pytest.mark.parametrize("row", WIDE.positions[2], ids=step_id)
def test_a_group_of_retriables_waits_for_all(row: Row) -> None:
    """One answered, the other is sent on until it answers."""
    run = case_at_end(WIDE).receive(row.yes)
    other = next(each for each in WIDE.positions[2] if each != row)
    before = list(run.commands()).count(row.do)
    run.wait(Duration(other.within * 2))

    assert list(run.commands()).count(row.do) == before
    assert list(run.commands()).count(other.do) > 3
    assert WIDE.completed == run.receive(other.yes).outcome()


def case_at_end(case: Case) -> Run[object]:
    run = case.begin()
    for position in case.positions[:-1]:
        for row in position:
            run.receive(row.yes)
    return run
