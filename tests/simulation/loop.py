"""Time that jumps and turns that are dealt: asyncio without a clock, a socket or a thread.

When nothing can run, time moves to the next timer at once. What can run does so in an order that
the seed deals. A loop in which nothing will ever run again is a `Deadlock`.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from random import Random

# Whose code runs: every task inherits it from the one that made it.
OWNER: contextvars.ContextVar[object] = contextvars.ContextVar("owner", default=None)


class Deadlock(Exception):
    """Nobody waits for time, and nobody can run."""


class Killed(BaseException):
    """The process died here; what it had not committed is gone."""


class _Dealer:
    """A selector that has no files: waiting is moving the clock."""

    def __init__(self, loop: SimulatedLoop, random: Random) -> None:
        self._loop, self._random = loop, random

    def select(self, timeout: float | None) -> tuple[()]:
        if timeout is None:
            raise Deadlock
        if timeout > 0:
            self._loop.now_s += timeout
        ready = self._loop._ready
        if len(ready) > 1:
            dealt = list(ready)
            self._random.shuffle(dealt)
            ready.clear()
            ready.extend(dealt)
        return ()


class SimulatedLoop(asyncio.BaseEventLoop):
    """`faulty` is told of each task that ended by an error nobody took."""

    def __init__(self, random: Random, faulty: Callable[[BaseException], None]) -> None:
        super().__init__()
        self.now_s = 0.0
        self._clock_resolution = 1e-9
        self._selector = _Dealer(self, random)
        self._faulty = faulty
        self.set_exception_handler(self._told)

    def time(self) -> float:
        return self.now_s

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[object, object, object],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[object]:
        task = super().create_task(coro, name=name, context=context)  # type: ignore[call-arg]
        owner = context.get(OWNER) if context is not None else OWNER.get()
        if owner is not None:
            owner.tasks.append(task)
        return task

    def _process_events(self, event_list: object) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def _told(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if error is not None and not isinstance(error, Killed):
            self._faulty(error)


async def pause(seconds: float) -> None:
    """Simulated seconds: nobody waits for them."""
    await asyncio.sleep(seconds)


async def never() -> None:
    """For the dead: whatever they ask, nobody answers."""
    await asyncio.get_running_loop().create_future()
