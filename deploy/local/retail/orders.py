"""Turns judged rows into orders: grouping, the rules of whole invoices, names, times, test values.

Pure: rows in, orders and rejected rows out, the same for the same file whatever is selected
later, so that importing an order twice is importing the same order. It knows neither files nor
messages. Invariant: every row read is a line, a charge or rejected, exactly once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from hashlib import sha256
from zoneinfo import ZoneInfo

from deploy.local.retail.rules import (
    AMOUNT_MINOR_MAX,
    CHARGE_WITHOUT_GOODS,
    CHARGES_MAX,
    INCOMPLETE_INVOICE,
    LINES_MAX,
    MIXED_INVOICE,
    NAME_CHARACTERS_MAX,
    ORDER_OUT_OF_BOUNDS,
    RECORD_BYTES_MAX,
    SPOILING,
    Rejected,
    Row,
    judge,
)

ORDER_ID_PREFIX = "retail-"

# Chosen so that 1 December 2010 has each value at least once, and its EIRE orders pay.
_TEST_VALUE_SALT = "baton-5"
_PERCENTILES: tuple[tuple[int, str], ...] = (
    (5, "tok_declined"),
    (7, "tok_slow"),
    (8, "tok_silent_once"),
    (100, "tok_ok"),
)


@dataclass(frozen=True, slots=True)
class OrderLine:
    code: str
    name: str
    quantity: int
    unit_price_minor: int


@dataclass(frozen=True, slots=True)
class OrderCharge:
    code: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Order:
    """One invoice that is imported. `day` is the shop's local date, `placed_at` is UTC."""

    order_id: str
    customer_id: str | None
    country: str
    placed_at: datetime
    day: date
    lines: tuple[OrderLine, ...]
    charges: tuple[OrderCharge, ...]
    payment_method: str

    @property
    def goods_minor(self) -> int:
        return sum(line.quantity * line.unit_price_minor for line in self.lines)

    @property
    def amount_minor(self) -> int:
        return self.goods_minor + sum(charge.amount_minor for charge in self.charges)

    def units_by_code(self) -> Counter[str]:
        """Stock is counted by product, and an order may name a product twice."""
        units: Counter[str] = Counter()
        for line in self.lines:
            units[line.code] += line.quantity
        return units


@dataclass(frozen=True, slots=True)
class Judged:
    """A whole file: what becomes orders, in the order they were placed, and what does not."""

    rows_read: int
    orders: tuple[Order, ...]
    rejected: tuple[Rejected, ...]

    @property
    def rows_imported(self) -> int:
        return sum(len(order.lines) + len(order.charges) for order in self.orders)

    def rejected_by_reason(self) -> Counter[str]:
        return Counter(row.reason for row in self.rejected)


def judge_rows(rows: Iterable[Row | Rejected]) -> Judged:
    rows_read = 0
    invoices: dict[str, list[Row]] = {}
    rejected: list[Rejected] = []
    for row in rows:
        rows_read += 1
        verdict = row if isinstance(row, Rejected) else judge(row)
        if verdict is not None:
            rejected.append(verdict)
        elif isinstance(row, Row):
            invoices.setdefault(row.invoice, []).append(row)
    spoilt = {row.invoice: row.line for row in rejected if row.reason in SPOILING}
    accepted: dict[str, list[Row]] = {}
    for invoice, members in invoices.items():
        refusal = _refusal_of_invoice(members, spoilt)
        if refusal is None:
            accepted[invoice] = members
        else:
            rejected += (Rejected(row.line, *refusal, invoice) for row in members)
    orders = _orders(accepted, rejected)
    return Judged(rows_read, orders, tuple(sorted(rejected, key=lambda row: row.line)))


def select(orders: Sequence[Order], *, day: date | None, limit: int | None) -> tuple[Order, ...]:
    """What one import publishes: the orders of a day of the shop, at most the first `limit`."""
    chosen = [order for order in orders if day is None or order.day == day]
    return tuple(chosen[:limit])


