"""What `baton up down status scale reset logs` do: each returns its exit code or raises a fault.

Results go to the screen's table, everything said on the way to standard error. The screen is the
command line's; nothing here knows how it draws.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep, time
from typing import IO, Final, Protocol

from schemas.topics import PARTITIONS_LOCAL
from services.chassis.settings import remote_in_plaintext

from . import child
from .control import Request, ask_supervisor
from .doctor import Finding, examine
from .faults import NoSuchProcess, NotScaled, ProcessFailed, StackRunning
from .home import Home
from .keeper import State, Status
from .logging_in import login_address
from .running import Telling, run_until_stopped
from .stack import COPIED, CORE, KAFKA, PROCESSES, Stack, planned_topics
from .state import read_state
from .supervisor import is_running

DONE: Final = 0
FAILURE: Final = 1
PARTIAL: Final = 4
REFUSED: Final = 6
UNREACHABLE: Final = 7
DOWN_WITHIN_S: Final = 90.0
UP_WITHIN_S: Final = 900.0
LOOK_AGAIN_S: Final = 0.2
SECRETS: Final = ("token", "tokens.json", ".tokens.json.lock")
RUNNING: Final = ("run", "ports.json", "server")
DELETED_BY_RESET: Final = ("kafka", "data", "logs", *RUNNING, *SECRETS, "bench.json")
COLUMNS: Final = ("process", "state", "pid", "restarts", "since_s", "exit_code")


class Screen(Protocol):
    """Where a verb prints. `asks` says whether somebody is there to answer."""

    @property
    def asks(self) -> bool: ...

    def rows(self, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None: ...

    def say(self, text: str) -> None: ...


def home_of_this_shell() -> Home:
    return Home.from_environment(os.environ)


def up(screen: Screen, *, detach: bool = False, only: str = "") -> int:
    home = home_of_this_shell()
    home.prepare()
    if is_running(home):
        raise StackRunning(f"a stack already runs in {home.root}", mend="baton status; baton down")
    if detach:
        return _up_detached(screen, home, only)
    began = monotonic()
    telling = Telling(change=Startup(screen).change, line=screen.say)

    def ready(stack: Stack) -> None:
        _say_where(screen, stack, monotonic() - began)
        if screen.asks:
            _say_login(screen, home, stack.addresses)

    def stopping() -> None:
        screen.say("stopping in order; what is under way is finished first")

    asyncio.run(
        run_until_stopped(home, ready=ready, stopping=stopping, only=chosen(only), telling=telling)
    )
    screen.say("stopped. Everything is kept; `baton up` goes on from here.")
    return DONE


def chosen(only: str) -> tuple[str, ...]:
    """Process names from `--only`; `core` stands for the five that fulfil orders."""
    if not only:
        return PROCESSES
    names = [name.strip() for name in only.split(",")]
    return tuple(each for name in names for each in (CORE if name == "core" else (name,)))


def down(screen: Screen) -> int:
    """Also ends what a killed supervisor left behind. Nothing to stop is no failure."""
    home = home_of_this_shell()
    if is_running(home):
        ask_supervisor(home, Request("down"))
        deadline = monotonic() + DOWN_WITHIN_S
        while is_running(home):
            if monotonic() > deadline:
                raise ProcessFailed(
                    f"the stack in {home.root} did not stop in {DOWN_WITHIN_S:g} s",
                    mend="baton status; baton logs",
                )
            sleep(LOOK_AGAIN_S)
        screen.say(f"stopped the stack in {home.root}; its state is kept")
        return DONE
    strays = asyncio.run(child.end_strays(home))
    left = f"; ended {', '.join(strays)}, left over from an unclean end" if strays else ""
    screen.say(f"no stack runs in {home.root}{left}")
    return DONE


def status(screen: Screen) -> int:
    home = home_of_this_shell()
    state = read_state(home) if is_running(home) else None
    if state is None:
        screen.rows(COLUMNS, [])
        screen.say(f"no stack runs in {home.root}. Start one with: baton up")
        return UNREACHABLE
    rows = [
        {
            **process,
            "process": process["name"],
            "since_s": round(max(0.0, time() - float(str(process["since"])))),
            "address": state.addresses.get(str(process["name"]), ""),
        }
        for process in state.processes
    ]
    screen.rows((*COLUMNS, "address"), rows)
    waiting = [str(row["process"]) for row in rows if not row["ready"]]
    if waiting:
        screen.say(f"not ready: {', '.join(waiting)}. What they say: baton logs {waiting[0]}")
    return PARTIAL if waiting else DONE


def scale(screen: Screen, wanted: Sequence[str]) -> int:
    """Each as in `billing=2`. Until the stack stops: `baton up` begins with one of each again."""
    home = home_of_this_shell()
    asked = [_scaled(home, each) for each in wanted]
    for program, number in asked:
        ask_supervisor(home, Request("scale", f"{program}={number}"))
        screen.say(
            f"{program}: {number} process{'' if number == 1 else 'es'}, sharing its partitions"
        )
    return DONE


def _scaled(home: Home, wanted: str) -> tuple[str, int]:
    program, _, number = wanted.partition("=")
    if program not in COPIED:
        raise NoSuchProcess(
            f"{wanted}: no program called {program!r} can be scaled",
            mend=f"baton scale billing=2   (or: {' '.join(COPIED)})",
        )
    if not number.isdecimal() or not 1 <= int(number) <= PARTITIONS_LOCAL:
        raise NotScaled(
            f"{wanted}: a program has 1 to {PARTITIONS_LOCAL} processes here, as many as its"
            " topics have partitions",
            mend=f"baton scale {program}=2",
        )
    if int(number) > 1 and not home.server.exists():
        raise NotScaled(
            f"{wanted}: the databases in {home.data} are SQLite files, and a file has one process",
            mend="baton down; BATON_HOME=... BATON_POSTGRES=postgresql://... baton up"
            "   (a new state folder, its databases on a server)",
        )
    return program, int(number)


def reset(screen: Screen, *, yes: bool = False) -> int:
    """Deletes only what a stack makes, whatever else lies in the folder."""
    home = home_of_this_shell()
    if is_running(home):
        raise StackRunning(f"a stack runs in {home.root}", mend="baton down && baton reset")
    found = [home.root / name for name in DELETED_BY_RESET if (home.root / name).exists()]
    if not found:
        screen.say(f"nothing to delete in {home.root}")
        return DONE
    if not yes and not _confirmed(screen, home):
        screen.say("nothing was deleted. Without a question: baton reset --yes")
        return REFUSED
    asyncio.run(child.end_strays(home))
    if home.server.exists():
        screen.say(f"the databases on {home.server.read_text().strip()} stay: drop them there")
    for path in found:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    screen.say(f"deleted {', '.join(path.name for path in found)} in {home.root}")
    return DONE


def doctor(screen: Screen) -> int:
    """Fails if anything is ill; notes are no failure."""
    checks = examine(home_of_this_shell(), planned_topics())
    screen.rows(("check", "finding", "detail", "mend"), [check.as_row() for check in checks])
    return FAILURE if any(check.finding is Finding.ILL for check in checks) else DONE


def logs(process: str, *, lines: int = 20, follow: bool = False) -> int:
    home = home_of_this_shell()
    known = sorted(path.stem for path in home.logs.glob("*.log"))
    if process and process not in known:
        raise NoSuchProcess(
            f"no log of {process!r} in {home.logs}",
            mend=f"baton logs {'|'.join(known) or '(after the first baton up)'}",
        )
    names = [process] if process else known
    for name in names:
        for line in child.last_lines(home.log(name), lines) if lines else ():
            print(line if process else f"{name:<13} {line}")
    sys.stdout.flush()
    if follow:
        _follow({name: home.log(name) for name in names}, alone=bool(process))
    return DONE


class Startup:
    """A line per process when it is ready, and one when it dies."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._told: dict[str, tuple[State, int]] = {}

    def change(self, status: Status) -> None:
        now = (status.state, status.restarts)
        if self._told.get(status.name) == now:
            return
        self._told[status.name] = now
        if status.state is State.READY:
            self._screen.say(f"  ready  {status.name:<13} {status.took_s:5.1f} s")
        elif status.state is State.BACKING_OFF:
            how = "cannot start" if status.exit_code is None else f"ended with {status.exit_code}"
            self._screen.say(f"  died   {status.name:<13} {how}; it is started again")


