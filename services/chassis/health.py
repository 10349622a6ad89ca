"""The operations port: alive, ready, metrics, version; and how any HTTP port is served.

Refuses to know what is checked. The difference matters: `/livez` asks only whether this process
works (a restart helps; that it answers shows that its loop turns), `/readyz` also whether it can
serve now (a restart does not help). Statuses decide, bodies explain.
These ask for no token, because probes and scrapers have none, and show neither contents nor keys.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from services.chassis.access import opened
from services.chassis.gate import Gate, secured
from services.chassis.metrics import Metrics

_STOP_WITHIN_S = 3
_START_WITHIN_S = 10.0
_log = logging.getLogger(__name__)


class CannotListen(OSError):
    """The address of an HTTP port is taken, or not this machine's."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. The reason is said also when all is well."""

    name: str
    ok: bool = field(kw_only=True)
    reason: str = ""


Checks = Callable[[], Sequence[Check]]


def operations_app(
    metrics: Metrics,
    ready: Checks,
    *,
    alive: Checks | None = None,
    more: Sequence[BaseRoute] = (),
    gate: Gate | None = None,
) -> Starlette:
    """`/livez`, `/readyz`, `/metrics` and `/version` for everybody, `more` through the gate.

    What is dead is not ready either.
    """

    async def livez(_: Request) -> Response:
        return _answer(metrics.service, "alive", alive)

    async def readyz(_: Request) -> Response:
        return _answer(metrics.service, "ready", alive, ready)

    async def scrape(request: Request) -> Response:
        text, content_type = await metrics.meters.rendered(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": content_type})

    async def version(_: Request) -> Response:
        names = {"service": metrics.service, "version": metrics.version, "commit": metrics.commit}
        return JSONResponse(names)

    routes = [
        opened("/livez", livez),
        opened("/readyz", readyz),
        opened("/metrics", scrape),
        opened("/version", version),
        *more,
    ]
    return secured(routes, gate or Gate())


@asynccontextmanager
async def serving(app: ASGIApp, host: str, port: int) -> AsyncIterator[None]:
    """Serves until the block ends, then waits a bounded time for open requests.

    Port 0 serves nothing. An address in use is CannotListen before anything is served. Signals
    stay the process's own.
    """
    if port == 0:
        yield
        return
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
        yield
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
        said = f"cannot listen on {host}:{port}: {error.strerror}; ss -ltnp shows who does"
        raise CannotListen(error.errno, said) from error
    return listening


def _answer(service: str, good: str, *sources: Checks | None) -> Response:
    """The status is for machines, the body for people."""
    checks = [check for source in sources if source is not None for check in _looked(source)]
    well = all(check.ok for check in checks)
    return JSONResponse(
        {
            "service": service,
            "status": good if well else f"not {good}",
            "checks": [asdict(check) for check in checks],
        },
        status_code=200 if well else 503,
    )


def _looked(source: Checks) -> Sequence[Check]:
    """Checks that fail to run are themselves a reason."""
    try:
        return source()
    except Exception:  # noqa: BLE001  whatever a check runs into, the port answers
        _log.exception("a health check itself failed")
        return [Check("checks", ok=False, reason="a check itself failed; the log says where")]
