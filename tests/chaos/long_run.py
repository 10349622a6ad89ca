"""`python -m tests.chaos`: kills by the hundred, by seed, and a result file for machines.

Waves: while orders come, rounds in which four processes die at failpoints, then something bigger;
then the load rests, everything must have ended, and all books must agree. The exit code is 0, 1
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
from itertools import islice
from pathlib import Path
from random import Random
from time import monotonic

import pytest
from rich.console import Console

from services.chassis.failpoints import NAMES
from tests.chaos.campaign import ONLY_WITH_TIMERS, SANDBOXES, Campaign, Tally, lane
from tests.chaos.load import KINDS, Load
from tests.integration.books import deliver
from tests.integration.running_company import OURS, running_company

ROOT = Path(__file__).parents[2]
COMMANDED = ("inventory", "billing", "shipping")
ORDERS_A_SECOND = 4.0
ROUNDS = 3
EACH = 3
VIOLATED, VOID = 1, 3
SAY = Console(highlight=False, soft_wrap=True, markup=False).print


class LongRun:
    """`deadline_s` is a moment of the monotonic clock; a wave that has begun is judged."""

    def __init__(self, campaign: Campaign, wanted: int, deadline_s: float) -> None:
        self._campaign, self._wanted, self._deadline_s = campaign, wanted, deadline_s
        self._random = campaign.random
        self._lanes = {each: lane(each, self._random) for each in OURS}
        self._bigger = self._faults()

    async def waves(self) -> None:
        while not self._enough():
            async with self._campaign.load.running(ORDERS_A_SECOND):
                await self._wave()
            await self._campaign.judge()
            self._say("books agree")

    async def _wave(self) -> None:
        for _ in range(ROUNDS):
            if self._enough():
                return
            others = self._random.sample(COMMANDED, 2) + self._random.sample(OURS, 1)
            chosen = {"orchestrator", *others}
            await self._campaign.kill_along(
                {each: list(islice(self._lanes[each], EACH)) for each in sorted(chosen)}
            )
            self._say("round")
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
        return self._campaign.tally.kills >= self._wanted or monotonic() > self._deadline_s

    def _say(self, what: str) -> None:
        tally, load = self._campaign.tally, self._campaign.load
        SAY(
            f"{what:12} {tally.kills:5} kills, {tally.failpoints.total()} at failpoints,"
            f" {len(tally.missed)} missed, {len(load.orders)} orders"
        )


async def run(root: Path, tally: Tally, wanted: int, within_s: float) -> None:
    async with running_company(root) as company:
        await deliver(company)
        random = Random(tally.seed)
        campaign = Campaign(company, random, Load(company, random, f"seed{tally.seed}"), tally)
        await LongRun(campaign, wanted, monotonic() + within_s).waves()


def void(tally: Tally, wanted: int) -> list[str]:
    """What was not met often enough for the run to say anything."""
    found = [f"{tally.kills} kills of {wanted}"] if tally.kills < wanted else []
    found += [f"nobody was killed at {each}" for each in NAMES if not tally.failpoints[each]]
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
