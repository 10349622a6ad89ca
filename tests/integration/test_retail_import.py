"""An import on a real Kafka, and the command line's outside verbs beside it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest

from deploy.local.home import Home
from deploy.local.retail.importing import (
    DELIVERIES,
    INVENTORY_GROUP,
    Prepared,
    StockNotTaken,
    deliver,
    prepare,
)
from deploy.local.retail.publish import Pace, Progress
from deploy.local.retail.reading import SHIPPED_MONTH
from schemas.catalogue import load_catalogue
from schemas.orchestrator import OrderCancelled
from schemas.topics import PARTITIONS_LOCAL, topic_named
from services.chassis.bus_admin import TopicSpec, ensure_topics, read_all
from services.chassis.bus_publish import Publisher
from services.chassis.bus_read import Reader, ReaderTuning
from services.chassis.codec import Codec
from services.chassis.envelope import Cause, Maker
from services.chassis.messages import TopicPartition

pytestmark = pytest.mark.kafka

ORDERS, CUSTOMERS = "orders.order.events.v1", "customers.customer.events.v1"
OUTCOMES = ("orders.order.outcomes.v1", "customers.customer.outcomes.v1")
CATALOGUE = load_catalogue()


@pytest.fixture
async def cluster(kafka: str) -> str:
    names = (ORDERS, CUSTOMERS, DELIVERIES, *OUTCOMES)
    specs = [TopicSpec(n, PARTITIONS_LOCAL, config=topic_named(n).settings) for n in names]
    await ensure_topics(kafka, specs)
    return kafka


@pytest.fixture
async def inventory(cluster: str) -> AsyncIterator[Reader]:
    """A member of inventory's group that takes deliveries in when it is told to."""
    reader = Reader(
        cluster,
        group=INVENTORY_GROUP,
        topics=[DELIVERIES],
        client_id="inventory",
        tuning=ReaderTuning(fetch_max_wait_ms=50),
    )
    await reader.start()
    yield reader
    await reader.close()


async def take_in(reader: Reader) -> None:
    """As inventory does: reads to the end or beyond it and tells Kafka how far it is."""
    while not reader.assignment():
        await reader.poll(1, 0.1)
    partitions = reader.assignment()
    await reader.seek(await reader.log_starts(partitions))
    positions: dict[TopicPartition, int] = {}
    ends = {tp: end for tp, end in (await reader.end_offsets(partitions)).items() if end}
    while any(positions.get(tp, 0) < end for tp, end in ends.items()):
        for record in await reader.poll(500, 0.1):
            positions[TopicPartition(record.topic, record.partition)] = record.offset + 1
    await reader.commit(positions)


def first_orders(tmp_path: Path, limit: int) -> Prepared:
    return prepare(SHIPPED_MONTH, Home(tmp_path), day=date(2010, 12, 1), limit=limit)


async def published(cluster: str, topic: str) -> Counter[str]:
    """Ids of our own, and how often each lies in the topic."""
    records = await read_all(cluster, [topic])
    headers = [dict(record.headers) for record in records]
    return Counter(
        each["ce_id"].decode() for each in headers if each["ce_source"] == b"retail-import"
    )


async def test_orders_go_out_when_inventory_has_the_stock(
    cluster: str, inventory: Reader, tmp_path: Path
) -> None:
    """Deliveries first; then, once they are taken in, each order and each new customer once."""
    prepared = first_orders(tmp_path, 20)
    waiting = asyncio.Event()

    def tell(at: Progress) -> None:
        if at == Progress("waiting", 0, 1):
            waiting.set()

    before = await published(cluster, ORDERS)
    importing = asyncio.create_task(deliver(prepared, cluster, pace=Pace(), progress=tell))
    async with asyncio.timeout(60):
        await waiting.wait()
        assert await published(cluster, DELIVERIES) >= Counter(m.id for m in prepared.planned.stock)
        assert await published(cluster, ORDERS) == before
        await take_in(inventory)
        await importing
    ids = Counter(f"{order.order_id}/placed" for order in prepared.planned.orders)
    assert await published(cluster, ORDERS) == before + ids


async def test_importing_again_says_the_same(
    cluster: str, inventory: Reader, tmp_path: Path
) -> None:
    """Every id stands in its topic as often as it was imported, and no other id does."""
    for _ in range(2):
        prepared = first_orders(tmp_path, 5)
        importing = asyncio.create_task(
            deliver(prepared, cluster, pace=Pace(), progress=lambda _: None)
        )
        async with asyncio.timeout(60):
            while not importing.done():
                await take_in(inventory)
                await asyncio.wait([importing], timeout=0.1)
        await importing
    for topic, ids in (
        (ORDERS, {f"{order.order_id}/placed" for order in prepared.planned.orders}),
        (DELIVERIES, {message.id for message in prepared.planned.stock}),
    ):
        there = await published(cluster, topic)
        assert all(there[each] >= 2 for each in ids)


