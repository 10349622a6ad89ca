"""The rules of the retail import: the one table that reader, tests and reference use.

A rule says what it matches and what happens. The rules that a single row decides carry their
test (`catches`), in the order in which they are asked: the first that catches a row names it.
Every reason in a rejects file is the name of a rule of this table.
This module knows neither files nor Kafka; the bounds are those of the OrderPlaced contract.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

COLUMNS = (
    "InvoiceNo", "StockCode", "Description", "Quantity",
    "InvoiceDate", "UnitPrice", "CustomerID", "Country",
)  # fmt: skip
CHARGE_CODES = frozenset({"POST", "DOT", "M", "C2", "D", "AMAZONFEE", "BANK CHARGES", "S"})
CURRENCY = "GBP"
QUANTITY_MAX = 100_000
UNIT_PRICE_MINOR_MAX = 10**8
LINES_MAX = 2_000
CHARGES_MAX = 200
NAME_CHARACTERS_MAX = 200
COUNTRY_CHARACTERS_MAX = 64
RECORD_BYTES_MAX = 256 * 1024
AMOUNT_MINOR_MAX = 10**9

_OUTSIDE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SALE = re.compile(r"[0-9]{1,20}")
_RETURN = re.compile(r"C[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the file, its numbers read and its texts stripped, not yet judged.

    `code` is upper-case, `customer_id` has lost its `.0`, `local_time` is the shop's clock.
    """

    line: int
    invoice: str
    code: str
    description: str
    quantity: int
    local_time: datetime
    unit_price_minor: int
    customer_id: str | None
    country: str

    @property
    def is_charge(self) -> bool:
        return self.code in CHARGE_CODES

    @property
    def amount_minor(self) -> int:
        return self.quantity * self.unit_price_minor

    @property
    def day(self) -> date:
        return self.local_time.date()


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is not imported: where it stands, the rule that says so, and what was seen."""

    line: int
    reason: str
    detail: str
    invoice: str = ""


class Scope(StrEnum):
    """What a rule looks at."""

    FILE = "file"
    ROW = "row"
    INVOICE = "invoice"
    ORDER = "order"
    STOCK = "stock"


@dataclass(frozen=True, slots=True)
class Rule:
    """`catches` returns what it saw, or None. One that `spoils` takes its whole invoice along."""

    name: str
    scope: Scope
    matches: str
    then: str
    rejects: bool = False
    spoils: bool = False
    catches: Callable[[Row], str | None] | None = None


def _unknown_kind(row: Row) -> str | None:
    if _SALE.fullmatch(row.invoice) or _RETURN.fullmatch(row.invoice):
        return None
    return f"invoice {row.invoice[:40]!r} is neither digits nor C and digits"


def _cancellation(row: Row) -> str | None:
    return f"invoice {row.invoice} returns goods" if _RETURN.fullmatch(row.invoice) else None


def _bad_identifier(row: Row) -> str | None:
    if not row.is_charge and not _OUTSIDE_ID.fullmatch(row.code):
        return f"StockCode {row.code[:40]!r} has characters outside A-Z 0-9 . _ -"
    if row.customer_id is not None and not _OUTSIDE_ID.fullmatch(row.customer_id):
        return f"CustomerID {row.customer_id[:40]!r} has characters outside A-Z a-z 0-9 . _ -"
    return None


def _stock_write_off(row: Row) -> str | None:
    return f"quantity {row.quantity} of {row.code}" if row.quantity < 0 else None


def _no_price(row: Row) -> str | None:
    return f"{row.quantity} of {row.code} for nothing" if row.unit_price_minor == 0 else None


def _out_of_bounds(row: Row) -> str | None:
    if not 1 <= row.quantity <= QUANTITY_MAX:
        return f"quantity {row.quantity} is not within 1 to {QUANTITY_MAX}"
    if len(row.country) > COUNTRY_CHARACTERS_MAX:
        return f"Country has {len(row.country)} characters, more than {COUNTRY_CHARACTERS_MAX}"
    if row.is_charge and abs(row.amount_minor) <= AMOUNT_MINOR_MAX:
        return None
    if not 0 <= row.unit_price_minor <= UNIT_PRICE_MINOR_MAX:
        return f"unit price of {row.unit_price_minor} pence is not within 0 to 10^8"
    return None


BROKEN_ROW = "broken_row"
BAD_NUMBER = "bad_number"
BAD_DATE = "bad_date"
INCOMPLETE_INVOICE = "incomplete_invoice"
MIXED_INVOICE = "mixed_invoice"
CHARGE_WITHOUT_GOODS = "charge_without_goods"
ORDER_OUT_OF_BOUNDS = "order_out_of_bounds"

RULES: tuple[Rule, ...] = (
    Rule("wrong_header", Scope.FILE,
         "the first line is not the eight columns " + ", ".join(COLUMNS),
         "the whole file is refused; nothing is published"),
    Rule("unreadable_file", Scope.FILE,
         "missing, a directory, empty, or a gzip archive that is damaged or ends early",
         "the whole file is refused; nothing is published"),
    Rule("blank_line", Scope.FILE, "a line with nothing on it", "not a row, and not counted"),
    Rule(BROKEN_ROW, Scope.ROW,
         "not eight columns on one line, not UTF-8, over 64 KiB, or without InvoiceNo, StockCode "
         "or Country",
         "rejected", rejects=True, spoils=True),
    Rule(BAD_NUMBER, Scope.ROW,
         "Quantity is not a whole number, or UnitPrice not a decimal number of whole pence",
         "rejected", rejects=True, spoils=True),
    Rule(BAD_DATE, Scope.ROW, "InvoiceDate is not YYYY-MM-DD HH:MM:SS",
         "rejected", rejects=True, spoils=True),
    Rule("unknown_invoice_kind", Scope.ROW,
         "the invoice number is neither digits nor C and digits",
         "rejected", rejects=True, catches=_unknown_kind),
    Rule("cancellation", Scope.ROW, "the invoice number begins with C",
         "rejected: a later return, not the cancellation of a running order",
         rejects=True, catches=_cancellation),
    Rule("bad_identifier", Scope.ROW,
         "StockCode or CustomerID does not match [A-Za-z0-9._-]{1,64}",
         "rejected", rejects=True, spoils=True, catches=_bad_identifier),
    Rule("stock_write_off", Scope.ROW, "negative quantity without C", "rejected",
         rejects=True, catches=_stock_write_off),
    Rule("no_price", Scope.ROW, "unit price zero, positive quantity",
         "rejected; other rows of the invoice are imported", rejects=True, catches=_no_price),
    Rule("out_of_bounds", Scope.ROW,
         "quantity not within 1 to 100,000, unit price of goods not within 0 to 10^8 pence, "
         "or a country of more than 64 characters",
         "rejected", rejects=True, spoils=True, catches=_out_of_bounds),
    Rule(INCOMPLETE_INVOICE, Scope.INVOICE,
         "another row of the same invoice is broken, unreadable or out of bounds",
         "its other rows are rejected too: half an order is never charged", rejects=True),
    Rule(MIXED_INVOICE, Scope.INVOICE, "several customers or several countries in one invoice",
         "its rows are rejected", rejects=True),
    Rule(CHARGE_WITHOUT_GOODS, Scope.INVOICE, "charges, and no goods with a price",
         "not an order; its charges are rejected", rejects=True),
    Rule(ORDER_OUT_OF_BOUNDS, Scope.INVOICE,
         "more than 2,000 lines, 200 charges or 256 KiB, or an amount not within 1 to 10^9 pence",
         "its rows are rejected", rejects=True),
    Rule("order", Scope.ORDER, "an invoice number of digits with goods that have a price",
         "one order, id retail-<number>"),
    Rule("charge", Scope.ORDER,
         "StockCode is one of " + ", ".join(sorted(CHARGE_CODES)) + ", in any case",
         "a charge of the order: part of its amount, no stock; may be negative"),
    Rule("line", Scope.ORDER, "any other StockCode",
         "a line; codes are upper-cased, a code named twice stays two lines with their own prices"),
    Rule("price", Scope.ORDER, "UnitPrice", "Decimal times 100, exact, GBP"),
    Rule("description", Scope.ORDER, "Description",
         "stripped; the first one in the file that is not empty names the product "
         "(200 characters of it)"),
    Rule("customer", Scope.ORDER, "CustomerID, written 17850.0",
         "the .0 is dropped; CustomerRegistered goes out at the first order; "
         "mail goes to customer-17850@example.invalid"),
    Rule("guest", Scope.ORDER, "no CustomerID", "an order without a customer"),
    Rule("placed_at", Scope.ORDER, "InvoiceDate, Europe/London",
         "UTC; the earliest of the invoice; ties are ordered by invoice number"),
    Rule("test_value", Scope.ORDER, "a hash of the invoice number",
         "5 % pay with tok_declined, 2 % with tok_slow, 1 % with tok_silent_once, "
         "all others with tok_ok"),
    Rule("opening_stock", Scope.STOCK,
         "each product of exactly the orders that this import publishes",
         "all of its demand is received before the first order"),
    Rule("scarce_product", Scope.STOCK,
         "a product in at least 5 % of those orders, and in at least 8",
         "80 % of its demand is received, rounded down"),
)  # fmt: skip

REASONS: tuple[str, ...] = tuple(rule.name for rule in RULES if rule.rejects)
SPOILING: frozenset[str] = frozenset(rule.name for rule in RULES if rule.spoils)
_ROW_RULES = tuple((rule.name, rule.catches) for rule in RULES if rule.catches is not None)


def judge(row: Row) -> Rejected | None:
    """The first rule that catches this row alone; None when it may become part of an order."""
    for name, catches in _ROW_RULES:
        detail = catches(row)
        if detail is not None:
            return Rejected(row.line, name, detail, row.invoice)
    return None
