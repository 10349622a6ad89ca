"""Where crm keeps its rows: which dataclass lies in which table, and which columns are JSON.

Knows no rule; the tables themselves stand in `migrations`, the named reads in `store.sql`.
"""

from __future__ import annotations

from pathlib import Path

from services.chassis.tables import Table
from services.crm.domain import Customer, CustomerOrder

TABLES = (
    Table(Customer, "customer", key="customer_id", json=("captured", "refunded")),
    Table(
        CustomerOrder,
        "customer_order",
        key="order_id",
        json=("outcome", "placed", "payments"),
    ),
)
MIGRATIONS = Path(__file__).parent / "migrations"
QUERIES = Path(__file__).parent / "store.sql"
