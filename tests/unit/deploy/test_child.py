"""A child dies with its supervisor, or is found again; no other process is ever touched."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from deploy.local import child
from deploy.local.home import Home
from tests.unit.deploy.children import STUBBORN, is_gone, spec, until_ready

SUPERVISOR = """
import asyncio, pathlib, sys
from deploy.local.home import Home
from tests.unit.deploy.children import spec, supervising
async def main():
    home = Home(pathlib.Path(sys.argv[1]))
    home.prepare()
    async with supervising([spec("crm", pathlib.Path(sys.argv[2]))], home) as supervisor:
        await supervisor.wait_ready()
        print(supervisor.keepers["crm"].status().pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "state")
    made.prepare()
    return made


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the Linux kernel")
async def test_children_end_when_their_supervisor_is_killed(home: Home, tmp_path: Path) -> None:
    """kill -9 of the supervisor reaches them as SIGTERM: they end as they would in order."""
    journal = tmp_path / "journal"
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISOR, str(home.root), str(journal),
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert supervisor.stdout is not None
    pid = int(await supervisor.stdout.readline())
    supervisor.kill()
    await supervisor.wait()
    assert await is_gone(pid)
    assert journal.read_text(encoding="utf-8").splitlines() == ["begun crm", "ended crm"]


async def test_a_stray_of_an_unclean_end_is_ended_even_if_it_ignores_sigterm(
    home: Home, tmp_path: Path
) -> None:
    """Two owners of one database would be the end of it."""
    stray = await child.launch(spec("crm", tmp_path / "journal", program=STUBBORN), home)
    await until_ready(spec("crm", tmp_path / "journal"))
    assert child.find_strays(home) == {"crm": stray.pid}
    assert await child.end_strays(home, within_s=0.1) == {"crm": stray.pid}
    assert await stray.wait() == -signal.SIGKILL
    assert list(home.run.glob("*.pid")) == []


async def test_a_process_of_another_state_folder_is_left_alone(home: Home, tmp_path: Path) -> None:
    """Its pid in our file is a reused pid, or somebody's mistake."""
    other = Home(tmp_path / "other")
    other.prepare()
    foreign = await child.launch(spec("crm", tmp_path / "journal"), other)
    try:
        child.write_pid(home, "crm", foreign.pid)
        assert child.find_strays(home) == {}
        assert await child.end_strays(home) == {}
        assert foreign.returncode is None
        assert child.find_strays(other) == {"crm": foreign.pid}
    finally:
        await child.end(foreign, 10)


async def test_a_pid_that_was_given_to_another_process_is_left_alone(
    home: Home, tmp_path: Path
) -> None:
    """The same number, but another start time."""
    process = await child.launch(spec("crm", tmp_path / "journal"), home)
    try:
        content = {"pid": process.pid, "started": str(int(child.start_time(process.pid)) - 1)}
        home.pid("crm").write_text(json.dumps(content), encoding="utf-8")
        assert child.find_strays(home) == {}
    finally:
        await child.end(process, 10)


@pytest.mark.parametrize("content", ["", "{}", "7", '{"pid": "x", "started": "1"}'])
def test_a_broken_pid_file_names_no_process(home: Home, content: str) -> None:
    """Half-written by a kill, it is forgotten."""
    home.pid("crm").write_text(content, encoding="utf-8")
    assert child.find_strays(home) == {}


def test_a_child_runs_with_the_environment_of_its_spec_only(home: Home) -> None:
    """Nothing of the caller's shell reaches it unless the table says so."""
    script = "import os, json; print(json.dumps(sorted(k for k in os.environ if k[0] == 'B')))"
    bare = child.ProcessSpec("crm", (sys.executable, "-S", "-c", script), {"BATON_OPS_PORT": "1"})

    async def run() -> None:
        process = await child.launch(bare, home)
        assert await process.wait() == 0

    asyncio.run(run())
    assert child.last_lines(home.log("crm")) == ('["BATON_HOME", "BATON_OPS_PORT"]',)


def test_a_long_log_is_set_aside_and_goes_on(home: Home) -> None:
    """The child keeps its open file; what it writes next stands at the beginning."""
    path = home.log("crm")
    with path.open("ab", buffering=0) as log:
        log.write(b"old\n" * 10)
        assert child.rotate(path, largest=39)
        log.write(b"new\n")
    assert path.read_bytes() == b"new\n"
    assert path.with_name("crm.log.1").read_bytes() == b"old\n" * 10
    assert not child.rotate(path, largest=39)
    assert not child.rotate(home.log("nobody"))


def test_the_last_lines_are_those_with_words(home: Home) -> None:
    """Blank lines say nothing in an error message."""
    home.log("crm").write_text("one\n\ntwo\n  \nthree\n", encoding="utf-8")
    assert child.last_lines(home.log("crm"), 2) == ("two", "three")
    assert child.last_lines(home.log("nobody")) == ()


def test_our_own_pid_is_no_stray(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor writes a pid file as well, and may have the folder in its environment."""
    monkeypatch.setattr(child, "is_ours", lambda *_given: True)
    child.write_pid(home, "supervisor", os.getpid())
    assert child.find_strays(home) == {}
