"""I-6 and I-7: every amount is accounted for, and nothing leaves the house unpaid.

Three books are compared for each order: the ledger's postings, billing's payments, and the
provider's own. The price is what the accepted OrderPlaced says, line by line. Minor units only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import NamedTuple, cast

from deploy.verify.evidence import Carried, Payment, PlacedOrder, Posting, Provided, Saga, Shipment
from deploy.verify.facts import Facts, opened
from deploy.verify.verdicts import Inquiry
from deploy.verify.wiring import FULFILMENT, ORDERS

Amounts = tuple[int, int, int, int]
ZERO: Amounts = (0, 0, 0, 0)
MERCHANT, HELD = "merchant", "held"


class Price(NamedTuple):
    minor: int
    currency: str
    units: Mapping[str, int]


def money(facts: Facts, finding: Inquiry) -> None:
    if facts.lacks(finding, "billing"):
        return
    ours = {row.order_id: row for row in facts.rows("billing", Payment)}
    ledger = _ledger(facts, finding)
    for row in ours.values():
        finding.saw("payments")
        amounts = _ordered(finding, row.order_id, "billing", row[3:7])
        if ledger.get((row.order_id, row.currency), ZERO) != amounts:
            told = ledger.get((row.order_id, row.currency), ZERO)
            finding.wrong(f"billing says {_text(amounts)}, its ledger {_text(told)}", row.order_id)
    for order, currency in ledger.keys() - {
        (each.order_id, each.currency) for each in ours.values()
    }:
        finding.wrong(f"the ledger moved {currency} for it, and there is no such payment", order)
    if facts.has("payment"):
        _provider(facts, finding, ours)
    else:
        finding.note("the provider's books were not there; ours were compared")
    if not facts.lacks(finding, "orchestrator", "orders") and facts.at_rest(finding):
        _prices(facts, finding, ours)


def _ledger(facts: Facts, finding: Inquiry) -> Mapping[tuple[str, str], Amounts]:
    """What the postings of each order say was authorised, captured, voided and refunded."""
    sums: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in facts.rows("billing", Posting):
        finding.saw("postings")
        if type(row.amount_minor) is not int or row.amount_minor <= 0:
            finding.wrong(f"{row.posting_id} moves {row.amount_minor!r}", row.order_id)
            continue
        of = sums[row.order_id, row.currency]
        held = (row.debit == HELD) - (row.credit == HELD)
        taken = (row.debit == MERCHANT) - (row.credit == MERCHANT)
        if (held, taken) not in _MOVES:
            finding.wrong(f"{row.posting_id} goes from {row.credit} to {row.debit}", row.order_id)
            continue
        of[_MOVES[held, taken]] += row.amount_minor
    return {
        place: (of["authorised"], of["captured"], of["voided"], of["refunded"])
        for place, of in sums.items()
    }


# what a posting does to what is held and what is taken
_MOVES = {(1, 0): "authorised", (-1, 1): "captured", (-1, 0): "voided", (0, -1): "refunded"}


def _ordered(finding: Inquiry, order: str, whose: str, given: tuple[object, ...]) -> Amounts:
    """Refunded <= captured, captured + voided <= authorised, whole numbers, none negative."""
    if any(type(each) is not int for each in given):
        finding.wrong(f"{whose} has {given}, which are not minor units", order)
        return ZERO
    authorised, captured, voided, refunded = amounts = cast("Amounts", given)
    if min(amounts) < 0 or refunded > captured or captured + voided > authorised:
        finding.wrong(f"{whose} has {_text(amounts)}", order)
    return amounts


def _provider(facts: Facts, finding: Inquiry, ours: Mapping[str, Payment]) -> None:
    rest = facts.at_rest(finding)
    for row in facts.rows("payment", Provided):
        finding.saw("payments at the provider")
        theirs = _ordered(finding, row.order_id, "the provider", row[3:7])
        if not rest or row.order_id in facts.excused:
            continue
        mine = ours.get(row.order_id)
        amounts = ZERO if mine is None else mine[3:7]
        if amounts != theirs:
            what = f"billing says {_text(amounts)}, the provider {_text(theirs)}"
            finding.wrong(what, row.order_id)
        elif mine and theirs != ZERO and mine.currency != row.currency:
            what = f"billing says {mine.currency}, the provider {row.currency}"
            finding.wrong(what, row.order_id)
    if rest:
        known = {row.order_id for row in facts.rows("payment", Provided)}
        for order, paid in ours.items():
            if order not in known | facts.excused and paid[3:7] != ZERO:
                finding.wrong("billing has a payment that the provider does not know", order)


def _prices(facts: Facts, finding: Inquiry, ours: Mapping[str, Payment]) -> None:
    prices = prices_of(facts)
    for saga in facts.ended(finding, FULFILMENT):
        row = ours.get(saga.key)
        kept = 0 if row is None else row.captured_minor - row.refunded_minor
        finding.saw("ended orders")
        if saga.phase == "compensated":
            if kept:
                finding.wrong(f"is cancelled, and {kept} of it was kept", saga.key)
            continue
        price = prices.get(saga.key)
        if price is None:
            finding.saw("orders whose price nobody keeps")
        elif row is None or (kept, row.currency) != (price.minor, price.currency):
            currency = "" if row is None else f" {row.currency}"
            what = f"costs {price.minor} {price.currency}, and {kept}{currency} was kept"
            finding.wrong(what, saga.key)


def prices_of(facts: Facts) -> Mapping[str, Price]:
    """Of each order that has a saga, by the start that its saga took."""
    return facts.once("prices", lambda: _prices_of(facts))


def _prices_of(facts: Facts) -> Mapping[str, Price]:
    wanted = {(saga.key, saga.start_id) for saga in facts.sagas if saga.definition == "fulfilment"}
    found: dict[str, Price] = {}
    for head in facts.spoken(ORDERS):
        if (head.key, head.id) in wanted and head.key not in found:
            body = facts.body(head)
            if body is not None and body.get("order_id") == head.key and "lines" in body:
                found[head.key] = _price(body)
    for row in facts.rows("orders", PlacedOrder) if facts.has("orders") else ():
        body = None if row.order_id in found else _accepted(row)
        if body is not None:
            found[row.order_id] = _price(body)
    return found


def _accepted(row: PlacedOrder) -> Mapping[str, object] | None:
    """The body that was carried out, as orders keeps it when the topic no longer does."""
    marks = opened(row.told_as, "orders placed_order.told_as")
    bodies = opened(row.bodies, "orders placed_order.bodies")
    return cast("Mapping[str, object] | None", bodies.get(str(marks.get(row.accepted or ""))))


def _price(body: Mapping[str, object]) -> Price:
    units: Counter[str] = Counter()
    minor = 0
    for line in cast("list[Mapping[str, object]]", body["lines"]):
        quantity = cast("int", line["quantity"])
        units[str(line["sku"])] += quantity
        minor += quantity * cast("int", line["unit_price_minor"])
    charges = cast("list[Mapping[str, int]]", body.get("charges") or [])
    minor += sum(charge["amount_minor"] for charge in charges)
    return Price(minor, str(body["currency"]), units)


def paid_before_shipped(facts: Facts, finding: Inquiry) -> None:
    facts.lacks(finding, "orchestrator", "billing", "shipping")
    if not facts.has("billing"):
        return
    if not facts.at_rest(finding):
        return
    ours = {row.order_id: row for row in facts.rows("billing", Payment)}
    left: dict[str, str] = {}
    if facts.has("shipping"):
        left |= {
            row.order_id: "shipping"
            for row in facts.rows("shipping", Shipment)
            if row.status == "dispatched"
        }
    if facts.has("carrier"):
        left |= {
            row.order_id: "the carrier"
            for row in facts.rows("carrier", Carried)
            if row.state == "dispatched"
        }
    for order, whose in left.items():
        finding.saw("parcels that left")
        row = ours.get(order)
        if row is None or row.status != "captured":
            state = "no payment" if row is None else f"a payment {row.status}"
            finding.wrong(f"{whose} let it leave with {state}", order)
        elif 0 < row.captured_minor <= row.refunded_minor:
            finding.wrong(f"{whose} let it leave, and all of it was given back", order)
    if facts.has("orchestrator"):
        for saga in facts.ended(finding, FULFILMENT):
            _never_charged(finding, saga, ours.get(saga.key))


def _never_charged(finding: Inquiry, saga: Saga, row: Payment | None) -> None:
    if saga.phase == "compensated":
        finding.saw("cancelled orders")
        if row is not None and row.captured_minor > row.refunded_minor:
            finding.wrong("is cancelled, and its payment was captured", saga.key)


def _text(amounts: Amounts) -> str:
    words = ("authorised", "captured", "voided", "refunded")
    return ", ".join(f"{n} {word}" for n, word in zip(amounts, words, strict=True))
