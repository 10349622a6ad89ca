"""Makes the calls to the outside world, again and again until their outcome is known.

One call at a time per key, at most `calls_max` made at once; above that the process stops reading,
so that work waits in the log and not in memory. A timeout, a 5xx, a broken connection are unknown,
never a refusal: the same call is made again under the same idempotency key, ever more rarely.
Calls that rest between two tries keep nobody from calling, up to a bound of their own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from itertools import count

from services.chassis import failpoints
from services.chassis.handlers import Handler, Kind, Result, Unknown
from services.chassis.items import Begun, Returned

_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 0.2, 30.0
_SHORTEST = 0.5  # of a rest, so that calls that failed together do not come back together
RESTING_TIMES = 4  # of calls_max may be known in all, so that an hour's outage fills no memory
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
        self._slots = asyncio.Semaphore(calls_max)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()  # forgotten, still keeping their keys
        self._behind: dict[str, deque[Begun]] = {}  # by key, for each key that has a call running
        self._known: set[str] = set()
        self._resting: set[str] = set()
        self._closed = False
        self._unknown = 0
        self._unrecorded = 0

    @property
    def under_way(self) -> int:
        return len(self._known)

    @property
    def full(self) -> bool:
        """Calls made or due to be made are too many, or all that are known are far too many."""
        return (
            len(self._known) - len(self._resting) >= self._calls_max
            or len(self._known) >= RESTING_TIMES * self._calls_max
        )

    def take_unknown(self) -> int:
        """How many outcomes were unknown since this was last asked."""
        taken, self._unknown = self._unknown, 0
        return taken

    def take_unrecorded(self) -> int:
        """How many results could not be recorded since this was last asked."""
        taken, self._unrecorded = self._unrecorded, 0
        return taken

    def begin(self, calls: Iterable[Begun]) -> None:
        """Calls of a transaction that has committed, or that were found `calling`."""
        if self._closed:
            return
        for begun in calls:
            if begun.idempotency_key not in self._known:
                self._known.add(begun.idempotency_key)
                self._start(begun)

    def forget(self) -> None:
        """The partitions are somebody else's now: their owner makes these calls."""
        for task in self._running.values():
            task.cancel()
            self._leaving.add(task)
        self._running.clear()
        self._known.clear()
        self._resting.clear()
        for waiting in self._behind.values():
            waiting.clear()

    async def close(self) -> None:
        """What is not answered yet is found `calling` at the next start."""
        self._closed = True
        self.forget()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def _start(self, begun: Begun) -> None:
        if begun.key in self._behind:
            self._behind[begun.key].append(begun)
            return
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
        for waiting in self._behind.pop(begun.key):
            self._start(waiting)

    async def _until_known(self, begun: Begun) -> None:
        for rest_s in rests_s(begun.idempotency_key):
            if await self._made(begun):
                return
            self._resting.add(begun.idempotency_key)
            await asyncio.sleep(rest_s)
            self._resting.discard(begun.idempotency_key)

    async def _made(self, begun: Begun) -> bool:
        """One try: whether its outcome is known and recorded."""
        where = {"key": begun.key, "operation_id": begun.operation}
        async with self._slots:
            try:
                failpoints.reached("gateway_before_call")
                result = await self._call(begun)
                failpoints.reached("gateway_after_call")
            except Unknown as error:
                self._unknown += 1
                _log.warning(
                    "the gateway's answer is unknown; calling again",
                    extra={**where, "reason": str(error)},
                )
                return False
            except Exception:  # noqa: BLE001 - whatever it was, the outcome is not known
                self._unknown += 1
                _log.exception("a call to the outside raised; calling again", extra=where)
                return False
            try:
                await self._returned(Returned(begun, result))
                failpoints.reached("gateway_after_record")
            except Exception:  # noqa: BLE001 - a fault of the handler, or of a row
                self._unrecorded += 1
                _log.exception(
                    "a gateway's result could not be recorded; calling again", extra=where
                )
                return False
        return True

    async def _call(self, begun: Begun) -> Result:
        named = begun.call.name if begun.command is None else type(begun.command.body)
        handler = self._handlers[named]
        assert handler.call is not None
        return await handler.call(self._gateway, begun.call, begun.idempotency_key)


def rests_s(idempotency_key: str) -> Iterator[float]:
    """Ever longer, without end; the same for the same key, and scattered between keys."""
    longest_s = _BACKOFF_FIRST_S
    for again in count():
        digest = sha256(f"{idempotency_key}/{again}".encode()).digest()
        part = int.from_bytes(digest[:4], "big") / 2**32
        yield longest_s * (_SHORTEST + (1 - _SHORTEST) * part)
        longest_s = min(longest_s * 2, _BACKOFF_MAX_S)
