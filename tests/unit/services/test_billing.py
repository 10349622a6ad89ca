"""Billing moves money only as far as it may, and its books never differ from the provider's."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import cast

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from reads import reading

from deploy.local.sandboxes import payment as sandbox
from deploy.local.sandboxes.serving import Place
from deploy.local.sandboxes.store import Reply
from schemas.billing import (
    AccountClosed,
    AccountOpened,
    AccountRefused,
    AuthorisePayment,
    CapturePayment,
    CaptureRefused,
    CloseAccount,
    OpenAccount,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    RefundPayment,
    VoidPayment,
)
from schemas.common import Money
from services.billing import gateway, handlers
from services.billing.api import routes
from services.billing.domain import (
    REFUSED_CUSTOMERS,
    Account,
    Contradiction,
    Payment,
    Posting,
    voided,
)
from services.billing.handlers import HANDLERS, Payments
from services.billing.store import MIGRATIONS, TABLES
from services.chassis.handlers import Answer, Call, Function, Result, Unknown, done, refused
from services.chassis.keyed_http import KeyedHttp
from services.chassis.settings import SettingsError

AMOUNT = Money(2500, "GBP")
NONE: Payments = {}
AUTHORISE = AuthorisePayment("order-1", "17850", AMOUNT, "tok_ok")
VOID = VoidPayment("order-1", AMOUNT)
CAPTURE = CapturePayment("order-1", AMOUNT, "auth-1")
REFUND = RefundPayment("order-1", Money(700, "GBP"), "damaged")
HELD = Payment("order-1", "17850", "GBP", "authorised", "auth-1", authorised_minor=2500)
DECLINED = Payment("order-1", "17850", "GBP", "declined", reason="insufficient_funds")
VOIDED = Payment(
    "order-1", "17850", "GBP", "voided", "auth-1", authorised_minor=2500, voided_minor=2500
)
CAPTURED = Payment(
    "order-1", "17850", "GBP", "captured", "auth-1", authorised_minor=2500, captured_minor=2500
)


def books(payment: Payment) -> Payments:
    return {payment.order_id: payment}


def posting(kind: str, credit: str, debit: str, amount_minor: int) -> Posting:
    return Posting(f"order-1/{kind}", "order-1", kind, "GBP", debit, credit, amount_minor)


def test_an_authorisation_is_asked_of_the_provider() -> None:
    """The call carries what the provider must know, and no more."""
    body = {
        "order_id": "order-1", "amount_minor": 2500, "currency": "GBP", "payment_method": "tok_ok",
    }  # fmt: skip
    assert handlers.ask_authorisation(AUTHORISE, NONE) == Call("authorise", body)


def test_an_authorisation_holds_the_money() -> None:
    """Yes is a payment and one posting from the customer to what is held."""
    answer = handlers.record_authorisation(AUTHORISE, NONE, {"authorisation_id": "auth-1"})
    moved = posting("authorised", "customer:17850", "held", 2500)
    assert answer == done(PaymentAuthorised("order-1", "auth-1", AMOUNT), HELD, moved)


def test_a_declined_payment_moves_nothing_and_may_be_tried_again() -> None:
    """No is a row with its reason; another method gets its own chance."""
    answer = handlers.record_authorisation(AUTHORISE, NONE, {"refused": "insufficient_funds"})
    assert answer == refused(PaymentDeclined("order-1", "insufficient_funds"), DECLINED)
    assert isinstance(handlers.ask_authorisation(AUTHORISE, books(DECLINED)), Call)


@pytest.mark.parametrize("payment", [HELD, CAPTURED, VOIDED])
def test_an_order_is_authorised_once(payment: Payment) -> None:
    """What was held, taken or given back is not held again, and the provider is not asked."""
    reason = f"already_{payment.status}"
    answer = handlers.ask_authorisation(AUTHORISE, books(payment))
    assert answer == refused(PaymentDeclined("order-1", reason))
    late = handlers.record_authorisation(AUTHORISE, books(payment), {"refused": reason})
    assert late == refused(PaymentDeclined("order-1", reason))
    with pytest.raises(Contradiction, match=f"order-1.*{payment.status}"):
        handlers.record_authorisation(AUTHORISE, books(payment), {"authorisation_id": "auth-2"})


@pytest.mark.parametrize("payments", [NONE, books(HELD), books(VOIDED), books(CAPTURED)])
def test_in_doubt_the_provider_is_asked_to_void(payments: Payments) -> None:
    """A void needs no knowledge of the authorisation: the order id finds it."""
    assert handlers.ask_void(VOID, payments) == Call("void", {"order_id": "order-1"})


def test_a_declined_payment_is_voided_without_a_call() -> None:
    """Only where it is known that nothing was held is nobody asked."""
    nothing = PaymentVoided("order-1", Money(0, "GBP"))
    assert handlers.ask_void(VOID, books(DECLINED)) == done(nothing)


def test_a_void_gives_back_what_is_held() -> None:
    """The money goes back to the customer and the event tells everyone."""
    reply = PaymentVoided("order-1", AMOUNT)
    moved = posting("voided", "held", "customer:17850", 2500)
    answer = handlers.record_void(VOID, books(HELD), {"amount_minor": 2500})
    assert answer == done(reply, VOIDED, moved, emits=(reply,))


@pytest.mark.parametrize("payments", [NONE, books(VOIDED), books(CAPTURED)])
def test_a_void_of_nothing_says_nothing_was_voided(payments: Payments) -> None:
    """Void before its authorisation, after another void, after the capture: amount 0, no event."""
    answer = handlers.record_void(VOID, payments, {"amount_minor": 0})
    assert answer == done(PaymentVoided("order-1", Money(0, "GBP")))


def test_an_authorisation_we_never_heard_of_is_voided_and_booked() -> None:
    """The provider's word counts: both movements are in the ledger, the amount in the event."""
    unheard = Payment("order-1", None, "GBP", "voided", authorised_minor=2500, voided_minor=2500)
    reply = PaymentVoided("order-1", AMOUNT)
    assert handlers.record_void(VOID, NONE, {"amount_minor": 2500}) == done(
        reply,
        unheard,
        posting("authorised", "customer:guest", "held", 2500),
        posting("voided", "held", "customer:guest", 2500),
        emits=(reply,),
    )


