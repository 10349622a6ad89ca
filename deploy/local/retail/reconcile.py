"""Proves an import: what went in against what the company says came out.

Pure. It knows the orders that were published and the totals that services report, and nothing of
how they were asked. Invariant: an `Identity` compares two numbers that were counted in different
places; nothing here is derived from its own other side. Amounts are minor units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from deploy.local.retail.orders import Judged, Order


class Unit(StrEnum):
    ROWS = "rows"
    ORDERS = "orders"
    UNITS = "units"
    MONEY = "money"


class Ending(StrEnum):
    FULFILLED = "fulfilled"
    CANCELLED = "cancelled"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an order came to. `reason` is a cancellation's; `amount_minor` a fulfilment's."""

    order_id: str
    ending: Ending
    reason: str = ""
    amount_minor: int = 0


@dataclass(frozen=True, slots=True)
class Payments:
    """The payment provider's totals."""

    authorised_minor: int = 0
    captured_minor: int = 0
    voided_minor: int = 0
    refunded_minor: int = 0


@dataclass(frozen=True, slots=True)
class Stock:
    """Inventory's totals over all products, in units."""

    received: int = 0
    on_hand: int = 0
    reserved: int = 0
    gone: int = 0


@dataclass(frozen=True, slots=True)
class Given:
    """The input: rows of the file, and what this import published of it."""

    rows_read: int
    rows_imported: int
    rejected: Mapping[str, int]
    orders: Mapping[str, Order]
    stock_units: int

    @classmethod
    def of(cls, judged: Judged, published: Sequence[Order], stock_units: int) -> Given:
        return cls(
            rows_read=judged.rows_read,
            rows_imported=judged.rows_imported,
            rejected=judged.rejected_by_reason(),
            orders={order.order_id: order for order in published},
            stock_units=stock_units,
        )


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What the same stack was given beside this import: other deliveries, other fulfilled orders.

    Services report totals since they began, so this stands on the other side of each.
    """

    delivered_units: int = 0
    fulfilled_units: int = 0
    fulfilled_minor: int = 0


@dataclass(frozen=True, slots=True)
class Observed:
    """The result: outcomes of any orders, and the totals of the stack."""

    outcomes: Sequence[Outcome]
    payments: Payments
    stock: Stock
    elsewhere: Elsewhere = Elsewhere()


@dataclass(frozen=True, slots=True)
class Identity:
    """Two numbers that must be equal, each with what it is."""

    name: str
    left: int
    right: int
    unit: Unit

    @property
    def holds(self) -> bool:
        return self.left == self.right


@dataclass(frozen=True, slots=True)
class EndingRow:
    """How many orders ended so, and what they were worth."""

    ending: Ending
    reason: str
    orders: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Reconciliation:
    endings: tuple[EndingRow, ...]
    payments: Payments
    stock: Stock
    identities: tuple[Identity, ...]
    unfinished: tuple[str, ...] = field(default=())

    @property
    def holds(self) -> bool:
        return all(identity.holds for identity in self.identities)


def reconcile(given: Given, observed: Observed) -> Reconciliation:
    """Outcomes of orders that this import did not publish are left out."""
    ours = [outcome for outcome in observed.outcomes if outcome.order_id in given.orders]
    finished = {outcome.order_id for outcome in ours if outcome.ending is not Ending.OPEN}
    return Reconciliation(
        endings=_endings(given, ours, finished),
        payments=observed.payments,
        stock=observed.stock,
        identities=_identities(given, ours, observed),
        unfinished=tuple(order_id for order_id in given.orders if order_id not in finished),
    )


def _identities(given: Given, ours: Sequence[Outcome], observed: Observed) -> tuple[Identity, ...]:
    payments, stock, elsewhere = observed.payments, observed.stock, observed.elsewhere
    ended = [outcome for outcome in ours if outcome.ending is not Ending.OPEN]
    fulfilled = [outcome for outcome in ours if outcome.ending is Ending.FULFILLED]
    captured_minor = sum(outcome.amount_minor for outcome in fulfilled)
    worth_minor = sum(given.orders[outcome.order_id].amount_minor for outcome in fulfilled)
    sold = sum(
        line.quantity for outcome in fulfilled for line in given.orders[outcome.order_id].lines
    )
    rejected = sum(given.rejected.values())
    return (
        Identity("rows read = imported + rejected by reason",
                 given.rows_read, given.rows_imported + rejected, Unit.ROWS),
        Identity("orders published = sum of outcomes",
                 len(given.orders), len(ended), Unit.ORDERS),
        Identity("orders with an outcome = outcomes (none has two)",
                 len({outcome.order_id for outcome in ended}), len(ended), Unit.ORDERS),
        Identity("stock received = stock delivered",
                 stock.received, given.stock_units + elsewhere.delivered_units, Unit.UNITS),
        Identity("received - gone = on hand",
                 stock.received - stock.gone, stock.on_hand, Unit.UNITS),
        Identity("still reserved = 0", stock.reserved, 0, Unit.UNITS),
        Identity("gone = units of the fulfilled orders",
                 stock.gone, sold + elsewhere.fulfilled_units, Unit.UNITS),
        Identity("captured = sum of the fulfilled orders in the file",
                 payments.captured_minor, worth_minor + elsewhere.fulfilled_minor, Unit.MONEY),
        Identity("captured = sum of the outcomes' amounts",
                 payments.captured_minor,
                 captured_minor + elsewhere.fulfilled_minor, Unit.MONEY),
        Identity("authorised = captured + voided",
                 payments.authorised_minor,
                 payments.captured_minor + payments.voided_minor, Unit.MONEY),
        Identity("refunded = 0", payments.refunded_minor, 0, Unit.MONEY),
    )  # fmt: skip


def _endings(given: Given, ours: Sequence[Outcome], finished: set[str]) -> tuple[EndingRow, ...]:
    """Fulfilled first, then reasons by number of orders, then what is still open."""
    orders: Counter[tuple[Ending, str]] = Counter()
    amounts: Counter[tuple[Ending, str]] = Counter()
    for outcome in ours:
        if outcome.ending is not Ending.OPEN:
            kind = (outcome.ending, outcome.reason)
            orders[kind] += 1
            amounts[kind] += given.orders[outcome.order_id].amount_minor
    for order_id, order in given.orders.items():
        if order_id not in finished:
            orders[Ending.OPEN, ""] += 1
            amounts[Ending.OPEN, ""] += order.amount_minor
    rank = {ending: place for place, ending in enumerate(Ending)}
    kinds = sorted(orders, key=lambda kind: (rank[kind[0]], -orders[kind], kind[1]))
    return tuple(EndingRow(*kind, orders[kind], amounts[kind]) for kind in kinds)
