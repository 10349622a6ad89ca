"""A new customer becomes known everywhere at once: account, customer record, profile.

The three are independent, so they are one Parallel position; billing may refuse the account, and
then what the others did is taken back. There is no pivot: when all are done, the saga is done.
Of the registration only what the commands need is kept; the mail address is not. No clock, no
Kafka, no database.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.saga import Attention, Compensatable, Outcome, Parallel, Saga, minutes
from schemas.analytics import EraseProfile, StartProfile
from schemas.billing import CloseAccount, OpenAccount
from schemas.crm import CloseCustomerRecord, OpenCustomerRecord
from schemas.customers import CustomerRegistered
from schemas.orchestrator import CustomerNeedsAttention, CustomerOnboarded, CustomerRefused


@dataclass(frozen=True, slots=True)
class Customer:
    customer_id: str
    country: str
    name: str

    @classmethod
    def from_event(cls, registered: CustomerRegistered) -> Customer:
        return cls(registered.customer_id, registered.country, registered.name)


def open_account(customer: Customer) -> OpenAccount:
    return OpenAccount(customer.customer_id, customer.country)


def close_account(customer: Customer) -> CloseAccount:
    return CloseAccount(customer.customer_id)


def open_record(customer: Customer) -> OpenCustomerRecord:
    return OpenCustomerRecord(customer.customer_id, customer.country, customer.name)


def close_record(customer: Customer) -> CloseCustomerRecord:
    return CloseCustomerRecord(customer.customer_id)


def start_profile(customer: Customer) -> StartProfile:
    return StartProfile(customer.customer_id, customer.country)


def erase_profile(customer: Customer) -> EraseProfile:
    return EraseProfile(customer.customer_id)


def customer_onboarded(customer: Customer, outcome: Outcome) -> CustomerOnboarded:  # noqa: ARG001
    return CustomerOnboarded(customer.customer_id)


def customer_refused(customer: Customer, outcome: Outcome) -> CustomerRefused:
    return CustomerRefused(customer.customer_id, outcome.reason)


def customer_needs_attention(customer: Customer, attention: Attention) -> CustomerNeedsAttention:
    return CustomerNeedsAttention(
        customer.customer_id, attention.step, attention.reason, attention.attempt
    )


ONBOARDING = Saga[Customer](
    "onboarding",
    version=1,
    starts_on=CustomerRegistered,
    key="customer_id",
    data=Customer.from_event,
    steps=[
        Parallel(
            Compensatable("account", open_account, undo=close_account, within=minutes(2)),
            Compensatable("record", open_record, undo=close_record, within=minutes(2)),
            Compensatable("profile", start_profile, undo=erase_profile, within=minutes(2)),
        ),
    ],
    completed=customer_onboarded,
    compensated=customer_refused,
    attention=customer_needs_attention,
)
