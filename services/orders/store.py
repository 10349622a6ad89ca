"""Where orders keeps its rows: which dataclass lies in which table, and which columns are JSON.

Knows no rule; the tables themselves stand in `migrations`, the named reads in `store.sql`.
"""

from __future__ import annotations

from pathlib import Path

from services.chassis.tables import Table
from services.orders.domain import Order, Submission

ORDERS = Table(
    Order,
    "placed_order",
    key="order_id",
    json=("bodies", "told_as", "outcome", "attention", "cancellations"),
)
TABLES = (ORDERS, Table(Submission, "submission", key="idempotency_key"))
MIGRATIONS = Path(__file__).parent / "migrations"
QUERIES = Path(__file__).parent / "store.sql"