def payment_method(invoice: str) -> str:
    """The same test value for the same invoice, on every machine and in every import."""
    digest = sha256(f"{_TEST_VALUE_SALT}/{invoice}".encode()).digest()
    percentile = int.from_bytes(digest[:8], "big") % 100
    return next(method for below, method in _PERCENTILES if percentile < below)


def _refusal_of_invoice(
    members: Sequence[Row], spoilt: Mapping[str, int]
) -> tuple[str, str] | None:
    invoice = members[0].invoice
    if invoice in spoilt:
        return INCOMPLETE_INVOICE, f"line {spoilt[invoice]} of invoice {invoice} is rejected"
    customers = {row.customer_id or "none" for row in members}
    countries = {row.country for row in members}
    if len(customers) > 1 or len(countries) > 1:
        several = sorted(customers if len(customers) > 1 else countries)
        return MIXED_INVOICE, f"invoice {invoice} is for {', '.join(several)[:80]}"
    goods = [row for row in members if not row.is_charge]
    if not goods:
        return CHARGE_WITHOUT_GOODS, f"invoice {invoice} has charges only"
    amount_minor = sum(row.amount_minor for row in members)
    if len(goods) > LINES_MAX or len(members) - len(goods) > CHARGES_MAX:
        return ORDER_OUT_OF_BOUNDS, f"invoice {invoice} has {len(members)} rows"
    if not 1 <= amount_minor <= AMOUNT_MINOR_MAX:
        return ORDER_OUT_OF_BOUNDS, f"invoice {invoice} amounts to {amount_minor} pence"
    return None


def _orders(accepted: Mapping[str, Sequence[Row]], rejected: list[Rejected]) -> tuple[Order, ...]:
    """In the order they were placed; one that no record can hold is added to the rejected."""
    names = _product_names(accepted.values())
    numbered: list[tuple[datetime, int, Order]] = []
    for invoice, members in accepted.items():
        order = _order(invoice, members, names)
        if _record_bytes(order) <= RECORD_BYTES_MAX:
            numbered.append((order.placed_at, int(invoice), order))
            continue
        detail = f"invoice {invoice} does not fit into a record of {RECORD_BYTES_MAX} bytes"
        rejected += (Rejected(row.line, ORDER_OUT_OF_BOUNDS, detail, invoice) for row in members)
    return tuple(order for _, _, order in sorted(numbered, key=lambda each: each[:2]))


def _product_names(invoices: Iterable[Sequence[Row]]) -> dict[str, str]:
    """By code; taken from the whole file, so that a selection never renames a product."""
    names: dict[str, str] = {}
    described = (row for members in invoices for row in members if row.description)
    for row in sorted(described, key=lambda row: row.line):
        names.setdefault(row.code, row.description[:NAME_CHARACTERS_MAX])
    return names


def _order(invoice: str, members: Sequence[Row], names: Mapping[str, str]) -> Order:
    first = min(members, key=lambda row: row.local_time)
    return Order(
        order_id=ORDER_ID_PREFIX + invoice,
        customer_id=first.customer_id,
        country=first.country,
        placed_at=_utc(first.local_time),
        day=first.day,
        lines=tuple(
            OrderLine(row.code, names.get(row.code, ""), row.quantity, row.unit_price_minor)
            for row in members
            if not row.is_charge
        ),
        charges=tuple(OrderCharge(row.code, row.amount_minor) for row in members if row.is_charge),
        payment_method=payment_method(invoice),
    )


def _record_bytes(order: Order) -> int:
    """An upper bound of what the order takes in Avro; numbers take 10 bytes at most."""
    lines = sum(len(line.code) + len(line.name.encode()) + 24 for line in order.lines)
    return 512 + lines + sum(len(charge.code) + 12 for charge in order.charges)


def _utc(local_time: datetime) -> datetime:
    """An hour that the clock shows twice is taken as its first showing."""
    return local_time.replace(tzinfo=_shop_zone()).astimezone(UTC)


@cache
def _shop_zone() -> ZoneInfo:
    return ZoneInfo("Europe/London")
