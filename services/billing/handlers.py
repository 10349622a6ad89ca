"""What billing does with each command: rows in, a call or an answer and changed rows out.

The rules are in `domain`, the provider in `gateway`. Each payment command is asked (may it be?),
called, and recorded: what the provider did is a fact, so recording never refuses what it did.
"""

from __future__ import annotations

from collections.abc import Mapping

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
from services.billing import domain, gateway
from services.billing.domain import Account, Contradiction, Payment, PaymentStatus, Refused
from services.chassis.handlers import Answer, Call, Result, answers, asks, done, refused
from services.chassis.keyed_http import REFUSED

Payments = Mapping[str, Payment]
Accounts = Mapping[str, Account]
PaymentCommand = AuthorisePayment | VoidPayment | CapturePayment | RefundPayment


def order_id(cmd: PaymentCommand) -> tuple[str]:
    return (cmd.order_id,)


def customer_id(cmd: OpenAccount | CloseAccount) -> tuple[str]:
    return (cmd.customer_id,)


def ask_authorisation(cmd: AuthorisePayment, payments: Payments) -> Call | Answer:
    refusal = domain.may_authorise(payments.get(cmd.order_id))
    if refusal is not None:
        return refused(PaymentDeclined(cmd.order_id, refusal.reason))
    return Call(
        "authorise",
        {
            "order_id": cmd.order_id,
            "amount_minor": cmd.amount.amount_minor,
            "currency": cmd.amount.currency,
            "payment_method": cmd.payment_method,
        },
    )


def record_authorisation(cmd: AuthorisePayment, payments: Payments, result: Result) -> Answer:
    before = payments.get(cmd.order_id)
    if REFUSED in result:
        reason = str(result[REFUSED])
        reply = PaymentDeclined(cmd.order_id, reason)
        if domain.may_authorise(before) is not None:
            return refused(reply)
        return refused(reply, domain.declined(_asked(cmd), reason).payment)
    if domain.may_authorise(before) is not None:
        raise Contradiction(
            f"order {cmd.order_id}: the provider authorised what our books call"
            f" {before.status if before else 'unknown'}; compare both ledgers"
        )
    name = str(result["authorisation_id"])
    moved = domain.authorised(_asked(cmd), name, cmd.amount.amount_minor)
    reply_yes = PaymentAuthorised(cmd.order_id, name, cmd.amount)
    return done(reply_yes, moved.payment, *moved.postings)


def _asked(cmd: AuthorisePayment) -> Payment:
    status = PaymentStatus.DECLINED.value
    return Payment(cmd.order_id, cmd.customer_id, cmd.amount.currency, status)


def ask_void(cmd: VoidPayment, payments: Payments) -> Call | Answer:
    if domain.nothing_to_void(payments.get(cmd.order_id)):
        return done(PaymentVoided(cmd.order_id, Money(0, cmd.amount.currency)))
    return Call("void", {"order_id": cmd.order_id})


def record_void(cmd: VoidPayment, payments: Payments, result: Result) -> Answer:
    amount = Money(_minor(result), cmd.amount.currency)
    reply = PaymentVoided(cmd.order_id, amount)
    moved = domain.voided(
        payments.get(cmd.order_id), cmd.order_id, amount.currency, amount.amount_minor
    )
    if moved is None:
        return done(reply)
    emits = (reply,) if amount.amount_minor else ()
    return done(reply, moved.payment, *moved.postings, emits=emits)


def ask_capture(cmd: CapturePayment, payments: Payments) -> Call | Answer:
    amount = cmd.amount
    refusal = domain.may_capture(
        payments.get(cmd.order_id), cmd.authorisation_id, amount.currency, amount.amount_minor
    )
    if refusal is not None:
        return refused(CaptureRefused(cmd.order_id, refusal.reason))
    return Call("capture", {"order_id": cmd.order_id, "amount_minor": amount.amount_minor})