def test_an_order_of_nothing_is_voided_too() -> None:
    """An authorisation of 0 ends as voided, without postings and without an event."""
    free = Payment("order-1", "17850", "GBP", "authorised", "auth-1")
    after = Payment("order-1", "17850", "GBP", "voided", "auth-1")
    answer = handlers.record_void(VOID, books(free), {"amount_minor": 0})
    assert answer == done(PaymentVoided("order-1", Money(0, "GBP")), after)


@pytest.mark.parametrize(
    ("amount_minor", "currency"), [(0, "GBP"), (2499, "GBP"), (2501, "GBP"), (2500, "EUR")]
)
def test_a_void_that_differs_from_the_books_is_a_fault(amount_minor: int, currency: str) -> None:
    """Where provider and books disagree nobody guesses; the fault names both figures."""
    with pytest.raises(Contradiction, match=f"order-1.*{amount_minor} {currency}.*2500 GBP"):
        voided(HELD, "order-1", currency, amount_minor)


def test_a_capture_takes_the_money_that_is_held() -> None:
    """Yes moves the whole amount from held to merchant and is an event."""
    call = handlers.ask_capture(CAPTURE, books(HELD))
    assert call == Call("capture", {"order_id": "order-1", "amount_minor": 2500})
    reply = PaymentCaptured("order-1", "auth-1", AMOUNT)
    answer = handlers.record_capture(CAPTURE, books(HELD), {"amount_minor": 2500})
    moved = posting("captured", "held", "merchant", 2500)
    assert answer == done(reply, CAPTURED, moved, emits=(reply,))


