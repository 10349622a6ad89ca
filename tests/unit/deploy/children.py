"""Trivial processes for the supervisor's tests, and a state folder that others may share."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from deploy.local.child import ProcessSpec
from deploy.local.home import Home
from deploy.local.keeper import Status
from deploy.local.supervisor import Copy, Supervisor

PATIENT = """
import pathlib, signal, sys, threading
name, journal = sys.argv[1], pathlib.Path(sys.argv[2])
def write(word):
    with journal.open("a") as lines: lines.write(f"{word} {name}\\n")
over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())
write("begun")
pathlib.Path(f"{journal}.{name}").touch()
over.wait()
write("ended")
"""
STUBBORN = """
import pathlib, signal, sys, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(f"{sys.argv[2]}.{sys.argv[1]}").touch()
threading.Event().wait()
"""
DYING = "import sys; print('out of cheese', file=sys.stderr); sys.exit(3)"


def spec(
    name: str,
    journal: Path,
    *,
    program: str = PATIENT,
    needs: tuple[str, ...] = (),
    stop_within_s: float = 10.0,
) -> ProcessSpec:
    """A child that writes into the journal when it begins and when it is told to end."""
    mark = f"{journal}.{name}"

    async def forget() -> None:
        with suppress(FileNotFoundError):
            os.unlink(mark)  # noqa: PTH108  instant, and pathlib is refused in a coroutine

    async def is_ready() -> bool:
        return os.access(mark, os.F_OK)

    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-S", "-c", program, name, str(journal)),
        env=dict(os.environ),
        needs=needs,
        before=forget,
        ready=is_ready,
        stop_within_s=stop_within_s,
    )


@asynccontextmanager
async def supervising(
    specs: Sequence[ProcessSpec],
    home: Home,
    told: list[Status] | None = None,
    copy: Copy | None = None,
) -> AsyncIterator[Supervisor]:
    report = (lambda _status: None) if told is None else told.append
    supervisor = Supervisor(specs, home, report=report, copy=copy)
    try:
        await supervisor.start()
        yield supervisor
    finally:
        await supervisor.stop()


async def until_ready(spec: ProcessSpec) -> None:
    assert spec.ready is not None
    async with asyncio.timeout(10):
        while True:
            if await spec.ready():
                return
            await asyncio.sleep(0)


async def is_gone(pid: int, within_s: float = 10.0) -> bool:
    """Waits for any process, also one that is not our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    gone = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_reader(descriptor, gone.set_result, None)
    try:
        async with asyncio.timeout(within_s):
            await gone
    except TimeoutError:
        return False
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
    return True
