"""The console as its own process: `python -m orchestrator.operate`, its two ports and its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest
from orchestra import orchestra
from stage import TOKEN, free_port

from orchestrator.operate import console
from orchestrator.operate.bulk_running import BulkRunner
from orchestrator.operate.console import Console
from orchestrator.operate.history import History
from orchestrator.operate.settings import ConsoleSettings
from orchestrator.operate.tailing import Tails
from services.chassis.access import Role
from tests.gates import tokens_in

CONSOLE = (sys.executable, "-m", "orchestrator.operate")


def environment(home: Path, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
    return {
        **clean,
        "BATON_HOME": str(home),
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        **more,
    }


@contextmanager
def running(home: Path, ops: int, api: int) -> Iterator[subprocess.Popen[str]]:
    tokens = tokens_in(home, {TOKEN: Role.OPERATOR})
    settings = environment(
        home,
        BATON_OPS_PORT=str(ops),
        BATON_API_PORT=str(api),
        BATON_TOKENS_FILE=str(tokens),
    )
    with subprocess.Popen(CONSOLE, env=settings, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str], event: str) -> dict[str, object]:
    """The next log line of that event; the end of the log is a failure."""
    assert process.stderr is not None
    for line in process.stderr:
        told: dict[str, object] = json.loads(line)
        if told["event"] == event:
            return told
    raise AssertionError(f"it ended without saying {event!r}")


@asynccontextmanager
async def asking(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        yield http


async def test_the_console_waits_for_the_database_serves_it_and_stops_when_told(
    tmp_path: Path,
) -> None:
    """Not ready with a reason, then ready; SIGTERM ends it with 0."""
    ops, api = free_port(), free_port()
    with running(tmp_path, ops, api) as console:
        async with asking(ops) as health, asking(api) as http:
            said(console, "serving")
            waiting = await health.get("/readyz")
            async with orchestra(tmp_path / "data" / "orchestrator.db") as playing:
                await playing.place_order("o-1")
                said(console, "readiness changed")
                ready = await health.get("/readyz")
                headers = {"Authorization": f"Bearer {TOKEN}"}
                saga = await http.get("/api/sagas/o-1", headers=headers)
                refused = await http.get("/api/sagas/o-1")
        console.send_signal(signal.SIGTERM)
        code = console.wait(10)

    assert (waiting.status_code, ready.status_code) == (503, 200)
    assert waiting.json()["checks"][0]["name"] == "database"
    assert ready.json()["checks"] == [{"name": "database", "ok": True, "reason": "readable"}]
    assert (saga.json()["state"], refused.status_code, code) == ("awaiting_stock", 401, 0)


@pytest.mark.parametrize("work", [(BulkRunner, "run"), (Console, "_watch")])
async def test_what_ends_by_itself_ends_the_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: tuple[type, str]
) -> None:
    """Without its runner it would look whole, and tell nobody anything."""

    async def broken(*_: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(*work, broken)
    async with asyncio.timeout(20):
        with pytest.raises(ValueError, match="broken"):
            await console_in(tmp_path).run()


@pytest.mark.parametrize("work", [(History, "run"), (Tails, "run")])
async def test_what_the_console_can_do_without_for_a_moment_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: tuple[type, str]
) -> None:
    """A phase of a newer release in a sample does not take all pages away."""
    served, begun = console_in(tmp_path), list[str]()

    async def broken(*_: object) -> None:
        begun.append("begun")
        if len(begun) == 3:
            served.stop()
        raise ValueError("broken")

    monkeypatch.setattr(*work, broken)
    monkeypatch.setattr(console, "_LOOK_AGAIN_S", 0.01)
    async with asyncio.timeout(20):
        await served.run()

    assert len(begun) >= 3


def console_in(home: Path) -> Console:
    given = {
        "BATON_HOME": str(home),
        "BATON_TOKENS_FILE": str(tokens_in(home, {TOKEN: Role.OPERATOR})),
        "BATON_OPS_PORT": str(free_port()),
        "BATON_API_PORT": str(free_port()),
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    return Console(ConsoleSettings.read(given, service="console"))


def test_settings_that_are_wrong_are_all_named_and_end_it_with_2(tmp_path: Path) -> None:
    """Before anything is served."""
    wrong = environment(tmp_path, BATON_API_PORT="1", BATON_ORCHESTRATOR_DATABSE="x")
    done = subprocess.run(CONSOLE, env=wrong, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert "BATON_TOKENS_FILE: missing" in done.stderr
    assert "did you mean BATON_ORCHESTRATOR_DATABASE?" in done.stderr


def test_a_port_that_is_taken_ends_it_with_1_and_is_named(tmp_path: Path) -> None:
    """A half-served console is worse than none."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            CONSOLE,
            env=environment(tmp_path, BATON_OPS_PORT=str(port)),
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