def test_what_a_capture_leaves_is_released() -> None:
    """Nothing stays held after a capture, so authorised = captured + voided."""
    part = CapturePayment("order-1", Money(2000, "GBP"), "auth-1")
    answer = handlers.record_capture(part, books(HELD), {"amount_minor": 2000})
    after = Payment(
        "order-1", "17850", "GBP", "captured", "auth-1",
        authorised_minor=2500, captured_minor=2000, voided_minor=500,
    )  # fmt: skip
    assert answer.rows == (
        after,
        posting("captured", "held", "merchant", 2000),
        posting("released", "held", "customer:17850", 500),
    )


@pytest.mark.parametrize(
    ("payments", "command", "reason"),
    [
        (NONE, CAPTURE, "not_authorised"),
        (books(DECLINED), CAPTURE, "already_declined"),
        (books(VOIDED), CAPTURE, "already_voided"),
        (books(CAPTURED), CAPTURE, "already_captured"),
        (books(HELD), CapturePayment("order-1", AMOUNT, "auth-2"), "other_authorisation"),
        (books(HELD), CapturePayment("order-1", Money(2500, "EUR"), "auth-1"), "other_currency"),
        (
            books(HELD),
            CapturePayment("order-1", Money(2501, "GBP"), "auth-1"),
            "exceeds_authorisation",
        ),
    ],
)
def test_an_impossible_capture_is_refused_without_a_call(
    payments: Payments, command: CapturePayment, reason: str
) -> None:
    """What the books forbid is refused by themselves; a provider that did it is a contradiction."""
    assert handlers.ask_capture(command, payments) == refused(CaptureRefused("order-1", reason))
    with pytest.raises(Contradiction, match=reason):
        handlers.record_capture(command, payments, {"amount_minor": command.amount.amount_minor})


def test_a_capture_that_the_provider_refuses_changes_nothing() -> None:
    """The money stays held until it is voided."""
    answer = handlers.record_capture(CAPTURE, books(HELD), {"refused": "capture_refused"})
    assert answer == refused(CaptureRefused("order-1", "capture_refused"))


def test_a_refund_gives_back_captured_money() -> None:
    """The posting's key carries the running total, so a second refund is a second posting."""
    once = Payment(
        "order-1", "17850", "GBP", "captured", "auth-1",
        authorised_minor=2500, captured_minor=2500, refunded_minor=700,
    )  # fmt: skip
    reply = PaymentRefunded("order-1", Money(700, "GBP"))
    first = handlers.record_refund(REFUND, books(CAPTURED), {"amount_minor": 700})
    second = handlers.record_refund(REFUND, books(once), {"amount_minor": 700})
    moved = posting("refunded-700", "merchant", "customer:17850", 700)
    assert first == done(reply, once, moved, emits=(reply,))
    assert second.rows[1] == posting("refunded-1400", "merchant", "customer:17850", 700)


@pytest.mark.parametrize(
    ("payments", "amount", "asked"),
    [
        (NONE, AMOUNT, 0),
        (books(HELD), AMOUNT, 0),
        (books(VOIDED), AMOUNT, 0),
        (books(CAPTURED), Money(2500, "EUR"), 0),
        (books(CAPTURED), Money(9000, "GBP"), 2500),
    ],
)
def test_a_refund_never_exceeds_what_was_captured(
    payments: Payments, amount: Money, asked: int
) -> None:
    """The wanted amount is cut to what is ours to give; nothing is asked for nothing."""
    answer = handlers.ask_refund(RefundPayment("order-1", amount, "damaged"), payments)
    if asked:
        assert answer == Call("refund", {"order_id": "order-1", "amount_minor": asked})
    else:
        assert answer == done(PaymentRefunded("order-1", Money(0, amount.currency)))


