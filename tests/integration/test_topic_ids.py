"""The id that a topic is given when it is made, asked of a real broker."""

from __future__ import annotations

from functools import partial
from uuid import UUID

import pytest

from services.chassis.bus_admin import Admin, TopicSpec
from tests.integration.running_company import until
from tests.integration.test_bus import new_topic, reading

pytestmark = pytest.mark.kafka


async def test_a_topic_made_anew_has_another_id(kafka: str) -> None:
    """The reader's word and the admin's are the same; a topic that is not there has none."""
    topic = await new_topic(kafka)
    async with Admin(kafka) as admin, reading(kafka, topic) as reader:
        first = await admin.topic_id(topic)
        assert await reader.topic_ids() == {topic: first}
        assert UUID(first).int
        await admin.delete_topics([topic])
        await until(partial(has_no_id, admin, topic), "the topic is gone")
        await admin.ensure_topics([TopicSpec(topic, 1)])
        await until(partial(admin.topic_id, topic), "it stands again")
        assert await admin.topic_id(topic) != first


async def has_no_id(admin: Admin, topic: str) -> bool:
    return await admin.topic_id(topic) == ""
