"""The books of the company, checked against each other: outcomes, money, stock, parcels.

Shares nothing with what wrote them: every number is read from a database or a topic and compared
with what was ordered. An order is judged only once nothing is under way any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from schemas.common import Item, Line
from schemas.inventory import GoodsReceived
from schemas.orchestrator import OrderCancelled, OrderFulfilled
from schemas.orders import OrderPlaced
from services.chassis.bus_admin import read_all
from tests.integration.running_company import (
    CODEC,
    OUTCOMES,
    Company,
    Sent,
    by_first,
    message,
    opened,
    until,
)

PRODUCTS: Final = ("cup", "saucer", "spoon")
SOLD_OUT: Final = "teapot"
UNITS: Final = 100_000
REFUSED_BY_CARRIER: Final = "EIRE"
PHASES: Final = {"completed": "fulfilled", "compensated": "cancelled"}


def order(order_id: str, **fields: object) -> OrderPlaced:
    """Two products, a charge, 22.50 in all; `fields` replace what they name."""
    plain: dict[str, object] = {
        "order_id": order_id,
        "customer_id": None,
        "currency": "GBP",
        "lines": (Line("cup", 2, 1000), Line("saucer", 1, 250)),
        "country": "France",
        "placed_at": datetime.now(UTC),
    }
    return OrderPlaced(**{**plain, **fields})  # type: ignore[arg-type]


def many_orders(prefix: str, n: int) -> list[OrderPlaced]:
    """Of every ten: one the carrier refuses, one declined, one sold out, one of a slow bank."""
    special: Mapping[int, dict[str, object]] = {
        2: {"country": REFUSED_BY_CARRIER},
        4: {"payment_method": "tok_declined"},
        6: {"lines": (Line(SOLD_OUT, 1, 500), Line("cup", 1, 1000))},
        8: {"payment_method": "tok_slow"},
    }
    return [
        order(f"{prefix}-{at}", customer_id=f"{prefix}-c{at % 7}", **special.get(at % 10, {}))
        for at in range(n)
    ]


def placed(*orders: OrderPlaced) -> list[Sent]:
    return [message(each, f"{each.order_id}/placed") for each in orders]


async def deliver(company: Company, delivery_id: str = "opening") -> None:
    """Stock enough for every order but those of SOLD_OUT; returns when it is on the shelves."""
    items = tuple(Item(sku, UNITS) for sku in PRODUCTS)
    body = GoodsReceived(delivery_id, items, datetime.now(UTC))
    await company.publish(message(body, f"{delivery_id}/received"))
    query = "SELECT 1 FROM delivery WHERE delivery_id = ?"
    await until(lambda: company.rows("inventory", query, delivery_id), "inventory took it in")


def phases(company: Company) -> dict[str, str]:
    """Of every order's saga, by order."""
    rows = company.rows(
        "orchestrator",
        "SELECT keys.name, phase FROM sagas JOIN keys ON keys.id = sagas.key"
        " WHERE definition = 'fulfilment'",
    )
    return {str(key): str(phase) for key, phase in rows}


def moving(company: Company, orders: Sequence[OrderPlaced]) -> bool:
    """Most of these have begun, and not all have ended."""
    found = phases(company)
    known = [found[each.order_id] for each in orders if each.order_id in found]
    return len(known) > len(orders) // 2 and "running" in known


async def ended(company: Company, orders: Iterable[OrderPlaced]) -> dict[str, str]:
    """Waits until these orders have ended and nothing is under way; how each of them ended."""
    ids = [each.order_id for each in orders]

    def left() -> dict[str, str]:
        found = phases(company)
        return {each: found.get(each, "unknown") for each in ids if found.get(each) not in PHASES}

    await until(lambda: not left(), f"every one of {len(ids)} orders has ended")
    await until(company.drained, "nothing is under way")
    found = phases(company)
    return {each: PHASES[found[each]] for each in ids}


async def outcomes_of(
    company: Company, ids: Iterable[str]
) -> dict[str, OrderFulfilled | OrderCancelled]:
    """The one terminal outcome of each, from the topic; repeats must be the same to the byte."""
    wanted = set(ids)
    said: dict[str, dict[tuple[bytes, bytes], bytes]] = {}
    for record in await read_all(company.kafka, [OUTCOMES]):
        key, headers = (record.key or b"").decode(), dict(record.headers)
        terminal = headers["ce_type"].endswith((b".OrderFulfilled", b".OrderCancelled"))
        if key not in wanted or not terminal:
            continue
        known = said.setdefault(key, {})
        value = record.value or b""
        assert known.setdefault((headers["ce_source"], headers["ce_id"]), value) == value
    for key, known in said.items():
        assert list(known) == [(b"orchestrator", f"fulfilment:{key}/outcome".encode())]
    found = {}
    for key, known in said.items():
        (value,) = known.values()
        body = CODEC.decode(value)
        assert isinstance(body, OrderFulfilled | OrderCancelled)
        found[key] = body
    return found


