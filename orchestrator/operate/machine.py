"""Where the processes run, as far as the console may touch it: the supervisor of `baton up`.

Where another supervisor keeps them, there is nothing to switch and nothing is offered. A stop is a
drain: the process finishes what it has begun, commits, and leaves its group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from deploy.local.child import last_lines
from deploy.local.control import Request, ask_supervisor
from deploy.local.home import Home
from deploy.local.state import read_state
from deploy.local.supervisor import is_running

RUNNING: Final = frozenset({"ready", "starting", "waiting", "backing_off"})
LAST_LINES: Final = 3
DRAIN, START = "drain", "start"
# What serves the very page, and what everything stands on, is the command line's to stop.
KEPT: Final = frozenset({"console", "kafka"})


class Machine(Protocol):
    """`states` by name, None where no supervisor of ours runs."""

    def states(self) -> Mapping[str, str] | None: ...

    def last_words(self, process: str) -> Sequence[str]:
        """The last lines of its log; empty where none is kept here."""

    async def ask(self, verb: str, process: str) -> None:
        """Returns when it is done. Raises LocalFault."""


class LocalMachine:
    """The stack that `baton up` runs in this home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def states(self) -> Mapping[str, str] | None:
        state = read_state(self._home) if is_running(self._home) else None
        if state is None:
            return None
        return {str(each["name"]): str(each["state"]) for each in state.processes}

    def last_words(self, process: str) -> Sequence[str]:
        return last_lines(self._home.log(process), LAST_LINES)

    async def ask(self, verb: str, process: str) -> None:
        await asyncio.to_thread(ask_supervisor, self._home, Request(verb, process))


def offered(machine: Machine) -> Mapping[str, str]:
    """What can be done with each process that is kept here."""
    return {
        name: DRAIN if state in RUNNING else START
        for name, state in (machine.states() or {}).items()
        if name not in KEPT
    }
