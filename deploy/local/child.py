"""One child process: how it is started, found again, and ended.

Owns its pid file and its log file. A child leads a session of its own, so that Ctrl-C reaches only
the supervisor, and on Linux it gets SIGTERM when the supervisor dies, however that happens.
Invariant: a process is ended only if it is ours: the pid's start time is the one we wrote down
and its environment names our state folder; a reused pid is never signalled.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

from .home import Home, write_whole

PR_SET_PDEATHSIG: Final = 1
LOG_LARGEST: Final = 20 * 1024 * 1024
STRAYS_WITHIN_S: Final = 12.0
LOOK_AGAIN_S: Final = 0.1

Hook = Callable[[], Awaitable[None]]
Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to run. `before` prepares each start, `ready` probes it, `after` follows readiness.

    `env` is the whole environment. `needs` names what must be ready first.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    ready: Probe | None = None
    before: Hook | None = None
    after: Hook | None = None
    ready_within_s: float = 90.0
    stop_within_s: float = 12.0


async def launch(spec: ProcessSpec, home: Home) -> asyncio.subprocess.Process:
    """Runs in the state folder: what happens to lie in the caller's is not importable."""
    with home.log(spec.name).open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *spec.argv,
            env={**spec.env, "BATON_HOME": str(home.root)},
            cwd=home.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_die_with_parent(),
        )
    write_pid(home, spec.name, process.pid)
    return process


async def end(process: asyncio.subprocess.Process, within_s: float) -> None:
    """SIGTERM, a bounded wait, then SIGKILL for the whole session of the child."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(within_s):
            await process.wait()
    except TimeoutError:
        kill(process)
        await process.wait()


def kill(process: asyncio.subprocess.Process) -> None:
    """SIGKILL for the whole session of the child."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def write_pid(home: Home, name: str, pid: int) -> None:
    content = {"pid": pid, "started": start_time(pid)}
    write_whole(home.pid(name), json.dumps(content) + "\n", durable=False)


def forget_pid(home: Home, name: str) -> None:
    home.pid(name).unlink(missing_ok=True)


def find_strays(home: Home) -> dict[str, int]:
    """Processes of an earlier, unclean end that still run, by name."""
    found: dict[str, int] = {}
    for path in sorted(home.run.glob("*.pid")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            pid, started = int(content["pid"]), str(content["started"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if pid != os.getpid() and is_ours(home, pid, started):
            found[path.stem] = pid
    return found


async def end_strays(home: Home, *, within_s: float = STRAYS_WITHIN_S) -> dict[str, int]:
    """Ends them all at once and forgets every old pid file. Call it only as the one supervisor."""
    strays = find_strays(home)
    _signal(home, strays, signal.SIGTERM)
    deadline = monotonic() + within_s
    while left := find_strays(home):
        if monotonic() > deadline:
            _signal(home, left, signal.SIGKILL)
        await asyncio.sleep(LOOK_AGAIN_S)
    for path in home.run.glob("*.pid"):
        path.unlink()
    return strays


def start_time(pid: int) -> str:
    """Clock ticks since boot at which this pid began, "" when there is none (or no /proc)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def is_ours(home: Home, pid: int, started: str) -> bool:
    if not started or start_time(pid) != started:
        return False
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"BATON_HOME={home.root}".encode() in variables


def last_lines(path: Path, count: int = 20) -> tuple[str, ...]:
    try:
        with path.open("rb") as handle:
            handle.seek(max(0, path.stat().st_size - 64 * 1024))
            text = handle.read().decode(errors="replace")
    except OSError:
        return ()
    return tuple(line for line in text.splitlines() if line.strip())[-count:]


def rotate(path: Path, largest: int = LOG_LARGEST) -> bool:
    """Copies the log to `.1` and empties it: the child keeps appending to the same file.

    What it writes between the two is lost, which a log may lose.
    """
    try:
        if path.stat().st_size <= largest:
            return False
        shutil.copyfile(path, path.with_name(path.name + ".1"))
        os.truncate(path, 0)
    except FileNotFoundError:
        return False
    return True


def _signal(home: Home, strays: Mapping[str, int], number: signal.Signals) -> None:
    for name, pid in strays.items():
        if name in find_strays(home):
            with suppress(ProcessLookupError):
                os.killpg(pid, number)


def _die_with_parent() -> Callable[[], None] | None:
    """Runs in the child between fork and exec, so it only calls what is loaded before."""
    if not sys.platform.startswith("linux"):
        return None
    control = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask_for_sigterm() -> None:
        control(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask_for_sigterm


def levels(specs: Mapping[str, ProcessSpec]) -> Iterator[tuple[str, ...]]:
    """Names in start order, those that may start together in one tuple. Raises on a circle."""
    placed: set[str] = set()
    while len(placed) < len(specs):
        level = tuple(
            name
            for name, spec in specs.items()
            if name not in placed and placed.issuperset(spec.needs)
        )
        if not level:
            raise ValueError(f"these need each other: {sorted(set(specs) - placed)}")
        placed.update(level)
        yield level
