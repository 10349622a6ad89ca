"""Who writes and who reads which topic, and what the two sagas are: DESIGN sections 2 and 3 again.

Written a second time on purpose: a checker that asked the product for its table would agree with
a wrong one. A test compares both, so that a change of one side is a change of the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ANYBODY = "*"
ORDERS = "orders.order.events.v1"
OUTCOMES = "orders.order.outcomes.v1"
CUSTOMERS = "customers.customer.events.v1"
CUSTOMER_OUTCOMES = "customers.customer.outcomes.v1"
DELIVERIES = "inventory.delivery.events.v1"
PAYMENTS = "billing.payment.events.v1"
SHIPMENTS = "shipping.shipment.events.v1"
DEAD = ".dlt"

_EVERYBODY = ("crm", "analytics", "notifications")
_ONE = "orchestrator"
SERVICES = ("orders", "inventory", "billing", "shipping", *_EVERYBODY)

# topic: who may write it, who reads it
WIRES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    ORDERS: (ANYBODY, (_ONE, "orders", *_EVERYBODY)),
    OUTCOMES: (_ONE, ("orders", *_EVERYBODY)),
    "inventory.stock.commands.v1": (_ONE, ("inventory",)),
    "billing.payment.commands.v1": (_ONE, ("billing",)),
    "billing.account.commands.v1": (_ONE, ("billing",)),
    "shipping.shipment.commands.v1": (_ONE, ("shipping",)),
    "crm.customer.commands.v1": (_ONE, ("crm",)),
    "analytics.profile.commands.v1": (_ONE, ("analytics",)),
    "inventory.replies.v1": ("inventory", (_ONE,)),
    "billing.replies.v1": ("billing", (_ONE,)),
    "shipping.replies.v1": ("shipping", (_ONE,)),
    "crm.replies.v1": ("crm", (_ONE,)),
    "analytics.replies.v1": ("analytics", (_ONE,)),
    "inventory.stock.events.v1": ("inventory", _EVERYBODY),
    PAYMENTS: ("billing", _EVERYBODY),
    SHIPMENTS: ("shipping", ("inventory", *_EVERYBODY)),
    DELIVERIES: (ANYBODY, ("inventory", "analytics")),
    CUSTOMERS: (ANYBODY, (_ONE, "notifications")),
    CUSTOMER_OUTCOMES: (_ONE, ("notifications", "analytics")),
    "orchestrator.operator.commands.v1": ("console", (_ONE, *SERVICES)),
}
OURS = (_ONE, *SERVICES)
SANDBOXES = ("payment", "carrier", "mail")
READS: Mapping[str, tuple[str, ...]] = {
    process: tuple(topic for topic, (_, readers) in WIRES.items() if process in readers)
    for process in OURS
}


@dataclass(frozen=True, slots=True)
class Step:
    """`service` answers its commands; without `undo` it cannot be taken back."""

    name: str
    service: str
    undo: bool = True


@dataclass(frozen=True, slots=True)
class Declared:
    """A saga: its steps by position, its pivot, the event that starts it, its two outcomes."""

    name: str
    starts: tuple[str, str]
    outcomes: Mapping[str, str]
    topic: str
    positions: tuple[tuple[Step, ...], ...]
    pivot: int | None = None
    steps: tuple[Step, ...] = field(init=False)

    def __post_init__(self) -> None:
        every = tuple(step for position in self.positions for step in position)
        object.__setattr__(self, "steps", every)


FULFILMENT = Declared(
    "fulfilment",
    (ORDERS, "baton.orders.OrderPlaced"),
    {
        "completed": "baton.orchestrator.OrderFulfilled",
        "compensated": "baton.orchestrator.OrderCancelled",
    },
    OUTCOMES,
    (
        (Step("stock", "inventory"),),
        (Step("payment", "billing"),),
        (Step("shipment", "shipping"),),
        (Step("capture", "billing", undo=False),),
        (Step("dispatch", "shipping", undo=False),),
    ),
    pivot=3,
)
ONBOARDING = Declared(
    "onboarding",
    (CUSTOMERS, "baton.customers.CustomerRegistered"),
    {
        "completed": "baton.orchestrator.CustomerOnboarded",
        "compensated": "baton.orchestrator.CustomerRefused",
    },
    CUSTOMER_OUTCOMES,
    ((Step("account", "billing"), Step("record", "crm"), Step("profile", "analytics")),),
)
SAGAS = {saga.name: saga for saga in (FULFILMENT, ONBOARDING)}
ENDS = frozenset({"completed", "compensated"})
