"""Records that a reader had not read are gone: it stops, says what to type, and that heals it."""

from __future__ import annotations

import httpx
import pytest
import pytest_asyncio
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from deploy.local.stack import planned_topics
from schemas.orders import OrderPlaced
from schemas.topics import PARTITIONS_LOCAL
from services.chassis.bus_admin import Admin, log_bounds
from tests.integration.books import check_books, order, placed
from tests.integration.running_company import Company, Sent, until
from tests.integration.test_restore import baton

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

LOST = 24


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own(disturbed: Company) -> Company:
    """Every log has been read from."""
    first = [order(f"first-{at}") for at in range(LOST)]
    await disturbed.publish(*placed(*first))
    await check_books(disturbed, first)
    return disturbed


async def commands_lie_unread(company: Company, service: str, step: str) -> list[OrderPlaced]:
    """The service is stopped, and the commands of so many orders wait for it."""
    orders = [order(f"{service}-{at}") for at in range(LOST)]
    await company.keeper(service).stop()
    await company.publish(*placed(*orders))
    query = (
        "SELECT count(*) FROM sagas, json_each(sagas.steps) AS step WHERE saga_id LIKE ?"
        " AND step.value ->> 'name' = ? AND step.value ->> 'status' = 'sent'"
    )
    unsent = "SELECT count(*) FROM outbox WHERE sent_us IS NULL"
    await until(
        lambda: (
            company.rows("orchestrator", query, f"fulfilment:{service}-%", step) == [(LOST,)]
            and company.rows("orchestrator", unsent) == [(0,)]
        ),
        f"{LOST} commands lie in Kafka",
    )
    return orders


async def delete_all_records(company: Company, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=company.kafka)
    await admin.start()
    try:
        ends = {part: end for part, (_, end) in (await log_bounds(company.kafka, topic)).items()}
        await admin.delete_records(
            {TopicPartition(topic, part): RecordsToDelete(end) for part, end in ends.items()}
        )
    finally:
        await admin.close()


async def make_anew(company: Company, topic: str) -> None:
    """And outgrow what was read of it: by its length alone nobody would know."""
    before = await log_bounds(company.kafka, topic)
    async with Admin(company.kafka) as admin:
        await admin.delete_topics([topic])

        async def gone() -> bool:
            return topic not in await admin.describe_topics()

        await until(gone, f"{topic} is gone")

        async def stands() -> bool:
            await admin.ensure_topics([each for each in planned_topics() if each.name == topic])
            return (await admin.describe_topics()).get(topic) == PARTITIONS_LOCAL

        await until(stands, f"{topic} stands again")
    more = max(end for _, end in before.values()) + 1
    nobodys = [Sent(topic, b"nobody", b"", (), part) for part in before for _ in range(more)]
    await company.publish(*nobodys)


async def alarm_of(company: Company, service: str) -> str:
    """What the check `partitions` says once it is not well."""
    address = company.addresses[f"{service} metrics"].replace("/metrics", "/readyz")
    said = ""

    async def stopped() -> bool:
        nonlocal said
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                checks = (await client.get(address)).json()["checks"]
        except httpx.TransportError:
            return False
        ill = [each["reason"] for each in checks if each["name"] == "partitions" and not each["ok"]]
        said = "".join(ill)
        return bool(ill)

    await until(stopped, f"{service} says that partitions are stopped")
    return said


@pytest.mark.parametrize(
    ("service", "step", "topic", "lose"),
    [
        ("billing", "payment", "billing.payment.commands.v1", delete_all_records),
        pytest.param(
            *("inventory", "stock", "inventory.stock.commands.v1", make_anew),
            marks=pytest.mark.costly,
        ),
    ],
    ids=["truncated", "made anew"],
)
async def test_lost_records_stop_their_reader_and_come_back_by_republishing(
    own: Company, service: str, step: str, topic: str, lose: object
) -> None:
    """Detected, alarmed with what to type, healed by that; every order ends, books agree."""
    anew = lose is make_anew
    orders = await commands_lie_unread(own, service, step)
    await lose(own, topic)  # type: ignore[operator]
    own.keeper(service).begin()
    said = await alarm_of(own, service)
    where = f"--topic {topic} --reason" if anew else f"--topic {topic} --partition "
    assert f"baton offsets accept {where}" in said
    assert f"baton outbox republish {where}" in said
    place = frozenset({("topic", topic)})
    metric = ("saga_partitions_stopped", place)

    async def counted() -> bool:
        return (await own.metrics(service)).get(metric, 0) == PARTITIONS_LOCAL

    await until(counted, "the metric counts every partition")
    doctor = await baton(own, "doctor", code=1)
    assert f"baton offsets accept --topic {topic}" in doctor
    told = await baton(own, "outbox", "republish", "--topic", topic, "--dry-run", "--reason", "x")
    assert "would be said again" in told
    words = ("--topic", topic, "--reason", "lost")
    await baton(own, "offsets", "accept", *words)
    await baton(own, "outbox", "republish", *words)
    await own.ready(service, "orchestrator")
    assert await check_books(own, orders) == {"fulfilled": LOST}
    rows = own.rows(service, "SELECT what, reason FROM repairs WHERE what = 'accept'")
    assert rows == [("accept", "lost")] * PARTITIONS_LOCAL
    republished = "SELECT DISTINCT reason FROM repairs WHERE what = 'republish'"
    assert own.rows("orchestrator", republished) == [("lost",)]
