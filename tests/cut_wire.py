"""A wire to PostgreSQL that is cut at a COMMIT, before the server hears it or before it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

_COMMIT = b"COMMIT\0"
_CHUNK = 65_536


@dataclass(slots=True)
class Wire:
    """`before`: the word itself is lost; else the server has it, and its answer is lost.

    `every`: cuts at every so many commits by itself; `cut_next` at the next one.
    """

    url: str
    host: str
    port: int
    before: bool
    every: int = 0
    cuts: int = 0
    commits: int = 0
    _next: bool = False
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut_next(self) -> None:
        self._next = True

    def cut_all(self) -> None:
        for each in self._open:
            each.transport.abort()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self.host, self.port)
        mine = {writer, back}
        self._open |= mine
        deaf = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                answers = group.create_task(self._answers(there, writer, deaf, mine))
                await self._asks(reader, back, deaf)
                answers.cancel()
        except* OSError:
            pass
        finally:
            self._open -= mine
            for each in mine:
                each.transport.abort()

    async def _asks(
        self,
        reader: asyncio.StreamReader,
        back: asyncio.StreamWriter,
        deaf: asyncio.Event,
    ) -> None:
        while said := await reader.read(_CHUNK):
            if _COMMIT in said and self._is_to_be_cut():
                self.cuts += 1
                if self.before:
                    return
                deaf.set()
            back.write(said)
            await back.drain()

    async def _answers(
        self,
        there: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        deaf: asyncio.Event,
        mine: set[asyncio.StreamWriter],
    ) -> None:
        while said := await there.read(_CHUNK):
            if deaf.is_set():
                break
            writer.write(said)
            await writer.drain()
        for each in mine:
            each.transport.abort()

    def _is_to_be_cut(self) -> bool:
        self.commits += 1
        now = self._next or (self.every > 0 and self.commits % self.every == 0)
        self._next = False
        return now


@asynccontextmanager
async def cut_wire(url: str, *, before: bool, every: int = 0) -> AsyncIterator[Wire]:
    parts = urlsplit(url)
    wire = Wire("", str(parts.hostname), int(parts.port or 0), before, every)
    running: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(wire.carry(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    user, _, _ = parts.netloc.rpartition("@")
    wire.url = urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}"))
    try:
        yield wire
    finally:
        server.close()
        for task in running:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*running, return_exceptions=True)
