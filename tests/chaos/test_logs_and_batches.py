"""Kafka takes records away that nobody had read, or refuses a batch: told, and never skipped."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete

from tests.integration.books import check_books, many_orders, order, placed
from tests.integration.running_company import (
    ORDERS,
    Company,
    Place,
    running_company,
    until,
)

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

COMMANDS = "inventory.stock.commands.v1"
ORDERS_EACH = 40
AS_PLACED = {"fulfilled": 28, "cancelled": 12}
NEXT = "SELECT next FROM offsets WHERE topic = ? AND partition = ?"
LARGEST = "SELECT max(length(value) + length(headers)) FROM outbox WHERE topic = ?"
NEXT_SENT = "SELECT min(sent_us) FROM outbox WHERE sent_us > ?"
RECOVERED_WITHIN_S = 5.0
ROOM = 200  # for what a batch and a record of it take besides
READ = "SELECT count(*) FROM customer_order"


@asynccontextmanager
async def admin_of(company: Company) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=company.kafka)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def stopped_partitions(company: Company, process: str) -> tuple[int, str]:
    """Status of /readyz, and what it says of partitions; nothing where nobody answers."""
    address = company.addresses[f"{process} metrics"].removesuffix("/metrics")
    try:
        async with httpx.AsyncClient(timeout=10) as client:
            answer = await client.get(f"{address}/readyz")
    except httpx.TransportError:
        return 0, ""
    checks = {each["name"]: each["reason"] for each in answer.json()["checks"]}
    return answer.status_code, checks.get("partitions", "")


@pytest.mark.parametrize(
    "running",
    [pytest.param(True, id="read from"), pytest.param(False, id="away", marks=pytest.mark.costly)],
)
async def test_a_log_truncated_under_its_reader_stops_and_nothing_is_skipped(
    tmp_path: Path, *, running: bool
) -> None:
    """Records are gone that it had not read: its position stays, it is not ready, others go on.

    One that is frozen still gets what it had asked for: that is all of `answer` at most.
    """
    known, answer, unread = (many_orders(each, ORDERS_EACH) for each in ("known", "more", "last"))
    async with running_company(tmp_path, only=("kafka", "crm")) as company, admin_of(company) as it:
        await company.publish(*placed(*known))
        await until(lambda: company.rows("crm", READ) == [(ORDERS_EACH,)], "crm has read all")
        pid = company.keeper("crm").status().pid
        assert pid is not None
        if running:
            os.kill(pid, signal.SIGSTOP)
        else:
            await company.keeper("crm").stop()
        lie = await company.publish(*placed(*answer))
        lie += await company.publish(*placed(*unread))
        lost = [each for each in lie if each.partition == lie[-1].partition]
        place = TopicPartition(ORDERS, lie[-1].partition)
        await it.delete_records({place: RecordsToDelete(lie[-1].offset)})
        if running:
            os.kill(pid, signal.SIGCONT)
        else:
            company.keeper("crm").begin()
        await until(lambda: says_stopped(company), "crm says that a partition is stopped")
        stored = stored_position(company, lost[0])
        assert lost[0].offset <= stored < lie[-1].offset
        read = len(known) + len(lie) - len(lost) + stored - lost[0].offset
        await until(lambda: company.rows("crm", READ) == [(read,)], "the others are read")
        status, said = await stopped_partitions(company, "crm")
        kept = f"({lie[-1].offset}..{lie[-1].offset + 1})"
        assert (status, f"the stored position is outside the log {kept}" in said) == (503, True)
        await until(lambda: counts_one(company), "its metric says so")
        assert stored_position(company, lost[0]) == stored
        assert company.rows("crm", READ) == [(read,)]


async def counts_one(company: Company) -> bool:
    stops = frozenset({("topic", ORDERS)})
    return (await company.metrics("crm"))["saga_partitions_stopped", stops] == 1


def stored_position(company: Company, place: Place) -> int:
    ((stored,),) = company.rows("crm", NEXT, place.topic, place.partition)
    assert isinstance(stored, int)
    return stored


async def says_stopped(company: Company) -> bool:
    return "outside the log" in (await stopped_partitions(company, "crm"))[1]


async def test_a_batch_too_large_for_its_topic_goes_out_in_parts(disturbed: Company) -> None:
    """The broker takes single commands only: the relay goes on by itself, in order, and is told.

    Nothing is blocked, the process is not restarted, and the next row leaves within seconds: the
    client that was refused waits for nothing that will not come.
    """
    one = order("single")
    await disturbed.publish(*placed(one))
    assert await check_books(disturbed, [one]) == {"fulfilled": 1}
    orders = many_orders("batch", ORDERS_EACH)
    before = disturbed.keeper("orchestrator").status().pid
    log = disturbed.home.log("orchestrator")
    written = log.stat().st_size
    ((largest,),) = disturbed.rows("orchestrator", LARGEST, COMMANDS)
    assert isinstance(largest, int)
    async with admin_of(disturbed) as it:
        await allow(it, largest + ROOM)
        try:
            await disturbed.publish(*placed(*orders))
            assert await check_books(disturbed, orders) == AS_PLACED
        finally:
            await allow(it, 1024 * 1024)
    lines = log.read_bytes()[written:].splitlines()
    (refusal,) = (json.loads(line) for line in lines if b"refuses a b" in line)
    assert refusal["event"] == "publishing failed"
    refused_us = round(datetime.fromisoformat(refusal["time"]).timestamp() * 1e6)
    ((sent_us,),) = disturbed.rows("orchestrator", NEXT_SENT, refused_us)
    assert isinstance(sent_us, int)
    assert (sent_us - refused_us) / 1e6 < RECOVERED_WITHIN_S
    assert disturbed.rows("orchestrator", "SELECT 1 FROM outbox WHERE blocked IS NOT NULL") == []
    assert disturbed.keeper("orchestrator").status().pid == before


async def allow(admin: AIOKafkaAdminClient, size: int) -> None:
    settings = {"max.message.bytes": str(size)}
    topic = ConfigResource(ConfigResourceType.TOPIC, COMMANDS, configs=settings)
    for answer in await admin.alter_configs([topic]):
        assert [code for code, *_ in answer.resources] == [0]
