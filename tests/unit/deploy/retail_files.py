"""Tiny retail files for tests: a good row, changed where a test wants it changed."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from deploy.local.retail.orders import Judged, judge_rows
from deploy.local.retail.reading import read
from deploy.local.retail.rules import COLUMNS

GOOD = {
    "InvoiceNo": "500001",
    "StockCode": "85123A",
    "Description": "A LAMP",
    "Quantity": "6",
    "InvoiceDate": "2010-12-01 08:26:00",
    "UnitPrice": "2.55",
    "CustomerID": "17850.0",
    "Country": "United Kingdom",
}


def row(**changed: str) -> str:
    cells = {**GOOD, **changed}
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([cells[name] for name in COLUMNS])
    return out.getvalue()


def write(folder: Path, *lines: str, header: str = ",".join(COLUMNS)) -> Path:
    path = folder / "orders.csv"
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return path


def judged(folder: Path, *lines: str) -> Judged:
    return judge_rows(read(write(folder, *lines)))