async def test_without_inventory_no_order_goes_out(cluster: str, tmp_path: Path) -> None:
    """The stock is published, the wait ends in a fault, and the orders stay at home."""
    prepared = first_orders(tmp_path, 7)
    before = await published(cluster, ORDERS)
    with pytest.raises(StockNotTaken):
        await deliver(prepared, cluster, pace=Pace(), progress=lambda _: None, stock_within_s=0.3)
    assert await published(cluster, ORDERS) == before


async def baton(cluster: str, *words: str, given: str = "") -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "orchestrator.operate.cli",
        *words,
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": cluster},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Tests run in the background ignore Ctrl-C, and what they start would, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdin is not None
    process.stdin.write(given.encode())
    process.stdin.close()
    return process


async def test_an_event_from_json_lies_in_its_topic(cluster: str) -> None:
    """Validated, keyed, with the id and the source that were asked for."""
    order_id = f"web-{uuid.uuid4().hex[:8]}"
    order = {
        "order_id": order_id,
        "customer_id": None,
        "currency": "GBP",
        "lines": [{"sku": "LAMP", "quantity": 2, "unit_price_minor": 255}],
        "country": "France",
        "placed_at": "2010-12-01T08:26:00Z",
    }
    words = ("events", "publish", "OrderPlaced", "-", "--id", order_id, "--source", "shop")
    process = await baton(cluster, *words, "-o", "json", given=json.dumps(order))
    async with asyncio.timeout(60):
        said, complaints = await process.communicate()
    assert (process.returncode, complaints) == (0, b"")
    assert json.loads(said)["published"] is True
    (record,) = [
        each for each in await read_all(cluster, [ORDERS]) if each.key == order_id.encode()
    ]
    headers = dict(record.headers)
    assert (headers["ce_id"], headers["ce_source"]) == (order_id.encode(), b"shop")


async def say_outcomes(cluster: str, *order_ids: str) -> None:
    maker = Maker("orchestrator", Codec(CATALOGUE), CATALOGUE)
    publisher = Publisher(cluster, client_id="orchestrator")
    await publisher.start()
    for order_id in order_ids:
        body = OrderCancelled(order_id, None, None, "out_of_stock")
        await publisher.publish([maker.event(body, f"{order_id}/outcome", 0, Cause())])
    await publisher.close()


async def test_outcomes_are_followed_line_by_line_until_interrupted(cluster: str) -> None:
    """Old ones, then new ones, each once, each at once; Ctrl-C is no failure worth a word."""
    key = f"order-{uuid.uuid4().hex[:8]}"
    await say_outcomes(cluster, key)
    process = await baton(cluster, "outcomes", "tail", key, "-f", "-o", "jsonl")
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(60):
        old = json.loads(await process.stdout.readline())
        await say_outcomes(cluster, f"other-{key}", key)
        new = json.loads(await process.stdout.readline())
        process.send_signal(signal.SIGINT)
        rest, complaints = await process.stdout.read(), await process.stderr.read()
        code = await process.wait()
    assert [each["body"]["reason"] for each in (old, new)] == ["out_of_stock"] * 2
    assert [each["key"] for each in (old, new)] == [key, key]
    assert old["offset"] < new["offset"]
    assert (rest, complaints, code) == (b"", b"", 130)


async def test_a_closed_pipe_ends_the_tail_quietly(cluster: str) -> None:
    """`baton outcomes tail -f | head -1` leaves nothing behind."""
    key = f"order-{uuid.uuid4().hex[:8]}"
    await say_outcomes(cluster, key)
    tail = f"{sys.executable} -m orchestrator.operate.cli outcomes tail {key} -f | head -n 1"
    process = await asyncio.create_subprocess_shell(
        f"exec bash -c 'set -o pipefail; {tail}'",
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": cluster},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = await process.stdout.readline()
        while process.returncode is None:
            await say_outcomes(cluster, key)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 0.5)
        _, complaints = await process.communicate()
    assert f"↩ OrderCancelled           {key}" in line.decode()
    assert (complaints, process.returncode) == (b"", 0)


async def test_without_follow_the_last_ones_are_an_array(cluster: str) -> None:
    """`-n` of them, oldest first; of an unknown key none, which is an empty list."""
    key = f"order-{uuid.uuid4().hex[:8]}"
    await say_outcomes(cluster, key, key, key)
    async with asyncio.timeout(60):
        some, _ = await (
            await baton(cluster, "outcomes", "tail", key, "-n", "2", "-o", "json")
        ).communicate()
        none, _ = await (
            await baton(cluster, "outcomes", "tail", f"{key}-x", "-o", "json")
        ).communicate()
    assert [each["key"] for each in json.loads(some)] == [key, key]
    assert json.loads(none) == []
