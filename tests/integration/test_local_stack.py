"""`baton up` and its sisters on a real broker: detach, status, doctor, kills, reset, exit codes.

A part of the company is enough here; the whole of it is started by the acceptance tests.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.local.child import find_strays
from deploy.local.control import Request, ask_supervisor
from deploy.local.home import Home
from deploy.local.state import read_state
from deploy.local.supervisor import is_running
from schemas.topics import all_topics

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
PART = "kafka,mail,inventory"
Said = subprocess.CompletedProcess[str]
Baton = Callable[..., Said]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "state")
    yield made
    with suppress(Exception):
        ask_supervisor(made, Request("down"))
    for pid in find_strays(made).values():
        await_end(pid)


@pytest.fixture
def baton(home: Home) -> Baton:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "KAFKA_"))}

    def run(*arguments: str) -> Said:
        return subprocess.run(
            [sys.executable, "-m", "orchestrator.operate.cli", *arguments],
            env={**environment, "BATON_HOME": str(home.root)},
            capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL,
            check=False, cwd=ROOT,
        )  # fmt: skip

    return run


def await_end(pid: int, within_s: float = 30) -> None:
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        ended, _, _ = select.select([descriptor], [], [], within_s)
        os.close(descriptor)
        assert ended, f"process {pid} still runs"


def pids(home: Home) -> dict[str, int]:
    state = read_state(home)
    assert state is not None
    return {str(row["name"]): int(str(row["pid"])) for row in state.processes}


def test_a_stack_is_brought_up_looked_at_and_taken_down(baton: Baton, home: Home) -> None:
    """One life of a local stack, as a user types it, with the exit code of every step."""
    up = baton("up", "--detach", "--only", PART)
    assert up.returncode == 0, up.stderr
    assert "3 processes ready in" in up.stderr
    assert "127.0.0.1" in up.stderr
    assert "next: baton login · baton status" in up.stderr

    again = baton("up")
    assert (again.returncode, again.stderr) == (
        6, f"✖ a stack already runs in {home.root}\n  → baton status; baton down\n"
    )  # fmt: skip
    refused = baton("reset", "--yes")
    assert (refused.returncode, home.kafka.is_dir()) == (6, True)

    status = baton("status", "-o", "json")
    rows = json.loads(status.stdout)
    assert status.returncode == 0
    assert [(row["name"], row["state"], row["restarts"]) for row in rows] == [
        ("kafka", "ready", 0), ("mail", "ready", 0), ("inventory", "ready", 0)
    ]  # fmt: skip

    doctor = baton("doctor", "-o", "json")
    found = {row["check"]: (row["finding"], row["detail"]) for row in json.loads(doctor.stdout)}
    assert doctor.returncode == 0, doctor.stdout
    assert found["topics"] == ("ok", f"{len(all_topics())} as planned, 4 partitions each")
    assert found["broker"][1].endswith(", 1 in the cluster")

    running = pids(home)
    down = baton("down")
    assert down.returncode == 0
    assert not is_running(home)
    for pid in running.values():
        await_end(pid)
    assert list(home.run.glob("*.pid")) == []
    assert baton("status").returncode == 7

    reset = baton("reset", "--yes")
    assert reset.returncode == 0
    assert list(home.root.iterdir()) == []


def test_kill_9_of_anything_leaves_a_stack_that_comes_up_again(baton: Baton, home: Home) -> None:
    """First a service and the broker, which come back by themselves; then the supervisor."""
    assert baton("up", "--detach", "--only", PART).returncode == 0
    first = pids(home)
    for name in ("inventory", "kafka"):
        os.kill(first[name], signal.SIGKILL)
        await_end(first[name])
    for name in ("kafka", "inventory"):
        ask_supervisor(home, Request("start", name))
    second = pids(home)
    assert second["mail"] == first["mail"]
    assert second["kafka"] != first["kafka"]
    assert second["inventory"] != first["inventory"]

    state = read_state(home)
    assert state is not None
    os.kill(state.pid, signal.SIGKILL)
    for pid in second.values():
        await_end(pid)
    ports = home.ports.read_text(encoding="utf-8")
    assert baton("status").returncode == 7
    up = baton("up", "--detach", "--only", PART)
    assert up.returncode == 0, up.stderr
    assert home.ports.read_text(encoding="utf-8") == ports
    assert set(pids(home).values()).isdisjoint(second.values())


def test_a_process_that_cannot_start_fails_the_start_and_stops_the_rest(
    baton: Baton, home: Home
) -> None:
    """The name, its last words and what to type; nothing keeps running behind it."""
    home.prepare()
    home.database("mail").mkdir()
    up = baton("up", "--detach", "--only", "mail")
    assert up.returncode == 1
    assert "✖ mail: ended with" in up.stderr
    assert "→ baton logs mail; baton doctor" in up.stderr
    assert not is_running(home)
    assert find_strays(home) == {}