async def check_books(company: Company, orders: Sequence[OrderPlaced]) -> Counter[str]:
    """How many were fulfilled and cancelled, after everybody's books were found to agree."""
    how = await ended(company, orders)
    bodies = {each.order_id: each for each in orders}
    await _agree(company, how)
    _check_money(company, how, bodies)
    _check_parcels(company, how, bodies)
    _check_stock(company, how, bodies)
    _check_letters(company, how)
    return Counter(how.values())


async def _agree(company: Company, how: Mapping[str, str]) -> None:
    """One outcome, and everybody who follows the orders knows the same one."""
    said = await outcomes_of(company, how)
    kinds = {OrderFulfilled: "fulfilled", OrderCancelled: "cancelled"}
    assert {key: kinds[type(body)] for key, body in said.items()} == how
    for process, table in (
        ("orders", "placed_order"),
        ("crm", "customer_order"),
        ("analytics", "order_facts"),
    ):
        rows = by_first(company.rows(process, f"SELECT order_id, outcome ->> 'kind' FROM {table}"))
        assert {key: rows[key][0] for key in how} == how, process
    told = by_first(company.rows("notifications", "SELECT order_id, facts FROM order_mail"))
    for key, kind in how.items():
        facts = opened(told[key][0])
        assert isinstance(facts, dict)
        assert set(facts) & {"fulfilled", "cancelled"} == {kind}


def _check_money(
    company: Company, how: Mapping[str, str], bodies: Mapping[str, OrderPlaced]
) -> None:
    """The bank's books and ours say the same, and of each order all or nothing was taken."""
    columns = "authorised, captured, voided, refunded"
    bank = by_first(company.rows("payment", f"SELECT order_id, {columns} FROM payment"))
    ours = by_first(
        company.rows(
            "billing",
            "SELECT order_id, authorised_minor, captured_minor, voided_minor, refunded_minor"
            " FROM payment",
        )
    )
    nothing = (0, 0, 0, 0)
    for key, kind in how.items():
        total = bodies[key].total_minor
        legal = {(total, total, 0, 0)} if kind == "fulfilled" else {nothing, (total, 0, total, 0)}
        assert bank.get(key, nothing) in legal, key
        assert ours.get(key, nothing) == bank.get(key, nothing), key
    sums = company.rows(
        "billing", "SELECT currency, sum(amount_minor) FROM entry GROUP BY currency"
    )
    assert all(total == 0 for _, total in sums)
    taken = company.rows(
        "billing",
        "SELECT (SELECT coalesce(sum(amount_minor), 0) FROM entry WHERE account = 'merchant'),"
        " (SELECT coalesce(sum(captured_minor - refunded_minor), 0) FROM payment)",
    )
    assert taken[0][0] == taken[0][1]


def _check_parcels(
    company: Company, how: Mapping[str, str], bodies: Mapping[str, OrderPlaced]
) -> None:
    """What was fulfilled left the house, once; of what was cancelled nothing did."""
    theirs = by_first(company.rows("carrier", "SELECT order_id, state, pieces FROM booking"))
    ours = by_first(company.rows("shipping", "SELECT order_id, status FROM shipment"))
    for key, kind in how.items():
        pieces = sum(line.quantity for line in bodies[key].lines)
        if kind == "fulfilled":
            assert theirs[key] == ("dispatched", pieces), key
            assert ours[key] == ("dispatched",), key
        else:
            assert theirs.get(key, ("cancelled",))[0] == "cancelled", key
            assert ours.get(key, ("cancelled",))[0] in ("cancelled", "refused"), key


def _check_stock(
    company: Company, how: Mapping[str, str], bodies: Mapping[str, OrderPlaced]
) -> None:
    """received = on hand + reserved + gone; nothing stays reserved; what is gone was ordered."""
    received: Counter[str] = Counter()
    for (column,) in company.rows("inventory", "SELECT units FROM delivery"):
        received.update(units_of(column))
    held = by_first(company.rows("inventory", "SELECT order_id, status, units FROM reservation"))
    gone: Counter[str] = Counter()
    for status, column in held.values():
        if status == "gone":
            gone.update(units_of(column))
    shelves = company.rows(
        "inventory", "SELECT sku, on_hand + reserved + gone, reserved, gone FROM shelf"
    )
    assert sorted(shelves) == sorted((sku, n, 0, gone[sku]) for sku, n in received.items())
    for key, kind in how.items():
        if kind == "fulfilled":
            units: Counter[str] = Counter()
            for line in bodies[key].lines:
                units[line.sku] += line.quantity
            assert held[key][0] == "gone", key
            assert units_of(held[key][1]) == units, key
        else:
            assert held.get(key, ("released",))[0] == "released", key


def units_of(column: object) -> Counter[str]:
    found = opened(column)
    assert isinstance(found, dict)
    return Counter(found)


def _check_letters(company: Company, how: Mapping[str, str]) -> None:
    """Nobody is told of both ends of an order."""
    mails = {str(name) for (name,) in company.rows("mail", "SELECT message_id FROM mail")}
    other = {"fulfilled": "cancelled", "cancelled": "fulfilled"}
    assert not mails & {f"<{key}/{other[kind]}@baton.invalid>" for key, kind in how.items()}
