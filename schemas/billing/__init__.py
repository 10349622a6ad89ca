"""Messages that billing owns.

Generated from the .avsc files of this folder by `baton contracts generate`: edit those, then
generate again. Values are checked when an object is made and never change afterwards.
"""

from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from schemas.common import Money
from schemas.values import CONFIG

__all__ = [
    "AccountClosed",
    "AccountOpened",
    "AccountRefused",
    "AuthorisePayment",
    "CapturePayment",
    "CaptureRefused",
    "CloseAccount",
    "OpenAccount",
    "PaymentAuthorised",
    "PaymentCaptured",
    "PaymentDeclined",
    "PaymentRefunded",
    "PaymentVoided",
    "RefundPayment",
    "VoidPayment",
]


@dataclass(frozen=True, config=CONFIG)
class AccountClosed:
    """The customer has no open account.

    customer_id: The customer.
    """

    avro_name: ClassVar[str] = "baton.billing.AccountClosed"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@dataclass(frozen=True, config=CONFIG)
class AccountOpened:
    """The customer has an account.

    customer_id: The customer.
    account_id: Billing's name for the account.
    """

    avro_name: ClassVar[str] = "baton.billing.AccountOpened"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    account_id: Annotated[str, Field(strict=True, min_length=1, max_length=128)]


@dataclass(frozen=True, config=CONFIG)
class AccountRefused:
    """The customer gets no account.

    customer_id: The customer.
    reason: Why in one word.
    """

    avro_name: ClassVar[str] = "baton.billing.AccountRefused"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    reason: Annotated[str, Field(strict=True, min_length=1, max_length=200)]


@dataclass(frozen=True, config=CONFIG)
class AuthorisePayment:
    """Ask the payment provider to hold the amount for the order.

    order_id: The order; chosen by whoever placed it.
    customer_id: The customer; null for a guest.
    amount: What to hold.
    payment_method: The payment provider's token for how the customer pays.
    """

    avro_name: ClassVar[str] = "baton.billing.AuthorisePayment"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None
    amount: Money
    payment_method: Annotated[str, Field(strict=True, min_length=1, max_length=64)]


@dataclass(frozen=True, config=CONFIG)
class CapturePayment:
    """Take the amount that is held for the order.

    order_id: The order; chosen by whoever placed it.
    amount: What to take.
    authorisation_id: The payment provider's name for the authorisation.
    """

    avro_name: ClassVar[str] = "baton.billing.CapturePayment"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    amount: Money
    authorisation_id: Annotated[str, Field(strict=True, min_length=1, max_length=128)]


@dataclass(frozen=True, config=CONFIG)
class CaptureRefused:
    """The provider took nothing.

    order_id: The order; chosen by whoever placed it.
    reason: The provider's reason.
    """

    avro_name: ClassVar[str] = "baton.billing.CaptureRefused"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    reason: Annotated[str, Field(strict=True, min_length=1, max_length=200)]


@dataclass(frozen=True, config=CONFIG)
class CloseAccount:
    """Close the customer's account.

    customer_id: The customer.
    """

    avro_name: ClassVar[str] = "baton.billing.CloseAccount"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@dataclass(frozen=True, config=CONFIG)
class OpenAccount:
    """Open the customer's account in the ledger.

    customer_id: The customer.
    country: Country as the shop writes it, for example `United Kingdom`; not an ISO code.
    """

    avro_name: ClassVar[str] = "baton.billing.OpenAccount"

    customer_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    country: Annotated[str, Field(strict=True, min_length=1, max_length=64)]


@dataclass(frozen=True, config=CONFIG)
class PaymentAuthorised:
    """The provider holds the amount for the order.

    order_id: The order; chosen by whoever placed it.
    authorisation_id: The payment provider's name for the authorisation.
    amount: What is held.
    """

    avro_name: ClassVar[str] = "baton.billing.PaymentAuthorised"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    authorisation_id: Annotated[str, Field(strict=True, min_length=1, max_length=128)]
    amount: Money


@dataclass(frozen=True, config=CONFIG)
class PaymentCaptured:
    """The amount was taken.

    order_id: The order; chosen by whoever placed it.
    authorisation_id: The payment provider's name for the authorisation.
    amount: What was taken.
    """

    avro_name: ClassVar[str] = "baton.billing.PaymentCaptured"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    authorisation_id: Annotated[str, Field(strict=True, min_length=1, max_length=128)]
    amount: Money


@dataclass(frozen=True, config=CONFIG)
class PaymentDeclined:
    """The provider holds nothing for the order.

    order_id: The order; chosen by whoever placed it.
    reason: The provider's reason, for example `card_expired`.
    """

    avro_name: ClassVar[str] = "baton.billing.PaymentDeclined"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    reason: Annotated[str, Field(strict=True, min_length=1, max_length=200)]


@dataclass(frozen=True, config=CONFIG)
class PaymentRefunded:
    """The amount was paid back.

    order_id: The order; chosen by whoever placed it.
    amount: What was paid back.
    """

    avro_name: ClassVar[str] = "baton.billing.PaymentRefunded"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    amount: Money


@dataclass(frozen=True, config=CONFIG)
class PaymentVoided:
    """Nothing is held for the order any more.

    order_id: The order; chosen by whoever placed it.
    amount: What was given back; zero if nothing was held.
    """

    avro_name: ClassVar[str] = "baton.billing.PaymentVoided"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    amount: Money


@dataclass(frozen=True, config=CONFIG)
class RefundPayment:
    """Pay back what was taken for the order.

    order_id: The order; chosen by whoever placed it.
    amount: What to pay back.
    reason: Why, for the ledger.
    """

    avro_name: ClassVar[str] = "baton.billing.RefundPayment"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    amount: Money
    reason: Annotated[str, Field(strict=True, min_length=1, max_length=200)]


@dataclass(frozen=True, config=CONFIG)
class VoidPayment:
    """Give back what is held for the order.

    order_id: The order; chosen by whoever placed it.
    amount: What was to be held.
    """

    avro_name: ClassVar[str] = "baton.billing.VoidPayment"

    order_id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    amount: Money
