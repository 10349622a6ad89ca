"""Every bound of every message holds at both of its edges, and one step beyond is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import ValidationError
from samples import NOW, number, python_type, sample, text

from schemas.catalogue import load_catalogue
from schemas.common import Charge, Item, Line, Money
from schemas.customers import CustomerRegistered
from schemas.orders import OrderPlaced
from schemas.rules import bounded
from schemas.shapes import Array, Enum, Field, Primitive, Record, Shape, Union

Fields = dict[str, object]


def of_number(declared: Field) -> Iterator[tuple[object, bool]]:
    low, high = (number(declared.attributes[name]) for name in ("minimum", "maximum"))
    yield from ((low, True), (high, True), (low - 1, False), (high + 1, False))
    yield from ((True, False), (str(low), False), (low + 0.5, False), (None, False))


def of_text(declared: Field) -> Iterator[tuple[object, bool]]:
    given = declared.attributes
    yield from ((b"GBP", False), (7, False))
    if "pattern" not in given and "format" not in given:
        shortest, longest = number(given.get("min_length", 0)), number(given["max_length"])
        yield from (("x" * shortest, True), ("x" * longest, True), ("x" * (longest + 1), False))
        if shortest:
            yield "", False
        return
    good = text(declared)
    yield from ((good, True), ("", False), (f"{good}\n", False), (f" {good}", False))
    yield f"{good}{'x' * 254}", False


def of_list(declared: Field, items: Shape) -> Iterator[tuple[object, bool]]:
    given, one = declared.attributes, sample(declared, items)
    fewest, most = number(given.get("min_items", 0)), number(given["max_items"])
    yield from (([one] * fewest, True), ([one] * most, True), ([one] * (most + 1), False))
    yield "a-1", False
    if fewest:
        yield [], False


def edges(declared: Field) -> Iterator[tuple[object, bool]]:
    """Values of a field, each with whether it is legal."""
    shape, inner = declared.shape, bounded(declared.shape)
    if isinstance(shape, Union):
        yield None, True
    elif isinstance(shape, Array):
        yield from of_list(declared, shape.items)
        return
    match inner:
        case Primitive("string"):
            yield from of_text(declared)
        case Primitive("boolean"):
            yield from ((True, True), (False, True), (1, False), ("true", False))
        case Primitive("long", "timestamp-micros"):
            yield from ((NOW, True), (NOW.replace(tzinfo=None), False))
        case Primitive("int" | "long"):
            unlike = (None,) if isinstance(shape, Union) else ()
            yield from (each for each in of_number(declared) if each[0] not in unlike)
        case Enum(symbols=symbols):
            yield from ((symbols[-1], True), ("dance", False))
        case Record():
            yield from (({}, False), ("GBP 1", False))


def cases() -> Iterator[tuple[str, str]]:
    for name, record in sorted(load_catalogue().records.items()):
        yield from ((name, each.name) for each in record.fields)


def is_accepted(made: type, values: Fields) -> bool:
    try:
        made(**values)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(("name", "field"), list(cases()))
def test_a_field_takes_its_bounds_and_nothing_beyond(name: str, field: str) -> None:
    """Enumerated over every field of every record: both edges pass, each step beyond fails."""
    record = load_catalogue().records[name]
    declared = record.field_named(field)
    assert declared is not None
    legal = {each.name: sample(each, each.shape) for each in record.fields}
    tried = list(edges(declared))

    found = [(value, is_accepted(python_type(name), {**legal, field: value})) for value, _ in tried]

    assert found == tried
    assert {verdict for _, verdict in tried} == {True, False} or isinstance(declared.shape, Record)


def line(quantity: int, unit_price_minor: int) -> Line:
    return Line("A", quantity, unit_price_minor)


def placed(lines: tuple[Line, ...], charges: tuple[Charge, ...] = ()) -> OrderPlaced:
    return OrderPlaced("o-1", None, "GBP", lines, "France", NOW, charges)


def test_the_bounds_are_the_promised_ones() -> None:
    """Quantity 1 to 100,000, unit price to 10^8, lines to 2,000, an amount to 10^9."""
    records = load_catalogue().records
    bounds = {
        f"{record}.{field}": dict(each.attributes)
        for record, field in (
            ("baton.common.Line", "quantity"),
            ("baton.common.Line", "unit_price_minor"),
            ("baton.orders.OrderPlaced", "lines"),
            ("baton.common.Money", "amount_minor"),
        )
        if (each := records[record].field_named(field))
    }

    assert bounds == {
        "baton.common.Line.quantity": {"minimum": 1, "maximum": 100_000},
        "baton.common.Line.unit_price_minor": {"minimum": 0, "maximum": 10**8},
        "baton.orders.OrderPlaced.lines": {"min_items": 1, "max_items": 2_000},
        "baton.common.Money.amount_minor": {"minimum": 0, "maximum": 10**9},
    }


@pytest.mark.parametrize(
    ("lines", "charges", "total"),
    [
        ((line(10, 10**8),), (), 10**9),
        ((line(1, 0),), (), 0),
        ((line(10, 10**8), line(1, 1)), (Charge("DISCOUNT", -1),), 10**9),
    ],
)
def test_a_total_within_its_bounds_is_taken(
    lines: tuple[Line, ...], charges: tuple[Charge, ...], total: int
) -> None:
    """The sum of lines and charges counts, not any one of them."""
    assert placed(lines, charges).total_minor == total


@pytest.mark.parametrize(
    ("lines", "charges"),
    [
        ((line(10, 10**8), line(1, 1)), ()),
        ((line(1, 1),), (Charge("DISCOUNT", -2),)),
        ((line(100_000, 10**8),) * 2_000, ()),
    ],
)
def test_a_total_beyond_its_bounds_is_refused(
    lines: tuple[Line, ...], charges: tuple[Charge, ...]
) -> None:
    """Too much in all, or less than nothing, is no order."""
    with pytest.raises(ValidationError, match=r"total of lines and charges is outside 0\.\."):
        placed(lines, charges)


@pytest.mark.parametrize("currency", ["XXX", "gbp", "EURO", "", "XAU"])
def test_an_unknown_currency_is_refused(currency: str) -> None:
    """Only what one can be paid in is a currency."""
    with pytest.raises(ValidationError, match="ISO 4217"):
        Money(1, currency)


def test_a_sum_of_lines_fits_in_an_item() -> None:
    """An order of the largest size that names one product only can be summed into one item."""
    assert Item("A", 2_000 * 100_000).quantity == 200_000_000


def test_a_mail_address_cannot_carry_a_header() -> None:
    """A line break in an address would start a header of a mail."""
    with pytest.raises(ValidationError):
        CustomerRegistered("1", "A", "a@b.example\nBcc: c@d.example", "France", NOW)
