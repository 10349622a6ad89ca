"""kill -9 of each process while orders run through it, then of all: every order ends once.

One company, disturbed by one test after the other. Half of a test's orders are on their
way when the process dies, the other half come while it is away.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from deploy.local import child
from deploy.local.home import Home
from deploy.local.state import read_state
from schemas.orders import OrderPlaced
from tests.integration.books import check_books, deliver, many_orders, order, phases, placed
from tests.integration.running_company import (
    OURS,
    WITHOUT_CONSOLE,
    Company,
    plainly,
    running_company,
    until,
)

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

ORDERS_EACH = 60
AS_PLACED = {"fulfilled": 42, "cancelled": 18}
STOPPED_WITHIN_S = 10.0


def moving(company: Company, orders: list[OrderPlaced]) -> bool:
    """Some of these have ended, others have not."""
    found = phases(company)
    known = [found[each.order_id] for each in orders if each.order_id in found]
    return len(known) > len(orders) // 2 and "running" in known


@pytest.mark.parametrize("name", [*OURS, "payment", "carrier", "mail"])
async def test_a_killed_process_loses_nothing_and_does_nothing_twice(
    disturbed: Company, name: str
) -> None:
    """Its supervisor starts it again; then every book agrees with every other."""
    orders = many_orders(f"kill-{name}", ORDERS_EACH)
    half = ORDERS_EACH // 2
    restarts = disturbed.keeper(name).status().restarts
    await disturbed.publish(*placed(*orders[:half]))
    await until(lambda: moving(disturbed, orders[:half]), "orders are on their way")
    await disturbed.kill(name)
    await disturbed.publish(*placed(*orders[half:]))
    assert await check_books(disturbed, orders) == AS_PLACED
    assert disturbed.keeper(name).status().restarts == restarts + 1


async def test_a_killed_broker_loses_nothing_that_it_had_acknowledged(disturbed: Company) -> None:
    orders = many_orders("kill-kafka", ORDERS_EACH)
    half = ORDERS_EACH // 2
    await disturbed.publish(*placed(*orders[:half]))
    await until(lambda: moving(disturbed, orders[:half]), "orders are on their way")
    await disturbed.kill("kafka")
    await disturbed.ready("kafka")
    await disturbed.publish(*placed(*orders[half:]))
    assert await check_books(disturbed, orders) == AS_PLACED


async def test_a_broker_stopped_and_started_is_only_a_pause(disturbed: Company) -> None:
    """No process ends for it: they wait, and go on."""
    orders = many_orders("stop-kafka", ORDERS_EACH)
    half = ORDERS_EACH // 2
    before = {name: disturbed.keeper(name).status().pid for name in OURS}
    await disturbed.publish(*placed(*orders[:half]))
    await until(lambda: moving(disturbed, orders[:half]), "orders are on their way")
    await disturbed.keeper("kafka").stop()
    await disturbed.begin("kafka")
    await disturbed.publish(*placed(*orders[half:]))
    assert await check_books(disturbed, orders) == AS_PLACED
    assert {name: disturbed.keeper(name).status().pid for name in OURS} == before


async def test_a_graceful_stop_under_load_is_quick_and_leaves_a_clean_end(
    disturbed: Company,
) -> None:
    """SIGTERM: exit code 0 within its time, and the next start need not be careful."""
    orders = many_orders("stop", ORDERS_EACH)
    keeper = disturbed.keeper("orchestrator")
    clean = "SELECT value FROM meta WHERE name = 'clean'"
    attempts = "SELECT topic, partition, offset, tries FROM attempts"
    await disturbed.publish(*placed(*orders))
    await until(lambda: moving(disturbed, orders), "orders are on their way")
    assert disturbed.rows("orchestrator", clean) == [("0",)]
    careful = disturbed.rows("orchestrator", attempts)  # what earlier kills left to the sweep
    async with asyncio.timeout(STOPPED_WITHIN_S):
        await keeper.stop()
    assert keeper.status().exit_code == 0
    assert disturbed.rows("orchestrator", clean) == [("1",)]
    await disturbed.begin("orchestrator")
    assert await check_books(disturbed, orders) == AS_PLACED
    assert set(disturbed.rows("orchestrator", attempts)) <= set(careful)


async def test_everything_killed_at_once_goes_on_at_the_next_start(tmp_path: Path) -> None:
    """Supervisor, broker, services and sandboxes: started again, and nothing is missing."""
    home = Home(tmp_path / "home")
    orders = many_orders("all", ORDERS_EACH)
    up = await up_elsewhere(home)
    try:
        await until(lambda: is_up(home), "the company is up")
        state = read_state(home)
        assert state is not None
        company = Company(home, state.bootstrap, state.addresses)
        await deliver(company)
        await company.publish(*placed(*orders))
        await until(lambda: moving(company, orders), "orders are on their way")
    finally:
        up.send_signal(signal.SIGSTOP)  # or it would start again what is killed first
        for pid in child.find_strays(home).values():
            os.killpg(pid, signal.SIGKILL)
        await up.wait()
    async with running_company(home.root) as company:
        late = order("all-late")
        await company.publish(*placed(late))
        assert await check_books(company, [*orders, late]) == {"fulfilled": 43, "cancelled": 18}


async def up_elsewhere(home: Home) -> asyncio.subprocess.Process:
    """`baton up` as a process of its own, which leads its own session."""
    home.prepare()
    names = ",".join(WITHOUT_CONSOLE)
    with home.log("supervisor").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orchestrator.operate.cli", "up", "--only", names),
            env=plainly(BATON_HOME=str(home.root)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def is_up(home: Home) -> bool:
    state = read_state(home)
    return state is not None and state.is_ready
