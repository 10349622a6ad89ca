"""What `baton order customer stock` do: submissions over HTTP, and events as outsiders say them.

A submission carries an idempotency key that is told before anything is sent, so that whoever is
left without an answer can repeat it. An event is checked by its contract before it is published.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from orchestrator.operate.client import Json, Server
from orchestrator.operate.cluster import kafka_of_this_shell
from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault
from orchestrator.operate.output import Form, Output
from orchestrator.operate.saga_reading import path_of
from orchestrator.operate.wording import objects
from schemas.catalogue import load_catalogue
from schemas.common import Item
from schemas.customers import CustomerRegistered
from schemas.inventory import GoodsReceived
from services.chassis.bus_publish import Publisher
from services.chassis.codec import Codec
from services.chassis.envelope import Cause, Maker
from services.chassis.ids import new_id
from services.chassis.messages import Outgoing

SOURCE = "baton-cli"
CURRENCY = "GBP"  # of lines; a JSON file may say another
STOCK_COLUMNS = ("sku", "on_hand", "reserved", "gone")
_LINE = "write a line as SKU:QUANTITY:PRICE, the price of one piece in pence"
_ITEM = "write what arrived as SKU:QUANTITY"


def order_of(lines: Sequence[str], **fields: str) -> Json:
    """The body of a submission; empty fields are left out."""
    given: Json = {name: value for name, value in fields.items() if value}
    return {**given, "currency": CURRENCY, "lines": [_line(each) for each in lines]}


def order_in(file: str) -> Json:
    """The body that stands in a file, as it is; the service checks it."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        body = json.loads(text)
    except OSError as fault:
        raise VerbFault(f"{file}: {fault.strerror}", code=Exit.NOT_FOUND) from fault
    except ValueError as fault:
        raise VerbFault(f"{file} is no JSON: {fault}", code=Exit.USAGE) from fault
    if not isinstance(body, dict):
        raise VerbFault(f"{file} is no JSON object", code=Exit.USAGE)
    return body


def place(output: Output, body: Json, *, key: str, url: str) -> None:
    order = _submit(output, "/orders", body, key=key, url=url)
    output.one(order)
    output.say(f"next: baton sagas show {order['order_id']} · baton sagas wait {order['order_id']}")


def cancel(output: Output, order_id: str, reason: str, *, key: str, url: str) -> None:
    path = f"/orders/{path_of(order_id)}/cancellation"
    output.one(_submit(output, path, {"reason": reason}, key=key, url=url))
    output.say(f"asked; what becomes of it: baton order show {order_id}")


def show(output: Output, process: str, path: str, name: str, *, url: str) -> None:
    with Server(process, url) as server:
        output.one(server.get(f"{path}/{path_of(name)}"))


def show_stock(output: Output, sku: str, *, url: str) -> None:
    if sku:
        show(output, "inventory", "/stock", sku, url=url)
        return
    products: list[Json] = []
    with Server("inventory", url) as server:
        after: str = ""
        while True:
            page = server.get("/stock", after=after)
            products += [dict(each) for each in objects(page, "products")]
            if not page["next"] or not products:
                break
            after = str(products[-1]["sku"])
    output.rows(STOCK_COLUMNS, products)
    if output.form is Form.TABLE and not products:
        output.say("no stock was ever received; next: baton stock receive teapot:100")


def register(output: Output, customer_id: str, *, name: str, email: str, country: str) -> None:
    with _checked():
        event = CustomerRegistered(
            customer_id=customer_id,
            name=name,
            email=email,
            country=country,
            registered_at=datetime.now(UTC),
        )
    _publish(output, event)
    output.say(f"next: baton sagas wait onboarding:{customer_id}")


def receive(output: Output, items: Sequence[str], *, delivery_id: str) -> None:
    with _checked():
        event = GoodsReceived(
            delivery_id=delivery_id or new_id(),
            items=tuple(_item(each) for each in items),
            received_at=datetime.now(UTC),
        )
    _publish(output, event)
    output.say("next: baton stock show")


def _submit(output: Output, path: str, body: Json, *, key: str, url: str) -> Json:
    given = key or new_id()
    with Server("orders", url) as server:
        try:
            answer = server.post(path, body, given)
        except VerbFault as fault:
            if fault.code is Exit.UNREACHABLE and not key:
                output.say(f"nothing is lost: repeat it with --key {given}")
            raise
    return {**answer, "idempotency_key": given}


def _publish(output: Output, event: CustomerRegistered | GoodsReceived) -> None:
    """A delivery's own id makes it count once; a registration is one, whoever repeats it."""
    catalogue = load_catalogue()
    contract = catalogue.by_type[type(event)]
    key = str(getattr(event, contract.key))
    maker = Maker(SOURCE, Codec(catalogue), catalogue)
    message = maker.event(event, f"{key}/{contract.name}", time.time_ns() // 1000, Cause())
    asyncio.run(_send(kafka_of_this_shell(), message))
    output.one({"type": contract.full_name, "id": message.id, "topic": message.topic, "key": key})


async def _send(bootstrap: str, message: Outgoing) -> None:
    publisher = Publisher(bootstrap, client_id=SOURCE)
    try:
        await publisher.start([message.topic])
        await publisher.publish([message])
    finally:
        await publisher.close()


class _checked:  # noqa: N801  reads as a word where it is used
    """A message's own bounds, told as a wrong usage: the field, never the value."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: object
    ) -> None:
        if isinstance(fault, ValidationError):
            told = "; ".join(_fault(each["loc"], each["msg"]) for each in fault.errors())
            raise VerbFault(told, code=Exit.USAGE) from fault


def _fault(place: tuple[int | str, ...], said: str) -> str:
    return f"{'.'.join(str(part) for part in place)}: {said}"


def _line(text: str) -> Json:
    sku, quantity, price = _parts(text, 3, _LINE)
    return {
        "sku": sku,
        "quantity": _whole(quantity, text, _LINE),
        "unit_price_minor": _whole(price, text, _LINE),
    }


def _item(text: str) -> Item:
    sku, quantity = _parts(text, 2, _ITEM)
    return Item(sku=sku, quantity=_whole(quantity, text, _ITEM))


def _parts(text: str, count: int, how: str) -> list[str]:
    parts = text.split(":")
    if len(parts) != count:
        raise VerbFault(f"{text!r}: {how}", code=Exit.USAGE)
    return parts


def _whole(text: str, whole: str, how: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    raise VerbFault(f"{whole!r}: {text!r} is no whole number; {how}", code=Exit.USAGE)
