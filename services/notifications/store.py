"""Where notifications keeps its rows: which dataclass lies in which table.

Knows no rule; the tables themselves stand in `migrations`, the named reads in `store.sql`.
"""

from __future__ import annotations

from pathlib import Path

from services.chassis.tables import Table
from services.notifications.domain import Customer, OrderMail

TABLES = (
    Table(OrderMail, "order_mail", key="order_id", json=("facts", "letters")),
    Table(Customer, "customer", key="customer_id", json=("letters", "waiting")),
)
MIGRATIONS = Path(__file__).parent / "migrations"
QUERIES = Path(__file__).with_name("store.sql")