def test_a_refused_refund_that_is_owed_is_a_fault() -> None:
    """Only when another refund came between is a refusal the truth, and then nothing was given."""
    with pytest.raises(Contradiction, match=r"order-1.*exceeds_capture"):
        handlers.record_refund(REFUND, books(CAPTURED), {"refused": "exceeds_capture"})
    spent = Payment(
        "order-1", "17850", "GBP", "captured", "auth-1",
        authorised_minor=2500, captured_minor=2500, refunded_minor=2000,
    )  # fmt: skip
    answer = handlers.record_refund(REFUND, books(spent), {"refused": "exceeds_capture"})
    assert answer == done(PaymentRefunded("order-1", Money(0, "GBP")))


def test_a_customer_gets_one_account_and_may_come_back() -> None:
    """Opened, closed, opened again: the same account; closing what is not there is done."""
    open_, closed = (
        Account("17850", "account-17850", "United Kingdom", status) for status in ("open", "closed")
    )
    command = OpenAccount("17850", "United Kingdom")
    opened = done(AccountOpened("17850", "account-17850"), open_)
    gone = AccountClosed("17850")
    assert handlers.open_account(command, {}) == opened
    assert handlers.open_account(command, {"17850": closed}) == opened
    assert handlers.close_account(CloseAccount("17850"), {"17850": open_}) == done(gone, closed)
    assert handlers.close_account(CloseAccount("17850"), {}) == done(gone)


@pytest.mark.parametrize("customer_id", sorted(REFUSED_CUSTOMERS))
def test_the_listed_customers_are_refused(customer_id: str) -> None:
    """The documented list, and no row for them."""
    answer = handlers.open_account(OpenAccount(customer_id, "United Kingdom"), {})
    assert answer == refused(AccountRefused(customer_id, "refused_test_customer"))


STEPS: dict[type, tuple[Function, Function]] = {
    each.message: (each.ask, each.record)  # type: ignore[misc]
    for each in HANDLERS
    if each.ask is not None
}


def opened(schema: str) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.row_factory = sqlite3.Row
    db.executescript(schema)
    return db


def provide(db: sqlite3.Connection, call: Call) -> Result:
    """The sandbox's own rules, read as the gateway reads its answers."""
    body = cast("dict[str, object]", call.body)
    order_id, amount_minor = str(body["order_id"]), cast("int", body.get("amount_minor", 0))
    reply: Reply
    match call.name:
        case "authorise":
            reply = sandbox._authorise(db, sandbox.Authorisation.model_validate(body))
        case "void":
            reply = sandbox._void(db, order_id)
        case "capture":
            reply = sandbox._capture(db, order_id, amount_minor)
        case _:
            reply = sandbox._refund(db, order_id, amount_minor)
    error = reply.body.get("error")
    return {"refused": str(error)} if error else cast("Result", reply.body)


@dataclass
class Billing:
    """Rows in memory, the real tables' rules for what is written, the sandbox's for the rest."""

    provider: sqlite3.Connection = field(default_factory=lambda: opened(sandbox.SCHEMA))
    store: sqlite3.Connection = field(
        default_factory=lambda: opened((MIGRATIONS / "0001_initial.sql").read_text("utf-8"))
    )
    payments: dict[str, Payment] = field(default_factory=dict)
    under_way: list[tuple[object, Call]] = field(default_factory=list)

    def begin(self, command: object) -> None:
        if isinstance(command, CapturePayment) and command.order_id in self.payments:
            name = self.payments[command.order_id].authorisation_id
            command = replace(command, authorisation_id=name or "unknown")
        asked = STEPS[type(command)][0](command, self.payments)
        if isinstance(asked, Call):
            self.under_way.append((command, asked))
        else:
            self.keep(asked)

    def finish(self) -> None:
        command, call = self.under_way.pop(0)
        record = STEPS[type(command)][1]
        self.keep(record(command, self.payments, provide(self.provider, call)))

    def keep(self, answer: object) -> None:
        assert isinstance(answer, Answer)
        for row in answer.rows:
            table = next(each for each in TABLES if each.row is type(row))
            verb = "INSERT" if isinstance(row, Posting) else "REPLACE"
            marks = ", ".join("?" * (len(table.columns) + 1))
            self.store.execute(
                f"{verb} INTO {table.name} VALUES ({marks})", (*table.encode(row), 1)
            )
            if isinstance(row, Payment):
                self.payments[row.order_id] = row

    def balances(self) -> dict[str, int]:
        rows = self.store.execute("SELECT account, sum(amount_minor) FROM entry GROUP BY account")
        return {account: total for account, total in rows if total}


