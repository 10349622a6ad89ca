"""`baton order customer stock` as typed: real handlers of the services behind their real routes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stage import Said, Stage, Terminal

from schemas.orders import OrderPlaced
from services.inventory.api import routes as stock_routes
from services.inventory.domain import Shelf
from services.inventory.handlers import HANDLERS as INVENTORY
from services.inventory.store import MIGRATIONS as STOCK_MIGRATIONS
from services.inventory.store import TABLES as STOCK_TABLES
from services.orders.api import routes as order_routes
from services.orders.handlers import HANDLERS as ORDERS
from services.orders.store import MIGRATIONS as ORDER_MIGRATIONS
from services.orders.store import TABLES as ORDER_TABLES
from tests.unit.services.desk import Desk, Port


@pytest.fixture
def orders() -> Port:
    return Port(Desk(ORDERS, ORDER_TABLES), ORDER_MIGRATIONS)


@pytest.fixture
def address(stage: Stage, orders: Port) -> str:
    return stage.serve(order_routes(orders))


def test_an_order_of_lines_is_placed_and_says_what_to_type_next(
    terminal: Terminal, orders: Port, address: str
) -> None:
    """The event is the order that was typed."""
    said = terminal.type(
        "order", "place", "teapot:2:1250", "cup:6:300", "--id", "ord-1", "--country", "France",
        "--customer", "c-1", "--key", "key-1", "--url", address, "-o", "json",
    )  # fmt: skip
    (event,) = orders.emitted
    assert isinstance(event, OrderPlaced)

    assert json.loads(said.out) == {
        "order_id": "ord-1",
        "link": "/orders/ord-1",
        "idempotency_key": "key-1",
    }
    assert (said.code, said.err) == (0, "next: baton sagas show ord-1 · baton sagas wait ord-1\n")
    assert (event.order_id, event.customer_id, event.country, event.currency) == (
        "ord-1",
        "c-1",
        "France",
        "GBP",
    )
    assert [(line.sku, line.quantity, line.unit_price_minor) for line in event.lines] == [
        ("teapot", 2, 1250),
        ("cup", 6, 300),
    ]


def test_the_same_key_places_one_order(terminal: Terminal, orders: Port, address: str) -> None:
    """A submission may be repeated; without a key each is its own."""
    words = ("order", "place", "cup:1:300", "--url", address)
    first = [terminal.type(*words, "--key", "key-1").out for _ in range(2)]
    others = {terminal.type(*words).out for _ in range(2)}

    assert first[0] == first[1]
    assert (len(others), len(orders.emitted)) == (2, 3)


def test_an_order_may_stand_in_a_file(
    terminal: Terminal, orders: Port, address: str, tmp_path: Path
) -> None:
    """With what a line of words cannot say, such as another currency."""
    file = tmp_path / "order.json"
    line = {"sku": "cup", "quantity": 1, "unit_price_minor": 300}
    file.write_text(json.dumps({"currency": "EUR", "country": "France", "lines": [line]}))
    said = terminal.type("order", "place", str(file), "--url", address)
    (event,) = orders.emitted
    assert isinstance(event, OrderPlaced)

    assert (said.code, event.currency) == (0, "EUR")


def test_an_order_is_shown_and_its_cancellation_asked_for(
    terminal: Terminal, orders: Port, address: str
) -> None:
    """What the service knows of it, and what was asked."""
    terminal.type("order", "place", "cup:1:300", "--id", "ord-1", "--url", address)
    asked = terminal.type(
        "order", "cancel", "ord-1", "--reason", "too late", "--key", "request-1", "--url", address
    )
    shown = json.loads(terminal.type("order", "show", "ord-1", "--url", address, "-o", "json").out)

    assert (asked.code, len(orders.emitted)) == (0, 2)
    assert asked.err == "asked; what becomes of it: baton order show ord-1\n"
    assert shown["order_id"] == "ord-1"
    assert [each["request_id"] for each in shown["cancellations"]] == ["request-1"]


@pytest.mark.parametrize(
    ("words", "code", "err"),
    [
        (
            ("place", "cup:1"),
            2,
            "✖ 'cup:1': write a line as SKU:QUANTITY:PRICE, the price of one piece in pence\n",
        ),
        (
            ("place", "cup:one:300"),
            2,
            "✖ 'cup:one:300': 'one' is no whole number; write a line as SKU:QUANTITY:PRICE, the ",
        ),
        (("place", "cup:0:300"), 2, "✖ lines[0].quantity: "),
        (("place", "no such file"), 3, "✖ no such file: No such file or directory\n"),
        (("show", "ord-77"), 3, "✖ order_id: no order ord-77 is known here\n"),
        (("cancel", "ord-77", "--reason", "why not"), 3, "✖ order_id: "),
    ],
)  # fmt: skip
def test_what_is_refused_names_the_place(
    terminal: Terminal, address: str, words: tuple[str, ...], code: int, err: str
) -> None:
    """Bounds are checked by the service; the sentence is its own."""
    said = terminal.type("order", *words, "--url", address)

    assert (said.code, said.out) == (code, "")
    assert said.err.startswith(err)


def test_a_submission_without_an_answer_can_be_repeated(terminal: Terminal) -> None:
    """The key is told, because nobody knows whether it arrived."""
    said = terminal.type("order", "place", "cup:1:300", "--url", "http://127.0.0.1:1")
    lines = said.err.splitlines()

    assert (said.code, said.out) == (7, "")
    assert lines[0].startswith("nothing is lost: repeat it with --key 0")
    assert lines[1:] == [
        "✖ the interface of orders at http://127.0.0.1:1 did not answer (ConnectError)",
        "  → is it running? baton status; baton up",
    ]


def test_stock_is_shown_whole_by_product_and_empty(terminal: Terminal, stage: Stage) -> None:
    """Pages of a thousand are put together."""
    desk = Desk(INVENTORY, STOCK_TABLES)
    address = stage.serve(stock_routes(Port(desk, STOCK_MIGRATIONS)))
    empty = terminal.type("stock", "show", "--url", address, "-o", "json")
    desk.rows[Shelf] = {f"sku-{n:04}": Shelf(f"sku-{n:04}", n + 1, 0, 0) for n in range(1_500)}
    whole = terminal.type("stock", "show", "--url", address, "-o", "jsonl").out.splitlines()
    one = terminal.type("stock", "show", "sku-0007", "--url", address, "-o", "json")
    none = terminal.type("stock", "show", "sku-9999", "--url", address)

    assert empty == Said(0, "[]\n", "")
    assert [json.loads(line)["sku"] for line in whole] == sorted(desk.rows[Shelf])
    assert json.loads(one.out) == {"sku": "sku-0007", "on_hand": 8, "reserved": 0, "gone": 0}
    assert (none.code, none.out) == (3, "")


@pytest.mark.parametrize(
    ("words", "err"),
    [
        (("stock", "receive", "cup"), "✖ 'cup': write what arrived as SKU:QUANTITY\n"),
        (("stock", "receive", "cup:0"), "✖ quantity: Input should be greater than or equal to 1\n"),
        (
            ("customer", "register", "c 1", "--name", "Ann", "--email", "ann@example.org"),
            "✖ customer_id: String should match pattern '^[A-Za-z0-9._-]{1,64}$'\n",
        ),
    ],
)
def test_an_event_out_of_bounds_is_never_published(
    terminal: Terminal, words: tuple[str, ...], err: str
) -> None:
    """It is refused here, before Kafka is even looked for."""
    assert terminal.type(*words) == Said(2, "", err)


@pytest.mark.parametrize(
    "words",
    [
        ("stock", "receive", "cup:10"),
        ("customer", "register", "c-1", "--name", "Ann", "--email", "ann@example.org"),
        ("topics", "plan"),
        ("topics", "apply"),
        ("topics", "check"),
        ("topics", "tail", "orders.order.events.v1"),
        ("sagas", "list"),
        ("sagas", "count"),
        ("sagas", "stuck"),
        ("sagas", "show", "o-1"),
        ("sagas", "wait", "o-1"),
        ("sagas", "tail", "-f"),
        ("order", "show", "o-1"),
        ("order", "place", "cup:1:300"),
        ("customer", "show", "c-1"),
        ("stock", "show"),
    ],
)
def test_without_a_stack_every_verb_exits_7_and_says_how_to_start_one(
    terminal: Terminal, words: tuple[str, ...]
) -> None:
    """Two lines: what is missing, what to type."""
    said = terminal.type(*words)

    assert (said.code, said.out) == (7, "")
    assert [line.split("baton up")[0][:4] for line in said.err.splitlines()[-2:]] == [
        "✖ no",
        "  → ",
    ]
    assert "baton up" in said.err