def _say_where(screen: Screen, stack: Stack, took_s: float) -> None:
    screen.say(
        f"\n{len(stack.specs)} processes ready in {took_s:.1f} s; state in {stack.home.root}"
    )
    for name, address in stack.addresses.items():
        if not name.endswith(" metrics"):
            screen.say(f"  {name:<13} {address}")
    screen.say(f"  token         {stack.home.token_file} (operator's; baton tokens makes others)")
    if any(spec.name == KAFKA for spec in stack.specs):
        screen.say("Kafka speaks without encryption or passwords, to this machine only (127.0.0.1)")
    elif remote_in_plaintext({"KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap}):
        screen.say(
            f"Kafka at {stack.bootstrap} is spoken to without encryption or passwords:"
            " whoever is on the way can read and forge"
        )
    screen.say(
        "next: baton login · baton status · baton import --day 2010-12-01 · baton sagas list"
        " · baton down"
    )


def _say_login(screen: Screen, home: Home, addresses: Mapping[str, str]) -> None:
    """To whoever sits there, never into a log: the address is as good as the token, once."""
    if console := addresses.get("console"):
        address = login_address(console, home.token()) or "baton login   prints an address"
        screen.say(f"log in, once, within ten minutes: {address}")


def _up_detached(screen: Screen, home: Home, only: str) -> int:
    """The supervisor is a session of its own; what it says is shown until it is ready."""
    log = home.log("supervisor")
    argv = [sys.executable, "-m", "orchestrator.operate.cli", "--no-color", "up"]
    with ExitStack() as files:
        written = files.enter_context(log.open("ab"))
        shown = files.enter_context(log.open(encoding="utf-8", errors="replace"))
        shown.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            [*argv, "--only", only] if only else argv,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
        deadline = monotonic() + UP_WITHIN_S
        while process.poll() is None and monotonic() < deadline:
            _show_new(screen, shown)
            state = read_state(home)
            if state is not None and state.pid == process.pid and state.is_ready:
                screen.say(f"runs in the background (pid {process.pid}); baton down stops it")
                _say_login(screen, home, state.addresses)
                return DONE
            sleep(LOOK_AGAIN_S)
        _show_new(screen, shown)
    return process.returncode or FAILURE


def _show_new(screen: Screen, shown: IO[str]) -> None:
    for line in shown:
        if line.strip():
            screen.say(line.rstrip())


def _confirmed(screen: Screen, home: Home) -> bool:
    if not screen.asks:
        return False
    print(f"Delete all topics, databases and logs in {home.root}? [y/N] ", end="", file=sys.stderr)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _follow(paths: Mapping[str, Path], *, alone: bool) -> None:
    """Until Ctrl-C. A file that became shorter was rotated: it is read from its start."""
    at = {name: path.stat().st_size for name, path in paths.items()}
    while True:
        for name, path in paths.items():
            if path.stat().st_size < at[name]:
                at[name] = 0
            for line in _new_lines(path, name, at):
                print(line if alone else f"{name:<13} {line}", flush=True)
        sleep(LOOK_AGAIN_S)


def _new_lines(path: Path, name: str, at: dict[str, int]) -> Iterator[str]:
    with path.open("rb") as handle:
        handle.seek(at[name])
        for line in handle:
            if not line.endswith(b"\n"):
                return
            at[name] += len(line)
            yield line.decode(errors="replace").rstrip()
