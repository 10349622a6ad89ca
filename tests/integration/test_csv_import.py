"""`baton import` against the running company: broken rows among good ones, and other files.

Each broken row is told with its line and reason, and keeps back nothing but its own invoice; a
file of another shape is refused whole, and then not one record lies in a topic that was not there.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.local.retail.rules import COLUMNS
from schemas.common import Line
from schemas.topics import TOPICS
from services.chassis.bus_admin import read_all
from tests.integration.books import check_books, order, phases
from tests.integration.running_company import Company, plainly, until

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

HEADER = ",".join(COLUMNS)
REST = "A BIRDCAGE,{quantity},2010-12-07 09:00:00,2.50,17850.0,{country}"
FULFILLED, DECLINED, REFUSED, BESIDE = "700001", "700002", "700003", "700004"
MIXED = "700005"


class Said(NamedTuple):
    code: int
    out: str
    err: str


def row(invoice: str, code: str = "CAGE-1", quantity: str = "4", country: str = "France") -> str:
    return f"{invoice},{code},{REST.format(quantity=quantity, country=country)}"


LINES = (  # the header is line 1
    row(FULFILLED),
    "only,three,cells",
    row(FULFILLED, "CAGE-2"),
    row(MIXED, quantity="four"),
    row(MIXED),
    row(DECLINED),
    row("700006").replace("2010-12-07", "07/12/2010"),
    row("700007").replace("A BIRDCAGE", "\xa3 BIRDCAGE"),
    row(REFUSED, country="EIRE"),
    row("C700008", quantity="-4"),
    row("700009", "CAGE 9"),
    row("700010", quantity="100001"),
    row(BESIDE).replace("A BIRDCAGE", '"A BIRDCAGE'),
    "",
    row("700011"),
)
REJECTED = [
    ["line", "reason", "detail"],
    ["3", "broken_row", "3 columns instead of 8"],
    ["5", "bad_number", "Quantity 'four' is not a whole number"],
    ["6", "incomplete_invoice", "line 5 of invoice 700005 is rejected"],
    ["8", "bad_date", "InvoiceDate '07/12/2010 09:00:00' is not YYYY-MM-DD HH:MM:SS"],
    ["9", "broken_row", "byte 15 of the line is not UTF-8"],
    ["11", "cancellation", "invoice C700008 returns goods"],
    ["12", "bad_identifier", "StockCode 'CAGE 9' has characters outside A-Z 0-9 . _ -"],
    ["13", "out_of_bounds", "quantity 100001 is not within 1 to 100000"],
    ["14", "broken_row", "not a line of CSV: unexpected end of data"],
]


async def typed(company: Company, *words: str) -> Said:
    """`baton …` in the company's state folder, as somebody at a terminal of this machine."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orchestrator.operate.cli", *words),
        env=plainly(BATON_HOME=str(company.home.root)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


async def test_broken_rows_are_told_and_the_good_orders_come_to_their_ends(
    company: Company, tmp_path: Path
) -> None:
    """Each broken row has its line and reason and is counted; three kinds of ends are reached."""
    path = tmp_path / "mixed.csv"
    path.write_bytes("\n".join((HEADER, *LINES)).encode("latin-1"))

    said = await typed(company, "import", str(path), "-o", "json")

    assert (said.code, said.err) == (0, "")
    told = json.loads(said.out)
    rejects = company.home.data / "imports" / "mixed.rejects.csv"
    assert told == {
        "rejects_file": str(rejects),
        "rows_read": 14,
        "rows_imported": 5,
        "rejected": dict(Counter(reason for _, reason, _ in REJECTED[1:]).most_common()),
        "orders": 4,
        "amount_minor": 5_000,
        "customers": 1,
        "products": 2,
        "stock_units": 20,
        "published": True,
    }
    assert list(csv.reader(rejects.read_text(encoding="utf-8").splitlines())) == REJECTED
    cage, other = Line("CAGE-1", 4, 250), Line("CAGE-2", 4, 250)
    orders = [
        order(f"retail-{FULFILLED}", lines=(cage, other)),
        order(f"retail-{DECLINED}", lines=(cage,)),
        order(f"retail-{REFUSED}", lines=(cage,)),
        order("retail-700011", lines=(cage,)),
    ]
    assert await check_books(company, orders) == {"fulfilled": 2, "cancelled": 2}
    found = phases(company)
    assert {key for key in found if key.startswith("retail-")} == {o.order_id for o in orders}
    assert found[f"retail-{FULFILLED}"] == "completed"


def another_shape(folder: Path) -> tuple[Path, str]:
    path = folder / "shape.csv"
    path.write_text("Invoice,Price\n1,2\n")
    return path, (
        f"{path}: line 1 has another shape: expected the columns {', '.join(COLUMNS)}; "
        "found Invoice, Price. Rename or reorder the columns and import again"
    )


def no_csv(folder: Path) -> tuple[Path, str]:
    path = folder / "page.csv"
    path.write_text('{"orders": [\n')
    return path, (
        f"{path}: line 1 has another shape: expected the columns {', '.join(COLUMNS)}; "
        'found {"orders": [. Rename or reorder the columns and import again'
    )


def empty(folder: Path) -> tuple[Path, str]:
    path = folder / "empty.csv"
    path.touch()
    return path, f"{path}: line 1 is empty; write the columns {', '.join(COLUMNS)} there"


def binary(folder: Path) -> tuple[Path, str]:
    path = folder / "picture.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    return path, (
        f"{path}: line 1 is not a CSV header (byte 1 of the line is not UTF-8); "
        f"save it as CSV in UTF-8 with the columns {', '.join(COLUMNS)}"
    )


def half_a_download(folder: Path) -> tuple[Path, str]:
    path = folder / "half.csv.gz"
    path.write_bytes(gzip.compress("\n".join((HEADER, row(FULFILLED))).encode())[:-12])
    return path, (
        f"{path}: line 1: here the gzip archive is damaged (Compressed file ended before the "
        "end-of-stream marker was reached); copy or download it again"
    )


def directory(folder: Path) -> tuple[Path, str]:
    return folder, f"{folder}: Is a directory; name a readable CSV"


@pytest.mark.parametrize("made", [another_shape, no_csv, empty, binary, half_a_download, directory])
async def test_a_file_that_is_none_is_refused_whole(
    company: Company, tmp_path: Path, made: Callable[[Path], tuple[Path, str]]
) -> None:
    """File, line, what is wrong, what to do; exit code 1, and no topic has a record more."""
    path, wrong = made(tmp_path)
    await until(company.drained, "nothing is under way")
    before = await records(company)

    said = await typed(company, "import", str(path))

    assert said == Said(
        1,
        "",
        f"✖ {wrong}. Nothing was published\n"
        f"  → baton import --dry-run {path}   (judges it again; nothing is published)\n",
    )
    assert await records(company) == before


async def records(company: Company) -> int:
    """In every topic."""
    return len(await read_all(company.kafka, [topic.name for topic in TOPICS]))