minors = st.integers(0, 3)
orders = st.sampled_from(["order-1", "order-2"])
methods = st.sampled_from(["tok_ok", "tok_declined", "tok_capture_refused"])
money = st.builds(Money, minors, st.just("GBP"))


def capture(order_id: str, amount: Money) -> CapturePayment:
    return CapturePayment(order_id, amount, authorisation_id=f"of {order_id}")


commands = st.one_of(
    st.builds(AuthorisePayment, orders, st.just("17850"), money, methods),
    st.builds(VoidPayment, orders, money),
    st.builds(capture, orders, money),
    st.builds(RefundPayment, orders, money, st.just("damaged")),
)


held = AuthorisePayment("order-1", "17850", Money(3, "GBP"), "tok_ok")
taken = capture("order-1", Money(3, "GBP"))
REFUND_3 = RefundPayment("order-1", Money(3, "GBP"), "damaged")
beginnings = st.sampled_from([(), ((held, True),), ((held, True), (taken, True))])
histories = st.lists(st.tuples(commands, st.booleans()), max_size=12)


@pytest.mark.searches
@given(beginnings, histories)
@example(((held, True), (taken, True)), [(REFUND_3, False), (REFUND_3, False)])
def test_whatever_is_commanded_the_money_adds_up(
    beginning: tuple[tuple[object, bool], ...], rest: list[tuple[object, bool]]
) -> None:
    """In any order, with calls overlapping: refunded <= captured <= authorised, the ledger sums
    to zero, each account holds what the payments say, and the provider says the same."""
    billing = Billing()
    for command, at_once in (*beginning, *rest):
        billing.begin(command)
        while at_once and billing.under_way:
            billing.finish()
    while billing.under_way:
        billing.finish()
    payments = billing.payments.values()
    for each in payments:
        assert 0 <= each.refunded_minor <= each.captured_minor <= each.authorised_minor
        assert each.held_minor >= 0
    open_minor = sum(each.held_minor for each in payments)
    kept_minor = sum(each.refundable_minor for each in payments)
    expected = {
        "held": open_minor, "merchant": kept_minor, "customer:17850": -open_minor - kept_minor,
    }  # fmt: skip
    assert billing.balances() == {name: total for name, total in expected.items() if total}
    ours = {
        each.order_id: (
            each.authorised_minor, each.captured_minor, each.voided_minor, each.refunded_minor,
        )
        for each in payments
        if each.status != "declined"
    }  # fmt: skip
    theirs = billing.provider.execute(
        "SELECT order_id, authorised, captured, voided, refunded FROM payment"
        " WHERE authorisation_id IS NOT NULL"
    )
    assert ours == {row[0]: tuple(row)[1:] for row in theirs}
    billing.provider.close()
    billing.store.close()


def settings_of(**environment: str) -> gateway.GatewaySettings:
    kafka = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092"}
    return gateway.GatewaySettings.read({**kafka, **environment}, service="billing")


def test_billing_does_not_start_without_a_provider() -> None:
    """The address is asked for at the start, not at the first order."""
    with pytest.raises(SettingsError, match="BATON_PAYMENT_URL: missing: the payment provider"):
        settings_of()


