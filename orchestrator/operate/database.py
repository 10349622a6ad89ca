"""The orchestrator's database as the console sees it: read only, and perhaps not there yet.

Opened at the first read and again when the file was replaced (a reset, a restored copy); then
`generation` grows and whoever remembers anything of the former file forgets it. Knows no table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from services.chassis.sqlite import SqliteReader, open_reader
from services.chassis.store import Statement, Unavailable, Value, statements

SQL = statements(Path(__file__).parent / "queries.sql")
Found: TypeAlias = dict[str, Value]


class Database:
    def __init__(self, path: Path) -> None:
        self.generation = 0
        self._path = path
        self._opened = AsyncExitStack()
        self._reader: SqliteReader | None = None
        self._file: tuple[int, int] | None = None
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
        """Raises Unavailable, which names the file and why it cannot be read."""
        reader = await self._current()
        try:
            return await reader.read(query.sql, params or {})
        except Unavailable as fault:
            raise Unavailable(f"{self._path}: {fault}") from fault

    async def _current(self) -> SqliteReader:
        async with self._turn:
            file = self._identity()
            if self._reader is None or file != self._file:
                await self._opened.aclose()
                self._reader = None
                self._opened = AsyncExitStack()
                self._reader = await self._opened.enter_async_context(open_reader(self._path))
                self._file = file
                self.generation += 1
            return self._reader

    def _identity(self) -> tuple[int, int]:
        try:
            stat = self._path.stat()
        except OSError as fault:
            raise Unavailable(f"{self._path}: {fault.strerror}") from fault
        return stat.st_dev, stat.st_ino
