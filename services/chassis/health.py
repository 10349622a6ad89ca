"""The operations port: alive, ready, metrics, version; and how any HTTP port is served.

Refuses to know what is checked: checks are named functions that give a reason or nothing. The
difference matters: `/livez` asks only whether this process works (a restart helps), `/readyz`
also whether it can serve now (a restart does not help). Statuses decide, bodies explain.
No authentication here: the port is for loopback or a cluster's inside, and shows no contents.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

_STOP_WITHIN_S = 3
_START_WITHIN_S = 10.0
_log = logging.getLogger(__name__)

# The reason why not, or nothing when all is well.
Check = Callable[[], str | None]


class Renders(Protocol):
    """The registry's rendering; `services.chassis.metrics.Meters` is one."""

    async def rendered(self, accept: str = "") -> tuple[bytes, str]: ...


class Health:
    """Named checks; a process adds them while it is put together.

    `ready_grace_s`: how long a check of readiness may fail before it counts. A rebalance is no
    reason to be taken out of service.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self._alive: dict[str, Check] = {}
        self._ready: dict[str, tuple[Check, float]] = {}
        self._failing: dict[str, float] = {}

    def alive_if(self, name: str, check: Check) -> None:
        self._alive[name] = check

    def ready_if(self, name: str, check: Check, *, ready_grace_s: float = 0.0) -> None:
        self._ready[name] = (check, ready_grace_s)

    def alive_while(self, name: str, task: asyncio.Task[None]) -> None:
        """A task that is meant to run as long as the process does."""
        self.alive_if(name, lambda: "the task has ended" if task.done() else None)

    def dead(self) -> dict[str, str]:
        """Name → reason, of what is wrong with this process."""
        return {name: why for name, check in self._alive.items() if (why := _said(check))}

    def unready(self) -> dict[str, str]:
        """Name → reason, of what keeps it from serving now; what is dead is not ready either."""
        now, reasons = monotonic(), self.dead()
        for name, (check, grace_s) in self._ready.items():
            why = _said(check)
            if why is None:
                self._failing.pop(name, None)
            elif now - self._failing.setdefault(name, now) >= grace_s:
                reasons[name] = why
        return reasons


def operations(health: Health, metrics: Renders, version: Mapping[str, str]) -> Starlette:
    """`/livez`, `/readyz`, `/metrics` and `/version`."""

    async def livez(_: Request) -> Response:
        return _answer(health.service, "alive", health.dead())

    async def readyz(_: Request) -> Response:
        return _answer(health.service, "ready", health.unready())

    async def scrape(request: Request) -> Response:
        text, content_type = await metrics.rendered(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": content_type})

    async def told_version(_: Request) -> Response:
        return JSONResponse({"service": health.service, **version})

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", scrape),
            Route("/version", told_version),
        ]
    )


@asynccontextmanager
async def serve(app: ASGIApp, port: int, *, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Serves until the block ends, then waits a bounded time for open requests.

    Port 0 takes a free one; the one taken is what the block is given. An address in use is an
    OSError before anything is served. Signals stay the process's own.
    """
    listening = _listen(host, port)
    server = _Server(
        uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            lifespan="off",
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_STOP_WITHIN_S,
            h11_max_incomplete_event_size=64 * 1024,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]), name=f"http:{port}")
    try:
        async with asyncio.timeout(_START_WITHIN_S):
            await server.up.wait()
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        done, _ = await asyncio.wait({serving}, timeout=_STOP_WITHIN_S + 2)
        if not done:
            _log.warning("open requests were cut off", extra={"port": port})
            serving.cancel()
        listening.close()


class _Server(uvicorn.Server):
    """Without uvicorn's signal handlers, which would take SIGTERM from the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await self._serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listening


def _said(check: Check) -> str | None:
    """A check that fails to run is itself a reason."""
    with suppress(Exception):
        return check()
    return "the check itself failed"


def _answer(service: str, good: str, reasons: Mapping[str, str]) -> Response:
    """The body names each failed check; a body is for people, the status for machines."""
    said = good if not reasons else f"not {good}"
    return JSONResponse(
        {"service": service, "status": said, "reasons": dict(reasons)},
        status_code=503 if reasons else 200,
    )
