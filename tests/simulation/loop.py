"""Time that jumps and turns that are dealt: asyncio without a clock, a socket or a thread.

When nothing can run, time moves to the next timer at once. What can run does so in an order that
the seed deals. A loop in which nothing will ever run again is a `Deadlock`. Tasks and futures are
asyncio's own; only the turns are ours, because half of a seed's time would be theirs.
"""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from heapq import heappop, heappush
from random import Random

# Whose code runs: every task inherits it from the one that made it.
OWNER: contextvars.ContextVar[object] = contextvars.ContextVar("owner", default=None)


class Deadlock(Exception):
    """Nobody waits for time, and nobody can run."""


class Killed(BaseException):
    """The process died here; what it had not committed is gone."""


class _Turn:
    """What asyncio calls a handle."""

    __slots__ = ("args", "callback", "context")

    def __init__(
        self, callback: Callable[..., object], args: tuple[object, ...], context: Context | None
    ) -> None:
        self.callback: Callable[..., object] | None = callback
        self.args = args
        self.context = copy_context() if context is None else context

    def cancel(self) -> None:
        self.callback = None

    def cancelled(self) -> bool:
        return self.callback is None


class SimulatedLoop(asyncio.BaseEventLoop):
    """`faulty` is told of each task that ended by an error nobody took."""

    def __init__(self, random: Random, faulty: Callable[[BaseException], None]) -> None:
        super().__init__()
        self.now_s = 0.0
        self._random = random
        self._faulty = faulty
        self._turns: list[_Turn] = []
        self._timed: list[tuple[float, int, _Turn]] = []
        self._timers = 0
        self.set_exception_handler(self._told)
        self.get_debug = bool  # asked at each future: it is False without a frame of Python

    def time(self) -> float:
        return self.now_s

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> _Turn:
        turn = _Turn(callback, args, context)
        self._turns.append(turn)
        return turn

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> _Turn:
        turn = _Turn(callback, args, context)
        self._timers += 1
        heappush(self._timed, (when, self._timers, turn))
        return turn

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> _Turn:
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[object, object, object],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[object]:
        task = asyncio.Task(coro, loop=self, name="", context=context)  # type: ignore[call-arg]
        del name
        owner = context.get(OWNER) if context is not None else OWNER.get()
        if owner is not None:
            owner.tasks.append(task)  # type: ignore[attr-defined]
        return task

    def _run_once(self) -> None:
        """Turns, until somebody stops the loop."""
        roll, timed = self._random.random, self._timed
        while not self._stopping:  # type: ignore[attr-defined]
            if not self._turns or (timed and timed[0][0] <= self.now_s):
                self._take_due()
            turns, self._turns = self._turns, []
            if len(turns) > 1:
                turns.sort(key=lambda _: roll())
            for turn in turns:
                if turn.callback is None:
                    continue
                try:
                    turn.context.run(turn.callback, *turn.args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except Killed:
                    continue
                except BaseException as error:  # noqa: BLE001 - as asyncio does: the loop goes on
                    self._faulty(error)

    def _take_due(self) -> None:
        """What is due now can run; if nothing can, time moves to what is due next."""
        timed, turns = self._timed, self._turns
        while timed and (timed[0][0] <= self.now_s or not turns):
            when_s, _, due = heappop(timed)
            if due.callback is not None:
                self.now_s = max(self.now_s, when_s)
                turns.append(due)
        if not turns:
            raise Deadlock

    def _told(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if error is not None and not isinstance(error, Killed):
            self._faulty(error)


@types.coroutine
def turn() -> Generator[None, None, None]:
    """Everybody else who can run now runs first."""
    yield


async def pause(seconds: float) -> None:
    """Simulated seconds: nobody waits for them."""
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()
    timer = loop.call_later(seconds, _over, waiter)
    try:
        await waiter
    except BaseException:
        timer.cancel()
        raise


def _over(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def never() -> None:
    """For the dead: whatever they ask, nobody answers."""
    await asyncio.get_running_loop().create_future()
