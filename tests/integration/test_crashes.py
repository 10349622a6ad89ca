"""kill -9 of each process in turn while orders run through it: every order ends once.

Half of a victim's orders are on their way when it dies, the other half come while it is away;
the next one dies while it still comes back. Books are compared when all have died.
"""

from __future__ import annotations

import asyncio

import pytest

from schemas.orders import OrderPlaced
from tests.integration.books import check_books, many_orders, moving, placed
from tests.integration.running_company import OURS, Company, until

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

SANDBOXES = ("payment", "carrier", "mail")
ORDERS_EACH = 30
FULFILLED = 21
STOPPED_WITHIN_S = 10.0


def as_placed(times: int) -> dict[str, int]:
    return {"fulfilled": times * FULFILLED, "cancelled": times * (ORDERS_EACH - FULFILLED)}


async def half_on_their_way(company: Company, prefix: str) -> list[OrderPlaced]:
    orders = many_orders(prefix, ORDERS_EACH)
    half = orders[: ORDERS_EACH // 2]
    await company.publish(*placed(*half))
    await until(lambda: moving(company, half), "orders are on their way")
    return orders


async def test_killed_processes_lose_nothing_and_do_nothing_twice(disturbed: Company) -> None:
    """Each is started again, once, by its supervisor; then every book agrees with every other."""
    victims, orders = [*OURS, *SANDBOXES], []
    before = {name: disturbed.keeper(name).status().restarts for name in victims}
    for name in victims:
        mine = await half_on_their_way(disturbed, f"kill-{name}")
        await disturbed.kill(name)
        await disturbed.publish(*placed(*mine[ORDERS_EACH // 2 :]))
        orders += mine
    assert await check_books(disturbed, orders) == as_placed(len(victims))
    after = {name: disturbed.keeper(name).status().restarts for name in victims}
    assert after == {name: count + 1 for name, count in before.items()}


async def test_a_broker_killed_or_stopped_loses_nothing_and_is_only_a_pause(
    disturbed: Company,
) -> None:
    """What it had acknowledged is there; no process ends for it: they wait, and go on."""
    await disturbed.ready(*OURS)
    before = {name: disturbed.keeper(name).status().pid for name in OURS}
    killed = await half_on_their_way(disturbed, "kill-kafka")
    await disturbed.kill("kafka")
    await disturbed.ready("kafka")
    await disturbed.publish(*placed(*killed[ORDERS_EACH // 2 :]))
    stopped = await half_on_their_way(disturbed, "stop-kafka")
    await disturbed.keeper("kafka").stop()
    await disturbed.begin("kafka")
    await disturbed.publish(*placed(*stopped[ORDERS_EACH // 2 :]))
    assert await check_books(disturbed, [*killed, *stopped]) == as_placed(2)
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
    assert await check_books(disturbed, orders) == as_placed(1)
    assert set(disturbed.rows("orchestrator", attempts)) <= set(careful)
