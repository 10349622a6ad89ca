"""Processes start in order and stop in reverse, are kept running, and are never kept twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from deploy.local import child
from deploy.local.child import ProcessSpec
from deploy.local.control import Reply, Request, ask_supervisor
from deploy.local.faults import ProcessFailed, StackRunning, StackStopped
from deploy.local.home import Home
from deploy.local.keeper import BACKOFF_MOST_S, Keeper, State, Status, backoff_s
from deploy.local.running import first_fault
from deploy.local.state import read_state
from deploy.local.supervisor import Supervisor, is_running
from tests.unit.deploy.children import DYING, STUBBORN, is_gone, spec, supervising


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "state")
    made.prepare()
    return made


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def lines(journal: Path) -> list[str]:
    return journal.read_text(encoding="utf-8").splitlines()


def states(told: list[Status], name: str) -> list[State]:
    """Without repeats: starting is told before and after there is a pid."""
    found = [status.state for status in told if status.name == name]
    return [state for at, state in enumerate(found) if at == 0 or found[at - 1] is not state]


async def test_what_is_needed_is_ready_before_what_needs_it_starts(
    home: Home, journal: Path
) -> None:
    """Two that need the same one start together once it is ready, and stop before it."""
    told: list[Status] = []
    specs = [
        spec("crm", journal, needs=("kafka",)),
        spec("kafka", journal),
        spec("billing", journal, needs=("kafka",)),
    ]
    async with supervising(specs, home, told) as supervisor:
        await supervisor.wait_ready()
        assert lines(journal)[0] == "begun kafka"
        assert sorted(lines(journal)[1:]) == ["begun billing", "begun crm"]
        order = [(status.name, status.state) for status in told]
        ready = order.index(("kafka", State.READY))
        assert ready < order.index(("crm", State.STARTING))
        assert ready < order.index(("billing", State.STARTING))
    assert sorted(lines(journal)[3:5]) == ["ended billing", "ended crm"]
    assert lines(journal)[5:] == ["ended kafka"]
    assert states(told, "crm") == [
        State.WAITING,
        State.STARTING,
        State.READY,
        State.STOPPING,
        State.STOPPED,
    ]


async def test_a_process_that_dies_is_started_again_later_each_time(home: Home) -> None:
    """The delay doubles; the last exit code and what it printed are kept for whoever asks."""
    delays: list[float] = []
    enough = asyncio.Event()

    async def pause(seconds: float) -> None:
        delays.append(seconds)
        if len(delays) == 4:
            enough.set()
            await asyncio.Event().wait()

    dying = ProcessSpec("billing", (sys.executable, "-S", "-c", DYING))
    keeper = Keeper(dying, home, changed=lambda _status: None, sleep=pause)
    keeper.begin()
    await enough.wait()
    status = keeper.status()
    await keeper.stop()
    assert delays == [0.5, 1.0, 2.0, 4.0]
    assert (status.state, status.restarts, status.exit_code) == (State.BACKING_OFF, 4, 3)
    assert status.last_lines == ("out of cheese",) * 4


async def test_a_start_by_name_does_not_wait_for_the_delay(home: Home, journal: Path) -> None:
    """Whoever mended it wants it up now, and the answer comes when it is ready."""
    waiting = asyncio.Event()

    async def for_ever(_seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    supervisor = Supervisor([spec("crm", journal)], home, pause=for_ever)
    await supervisor.start()
    try:
        await supervisor.wait_ready()
        pid = supervisor.keepers["crm"].status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await waiting.wait()
        assert supervisor.keepers["crm"].status().state is State.BACKING_OFF
        async with asyncio.timeout(30):
            await ask(home, "start", "crm")
        status = supervisor.keepers["crm"].status()
        assert (status.state, status.restarts) == (State.READY, 1)
    finally:
        await supervisor.stop()


def test_the_delay_has_an_end() -> None:
    """Half a minute at most, so that what is mended is up again soon."""
    assert backoff_s(1) == 0.5
    assert backoff_s(100) == BACKOFF_MOST_S == 30.0


async def test_a_killed_process_comes_back(home: Home, journal: Path) -> None:
    """kill -9 of a ready process: another pid, one restart, ready again."""
    ready_twice = asyncio.Event()
    ready_pids: list[int | None] = []

    def look(status: Status) -> None:
        if status.state is State.READY:
            ready_pids.append(status.pid)
            if len(ready_pids) == 2:
                ready_twice.set()

    supervisor = Supervisor([spec("billing", journal)], home, report=look)
    await supervisor.start()
    try:
        await supervisor.wait_ready()
        first = ready_pids[0]
        assert first is not None
        await ask(home, "kill", "billing")
        async with asyncio.timeout(30):
            await ready_twice.wait()
        assert ready_pids[1] != first
        status = supervisor.keepers["billing"].status()
        assert (status.restarts, status.exit_code, status.is_ready) == (1, -9, True)
    finally:
        await supervisor.stop()


async def test_a_start_that_cannot_succeed_is_told_with_the_last_words(home: Home) -> None:
    """Three deaths without having been ready: name, exit code, log lines, what to type."""
    dying = ProcessSpec("billing", (sys.executable, "-S", "-c", DYING), ready=never)

    async def at_once(_seconds: float) -> None:
        await asyncio.sleep(0)

    supervisor = Supervisor([dying], home, pause=at_once)
    await supervisor.start()
    with pytest.raises(ProcessFailed) as caught:
        await first_fault(supervisor.wait_ready())
    await supervisor.stop()
    assert caught.value.what.startswith("billing: ended with 3, 3 times in a row\n")
    assert caught.value.what.endswith("    out of cheese")
    assert caught.value.mend == "baton logs billing; baton doctor"


async def test_a_process_that_never_answers_is_told_after_its_time(
    home: Home, journal: Path
) -> None:
    """Alive is not ready."""
    silent = replace(spec("billing", journal), ready=never, ready_within_s=0.3)
    async with supervising([silent], home) as supervisor:
        with pytest.raises(ProcessFailed, match=r"^billing: not ready in 0\.3 s"):
            await first_fault(supervisor.wait_ready())


async def never() -> bool:
    return False


async def test_a_hook_that_fails_counts_as_a_death_and_is_tried_again(
    home: Home, journal: Path
) -> None:
    """Its words are the reason: the child itself has said nothing."""

    async def refuse() -> None:
        raise ProcessFailed("the disk is full", mend="df -h")

    async def at_once(_seconds: float) -> None:
        await asyncio.sleep(0)

    refused = replace(spec("kafka", journal), before=refuse)
    supervisor = Supervisor([refused], home, pause=at_once)
    await supervisor.start()
    with pytest.raises(ProcessFailed) as caught:
        await first_fault(supervisor.wait_ready())
    await supervisor.stop()
    assert caught.value.what == "kafka: the disk is full, 3 times in a row"
    assert caught.value.mend == "df -h"
    assert list(journal.parent.glob("journal*")) == []


async def test_what_follows_readiness_is_done_before_anybody_relies_on_it(
    home: Home, journal: Path
) -> None:
    """Topics are made after the broker answers and before the services start."""
    begun_at_hook: list[list[str]] = []

    async def make_topics() -> None:
        begun_at_hook.append(lines(journal))

    specs = [
        replace(spec("kafka", journal), after=make_topics),
        spec("crm", journal, needs=("kafka",)),
    ]
    async with supervising(specs, home) as supervisor:
        await supervisor.wait_ready()
    assert begun_at_hook == [["begun kafka"]]


async def test_a_process_that_ignores_sigterm_is_killed_after_its_bound(
    home: Home, journal: Path
) -> None:
    """Stopping ends, whatever a process does."""
    stubborn = spec("mail", journal, program=STUBBORN, stop_within_s=0.2)
    async with supervising([stubborn], home) as supervisor:
        await supervisor.wait_ready()
        pid = supervisor.keepers["mail"].status().pid
    assert pid is not None
    assert supervisor.keepers["mail"].status().exit_code == -signal.SIGKILL
    assert await is_gone(pid)


async def test_single_processes_are_stopped_and_started_by_name(home: Home, journal: Path) -> None:
    """The answer comes when it is done; a stopped process stays stopped."""
    async with supervising([spec("crm", journal), spec("mail", journal)], home) as supervisor:
        await supervisor.wait_ready()
        await ask(home, "stop", "crm")
        assert supervisor.keepers["crm"].status().state is State.STOPPED
        assert supervisor.keepers["mail"].status().state is State.READY
        with pytest.raises(ProcessFailed, match="crm does not run"):
            await ask(home, "kill", "crm")
        await ask(home, "start", "crm")
        assert lines(journal).count("begun crm") == 2
        await ask(home, "restart", "crm")
        assert lines(journal)[-2:] == ["ended crm", "begun crm"]
        with pytest.raises(ProcessFailed, match="no process 'nobody': crm, mail"):
            await ask(home, "stop", "nobody")
        with pytest.raises(ProcessFailed, match="no command 'dance'"):
            await ask(home, "dance", "crm")
        assert not supervisor.asked_to_stop.is_set()
        await ask(home, "down", "")
        assert supervisor.asked_to_stop.is_set()


async def test_a_program_is_scaled_up_and_down(home: Home, journal: Path) -> None:
    """Copies begin and end, the first stays; what is so already stays so; all of them stop."""
    specs = [spec("kafka", journal), spec("billing", journal, needs=("kafka",))]
    copy = partial(spec, journal=journal, needs=("kafka",))
    async with supervising(specs, home, copy=copy) as supervisor:
        await supervisor.wait_ready()
        first = supervisor.keepers["billing"].status().pid
        for number in (3, 3, 2):
            await ask(home, "scale", f"billing={number}")
            state = read_state(home)
            assert state is not None
            names = [str(each["name"]) for each in state.processes]
            assert names == ["kafka", "billing", "billing-2", "billing-3"][: number + 1]
        assert {each.status().state for each in supervisor.keepers.values()} == {State.READY}
        await ask(home, "scale", "billing=1")
        await ask(home, "scale", "billing=2")
        assert supervisor.keepers["billing"].status().pid == first
        with pytest.raises(ProcessFailed, match="crm does not run here"):
            await ask(home, "scale", "crm=2")
    told = lines(journal)
    assert told[-1] == "ended kafka"
    assert [told.count(f"{word} billing-2") for word in ("begun", "ended")] == [2, 2]


async def ask(home: Home, verb: str, name: str) -> None:
    await asyncio.to_thread(ask_supervisor, home, Request(verb, name))


async def test_a_line_that_is_no_command_is_answered_too(home: Home, journal: Path) -> None:
    """Whoever writes to the socket by hand learns its form."""
    async with supervising([spec("crm", journal)], home):
        path = (home.run / "supervisor.path").read_text(encoding="utf-8").strip()
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"[]\nnonsense\n")
        answers = [json.loads(await reader.readline()) for _ in range(2)]
        writer.close()
        await writer.wait_closed()
    reply = Reply(ok=False, error='a line is a JSON object: {"verb": ..., "name": ...}')
    assert answers == [{"ok": reply.ok, "error": reply.error}] * 2


async def test_a_state_folder_deeper_than_a_socket_path_works(tmp_path: Path) -> None:
    """The kernel gives a socket's path 108 bytes; a state folder may lie deeper."""
    home = Home(tmp_path / ("d" * 120) / "state")
    home.prepare()
    async with supervising([spec("crm", tmp_path / "journal")], home) as supervisor:
        await supervisor.wait_ready()
        await ask(home, "stop", "crm")
        assert supervisor.keepers["crm"].status().state is State.STOPPED


