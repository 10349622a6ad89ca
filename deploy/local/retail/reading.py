"""Reads a retail CSV, plain or gzipped, as a stream of rows with their line numbers.

A row is one physical line, so that one unclosed quote breaks one row and not the rest of the
file, and a line number is what an editor shows. What cannot be read as a row is a `Rejected`
with a reason of the rule table; what cannot be read as a file is a `RetailFileError`, and then
nothing was published. This module knows nothing of orders.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from deploy.local.retail.rules import BAD_DATE, BAD_NUMBER, BROKEN_ROW, COLUMNS, Rejected, Row

SHIPPED_MONTH = Path(__file__).parent / "online-retail-2010-12.csv.gz"
LINE_BYTES_MAX = 64 * 1024

_GZIP_MAGIC = b"\x1f\x8b"
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,9}")
_DECIMAL_NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?")
_SHOWN = 40


class RetailFileError(Exception):
    """The file as a whole cannot be imported; the message says why and what to do."""


class _Unreadable(Exception):  # a refusal on its way to becoming a Rejected
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def read(path: Path) -> Iterator[Row | Rejected]:
    """Every row after the header, in file order. Raises RetailFileError."""
    line = 0
    try:
        with _opened(path) as stream:
            numbered = _lines(stream)
            _check_header(path, next(numbered, (1, b""))[1])
            for line, raw in numbered:
                if raw.strip():
                    yield _row(line, raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RetailFileError(
            f"{path}: line {line + 1}: here the gzip archive is damaged ({error}); "
            "copy or download it again"
        ) from error
    except OSError as error:
        raise RetailFileError(f"{path}: {error.strerror or error}; name a readable CSV") from error


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if packed:
            with gzip.open(file, "rb") as unpacked:
                yield unpacked  # type: ignore[misc]  # a GzipFile reads as any binary file
        else:
            yield file


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Numbered lines without their ends; a line that is too long is cut one byte over the limit."""
    line = 0
    while raw := stream.readline(LINE_BYTES_MAX + 1):
        line += 1
        tail = raw
        while not tail.endswith(b"\n") and len(tail) > LINE_BYTES_MAX:
            tail = stream.readline(LINE_BYTES_MAX + 1)
        yield line, raw.rstrip(b"\r\n")


def _check_header(path: Path, raw: bytes) -> None:
    expected = ", ".join(COLUMNS)
    place = f"{path}: line 1"
    if not raw.strip():
        raise RetailFileError(f"{place} is empty; write the columns {expected} there")
    try:
        found = tuple(name.strip() for name in _cells(raw.removeprefix(b"\xef\xbb\xbf")))
    except _Unreadable as error:
        raise RetailFileError(
            f"{place} is not a CSV header ({error.detail}); "
            f"save it as CSV in UTF-8 with the columns {expected}"
        ) from error
    if found != COLUMNS:
        seen = ", ".join(name[:_SHOWN] for name in found[:20])
        raise RetailFileError(
            f"{place} has another shape: expected the columns {expected}; "
            f"found {seen}. Rename or reorder the columns and import again"
        )


def _row(line: int, raw: bytes) -> Row | Rejected:
    invoice = ""
    try:
        cells = _cells(raw)
        invoice = cells[0].strip()
        return _typed(line, cells)
    except _Unreadable as error:
        return Rejected(line, error.reason, error.detail, invoice)


def _cells(raw: bytes) -> list[str]:
    if len(raw) > LINE_BYTES_MAX:
        raise _Unreadable(BROKEN_ROW, f"the line is longer than {LINE_BYTES_MAX} bytes")
    try:
        return next(csv.reader([raw.decode("utf-8")], strict=True))
    except UnicodeDecodeError as error:
        raise _Unreadable(BROKEN_ROW, f"byte {error.start + 1} of the line is not UTF-8") from error
    except csv.Error as error:
        raise _Unreadable(BROKEN_ROW, f"not a line of CSV: {error}") from error


def _typed(line: int, cells: list[str]) -> Row:
    if len(cells) != len(COLUMNS):
        raise _Unreadable(BROKEN_ROW, f"{len(cells)} columns instead of {len(COLUMNS)}")
    invoice, code, description, quantity, moment, price, customer, country = (
        cell.strip() for cell in cells
    )
    for name, value in (("InvoiceNo", invoice), ("StockCode", code), ("Country", country)):
        if not value:
            raise _Unreadable(BROKEN_ROW, f"{name} is empty")
    return Row(
        line=line,
        invoice=invoice.upper(),
        code=code.upper(),
        description=description,
        quantity=_quantity(quantity),
        local_time=_local_time(moment),
        unit_price_minor=_pence(price),
        customer_id=customer.removesuffix(".0") or None,
        country=country,
    )


def _quantity(text: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(text):
        raise _Unreadable(BAD_NUMBER, f"Quantity {text[:_SHOWN]!r} is not a whole number")
    return int(text)


def _pence(text: str) -> int:
    if not _DECIMAL_NUMBER.fullmatch(text):
        raise _Unreadable(BAD_NUMBER, f"UnitPrice {text[:_SHOWN]!r} is not a decimal number")
    pence = Decimal(text) * 100
    if pence != int(pence):
        raise _Unreadable(BAD_NUMBER, f"UnitPrice {text[:_SHOWN]!r} is not whole pence")
    return int(pence)


@lru_cache(maxsize=4096)
def _local_time(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007  # the shop's clock
    except ValueError as error:
        raise _Unreadable(
            BAD_DATE, f"InvoiceDate {text[:_SHOWN]!r} is not YYYY-MM-DD HH:MM:SS"
        ) from error
