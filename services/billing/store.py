"""Where billing keeps its rows: which dataclass lies in which table.

Knows no rule; the tables themselves stand in `migrations`, the named reads in `store.sql`.
"""

from __future__ import annotations

from pathlib import Path

from services.billing.domain import Account, Payment, Posting
from services.chassis.tables import Table

TABLES = (
    Table(Payment, "payment", key="order_id"),
    Table(Posting, "posting", key="posting_id"),
    Table(Account, "account", key="customer_id"),
)
MIGRATIONS = Path(__file__).parent / "migrations"
QUERIES = Path(__file__).with_name("store.sql")
