"""The newest records of a topic, read again and again, on a real Kafka."""

from __future__ import annotations

import uuid

import pytest

from services.chassis.bus_admin import Tail, TopicSpec, ensure_topics
from services.chassis.bus_publish import Publisher
from services.chassis.messages import Outgoing

pytestmark = pytest.mark.kafka


async def test_the_newest_are_never_more_than_asked_for_and_none_is_repeated(kafka: str) -> None:
    """The last of each partition, then what came since; who waited long misses what lies back."""
    topic = f"newest-{uuid.uuid4().hex}"
    await ensure_topics(kafka, [TopicSpec(topic, 4)])
    publisher, seen = Publisher(kafka, client_id="test"), list[list[bytes | None]]()

    async def publish(*numbers: int) -> None:
        made = [Outgoing(topic, "k", f"k/{n}", b"%d" % n, ()) for n in numbers]
        await publisher.publish(made)

    try:
        await publisher.start()
        await publish(*range(10))
        async with Tail(kafka, [topic], last=3) as tail:
            for published in ((), (), (10, 11), range(12, 20)):
                if published:
                    await publish(*published)
                seen.append([each.value async for each in tail.newest()])
    finally:
        await publisher.close()

    assert seen == [[b"7", b"8", b"9"], [], [b"10", b"11"], [b"17", b"18", b"19"]]
