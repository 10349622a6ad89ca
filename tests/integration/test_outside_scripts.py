"""Outsiders need nothing of Baton: the README's two scripts against a real Kafka."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import pytest

from schemas.catalogue import load_catalogue
from schemas.common import Line, Money
from schemas.orchestrator import OrderCancelled, OrderFulfilled
from schemas.orders import OrderPlaced
from schemas.topics import PARTITIONS_LOCAL, topic_named
from services.chassis.bus_admin import Tail, TopicSpec, ensure_topics
from services.chassis.bus_publish import Publisher
from services.chassis.codec import Codec
from services.chassis.envelope import Cause, Maker, parse
from services.chassis.messages import Record

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "tests" / "acceptance"
EVENTS, OUTCOMES = "orders.order.events.v1", "orders.order.outcomes.v1"
CATALOGUE = load_catalogue()
CODEC = Codec(CATALOGUE)


@pytest.fixture
async def topics(kafka: str) -> str:
    specs = [
        TopicSpec(name, PARTITIONS_LOCAL, config=topic_named(name).settings)
        for name in (EVENTS, OUTCOMES)
    ]
    await ensure_topics(kafka, specs)
    return kafka


async def started(script: str, kafka: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, SCRIPTS / script, kafka, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )


async def first_of(tail: Tail, order_id: str) -> Record:
    async with aclosing(tail.records()) as records:
        async for record in records:
            if record.key == order_id.encode():
                return record
    raise AssertionError("the tail ended")


@pytest.mark.parametrize("script", ["publish_order.py", "follow_outcomes.py"])
def test_a_script_is_fifteen_lines_and_imports_nothing_of_baton(script: str) -> None:
    """What the README quotes is what it promises."""
    lines = [line for line in (SCRIPTS / script).read_text().splitlines() if line.strip()]
    imported = [line for line in lines if line.startswith(("import ", "from "))]
    assert len(lines) <= 15
    assert not any(ours in " ".join(imported) for ours in ("services", "schemas", "orchestrator"))


async def test_an_order_published_from_outside_is_an_order_placed(topics: str) -> None:
    """Key, headers and body are what the contract says; nothing of Baton was imported."""
    async with asyncio.timeout(60), Tail(topics, [EVENTS]) as tail:
        script = await started("publish_order.py", topics)
        assert await script.wait() == 0
        record = await first_of(tail, "web-1")
    placed = CODEC.decode(record.value or b"")
    assert isinstance(placed, OrderPlaced)
    assert placed == OrderPlaced(
        "web-1", None, "GBP", (Line("85123A", 6, 255),), "France", placed.placed_at
    )
    assert placed.placed_at.utcoffset() == timedelta(0)
    assert parse(record.headers) == {
        "ce_specversion": "1.0",
        "ce_id": "web-1/placed",
        "ce_source": "web-shop",
        "ce_type": "baton.orders.OrderPlaced",
        "content-type": "application/avro",
    }


async def test_outcomes_are_followed_from_outside(topics: str) -> None:
    """Each outcome is printed with its type, as it comes and from the beginning."""
    maker = Maker("orchestrator", CODEC, CATALOGUE)
    said = (
        OrderFulfilled("web-1", None, "web-1/placed", Money(1530, "GBP"), "T-1"),
        OrderCancelled("web-2", None, "web-2/placed", "out_of_stock"),
    )
    publisher = Publisher(topics, client_id="test")
    await publisher.start()
    await publisher.publish(
        [maker.event(body, f"fulfilment:{body.order_id}/outcome", 0, Cause()) for body in said]
    )
    await publisher.close()
    script = await started("follow_outcomes.py", topics)
    fulfilled = (
        "baton.orchestrator.OrderFulfilled {'order_id': 'web-1', 'customer_id': None, "
        "'placed_event_id': 'web-1/placed', "
        "'amount': {'amount_minor': 1530, 'currency': 'GBP'}, 'tracking': 'T-1'}"
    )
    cancelled = (
        "baton.orchestrator.OrderCancelled {'order_id': 'web-2', 'customer_id': None, "
        "'placed_event_id': 'web-2/placed', 'reason': 'out_of_stock', 'detail': ''}"
    )
    unseen = {fulfilled, cancelled}
    assert script.stdout is not None
    async with asyncio.timeout(60):
        while unseen:
            line = await script.stdout.readline()
            assert line, "the script ended by itself"
            unseen.discard(line.decode().rstrip())
    script.terminate()
    await script.wait()
