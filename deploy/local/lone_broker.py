"""One embedded broker and nothing else: `python -m deploy.local.lone_broker FOLDER [--while PID]`.

Prints its address on standard output once it answers, stops it at Ctrl-C or SIGTERM, and, with
`--while`, when that process is gone: a test run that was killed leaves no broker behind.
Topics are the caller's business.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from . import jars
from .faults import LocalFault, ProcessFailed
from .kafka import Broker
from .ports import choose_ports

READY_WITHIN_S = 120
STOP_WITHIN_S = 15


def broker_in(folder: Path) -> Broker:
    """The broker of this folder, on the ports it had before if they are still free."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ports = choose_ports(folder / "ports.json", ("kafka", "kafka_controller"))
    return Broker(folder / "kafka", ports["kafka"], ports["kafka_controller"])


async def start(broker: Broker, log: Path) -> asyncio.subprocess.Process:
    """Returns when the broker answers; what it says goes to the end of `log`."""
    paths = await asyncio.to_thread(jars.class_path, report=_tell)
    await broker.prepare(paths)
    with log.open("ab") as handle:
        process = await asyncio.create_subprocess_exec(
            *broker.argv(paths),
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            while process.returncode is None:
                if await broker.is_ready():
                    return process
                await asyncio.sleep(0.05)
    except BaseException:
        await stop(process)
        raise
    raise ProcessFailed(f"Kafka ended with {process.returncode}", mend=f"tail -50 {log}")


async def stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, a bounded wait, SIGKILL. Harmless when it has ended already."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


@asynccontextmanager
async def lone_broker(folder: Path) -> AsyncIterator[Broker]:
    broker = broker_in(folder)
    process = await start(broker, folder / "kafka.log")
    try:
        yield broker
    finally:
        await stop(process)


async def run(folder: Path, keeper: int | None) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with lone_broker(folder) as broker:
        print(broker.address, flush=True)
        while not ended.is_set() and (keeper is None or _is_alive(keeper)):
            try:
                async with asyncio.timeout(0.5):
                    await ended.wait()
            except TimeoutError:
                continue


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.lone_broker")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--while", dest="keeper", type=int, metavar="PID")
    given = parser.parse_args(arguments)
    try:
        asyncio.run(run(given.folder.absolute(), given.keeper))
    except LocalFault as fault:
        _tell(f"{fault.what}\n  {fault.mend}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
