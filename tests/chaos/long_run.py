"""`python -m tests.chaos`: kills by the hundred, by seed, and a result file for machines.

Waves: while orders come, all processes die at failpoints, each by a plan of its own, so that most
die while others come back; then something bigger; then the load rests, everything must have ended,
and all books must agree. The exit code is 0, 1
where something was violated (the state folder is then kept), 3 where too little was killed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import tempfile
import traceback
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path
from random import Random
from time import monotonic

import pytest
from rich.console import Console

from services.chassis.failpoints import NAMES
from tests.chaos.campaign import ONCE_A_LIFE, ONLY_WITH_TIMERS, SANDBOXES, Campaign, Tally, lanes
from tests.chaos.load import KINDS, Load
from tests.integration.books import deliver
from tests.integration.running_company import OURS, running_company

ROOT = Path(__file__).parents[2]
ORDERS_A_SECOND = 5.0
KILLS_A_WAVE = 50
REACHED_WITHIN_S = 20.0
VIOLATED, VOID = 1, 3
SAY = Console(highlight=False, soft_wrap=True, markup=False).print


class LongRun:
    """`deadline_s` is a moment of the monotonic clock; a wave that has begun is judged."""

    def __init__(self, campaign: Campaign, wanted: int, deadline_s: float) -> None:
        self._campaign, self._wanted, self._deadline_s = campaign, wanted, deadline_s
        self._began_s = monotonic()
        self._lanes = lanes(campaign.random)
        self._bigger = self._faults()

    async def waves(self) -> None:
        while not self._enough():
            async with self._campaign.load.running(ORDERS_A_SECOND):
                await self._wave()
            await self._campaign.judge()
            self._say("books agree")

    async def _wave(self) -> None:
        tally = self._campaign.tally
        most = tally.kills + KILLS_A_WAVE

        def over() -> bool:
            return tally.kills >= most or self._enough()

        await self._campaign.kill_along(self._lanes, enough=over)
        self._say("wave")
        await next(self._bigger)
        self._say("bigger")

    def _faults(self) -> Iterator[Awaitable[None]]:
        campaign = self._campaign
        while True:
            yield campaign.while_stopped("inventory", f"{ONLY_WITH_TIMERS}:1")
            yield campaign.all_at_once(OURS)
            yield campaign.all_at_once(["kafka"])
            yield campaign.all_at_once(SANDBOXES)
            yield campaign.all_at_once(tuple(campaign.company.keepers))

    def _enough(self) -> bool:
        return not void(self._campaign.tally, self._wanted) or monotonic() > self._deadline_s

    def _say(self, what: str) -> None:
        tally, load = self._campaign.tally, self._campaign.load
        SAY(
            f"{monotonic() - self._began_s:5.0f} s  {what:12} {tally.kills:5} kills,"
            f" {tally.failpoints.total()} at failpoints,"
            f" {len(tally.missed)} missed, {len(load.orders)} orders"
        )


async def run(root: Path, tally: Tally, wanted: int, within_s: float) -> None:
    async with running_company(root) as company:
        await deliver(company)
        random = Random(tally.seed)
        load = Load(company, random, f"seed{tally.seed}")
        campaign = Campaign(company, random, load, tally, REACHED_WITHIN_S)
        await LongRun(campaign, wanted, monotonic() + within_s).waves()


def void(tally: Tally, wanted: int) -> list[str]:
    """What was not met often enough for the run to say anything."""
    found = [f"{tally.kills} kills of {wanted}"] if tally.kills < wanted else []
    first = tally.failpoints - tally.later
    found += [f"nobody was killed at the first {each}" for each in NAMES if not first[each]]
    often = set(NAMES) - {*ONCE_A_LIFE, ONLY_WITH_TIMERS}
    found += [f"nobody was killed at a later {each}" for each in often if not tally.later[each]]
    found += [f"no order was {each}" for each in KINDS if not tally.kinds[each]]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--result", type=Path, default=ROOT / ".baton" / "chaos.json")
    given = parser.parse_args(arguments)
    root, tally, began = Path(tempfile.mkdtemp(prefix="chaos-")), Tally(given.seed), monotonic()
    try:
        asyncio.run(run(root, tally, given.kills, given.minutes * 60))
    except (Exception, pytest.fail.Exception, BaseExceptionGroup):  # noqa: BLE001  written down
        tally.violations.append(traceback.format_exc())
    tally.seconds = round(monotonic() - began, 1)
    too_little = void(tally, given.kills)
    said = {"commit": commit(), "wanted": given.kills, "void": too_little, **tally.as_json()}
    given.result.parent.mkdir(parents=True, exist_ok=True)
    given.result.write_text(json.dumps(said, indent=1) + "\n")
    SAY(json.dumps(said, indent=1))
    if tally.violations:
        SAY(f"violated; the state folder is kept: {root}")
        return VIOLATED
    shutil.rmtree(root)
    return VOID if too_little else 0


def commit() -> str:
    asked = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()
