"""Where analytics keeps its rows: which dataclass lies in which table, which columns are JSON.

Knows no rule; the tables themselves stand in `migrations`, the named reads in `store.sql`.
"""

from __future__ import annotations

from pathlib import Path

from services.analytics.domain import Day, Delivery, OrderFacts, Product, Profile
from services.chassis.tables import Table

TABLES = (
    Table(
        OrderFacts,
        "order_facts",
        key="order_id",
        json=("placed", "outcome", "payments", "cancellations", "refusals"),
    ),
    Table(
        Day,
        "day",
        key="date",
        json=(
            "cancelled_by",
            "ordered_minor",
            "captured_minor",
            "voided_minor",
            "refunded_minor",
        ),
    ),
    Table(Delivery, "delivery", key="delivery_id"),
    Table(Product, "product", key="sku"),
    Table(Profile, "profile", key="customer_id"),
)
MIGRATIONS = Path(__file__).parent / "migrations"
QUERIES = Path(__file__).parent / "store.sql"
