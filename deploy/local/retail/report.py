"""Prints an import and its result for people: tables, identities, and the story of one order.

Builds rich renderables from values that `reconcile` and the callers give; asks nobody anything.
A state is never told by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deploy.local.retail.orders import Order
from deploy.local.retail.reconcile import (
    Ending,
    Identity,
    Outcome,
    Payments,
    Reconciliation,
    Stock,
    Unit,
)

_MARKS = {Ending.FULFILLED: "✓", Ending.CANCELLED: "↩", Ending.OPEN: "…"}
_STYLES = {Ending.FULFILLED: "green", Ending.CANCELLED: "yellow", Ending.OPEN: "red"}


@dataclass(frozen=True, slots=True)
class StoryLine:
    """One entry of a saga's journal: what came in, what changed, what went out."""

    at: datetime
    what: str
    state_from: str
    state_to: str
    message: str = ""


def pounds(amount_minor: int) -> str:
    sign = "-" if amount_minor < 0 else ""
    whole, pence = divmod(abs(amount_minor), 100)
    return f"{sign}£{whole:,}.{pence:02}"


def counted(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def rows_table(rows_read: int, rows_imported: int, rejected: Mapping[str, int]) -> RenderableType:
    table = _table("", "rows")
    table.add_row("read", f"{rows_read:,}")
    table.add_row("imported", f"{rows_imported:,}")
    for reason, count in sorted(rejected.items(), key=lambda each: (-each[1], each[0])):
        table.add_row(f"rejected: {reason}", f"{count:,}")
    return _titled("Rows of the file", table)


def outcomes_table(result: Reconciliation) -> RenderableType:
    table = _table("outcome", "orders", "worth")
    for row in result.endings:
        named = f"{row.ending}: {row.reason}" if row.reason else str(row.ending)
        table.add_row(
            Text(f"{_MARKS[row.ending]} {named}", style=_STYLES[row.ending]),
            f"{row.orders:,}",
            pounds(row.amount_minor),
        )
    total = sum(row.orders for row in result.endings)
    worth_minor = sum(row.amount_minor for row in result.endings)
    table.add_row("all", f"{total:,}", pounds(worth_minor))
    return _titled("Orders", table)


def money_table(payments: Payments) -> RenderableType:
    table = _table("", "amount")
    table.add_row("authorised", pounds(payments.authorised_minor))
    table.add_row("captured", pounds(payments.captured_minor))
    table.add_row("voided", pounds(payments.voided_minor))
    table.add_row("refunded", pounds(payments.refunded_minor))
    return _titled("Money", table)


def stock_table(stock: Stock) -> RenderableType:
    table = _table("", "units")
    table.add_row("received", f"{stock.received:,}")
    table.add_row("gone", f"{stock.gone:,}")
    table.add_row("reserved", f"{stock.reserved:,}")
    table.add_row("on hand", f"{stock.on_hand:,}")
    return _titled("Stock", table)


def identities_table(identities: Sequence[Identity]) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("identity")
    table.add_column("left", justify="right", no_wrap=True)
    table.add_column("right", justify="right", no_wrap=True)
    for identity in identities:
        mark = Text("✓ holds", style="green") if identity.holds else Text("✖ FAILS", style="red")
        left, right = (_amount(value, identity.unit) for value in (identity.left, identity.right))
        table.add_row(mark, identity.name, left, right)
    return _titled("Reconciled", table)


def story(order: Order, outcome: Outcome, lines: Sequence[StoryLine]) -> RenderableType:
    """One order, step by step; the clock is that of the lines' own zone."""
    ended = f"{outcome.ending} ({outcome.reason})" if outcome.reason else str(outcome.ending)
    pieces = sum(line.quantity for line in order.lines)
    table = Table(box=None, pad_edge=False)
    for column in ("at", "what", "state", "sends"):
        table.add_column(column, no_wrap=column == "at")
    for line in lines:
        moved = line.state_from != line.state_to
        state = f"{line.state_from} → {line.state_to}".strip() if moved else line.state_to
        table.add_row(f"{line.at:%H:%M:%S.%f}"[:-3], line.what, state, line.message)
    return _titled(
        f"The story of {order.order_id}: {counted(pieces, 'piece')} for "
        f"{pounds(order.amount_minor)} to {order.country}, {ended}",
        table,
    )


def one_compensated(result: Sequence[Outcome], reasons: Sequence[str]) -> Outcome | None:
    """The order to tell of: cancelled for the first of these reasons that occurred."""
    cancelled = [outcome for outcome in result if outcome.ending is Ending.CANCELLED]
    for reason in reasons:
        for outcome in sorted(cancelled, key=lambda each: each.order_id):
            if outcome.reason == reason:
                return outcome
    return min(cancelled, key=lambda each: each.order_id, default=None)


def summary(result: Reconciliation) -> RenderableType:
    """Outcomes, money, stock and the identities, in this order, with a last line that says it."""
    return Group(
        outcomes_table(result),
        "",
        money_table(result.payments),
        "",
        stock_table(result.stock),
        "",
        identities_table(result.identities),
        "",
        _verdict(result),
    )


def _verdict(result: Reconciliation) -> Text:
    failing = [identity.name for identity in result.identities if not identity.holds]
    if failing:
        return Text(f"✖ {len(failing)} of {len(result.identities)} identities fail", style="red")
    return Text(f"✓ all {len(result.identities)} identities hold", style="green")


def _titled(title: str, table: Table) -> RenderableType:
    """A title of the table's own would be wrapped at the table's width."""
    return Group(Text(title, style="bold"), table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def _amount(value: int, unit: Unit) -> str:
    return pounds(value) if unit is Unit.MONEY else f"{value:,}"
