"""`make demo`'s own run: from nothing to a reconciled result, and nothing left running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.stack, pytest.mark.kafka]

ORDERS_ON_THE_FIRST = 127
WITHIN_S = 300


def left_running(home: Path) -> list[str]:
    """Processes whose environment names this state folder."""
    mark = f"BATON_HOME={home}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    home = tmp_path_factory.mktemp("demo")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "KAFKA_"))}
    ran = subprocess.run(
        [sys.executable, "-m", "orchestrator.operate.cli", "demo", "-o", "json"],
        env={**environment, "BATON_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert left_running(home / "demo") == []
    return ran


def test_the_demo_ends_well_and_its_books_agree(ran: subprocess.CompletedProcess[str]) -> None:
    """Every order of the day has one outcome, and every identity holds."""
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert result["orders"] == ORDERS_ON_THE_FIRST
    assert [each for each in result["identities"] if not each["holds"]] == []
    assert len(result["identities"]) == 11


def test_the_demo_shows_failures_being_compensated(ran: subprocess.CompletedProcess[str]) -> None:
    """The day holds fulfilled orders and each kind of refusal, and one story told to its end."""
    result = json.loads(ran.stdout)
    text = json.dumps(result)
    for reason in ("out_of_stock", "insufficient_funds", "country_not_served"):
        assert reason in text
    states = [line["state_to"] for line in result["story"]["lines"]]
    assert states[0] == "awaiting_stock"
    assert states[-1] == "compensated"
