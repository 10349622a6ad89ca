"""Interfaces served for verbs that are typed: a loop in a thread, real sockets on loopback.

The console's routes stand over a database that the real shell wrote (`orchestra`); a service's
stand over its real handlers and rows. `typed` is a person at the command line.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self, TypeVar

import pytest
from orchestra import Orchestra, orchestra
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute

from orchestrator.operate.api import routes
from orchestrator.operate.cli import main
from orchestrator.operate.database import Database
from orchestrator.operate.login import login_routes
from orchestrator.operate.pictures import draw
from orchestrator.operate.reading import Reading
from orchestrator.operate.sagas import Views
from orchestrator.operate.sessions import Sessions
from orchestrator.sagas import SAGAS
from services.chassis.access import LOCAL, Role
from services.chassis.clock import SystemClock
from services.chassis.gate import secured
from services.chassis.health import serving
from tests.gates import gate_for

T = TypeVar("T")
TOKEN = "open-sesame"


class Stage:
    """Everything it serves ends with it."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._opened = AsyncExitStack()
        self._asked = asyncio.Event()
        self._folder = folder
        self._gate = gate_for(folder, {TOKEN: Role.OPERATOR}, name=LOCAL)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.run(self._opened.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def begin(self, work: Coroutine[object, object, T]) -> Future[T]:
        """Begins when an interface has answered next; its result is to be asked for."""
        self._asked.clear()
        return asyncio.run_coroutine_threadsafe(self._once_asked(work), self._loop)

    async def _once_asked(self, work: Coroutine[object, object, T]) -> T:
        await self._asked.wait()
        return await work

    def _answered(self, route: str, method: str, code: int, seconds: float) -> None:
        del route, method, code, seconds
        self._asked.set()

    def enter(self, opened: AbstractAsyncContextManager[T]) -> T:
        """Until the stage ends."""
        return self.run(self._opened.enter_async_context(opened))

    def serve(self, given: Sequence[BaseRoute]) -> str:
        """The URL at which these routes ask for TOKEN."""
        port = free_port()
        app = secured(given, self._gate, observe=self._answered)
        self.run(self._opened.enter_async_context(serving(app, "127.0.0.1", port)))
        return f"http://127.0.0.1:{port}"

    def logins(self) -> str:
        """The URL of a console that only lets people in."""
        sessions = Sessions(self._gate.tokens, SystemClock())

        def form(request: Request, names: Mapping[str, str], status: int) -> Response:
            return PlainTextResponse(f"{request.url.path} {names['problem']}", status)

        return self.serve(login_routes(sessions, self._gate, form))

    def console(self) -> tuple[Orchestra, str]:
        """An orchestrator that nothing has happened to yet, and the console that reads it."""
        path = self._folder / "orchestrator.db"
        playing = self.run(self._opened.enter_async_context(orchestra(path)))
        database = self.run(self._opened.enter_async_context(Database(path)))
        reading = Reading(database, Views(SAGAS), Hands(playing))
        return playing, self.serve(routes(reading, draw))


class Hands:
    """The clock that the orchestra's is."""

    def __init__(self, playing: Orchestra) -> None:
        self._playing = playing

    def now_us(self) -> int:
        return self._playing.now_us

    def monotonic_s(self) -> float:
        return self._playing.now_us / 1_000_000


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


class Terminal:
    """Types verbs; nothing of it is a terminal, so what comes is what a pipe gets."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def type(self, *words: str) -> Said:
        with pytest.raises(SystemExit) as end:
            main(words)
        said = self._capsys.readouterr()
        return Said(int(end.value.code or 0), said.out, said.err)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
