"""Runs a table of processes: starts them in order, keeps them running, stops them in reverse.

Knows no Kafka and no service: what is started, when it is ready and what it needs stands in the
specs. Invariant: at most one supervisor works in a state folder (it holds a file lock), and at
most one process per name runs in it: what an unclean end left over is ended before anything starts.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from time import sleep, time
from typing import IO, Final

from . import child
from .child import ProcessSpec
from .control import ControlServer, Reply, Request
from .faults import LocalFault, ProcessFailed, StackRunning
from .home import Home, unusable, write_whole
from .keeper import Keeper, Status

HOUSEKEEPING_S: Final = 10.0
DEATHS_BEFORE_READY: Final = 3
LOCK_TRIES: Final = 10
LOCK_AGAIN_S: Final = 0.02

Report = Callable[[Status], None]
Sleep = Callable[[float], Awaitable[None]]
Copy = Callable[[str], ProcessSpec]  # of one more process of a program, as in billing-2


class Supervisor:
    """`start`, `wait_ready`, then `stop`; in between single processes by name."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        home: Home,
        *,
        report: Report = lambda _status: None,
        facts: Mapping[str, object] | None = None,
        copy: Copy | None = None,
        pause: Sleep = asyncio.sleep,
    ) -> None:
        self._home = home
        self._report = report
        self._facts = dict(facts or {})
        self._since = time()
        self._lock: IO[str] | None = None
        self._server = ControlServer(home, self._answer)
        self._tasks: set[asyncio.Task[None]] = set()
        self._levels = tuple(child.levels({spec.name: spec for spec in specs}))
        self.asked_to_stop = asyncio.Event()
        self._copy, self._pause = copy, pause
        self.keepers = {spec.name: self._keeper(spec) for spec in specs}

    def _keeper(self, spec: ProcessSpec) -> Keeper:
        return Keeper(spec, self._home, changed=self._changed, sleep=self._pause)

    async def start(self) -> dict[str, int]:
        """Begins everything and returns at once; names the strays that it ended first."""
        self._lock = take_lock(self._home)
        strays = await child.end_strays(self._home)
        child.write_pid(self._home, "supervisor", os.getpid())
        await self._server.open()
        self._write_state()
        for level in self._levels:
            for name in level:
                keeper = self.keepers[name]
                keeper.begin(after=[self.keepers[need] for need in keeper.spec.needs])
        self._tasks.add(asyncio.create_task(self._housekeeping()))
        return strays

    async def wait_ready(self) -> None:
        """Raises ProcessFailed when one dies again and again, or is not ready in its time."""
        async with asyncio.TaskGroup() as group:
            for keeper in self.keepers.values():
                group.create_task(self._first_readiness(keeper))

    async def stop(self) -> None:
        """Dependents first; each level at once, each process within its own bound.

        Without the lock nothing here is ours, so nothing is touched.
        """
        if self._lock is None:
            return
        for task in self._tasks:
            task.cancel()
        first = {name for level in self._levels for name in level}
        levels = (*self._levels, tuple(self.keepers.keys() - first))
        for level in reversed(levels):
            there = (self.keepers[name] for name in level if name in self.keepers)
            await asyncio.gather(*(keeper.stop() for keeper in there))
        await self._server.close()
        self._home.supervisor_state.unlink(missing_ok=True)
        child.forget_pid(self._home, "supervisor")
        self._lock.close()
        self._lock = None

    async def _first_readiness(self, keeper: Keeper) -> None:
        for need in keeper.spec.needs:
            await self.keepers[need].is_ready.wait()
        try:
            async with asyncio.timeout(keeper.spec.ready_within_s):
                await keeper.first_ready(deaths_at_most=DEATHS_BEFORE_READY)
        except TimeoutError:
            raise self._failure(keeper, f"not ready in {keeper.spec.ready_within_s:g} s") from None
        except ProcessFailed as fault:
            if fault.mend:
                raise ProcessFailed(f"{keeper.spec.name}: {fault.what}", mend=fault.mend) from fault
            raise self._failure(keeper, fault.what) from fault

    def _failure(self, keeper: Keeper, why: str) -> ProcessFailed:
        name = keeper.spec.name
        said = "".join(f"\n    {line[:300]}" for line in child.last_lines(self._home.log(name), 5))
        return ProcessFailed(f"{name}: {why}{said}", mend=f"baton logs {name}; baton doctor")

    def _changed(self, status: Status) -> None:
        self._write_state()
        self._report(status)

    def _write_state(self) -> None:
        content = {
            "pid": os.getpid(),
            "home": str(self._home.root),
            "since": self._since,
            **self._facts,
            "processes": [keeper.status().as_json() for keeper in self.keepers.values()],
        }
        text = json.dumps(content, indent=1) + "\n"
        with suppress(OSError):
            write_whole(self._home.supervisor_state, text, durable=False)

    async def _answer(self, request: Request) -> Reply:
        """Commands on the socket: `down`; `scale` of a program, as in `billing=2`; of one process
        `stop`, `start`, `restart`, and `kill`.

        What was killed comes back by itself, as after any death.
        """
        if request.verb == "down":
            self.asked_to_stop.set()
            return Reply(ok=True)
        if request.verb == "scale":
            return await self._scale(request.name)
        keeper = self.keepers.get(request.name)
        if keeper is None:
            return Reply(ok=False, error=f"no process {request.name!r}: {', '.join(self.keepers)}")
        return await self._tell(keeper, request)

    async def _tell(self, keeper: Keeper, request: Request) -> Reply:
        if request.verb == "kill":
            return Reply(ok=keeper.kill(), error=f"{request.name} does not run")
        if request.verb not in ("stop", "start", "restart"):
            return Reply(ok=False, error=f"no command {request.verb!r}")
        if request.verb in ("stop", "restart"):
            await keeper.stop()
        if request.verb in ("start", "restart"):
            keeper.begin()
            try:
                await self._first_readiness(keeper)
            except LocalFault as fault:
                return Reply(ok=False, error=fault.what)
        return Reply(ok=True)

    async def _scale(self, asked: str) -> Reply:
        """The first process of a program stays whatever is asked; the others are its copies."""
        program, _, number = asked.partition("=")
        if self._copy is None or program not in self.keepers:
            return Reply(ok=False, error=f"{program} does not run here")
        wanted = [f"{program}-{n}" for n in range(2, int(number) + 1)]
        known = [name for name in self.keepers if name.rpartition("-")[0] == program]
        for name in set(known).difference(wanted):
            await self.keepers.pop(name).stop()
        self._write_state()
        try:
            for name in wanted:
                if name not in self.keepers:
                    keeper = self.keepers[name] = self._keeper(self._copy(name))
                    keeper.begin(after=[self.keepers[need] for need in keeper.spec.needs])
            for name in wanted:
                await self._first_readiness(self.keepers[name])
        except LocalFault as fault:
            return Reply(ok=False, error=fault.what)
        return Reply(ok=True)

    async def _housekeeping(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            for name in self.keepers:
                child.rotate(self._home.log(name))


def take_lock(home: Home) -> IO[str]:
    """Held until the file is closed, so also until its process dies. Raises StackRunning."""
    handle = (home.run / "supervisor.lock").open("a")
    for _ in range(LOCK_TRIES):
        if _locked(handle, fcntl.LOCK_EX):
            return handle
        sleep(LOCK_AGAIN_S)
    handle.close()
    raise StackRunning(f"a stack already runs in {home.root}", mend="baton status; baton down")


def is_running(home: Home) -> bool:
    """Looks with a shared lock, held for an instant: that is why taking it tries again.

    Raises HomeUnusable where the folder is not ours to look into.
    """
    try:
        with (home.run / "supervisor.lock").open() as handle:
            return not _locked(handle, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise unusable(home.root, error) from error


def _locked(handle: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
