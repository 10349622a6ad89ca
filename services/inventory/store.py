"""Where inventory keeps its rows: which dataclass lies in which table, and which columns are JSON.

Knows no rule; the tables themselves stand in `migrations`, the named reads in `store.sql`.
"""

from __future__ import annotations

from pathlib import Path

from services.chassis.tables import Table
from services.inventory.domain import Delivery, Reservation, Shelf

TABLES = (
    Table(Shelf, "shelf", key="sku"),
    Table(Reservation, "reservation", key="order_id", json=("units",)),
    Table(Delivery, "delivery", key="delivery_id", json=("units",)),
)
MIGRATIONS = Path(__file__).parent / "migrations"
QUERIES = Path(__file__).parent / "store.sql"
