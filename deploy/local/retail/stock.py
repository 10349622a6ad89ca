"""The opening stock of an import: scarce enough that some orders are refused, by a fixed rule.

Pure. It is computed from exactly the orders that will be published, never from the whole file,
so that a day is as scarce as a month. Received in deliveries of a bounded size.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from deploy.local.retail.orders import Order

SCARCE_SHARE_PERCENT = 5
SCARCE_ORDERS_MIN = 8
SCARCE_STOCK_PERCENT = 80
DELIVERY_ITEMS_MAX = 200


@dataclass(frozen=True, slots=True)
class Delivery:
    """Goods that arrive together: (code, units), in order of code."""

    delivery_id: str
    items: tuple[tuple[str, int], ...]


def opening_stock(orders: Sequence[Order]) -> dict[str, int]:
    """Units by product. A product in many of the orders starts with less than they ask for."""
    demand: Counter[str] = Counter()
    asked_by: Counter[str] = Counter()
    for order in orders:
        units = order.units_by_code()
        demand += units
        asked_by.update(units.keys())
    return {
        code: _stock_of(units, asked_by[code], len(orders))
        for code, units in sorted(demand.items())
    }


def deliveries(stock: Mapping[str, int]) -> tuple[Delivery, ...]:
    """Ids come from the content: the same stock again is the same deliveries, received once."""
    items = tuple(sorted((code, units) for code, units in stock.items() if units > 0))
    digest = sha256(json.dumps(items).encode()).hexdigest()[:12]
    return tuple(
        Delivery(f"retail-opening-{digest}-{number:03}", chunk)
        for number, chunk in enumerate(_chunks(items), start=1)
    )


def _stock_of(units: int, asked_by: int, orders: int) -> int:
    widely_asked = asked_by * 100 >= SCARCE_SHARE_PERCENT * orders
    if widely_asked and asked_by >= SCARCE_ORDERS_MIN:
        return units * SCARCE_STOCK_PERCENT // 100
    return units


def _chunks(items: tuple[tuple[str, int], ...]) -> Iterable[tuple[tuple[str, int], ...]]:
    for start in range(0, len(items), DELIVERY_ITEMS_MAX):
        yield items[start : start + DELIVERY_ITEMS_MAX]
