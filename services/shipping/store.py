"""Where shipping keeps its rows: which dataclass lies in which table.

Knows no rule; the table itself stands in `migrations`, the named reads in `store.sql`.
"""

from __future__ import annotations

from pathlib import Path

from services.chassis.tables import Table
from services.shipping.domain import Shipment

TABLES = (Table(Shipment, "shipment", key="order_id"),)
MIGRATIONS = Path(__file__).parent / "migrations"
QUERIES = Path(__file__).with_name("store.sql")
