"""I-8: of every product, what came in is on the shelf, promised, or gone; and nothing is negative.

All of it stands in inventory's own database, so it holds at any moment; that nothing stays
promised to a finished order, and that what left is what was ordered, only in the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

from deploy.verify.evidence import Received, Reservation, Shelf
from deploy.verify.facts import Facts, Malformed, opened
from deploy.verify.money import prices_of
from deploy.verify.verdicts import Inquiry
from deploy.verify.wiring import DELIVERIES, FULFILMENT

RECEIVED = "baton.inventory.GoodsReceived"


def stock(facts: Facts, finding: Inquiry) -> None:
    if facts.lacks(finding, "inventory"):
        return
    received: Counter[str] = Counter()
    for delivery in facts.rows("inventory", Received):
        received.update(_units(delivery.units, f"delivery {delivery.delivery_id}"))
    reservations = facts.rows("inventory", Reservation)
    held, gone = _promised(reservations, "reserved"), _promised(reservations, "gone")
    for row in facts.rows("inventory", Shelf):
        finding.saw("products")
        if min(row.on_hand, row.reserved, row.gone) < 0:
            what = f"{row.on_hand} on hand, {row.reserved} reserved, {row.gone} gone"
            finding.wrong(what, row.sku)
        there = row.on_hand + row.reserved + row.gone
        if there != received[row.sku]:
            finding.wrong(f"{received[row.sku]} came in, {there} are accounted for", row.sku)
        for name, on_shelf, of_orders in (
            ("reserved", row.reserved, held[row.sku]),
            ("gone", row.gone, gone[row.sku]),
        ):
            if on_shelf != of_orders:
                what = f"its shelf has {on_shelf} {name}, the orders {of_orders}"
                finding.wrong(what, row.sku)
    missing = (received | held | gone).keys() - {row.sku for row in facts.rows("inventory", Shelf)}
    for sku in sorted(missing):
        finding.wrong("was delivered or promised, and has no shelf", sku)
    if facts.lacks(finding, "orchestrator") or not facts.at_rest(finding):
        return
    _in_the_end(facts, finding, {row.order_id: row for row in reservations})
    _deliveries(facts, finding)


def _in_the_end(facts: Facts, finding: Inquiry, held: Mapping[str, Reservation]) -> None:
    prices = prices_of(facts)
    for saga in facts.ended(finding, FULFILMENT):
        row = held.get(saga.key)
        finding.saw("ended orders")
        if row is None:
            continue
        if row.status == "reserved":
            finding.wrong(f"is {saga.phase}, and goods are still reserved for it", saga.key)
        price = prices.get(saga.key)
        units = _units(row.units, f"the reservation of {saga.key}")
        if row.status == "gone" and price is not None and units != price.units:
            what = f"ordered {_text(price.units)}, and {_text(units)} left"
            finding.wrong(what, saga.key)


def _deliveries(facts: Facts, finding: Inquiry) -> None:
    """What was received on the topic is what inventory took in, each delivery once."""
    known = {row.delivery_id for row in facts.rows("inventory", Received)}
    for head in facts.spoken(DELIVERIES):
        if head.type != RECEIVED or head.key in facts.excused:
            continue
        finding.saw("deliveries on topics")
        if head.key not in known:
            finding.wrong("was delivered, and inventory does not know it", head.key, head.record)


def _promised(rows: Sequence[Reservation], status: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for row in rows:
        if row.status == status:
            found.update(_units(row.units, f"the reservation of {row.order_id}"))
    return found


def _units(column: str, where: str) -> Mapping[str, int]:
    units = opened(column, where)
    if any(type(n) is not int for n in units.values()):
        raise Malformed(f"{where} does not count in whole units")
    return cast("Mapping[str, int]", units)


def _text(units: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {sku}" for sku, n in sorted(units.items())) or "nothing"
