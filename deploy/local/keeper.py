"""Keeps one process running: start, probe, wait for its end, back off, start again.

A process that dies is started again for ever, later each time; whoever cannot wait counts its
deaths. Invariant: between two starts the first child has ended, so a database or a port is never
held twice.
"""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from time import monotonic, time
from typing import Final

from . import child
from .child import ProcessSpec
from .faults import LocalFault, ProcessFailed
from .home import Home

PROBE_EVERY_S: Final = 0.1
BACKOFF_FIRST_S: Final = 0.5
BACKOFF_MOST_S: Final = 30.0
STEADY_AFTER_S: Final = 60.0
LINES_KEPT: Final = 20


class State(StrEnum):
    STOPPED = "stopped"  # begin -> waiting
    WAITING = "waiting"  # needs are ready -> starting
    STARTING = "starting"  # probe answers -> ready, process ends -> backing_off
    READY = "ready"  # process ends -> backing_off
    BACKING_OFF = "backing_off"  # delay over -> starting
    STOPPING = "stopping"  # process ended -> stopped


@dataclass(frozen=True, slots=True)
class Status:
    """What `baton status` shows. `since` is when the state began, in seconds of the epoch."""

    name: str
    pid: int | None
    state: State
    restarts: int
    since: float
    took_s: float
    exit_code: int | None
    last_lines: tuple[str, ...]

    @property
    def is_ready(self) -> bool:
        return self.state is State.READY

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "ready": self.is_ready}


def backoff_s(deaths: int) -> float:
    """The delay before the start that follows this many deaths in a row."""
    return min(BACKOFF_FIRST_S * 2.0 ** (deaths - 1), BACKOFF_MOST_S)


class Keeper:
    def __init__(
        self,
        spec: ProcessSpec,
        home: Home,
        *,
        changed: Callable[[Status], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.spec = spec
        self.is_ready = asyncio.Event()
        self._home = home
        self._report = changed
        self._sleep = sleep
        self._state = State.STOPPED
        self._since = time()
        self._begun = monotonic()
        self._took_s = 0.0
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._restarts = 0
        self._deaths = 0
        self._exit_code: int | None = None
        self._fault: LocalFault | None = None
        self._died = asyncio.Condition()

    def status(self) -> Status:
        return Status(
            name=self.spec.name,
            pid=self._process.pid if self._process else None,
            state=self._state,
            restarts=self._restarts,
            since=self._since,
            took_s=round(self._took_s, 2),
            exit_code=self._exit_code,
            last_lines=()
            if self._exit_code in (None, 0)
            else child.last_lines(self._home.log(self.spec.name), LINES_KEPT),
        )

    def begin(self, after: Sequence[Keeper] = ()) -> None:
        """Does nothing to a process that runs; one that waits to be tried again is tried now."""
        if self._task is not None and self._state is State.BACKING_OFF:
            self._task.cancel()
            self._task = None
        if self._task is None or self._task.done():
            self._deaths = 0
            self._task = asyncio.create_task(self._keep(after))

    async def stop(self) -> None:
        """Returns when the process has ended. It stays down until the next `begin`."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._process is not None:
            self._enter(State.STOPPING)
            process = self._process
            await child.end(process, self.spec.stop_within_s)
            self._ended(process)
        self._enter(State.STOPPED)

    def kill(self) -> bool:
        """SIGKILL, as a crash would end it; False if there is nothing to kill."""
        if self._process is None:
            return False
        child.kill(self._process)
        return True

    async def first_ready(self, *, deaths_at_most: int) -> None:
        """Raises ProcessFailed when it died that often without having been ready.

        It has a `mend` when a hook failed with one; else the process's log knows more.
        """
        async with self._died:
            await self._died.wait_for(
                lambda: self.is_ready.is_set() or self._deaths >= deaths_at_most
            )
        if not self.is_ready.is_set():
            fault = self._fault or ProcessFailed(f"ended with {self._exit_code}", mend="")
            raise ProcessFailed(f"{fault.what}, {self._deaths} times in a row", mend=fault.mend)

    async def _keep(self, after: Sequence[Keeper]) -> None:
        self._enter(State.WAITING)
        for other in after:
            await other.is_ready.wait()
        while True:
            began = monotonic()
            try:
                await self._one_life()
            except LocalFault as fault:
                self._fault = fault
            except Exception as error:  # noqa: BLE001  a hook may raise anything; told, tried again
                self._fault = ProcessFailed(f"{type(error).__name__}: {error}", mend="")
            if monotonic() - began > STEADY_AFTER_S:
                self._deaths = 0
            self._deaths += 1
            self._restarts += 1
            self._enter(State.BACKING_OFF)
            async with self._died:
                self._died.notify_all()
            await self._sleep(backoff_s(self._deaths))

    async def _one_life(self) -> None:
        self._begun = monotonic()
        self._fault = None
        self._enter(State.STARTING)
        if self.spec.before is not None:
            await self.spec.before()
        self._process = process = await child.launch(self.spec, self._home)
        self._enter(State.STARTING)
        ending = asyncio.ensure_future(process.wait())
        readying = asyncio.ensure_future(self._become_ready())
        try:
            await asyncio.wait({ending, readying}, return_when=asyncio.FIRST_COMPLETED)
            if readying.done():
                readying.result()
            await ending
        except Exception:
            await child.end(process, self.spec.stop_within_s)
            raise
        finally:
            readying.cancel()
            ending.cancel()
            if process.returncode is not None:
                self._ended(process)

    async def _become_ready(self) -> None:
        while self.spec.ready is not None:
            if await self.spec.ready():
                break
            await asyncio.sleep(PROBE_EVERY_S)
        if self.spec.after is not None:
            await self.spec.after()
        self._took_s = monotonic() - self._begun
        self._enter(State.READY)
        self.is_ready.set()
        async with self._died:
            self._died.notify_all()

    def _ended(self, process: Process) -> None:
        self._exit_code = process.returncode
        self._process = None
        self.is_ready.clear()
        child.forget_pid(self._home, self.spec.name)

    def _enter(self, state: State) -> None:
        if state is not self._state:
            self._since = time()
        self._state = state
        self._report(self.status())