@asynccontextmanager
async def connected(tmp_path: Path) -> AsyncIterator[KeyedHttp]:
    app = sandbox.build(Place(tmp_path / "payment.db", 0))
    async with (
        app.router.lifespan_context(app),
        gateway.open_gateway(
            settings_of(BATON_PAYMENT_URL="http://127.0.0.1"),
            transport=httpx.ASGITransport(app),
        ) as provider,
    ):
        yield provider


async def test_the_gateway_speaks_the_provider_s_language(tmp_path: Path) -> None:
    """Against the sandbox's real HTTP each call becomes the result that the handlers read."""
    asked = handlers.ask_authorisation(AUTHORISE, NONE)
    assert isinstance(asked, Call)
    poor = Call("authorise", {**asked.body, "order_id": "order-2", "payment_method": "tok_expired"})
    frail = Call("authorise", {**asked.body, "order_id": "..", "payment_method": "tok_error"})
    async with connected(tmp_path) as provider:
        name = (await gateway.authorise(provider, asked, "a"))["authorisation_id"]
        assert await gateway.authorise(provider, asked, "a") == {"authorisation_id": name}
        assert await gateway.authorise(provider, poor, "b") == {"refused": "card_expired"}
        for _ in range(3):
            with pytest.raises(Unknown, match="503"):
                await gateway.authorise(provider, frail, "c")
        await gateway.authorise(provider, frail, "c")
        back = await gateway.void(provider, Call("void", {"order_id": ".."}), "d")
        assert back == {"amount_minor": 2500}
        over = Call("capture", {"order_id": "order-1", "amount_minor": 2501})
        assert await gateway.capture(provider, over, "e") == {"refused": "exceeds_authorisation"}
        body = {"order_id": "order-1", "amount_minor": 2500}
        taken = await gateway.capture(provider, Call("capture", body), "f")
        given_back = await gateway.refund(provider, Call("refund", body), "g")
        again = await gateway.refund(provider, Call("refund", body), "h")
    assert taken == given_back == {"amount_minor": 2500}
    assert again == {"refused": "exceeds_capture"}


async def test_people_can_read_the_money(tmp_path: Path) -> None:
    """A payment with its postings, an account, and totals in which the accounts sum to zero."""
    moved = (
        posting("authorised", "customer:17850", "held", 2500),
        posting("captured", "held", "merchant", 2500),
        Posting("order-2/authorised", "order-2", "authorised", "GBP", "held", "customer:guest", 9),
    )
    rows = (
        CAPTURED,
        Payment("order-2", None, "GBP", "authorised", "auth-2", authorised_minor=9),
        Payment("order-3", None, "GBP", "declined", reason="card_expired"),
        *moved,
        Account("17850", "account-17850", "United Kingdom", "open"),
    )
    async with reading(tmp_path, TABLES, routes, rows, migrations=MIGRATIONS) as client:
        one = (await client.get("/payments/order-1")).json()
        account = (await client.get("/accounts/17850")).json()
        ledger = (await client.get("/ledger")).json()
        missing = [(await client.get(path)).status_code for path in ("/payments/x", "/accounts/x")]
    assert [each["posting_id"] for each in one.pop("postings")] == [
        "order-1/authorised",
        "order-1/captured",
    ]
    assert one == asdict(CAPTURED)
    assert account == asdict(rows[-1])
    assert missing == [404, 404]
    assert ledger == {
        "payments": [
            {
                "currency": "GBP", "authorised_minor": 2509, "captured_minor": 2500,
                "voided_minor": 0, "refunded_minor": 0, "held_minor": 9, "authorisations": 2,
                "declined": 1, "captures": 1, "voids": 0,
            }
        ],
        "accounts": [
            {"currency": "GBP", "account": "customers", "amount_minor": -2509},
            {"currency": "GBP", "account": "held", "amount_minor": 9},
            {"currency": "GBP", "account": "merchant", "amount_minor": 2500},
        ],
    }  # fmt: skip
