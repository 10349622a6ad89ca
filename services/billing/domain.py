"""The rules of money: what may move, from which account to which, and what is refused.

Per order refunded <= captured <= authorised, and captured + voided <= authorised. Money moves
only by a posting, which takes an amount from one account and gives it to another, so the ledger
sums to zero in every currency because nothing else can be written. All amounts are minor units.
Knows no provider, no message and no database. A refusal is a value; `Contradiction` is a fault.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

# Customers that billing takes for tests of a refused onboarding: two who order once in the
# retail data, on its first day, so that a demonstration of one day shows both.
REFUSED_CUSTOMERS = frozenset({"13747", "15350"})
REFUSED_CUSTOMER_REASON = "refused_test_customer"

HELD = "held"
MERCHANT = "merchant"


class Contradiction(Exception):
    """The provider did what our own books call impossible; a person must look at both."""


class PaymentStatus(StrEnum):
    DECLINED = "declined"  # the end: no money was ever held
    AUTHORISED = "authorised"  # → captured | voided
    CAPTURED = "captured"  # refunds add up, the status stays
    VOIDED = "voided"  # the end: all that was held was given back


class AccountStatus(StrEnum):
    OPEN = "open"  # → closed
    CLOSED = "closed"  # → open


@dataclass(frozen=True, slots=True)
class Payment:
    """One order's money. `reason` is why it was declined, or why its capture was refused."""

    order_id: str
    customer_id: str | None
    currency: str
    status: str
    authorisation_id: str = ""
    authorised_minor: int = 0
    captured_minor: int = 0
    voided_minor: int = 0
    refunded_minor: int = 0
    reason: str = ""

    @property
    def held_minor(self) -> int:
        return self.authorised_minor - self.captured_minor - self.voided_minor

    @property
    def refundable_minor(self) -> int:
        return self.captured_minor - self.refunded_minor


@dataclass(frozen=True, slots=True)
class Posting:
    """`amount_minor` leaves the account `credit` and reaches `debit`. Written once, never changed.

    The key says order and kind, so one kind of movement happens once in an order; refunds carry
    their running total, because there may be several.
    """

    posting_id: str
    order_id: str
    kind: str
    currency: str
    debit: str
    credit: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Account:
    customer_id: str
    account_id: str
    country: str
    status: str


@dataclass(frozen=True, slots=True)
class Refused:
    reason: str


@dataclass(frozen=True, slots=True)
class Moved:
    """What a step led to: the payment afterwards and the postings that say how."""

    payment: Payment
    postings: tuple[Posting, ...] = ()


def may_authorise(payment: Payment | None) -> Refused | None:
    """A declined order may be tried again, with another method; no other may."""
    if payment is None or payment.status == PaymentStatus.DECLINED:
        return None
    return Refused(f"already_{payment.status}")


def authorised(payment: Payment, authorisation_id: str, amount_minor: int) -> Moved:
    """`payment` names order, customer and currency; nothing is held for it yet."""
    held = replace(
        payment,
        status=PaymentStatus.AUTHORISED.value,
        authorisation_id=authorisation_id,
        authorised_minor=amount_minor,
        reason="",
    )
    return Moved(held, _post(held, "authorised", _customer(held), HELD, amount_minor))


def declined(payment: Payment, reason: str) -> Moved:
    return Moved(replace(payment, status=PaymentStatus.DECLINED.value, reason=reason))


def nothing_to_void(payment: Payment | None) -> bool:
    """True only when it is known; in doubt the provider is asked."""
    return payment is not None and payment.status == PaymentStatus.DECLINED


def voided(
    payment: Payment | None, order_id: str, currency: str, amount_minor: int
) -> Moved | None:
    """What the provider gave back, which is all that was held, or nothing. None: no money moved.

    A payment that we never heard of was authorised and voided in one go.
    """
    over = payment is None or payment.status != PaymentStatus.AUTHORISED
    if amount_minor == 0 and over:
        return None
    if payment is None:
        unheard = Payment(order_id, None, currency, PaymentStatus.AUTHORISED.value)
        before = authorised(unheard, "", amount_minor)
    else:
        before = Moved(payment)
    held = before.payment
    if (held.held_minor, held.currency) != (amount_minor, currency):
        raise Contradiction(
            f"order {order_id}: the provider voided {amount_minor} {currency},"
            f" we held {held.held_minor} {held.currency}; compare both ledgers"
        )
    after = replace(held, status=PaymentStatus.VOIDED.value, voided_minor=amount_minor)
    back = _post(after, "voided", HELD, _customer(after), amount_minor)
    return Moved(after, (*before.postings, *back))


def may_capture(
    payment: Payment | None, authorisation_id: str, currency: str, amount_minor: int
) -> Refused | None:
    if payment is None:
        return Refused("not_authorised")
    if payment.status != PaymentStatus.AUTHORISED:
        return Refused(f"already_{payment.status}")
    if payment.authorisation_id != authorisation_id:
        return Refused("other_authorisation")
    if payment.currency != currency:
        return Refused("other_currency")
    if amount_minor > payment.authorised_minor:
        return Refused("exceeds_authorisation")
    return None


def captured(payment: Payment, amount_minor: int) -> Moved:
    """The order's money is taken; what the capture leaves of the authorisation is released."""
    left_minor = payment.authorised_minor - amount_minor
    after = replace(
        payment,
        status=PaymentStatus.CAPTURED.value,
        captured_minor=amount_minor,
        voided_minor=left_minor,
        reason="",
    )
    taken = _post(after, "captured", HELD, MERCHANT, amount_minor)
    return Moved(after, (*taken, *_post(after, "released", HELD, _customer(after), left_minor)))


def refundable(payment: Payment | None, currency: str, amount_minor: int) -> int:
    """How much of the wanted refund is ours to give: never more than what was captured."""
    if payment is None or payment.currency != currency:
        return 0
    return min(amount_minor, payment.refundable_minor)


def refunded(payment: Payment, amount_minor: int) -> Moved:
    after = replace(payment, refunded_minor=payment.refunded_minor + amount_minor)
    if after.refundable_minor < 0:
        raise Contradiction(
            f"order {payment.order_id}: the provider refunded {after.refunded_minor} in all,"
            f" we captured {payment.captured_minor}; compare both ledgers"
        )
    kind = f"refunded-{after.refunded_minor}"
    return Moved(after, _post(after, kind, MERCHANT, _customer(after), amount_minor))


def open_account(account: Account | None, customer_id: str, country: str) -> Account | Refused:
    if customer_id in REFUSED_CUSTOMERS:
        return Refused(REFUSED_CUSTOMER_REASON)
    if account is not None:
        return replace(account, status=AccountStatus.OPEN.value)
    return Account(customer_id, f"account-{customer_id}", country, AccountStatus.OPEN.value)


def close_account(account: Account) -> Account:
    return replace(account, status=AccountStatus.CLOSED.value)


def _customer(payment: Payment) -> str:
    return f"customer:{payment.customer_id or 'guest'}"


def _post(
    payment: Payment, kind: str, credit: str, debit: str, amount_minor: int
) -> tuple[Posting, ...]:
    """No posting of nothing."""
    if amount_minor == 0:
        return ()
    name = f"{payment.order_id}/{kind}"
    order_id, currency = payment.order_id, payment.currency
    return (Posting(name, order_id, kind, currency, debit, credit, amount_minor),)
