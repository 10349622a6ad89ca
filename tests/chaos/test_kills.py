"""Processes killed at the moments where a crash leaves something different behind, under load."""

from __future__ import annotations

from random import Random

import pytest

from services.chassis.failpoints import NAMES
from tests.chaos.campaign import ONLY_WITH_TIMERS, Campaign, Tally
from tests.chaos.load import KINDS, Load
from tests.integration.running_company import OURS, Company

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

LANES = {
    "orchestrator": (
        "after_fold:1",
        "after_commit:9",
        "relay_after_send:3",
        "timer_after_select:2",
        "before_commit:12",
        "relay_after_mark:1",
    ),
    "inventory": ("after_poll:4", "after_attempt:2", "after_state:3", "relay_after_ack:1"),
    "billing": (
        "gateway_after_call:3",
        "after_begin:1",
        "gateway_before_call:1",
        "after_load:2",
        "relay_after_select:2",
    ),
    "shipping": (
        "gateway_after_record:2",
        "after_offset_cas:5",
        "positions_before_seek:1",
        "after_inbox:2",
        "after_outbox:1",
    ),
}
SEED = 1
ORDERS_A_SECOND = 4
# A lane may have nothing to do before those that it hears from have come to their ends.
LANES_WITHIN_S = 150


async def test_killed_at_every_moment_the_company_ends_every_order_once(
    disturbed: Company,
) -> None:
    """Each process dies at its moments, then all at once; then books and databases are whole."""
    random = Random(SEED)
    load = Load(disturbed, random, "chaos")
    campaign = Campaign(disturbed, random, load, Tally(SEED), LANES_WITHIN_S)
    async with load.running(ORDERS_A_SECOND):
        await campaign.kill_along(LANES)
        await campaign.all_at_once(OURS)
    await campaign.judge()
    tally = campaign.tally
    assert tally.missed == []
    assert set(tally.failpoints) == set(NAMES) - {ONLY_WITH_TIMERS}
    assert tally.failpoints.total() == sum(map(len, LANES.values())) == 20
    assert set(tally.kinds) == set(KINDS)
    assert tally.processes.total() >= 20 + len(OURS)
