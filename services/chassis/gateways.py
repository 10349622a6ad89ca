"""Makes the calls to the outside world, again and again until their outcome is known.

One call at a time per key, at most `calls_max` in all; above that the process stops reading, so
that work waits in the log and not in memory. A timeout, a 5xx, a broken connection are unknown,
never a refusal: the same call is made again under the same idempotency key, ever more rarely.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from services.chassis.handlers import Handler, Kind, Result, Unknown
from services.chassis.items import Begun, Returned

_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 0.2, 30.0
_log = logging.getLogger(__name__)


class Gateways:
    """`returned` is given each result, and says when it is recorded (or raises: call again)."""

    def __init__(
        self,
        gateway: object,
        handlers: Sequence[Handler],
        returned: Callable[[Returned], asyncio.Future[object]],
        calls_max: int,
    ) -> None:
        self._gateway = gateway
        self._returned = returned
        self._calls_max = calls_max
        self._handlers: Mapping[type | str, Handler] = {
            each.message: each for each in handlers if each.kind in (Kind.ASKS, Kind.SENDS)
        }
        self._running: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()  # forgotten, still keeping their keys
        self._queued: deque[Begun] = deque()
        self._behind: dict[str, deque[Begun]] = {}  # by key, for each key that has a call running
        self._known: set[str] = set()
        self.unknown = 0

    @property
    def under_way(self) -> int:
        return len(self._known)

    @property
    def full(self) -> bool:
        return self.under_way >= self._calls_max

    def begin(self, calls: Iterable[Begun]) -> None:
        """Calls of a transaction that has committed, or that were found `calling`."""
        for begun in calls:
            if begun.idempotency_key not in self._known:
                self._known.add(begun.idempotency_key)
                self._queued.append(begun)
        self._start()

    def forget(self) -> None:
        """The partitions are somebody else's now: their owner makes these calls."""
        for task in self._running.values():
            task.cancel()
            self._leaving.add(task)
        self._running.clear()
        self._queued.clear()
        self._known.clear()
        for waiting in self._behind.values():
            waiting.clear()

    async def close(self) -> None:
        """What is not answered yet is found `calling` at the next start."""
        self.forget()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def _start(self) -> None:
        while self._queued and len(self._running) < self._calls_max:
            begun = self._queued.popleft()
            if begun.key in self._behind:
                self._behind[begun.key].append(begun)
                continue
            self._behind[begun.key] = deque()
            task = asyncio.create_task(self._until_known(begun))
            self._running[begun.idempotency_key] = task
            task.add_done_callback(partial(self._ended, begun))

    def _ended(self, begun: Begun, task: asyncio.Task[None]) -> None:
        if task in self._leaving:
            self._leaving.discard(task)
        else:
            self._running.pop(begun.idempotency_key, None)
            self._known.discard(begun.idempotency_key)
        self._queued.extendleft(reversed(self._behind.pop(begun.key)))
        self._start()

    async def _until_known(self, begun: Begun) -> None:
        backoff_s = _BACKOFF_FIRST_S
        while True:
            try:
                await self._returned(Returned(begun, await self._call(begun)))
            except Unknown as error:
                self.unknown += 1
                where = {"key": begun.key, "operation_id": begun.operation, "reason": str(error)}
                _log.warning("the gateway's answer is unknown; calling again", extra=where)
            except Exception:  # noqa: BLE001 - whatever it was, the outcome is not known
                _log.exception(
                    "a gateway's result could not be recorded; calling again",
                    extra={"key": begun.key, "operation_id": begun.operation},
                )
            else:
                return
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, _BACKOFF_MAX_S)

    async def _call(self, begun: Begun) -> Result:
        named = begun.call.name if begun.command is None else type(begun.command.body)
        handler = self._handlers[named]
        assert handler.call is not None
        return await handler.call(self._gateway, begun.call, begun.idempotency_key)