async def test_a_second_supervisor_is_refused_and_harms_nothing(home: Home, journal: Path) -> None:
    """One folder, one supervisor: the lock is held by the process, so a crash frees it."""
    async with supervising([spec("crm", journal)], home) as first:
        await first.wait_ready()
        second = Supervisor([spec("crm", journal)], home)
        with pytest.raises(StackRunning, match="already runs in") as caught:
            await second.start()
        await second.stop()
        assert caught.value.mend == "baton status; baton down"
        assert is_running(home)
        assert read_state(home) is not None
        assert first.keepers["crm"].status().is_ready
    assert not is_running(home)
    with pytest.raises(StackStopped):
        await ask(home, "down", "")


async def test_the_state_file_says_what_runs(home: Home, journal: Path) -> None:
    """Written at each change, gone after an orderly end."""
    supervisor = Supervisor(
        [spec("crm", journal)], home, facts={"bootstrap": "x:1", "addresses": {"crm": "u"}}
    )
    await supervisor.start()
    await supervisor.wait_ready()
    state = read_state(home)
    status = supervisor.keepers["crm"].status()
    await supervisor.stop()
    assert state is not None
    assert (state.pid, state.bootstrap, state.addresses) == (os.getpid(), "x:1", {"crm": "u"})
    assert state.is_ready
    assert state.processes == (
        {
            "name": "crm",
            "pid": status.pid,
            "state": "ready",
            "restarts": 0,
            "since": status.since,
            "took_s": status.took_s,
            "exit_code": None,
            "last_lines": [],
            "ready": True,
        },
    )
    assert read_state(home) is None
    assert list(home.run.glob("*.pid")) == []


def test_processes_that_need_each_other_are_refused() -> None:
    """Before anything starts."""
    circle = {
        "a": ProcessSpec("a", (), needs=("b",)),
        "b": ProcessSpec("b", (), needs=("a",)),
        "c": ProcessSpec("c", ()),
    }
    with pytest.raises(ValueError, match=r"these need each other: \['a', 'b'\]"):
        list(child.levels(circle))