def record_capture(cmd: CapturePayment, payments: Payments, result: Result) -> Answer:
    if REFUSED in result:
        return refused(CaptureRefused(cmd.order_id, str(result[REFUSED])))
    payment, amount = payments.get(cmd.order_id), Money(_minor(result), cmd.amount.currency)
    refusal = domain.may_capture(
        payment, cmd.authorisation_id, amount.currency, amount.amount_minor
    )
    if payment is None or refusal is not None:
        raise Contradiction(
            f"order {cmd.order_id}: the provider captured {amount.amount_minor}"
            f" {amount.currency}, our books say {refusal.reason if refusal else 'nothing'};"
            " compare both ledgers"
        )
    moved = domain.captured(payment, amount.amount_minor)
    reply = PaymentCaptured(cmd.order_id, cmd.authorisation_id, amount)
    return done(reply, moved.payment, *moved.postings, emits=(reply,))


def ask_refund(cmd: RefundPayment, payments: Payments) -> Call | Answer:
    """No more than what was captured is given back; the reply says how much it was."""
    currency = cmd.amount.currency
    minor = domain.refundable(payments.get(cmd.order_id), currency, cmd.amount.amount_minor)
    if minor == 0:
        return done(PaymentRefunded(cmd.order_id, Money(0, currency)))
    return Call("refund", {"order_id": cmd.order_id, "amount_minor": minor})


def record_refund(cmd: RefundPayment, payments: Payments, result: Result) -> Answer:
    payment, wanted = payments.get(cmd.order_id), cmd.amount
    left_minor = domain.refundable(payment, wanted.currency, wanted.amount_minor)
    if REFUSED in result and left_minor < wanted.amount_minor:  # another refund came between
        return done(PaymentRefunded(cmd.order_id, Money(0, wanted.currency)))
    if payment is None or REFUSED in result:
        raise Contradiction(
            f"order {cmd.order_id}: the provider refuses a refund that our books owe"
            f" ({result.get(REFUSED, 'no payment')}); compare both ledgers"
        )
    moved = domain.refunded(payment, _minor(result))
    reply = PaymentRefunded(cmd.order_id, Money(_minor(result), payment.currency))
    return done(reply, moved.payment, *moved.postings, emits=(reply,))


def _minor(result: Result) -> int:
    value = result["amount_minor"]
    assert isinstance(value, int)
    return value


def open_account(cmd: OpenAccount, accounts: Accounts) -> Answer:
    match domain.open_account(accounts.get(cmd.customer_id), cmd.customer_id, cmd.country):
        case Refused(reason):
            return refused(AccountRefused(cmd.customer_id, reason))
        case account:
            return done(AccountOpened(cmd.customer_id, account.account_id), account)


def close_account(cmd: CloseAccount, accounts: Accounts) -> Answer:
    account = accounts.get(cmd.customer_id)
    if account is None:
        return done(AccountClosed(cmd.customer_id))
    return done(AccountClosed(cmd.customer_id), domain.close_account(account))


HANDLERS = (
    asks(
        AuthorisePayment,
        ask=ask_authorisation,
        call=gateway.authorise,
        record=record_authorisation,
        loads=Payment,
        by=order_id,
    ),
    asks(
        VoidPayment,
        ask=ask_void,
        call=gateway.void,
        record=record_void,
        undoes=AuthorisePayment,
        loads=Payment,
        by=order_id,
    ),
    asks(
        CapturePayment,
        ask=ask_capture,
        call=gateway.capture,
        record=record_capture,
        loads=Payment,
        by=order_id,
    ),
    asks(
        RefundPayment,
        ask=ask_refund,
        call=gateway.refund,
        record=record_refund,
        loads=Payment,
        by=order_id,
    ),
    answers(OpenAccount, open_account, loads=Account, by=customer_id),
    answers(CloseAccount, close_account, undoes=OpenAccount, loads=Account, by=customer_id),
)
