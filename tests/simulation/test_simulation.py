"""The company in a simulated world: whatever happens to it, everything agrees in the end.

`python -m tests.simulation` runs more seeds, and one seed again with its story.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from services.chassis.failpoints import NAMES
from tests.simulation.run import tell
from tests.simulation.scenario import SLIM, Fault, Scenario

ROOT = Path(__file__).parents[2]
CHUNKS, SEEDS_A_CHUNK = 16, 20
REPEATED = (3, 8, 16)
# Seeds that once told of something, each with what it was.
TOLD = {
    10790: "a reply the network delayed was taken for an outbox out of order",
    12408: "a timer set while the simulation ticked was overlooked for ever",
}


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_whatever_happens_everything_agrees_in_the_end(chunk: int) -> None:
    """After faults of many kinds every invariant holds; a failure names the way to repeat it."""
    first = chunk * SEEDS_A_CHUNK
    for seed in range(first, first + SEEDS_A_CHUNK):
        told = tell(Scenario.of(seed))
        assert not told.violation, f"{told.violation}\npython -m tests.simulation {seed}"


@pytest.mark.parametrize("seed", TOLD)
def test_what_a_seed_once_told_of_is_mended(seed: int) -> None:
    assert tell(Scenario.of(seed)).violation == "", TOLD[seed]


@pytest.mark.parametrize("name", NAMES)
def test_a_process_may_die_at_every_moment(name: str) -> None:
    """Whoever comes there first, and later, is killed there; nothing is lost or doubled."""
    deaths = [Fault(0, 0.0, "crash", "any", 0.2, name), Fault(1, 1.0, "crash", "any", 0.2, name)]
    # After the loss of power records are taken with care; answers that are lost let timers fire.
    others = [Fault(2, 0.2, "power_loss", "", 0.0), Fault(3, 58.0, "stop", "billing", 0.0)]
    scenario = replace(
        Scenario.of(1),
        services=SLIM,
        customers=(),
        rates={"drop": 0.15, "gateway_unheard": 0.3},
        faults=(*deaths, *others),
        tick_s=0.25,
        guarded=2,
    )
    told = tell(scenario)
    assert told.violation == ""
    assert told.kills[name] == len(deaths)


def test_the_same_seed_is_the_same_story() -> None:
    """Within a process, and in processes that hash texts differently."""
    here = [tell(Scenario.of(seed)).trace for seed in REPEATED]
    assert [tell(Scenario.of(seed)).trace for seed in REPEATED] == here
    for hashing in ("1", "2"):
        assert _elsewhere(hashing) == here


def _elsewhere(hashing: str) -> list[str]:
    program = (
        "from tests.simulation.run import tell\n"
        "from tests.simulation.scenario import Scenario\n"
        f"print(*[tell(Scenario.of(seed)).trace for seed in {REPEATED}])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hashing},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.split()
