"""Processes that are stopped, frozen, doubled, or live in another hour while orders run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from time import time_ns

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.chaos.lives import kill_now
from tests.integration.books import check_books, many_orders, phases, placed
from tests.integration.running_company import Company, until

pytestmark = [pytest.mark.stack, pytest.mark.costly, pytest.mark.asyncio(loop_scope="session")]
COSTLY = pytest.mark.costly

ORDERS_EACH = 40
AS_PLACED = {"fulfilled": 28, "cancelled": 12}
HOUR_S = 3600
UNUSABLE = 2
STOPS = 3
BUSY = ("orchestrator", "inventory", "billing", "shipping")


async def under_way(company: Company, prefix: str) -> None:
    """Some of these have a saga, and not all have ended."""

    def moving() -> bool:
        found = [phase for key, phase in phases(company).items() if key.startswith(prefix)]
        return len(found) > 2 and "running" in found

    await until(moving, f"orders of {prefix} are on their way")


def timers_fired(company: Company, prefix: str) -> list[tuple[object, ...]]:
    """Lines in the journals of these sagas that only a timer writes."""
    return company.rows(
        "orchestrator",
        "SELECT saga_id, what, step FROM journal JOIN sagas ON sagas.id = journal.saga"
        " WHERE (what LIKE 'timer%' OR what = 'timed_out') AND saga_id LIKE ?",
        f"%:{prefix}-%",
    )


@pytest.mark.parametrize("process", ["orchestrator", pytest.param("billing", marks=COSTLY)])
async def test_a_clock_that_jumps_an_hour_back_and_forth_times_nothing_out(
    disturbed: Company, process: str
) -> None:
    """Killed under load, it comes back an hour ago; killed again, an hour later.

    The bank is away all the while, so that there is somebody whom the hour could be held against.
    """
    orders = many_orders(f"clock-{process}", ORDERS_EACH)
    half = ORDERS_EACH // 2
    calling = "SELECT count(*) FROM operations WHERE status = 'calling'"
    overdue = "SELECT 1 FROM timers WHERE due_us <= ?"
    keeper = disturbed.keeper(process)
    asked = 0
    await disturbed.keeper("payment").stop()
    for part, offset_s in ((orders[:half], -HOUR_S), (orders[half:], 0)):
        await disturbed.publish(*placed(*part))
        asked += half - half // 10  # all but those that are sold out
        await until(
            lambda: disturbed.rows("billing", calling) == [(asked,)],  # noqa: B023  not kept
            "billing asks the bank in vain",
        )
        await kill_now(disturbed, process)
        await keeper.stop()
        await disturbed.begin(process, BATON_CLOCK_OFFSET_S=str(offset_s))
    now_us = time_ns() // 1000
    await until(
        lambda: not disturbed.rows("orchestrator", overdue, now_us), "overdue timers are dealt with"
    )
    assert timers_fired(disturbed, f"clock-{process}") == []
    await disturbed.begin("payment")
    assert await check_books(disturbed, orders) == AS_PLACED


@pytest.mark.parametrize("process", ["orchestrator", pytest.param("inventory", marks=COSTLY)])
async def test_a_process_frozen_beyond_its_session_goes_on_where_it_was(
    disturbed: Company, process: str
) -> None:
    """Kafka has thrown it out meanwhile; it joins again, and nothing is skipped or done twice."""
    orders = many_orders(f"frozen-{process}", ORDERS_EACH)
    half = ORDERS_EACH // 2
    before = disturbed.keeper(process).status()
    assert before.pid is not None
    await disturbed.publish(*placed(*orders[:half]))
    await under_way(disturbed, f"frozen-{process}")
    os.kill(before.pid, signal.SIGSTOP)
    try:
        await disturbed.publish(*placed(*orders[half:]))
        await until(
            lambda: is_empty(disturbed, f"baton.{process}"), f"Kafka has given up {process}"
        )
    finally:
        os.kill(before.pid, signal.SIGCONT)
    assert await check_books(disturbed, orders) == AS_PLACED
    assert disturbed.keeper(process).status().pid == before.pid
    assert timers_fired(disturbed, f"frozen-{process}") == []


async def is_empty(company: Company, group: str) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=company.kafka)
    await admin.start()
    try:
        (answer,) = await admin.describe_consumer_groups([group])
    finally:
        await admin.close()
    return bool(answer.groups[0][2] == "Empty")


async def test_stopped_again_and_again_each_process_ends_cleanly(disturbed: Company) -> None:
    """SIGTERM under load: exit code 0 within its time, and the next start need not be careful."""
    orders = many_orders("stops", ORDERS_EACH * STOPS)
    clean = "SELECT value FROM meta WHERE name = 'clean'"
    for at in range(STOPS):
        await disturbed.publish(*placed(*orders[at * ORDERS_EACH : (at + 1) * ORDERS_EACH]))
        await under_way(disturbed, "stops")
        for process in BUSY:
            await disturbed.keeper(process).stop()
            assert disturbed.keeper(process).status().exit_code == 0, process
            assert disturbed.rows(process, clean) == [("1",)], process
            await disturbed.begin(process)
    assert await check_books(disturbed, orders) == {how: n * STOPS for how, n in AS_PLACED.items()}


@pytest.mark.parametrize("process", ["orchestrator", "billing"])
async def test_a_second_process_cannot_race_for_the_database(
    disturbed: Company, process: str, tmp_path: Path
) -> None:
    """Three of them, one after the other, under load: each ends, and says who has it."""
    orders = many_orders(f"second-{process}", ORDERS_EACH)
    keeper = disturbed.keeper(process)
    before = keeper.status().pid
    await disturbed.publish(*placed(*orders))
    await under_way(disturbed, f"second-{process}")
    ends = [await refused(disturbed, process, tmp_path) for _ in range(3)]
    database = disturbed.home.database(process)
    why = (
        f"{database} is in use by another process (it holds {database}.lock). SQLite serves one"
        " process a file: stop the other one, or give this one its own BATON_DATABASE."
    )
    assert ends == [(UNUSABLE, why)] * 3
    assert await check_books(disturbed, orders) == AS_PLACED
    assert keeper.status().pid == before


async def refused(company: Company, process: str, folder: Path) -> tuple[int | None, str]:
    """A second one of the process, with other ports: its exit code and its last reason."""
    spec = company.keeper(process).spec
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, *spec.argv[1:]),
        env={**spec.env, "BATON_OPS_PORT": "0", "BATON_API_PORT": "0"},
        cwd=folder,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            _, said = await second.communicate()
    finally:
        if second.returncode is None:
            second.kill()
            await second.wait()
    return second.returncode, str(json.loads(said.splitlines()[-1])["reason"])
