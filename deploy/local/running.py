"""A stack from its start to its end, in this process: for `baton up`, for tests and for benches.

`async with running_stack(home, only=CORE) as stack` returns once everything is ready and stops
it in order on the way out, however that is. Signals are `run_until_stopped`'s business.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from . import jars
from .faults import HomeUnusable, LocalFault
from .home import Home
from .keeper import Status
from .stack import (
    KAFKA,
    PROCESSES,
    REPLICAS_ELSEWHERE,
    Stack,
    build_stack,
    given_cluster,
    make_topics,
)
from .supervisor import Supervisor, take_lock

ROOM_LEAST: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Telling:
    """Where progress goes: changes of a process, and single lines such as what is fetched."""

    change: Callable[[Status], None] = lambda _status: None
    line: Callable[[str], None] = lambda _line: None


SILENT: Final = Telling()


@dataclass(frozen=True, slots=True)
class RunningStack:
    stack: Stack
    supervisor: Supervisor


@asynccontextmanager
async def running_stack(
    home: Home,
    *,
    only: Collection[str] = PROCESSES,
    extra: Mapping[str, Mapping[str, str]] | None = None,
    environment: Mapping[str, str] | None = None,
    telling: Telling = SILENT,
) -> AsyncIterator[RunningStack]:
    """Raises LocalFault before or while starting; what was started is then stopped again."""
    environment = os.environ if environment is None else environment
    given = given_cluster(environment)
    home.prepare()
    _refuse_without_room(home)
    take_lock(home).close()
    stack = build_stack(home, environment, only=only, extra=extra, report=telling.line)
    for name, port in stack.moved.items():
        telling.line(f"the port of {name} was taken by another program; it is now {port}")
    if given:
        await make_topics(stack.bootstrap, most_replicas=REPLICAS_ELSEWHERE)
    if KAFKA in [spec.name for spec in stack.specs]:
        await _fetch_jars(telling)
    supervisor = Supervisor(
        stack.specs, home, report=telling.change, facts=stack.facts, copy=stack.copy
    )
    try:
        for name, pid in (await supervisor.start()).items():
            telling.line(f"ended {name} (pid {pid}), left over from an unclean end")
        await first_fault(supervisor.wait_ready())
        yield RunningStack(stack, supervisor)
    finally:
        await supervisor.stop()


async def run_until_stopped(
    home: Home,
    *,
    ready: Callable[[Stack], None],
    stopping: Callable[[], None],
    only: Collection[str] = PROCESSES,
    telling: Telling = SILENT,
) -> None:
    """Until SIGINT, SIGTERM, SIGHUP or `baton down`. A second signal does not cut it short."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    this = asyncio.current_task()
    started = False

    def on_signal() -> None:
        if not started and not stop.is_set() and this is not None:
            this.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    try:
        async with running_stack(home, only=only, telling=telling) as running:
            started = True
            ready(running.stack)
            asked = asyncio.ensure_future(running.supervisor.asked_to_stop.wait())
            told = asyncio.ensure_future(stop.wait())
            await asyncio.wait({asked, told}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            told.cancel()
            stopping()
    except asyncio.CancelledError:
        if not stop.is_set():
            raise


async def first_fault(waiting: Awaitable[None]) -> None:
    """A task group wraps what went wrong first; here the first fault itself is raised."""
    try:
        await waiting
    except BaseExceptionGroup as group:
        faults, _others = group.split(LocalFault)
        first: BaseException | None = faults
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        if first is None:
            raise
        raise first from None


async def _fetch_jars(telling: Telling) -> None:
    """Before anything runs, so that a machine without a network is told at once and once."""
    stopped = threading.Event()
    try:
        await asyncio.to_thread(jars.class_path, report=telling.line, stop=stopped.is_set)
    except asyncio.CancelledError:
        stopped.set()
        raise


def _refuse_without_room(home: Home) -> None:
    free = shutil.disk_usage(home.root).free
    if free < ROOM_LEAST:
        raise HomeUnusable(
            f"the disk of {home.root} has {free // 1_000_000} MB left; "
            f"a stack needs {ROOM_LEAST // 1_000_000} MB to start and 1 GB to work",
            mend=f"df -h {home.root}; or set BATON_HOME to a folder on another disk",
        )
