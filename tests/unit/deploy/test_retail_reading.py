"""What is not a row, and what is not a file: each refused by name and place."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from retail_files import row, write

from deploy.local.retail.reading import LINE_BYTES_MAX, SHIPPED_MONTH, RetailFileError, read
from deploy.local.retail.rules import COLUMNS, Rejected, Row

GOOD_ROW = Row(
    line=2,
    invoice="500001",
    code="85123A",
    description="A LAMP",
    quantity=6,
    local_time=datetime(2010, 12, 1, 8, 26),  # noqa: DTZ001
    unit_price_minor=255,
    customer_id="17850",
    country="United Kingdom",
)


def rows(path: Path) -> list[Row | Rejected]:
    return list(read(path))


def test_a_row_is_typed_and_stripped(tmp_path: Path) -> None:
    """Codes upper-case, `.0` gone, price in pence, outer spaces gone."""
    spaced = row(StockCode=" 85123a ", Description="  A LAMP ", UnitPrice="2.55")
    assert rows(write(tmp_path, spaced)) == [GOOD_ROW]


def test_a_gzipped_file_reads_the_same(tmp_path: Path) -> None:
    """The content tells a gzip archive, not the name."""
    plain = write(tmp_path, row())
    packed = tmp_path / "packed.csv"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert rows(packed) == rows(plain)


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_line_ends_and_byte_order_mark_of_spreadsheets_are_read(tmp_path: Path, end: bytes) -> None:
    """What Excel writes is the same file."""
    path = tmp_path / "excel.csv"
    path.write_bytes(b"\xef\xbb\xbf" + end.join([",".join(COLUMNS).encode(), row().encode(), b""]))
    assert rows(path) == [GOOD_ROW]


def test_a_last_line_without_its_end_is_read(tmp_path: Path) -> None:
    """Nothing is lost at the end of the file."""
    path = tmp_path / "orders.csv"
    path.write_text(",".join(COLUMNS) + "\n" + row())
    assert rows(path) == [GOOD_ROW]


def test_blank_lines_are_no_rows_but_keep_their_numbers(tmp_path: Path) -> None:
    """Line numbers are those an editor shows."""
    found = rows(write(tmp_path, "", row(), "   ", row(Quantity="x")))
    assert [each.line for each in found] == [3, 5]


BROKEN = [
    ("only,three,cells", "broken_row", "3 columns instead of 8"),
    (row() + ",ninth", "broken_row", "9 columns instead of 8"),
    (row().replace("A LAMP", '"A LAMP'), "broken_row", "not a line of CSV: unexpected end of data"),
    (row(StockCode=" "), "broken_row", "StockCode is empty"),
    (row(InvoiceNo=""), "broken_row", "InvoiceNo is empty"),
    (row(Country=""), "broken_row", "Country is empty"),
    (row(Description="x" * LINE_BYTES_MAX), "broken_row", "the line is longer than 65536 bytes"),
    (row(Quantity="six"), "bad_number", "Quantity 'six' is not a whole number"),
    (row(Quantity="1.5"), "bad_number", "Quantity '1.5' is not a whole number"),
    (row(Quantity="1_0"), "bad_number", "Quantity '1_0' is not a whole number"),
    (row(Quantity=""), "bad_number", "Quantity '' is not a whole number"),
    (row(Quantity="9" * 10), "bad_number", "Quantity '9999999999' is not a whole number"),
    (row(UnitPrice="2,55"), "bad_number", "UnitPrice '2,55' is not a decimal number"),
    (row(UnitPrice="NaN"), "bad_number", "UnitPrice 'NaN' is not a decimal number"),
    (row(UnitPrice="1e3"), "bad_number", "UnitPrice '1e3' is not a decimal number"),
    (row(UnitPrice="0.001"), "bad_number", "UnitPrice '0.001' is not whole pence"),
    (
        row(InvoiceDate="01/12/2010 08:26"),
        "bad_date",
        "InvoiceDate '01/12/2010 08:26' is not YYYY-MM-DD HH:MM:SS",
    ),
    (
        row(InvoiceDate="2010-02-30 08:26:00"),
        "bad_date",
        "InvoiceDate '2010-02-30 08:26:00' is not YYYY-MM-DD HH:MM:SS",
    ),
]


@pytest.mark.parametrize(("line", "reason", "detail"), BROKEN)
def test_a_row_that_cannot_be_read_is_rejected_where_it_stands(
    tmp_path: Path, line: str, reason: str, detail: str
) -> None:
    """The reason, the line and what was seen; the rows around it are read."""
    before, broken, after = rows(write(tmp_path, row(), line, row(Quantity="7")))
    assert (type(before), type(after)) == (Row, Row)
    assert isinstance(broken, Rejected)
    assert (broken.line, broken.reason, broken.detail) == (3, reason, detail)


def test_bytes_that_are_not_utf_8_break_their_row_only(tmp_path: Path) -> None:
    """A Latin-1 pound sign is named with its place."""
    path = write(tmp_path, row(), row())
    path.write_bytes(path.read_bytes().replace(b"A LAMP", b"\xa35 LAMP", 1))
    broken, good = rows(path)
    assert broken == Rejected(2, "broken_row", "byte 15 of the line is not UTF-8")
    assert isinstance(good, Row)


def test_prices_are_exact(tmp_path: Path) -> None:
    """Every price of whole pence is itself, with any number of written decimals."""
    prices = {"0.07": 7, "2.1": 210, "18745.86": 1_874_586, "1.150": 115, "4": 400, "-3.5": -350}
    found = rows(write(tmp_path, *(row(UnitPrice=text) for text in prices)))
    assert [each.unit_price_minor for each in found if isinstance(each, Row)] == list(
        prices.values()
    )


def test_another_shape_is_refused_whole(tmp_path: Path) -> None:
    """The message names the file, the columns expected and those found."""
    path = write(tmp_path, "1,2,3", header="Invoice,Price,Customer ID")
    with pytest.raises(RetailFileError) as refusal:
        rows(path)
    assert str(refusal.value) == (
        f"{path}: line 1 has another shape: expected the columns InvoiceNo, StockCode, "
        "Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country; found Invoice, "
        "Price, Customer ID. Rename or reorder the columns and import again"
    )


def test_the_eight_columns_in_another_order_are_another_shape(tmp_path: Path) -> None:
    """Guessing which column is which would sell at the wrong price."""
    path = write(tmp_path, row(), header=",".join(reversed(COLUMNS)))
    with pytest.raises(RetailFileError, match="found Country, CustomerID, UnitPrice"):
        rows(path)


def unreadable_files(folder: Path) -> Iterator[tuple[Path, str]]:
    empty, damaged, other = (folder / name for name in ("empty", "damaged", "odd"))
    empty.write_bytes(b"")
    damaged.write_bytes(b"\x1f\x8b" + b"\0" * 100)
    other.write_bytes(b"\xff\xfe" + ",".join(COLUMNS).encode("utf-16-le"))
    yield folder / "absent.csv", "No such file or directory; name a readable CSV"
    yield folder, "Is a directory; name a readable CSV"
    yield empty, "line 1 is empty; write the columns InvoiceNo"
    yield damaged, "line 1: here the gzip archive is damaged"
    yield other, "line 1 is not a CSV header (byte 1 of the line is not UTF-8)"


def test_an_unreadable_file_is_refused_by_name(tmp_path: Path) -> None:
    """Missing, a directory, empty, a damaged archive, another encoding: each says so."""
    for path, said in unreadable_files(tmp_path):
        with pytest.raises(RetailFileError) as refusal:
            rows(path)
        assert str(refusal.value).startswith(f"{path}: ")
        assert said in str(refusal.value)


def test_an_archive_that_ends_early_is_refused(tmp_path: Path) -> None:
    """Half a download is no file: nothing of it is taken for the whole."""
    short = tmp_path / "short.csv.gz"
    short.write_bytes(SHIPPED_MONTH.read_bytes()[:-20_000])
    with pytest.raises(RetailFileError, match=r"line [0-9]{5}: here the gzip archive is damaged"):
        rows(short)
