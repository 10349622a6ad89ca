"""Which parked keys go on, one slice after the other in turn, and who waits for their end."""

from __future__ import annotations

import asyncio

from services.chassis.items import Applied


class Redriving:
    def __init__(self) -> None:
        self._asked: dict[str, asyncio.Future[object]] = {}

    def __bool__(self) -> bool:
        return bool(self._asked)

    @property
    def next(self) -> str:
        return next(iter(self._asked))

    def ask(self, key: str) -> asyncio.Future[object]:
        future = self._asked.get(key)
        if future is None:
            future = self._asked[key] = asyncio.get_running_loop().create_future()
            future.add_done_callback(_heard)
        return future

    def committed(self, key: str, applied: Applied) -> None:
        """After a transaction, which may have been a slice of this key."""
        if key:
            future = self._asked.pop(key)
            if applied.more:
                self._asked[key] = future  # behind the others
            elif not future.done():
                future.set_result(None)
        for asked in applied.redrives:
            self.ask(asked)

    def failed(self, key: str, error: Exception) -> None:
        future = self._asked.pop(key)
        if not future.done():
            future.set_exception(error)


def _heard(future: asyncio.Future[object]) -> None:
    """Nobody has to wait: what became of the key stands in its rows."""
    if not future.cancelled():
        future.exception()
