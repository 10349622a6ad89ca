"""The orchestrator's database as the console sees it: read only, and perhaps not there yet.

Opened at the first read, and a file again when it was replaced (a reset, a restored copy). What
was replaced in either kind of database makes `generation` grow, and whoever remembers anything of
the former one forgets it. Knows no table but by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias

from services.chassis.database import Place, open_reader, shown
from services.chassis.store import Readable, Statement, StoreError, Unavailable, Value, statements

SQL = statements(Path(__file__).parent / "queries.sql")
Found: TypeAlias = dict[str, Value]
# Which life of which database a server holds there: a restored copy has new tables or a new line
# of time.
_MADE: Final = """
SELECT CAST(CAST(to_regclass('sagas') AS OID) AS BIGINT) AS made, timeline_id AS line
FROM pg_control_checkpoint()
"""
# How long after its moment a row may appear: how long a transaction may last beside others.
_LATE_US: Final = 60_000_000


class Database:
    def __init__(self, place: Place) -> None:
        self.generation = 0
        self.late_us = 0 if isinstance(place, Path) else _LATE_US
        self._place = place
        self._opened = AsyncExitStack()
        self._reader: Readable | None = None
        self._made: object = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._opened.aclose()

    async def read(
        self, query: Statement, params: Mapping[str, Value] | None = None
    ) -> list[Found]:
        """Raises Unavailable, which names the database and why it cannot be read."""
        try:
            reader = await self._current()
            return await reader.read(query, params or {})
        except StoreError as fault:
            raise Unavailable(f"{shown(self._place)}: {fault}") from fault

    async def _current(self) -> Readable:
        async with self._turn:
            if isinstance(self._place, Path):
                made: object = _file(self._place)
                if made != self._made:
                    await self._close()
                reader = await self._open()
            else:
                reader = await self._open()
                made = await reader.read(_MADE)
            if made != self._made:
                self._made = made
                self.generation += 1
            return reader

    async def _open(self) -> Readable:
        if self._reader is None:
            self._reader = await self._opened.enter_async_context(open_reader(self._place))
        return self._reader

    async def _close(self) -> None:
        self._reader = None
        opened, self._opened = self._opened, AsyncExitStack()
        await opened.aclose()


def _file(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError as fault:
        raise Unavailable(str(fault.strerror)) from fault
    return stat.st_dev, stat.st_ino
