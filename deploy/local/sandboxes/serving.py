"""What the sandboxes share over HTTP: reading a keyed POST, silence, health, start and stop.

It knows no payment and no booking. A held ("silent") request ends when its client gives up or the
process stops, whichever is first, so SIGTERM never waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import uvicorn
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.local.sandboxes.store import Effect, Keyed, Reply, SandboxStore, once
from services.chassis.logs import JsonLines

STOP_WITHIN_S = 8
HERE = ("127.0.0.1", "localhost")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sandbox:
    """One sandbox's store, the ports it found beside HTTP, and the event that says: stop."""

    store: SandboxStore
    ports: dict[str, int] = field(default_factory=dict)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


class Body(BaseModel):
    """What a POST says; a field it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Nothing(Body):
    """An empty body."""


B = TypeVar("B", bound=Body)


class BadRequest(Exception):
    """The request cannot be understood; nothing was done and the key stays free."""


async def read_body(request: Request, shape: type[B]) -> B:
    try:
        return shape.model_validate_json(await request.body() or b"{}")
    except ValidationError as fault:
        where = ", ".join(".".join(map(str, each["loc"])) or "body" for each in fault.errors())
        raise BadRequest(f"not understood: {where}") from fault


async def apply_once(request: Request, effect: Effect, *, failing: int = 0) -> Reply:
    """The effect under the request's Idempotency-Key, committed before this returns."""
    key = request.headers.get("idempotency-key", "")
    if not key:
        raise BadRequest("the header Idempotency-Key is missing")
    body = json.loads(await request.body() or b"{}")
    asked = json.dumps([request.method, request.url.path, body], sort_keys=True)
    call = Keyed(key, hashlib.sha256(asked.encode()).hexdigest())
    sandbox: Sandbox = request.app.state.sandbox
    return await sandbox.store.run(lambda db: once(db, call, effect, failing=failing))


def respond(reply: Reply) -> Response:
    headers = {"idempotent-replay": "true"} if reply.replayed else {}
    return JSONResponse(reply.body, reply.status, headers=headers)


async def say_nothing(request: Request) -> Response:
    """Hold the request until its client gives up, or this process stops."""
    sandbox: Sandbox = request.app.state.sandbox
    waits = [
        asyncio.ensure_future(_gone(request)),
        asyncio.ensure_future(sandbox.stopping.wait()),
    ]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()
    return Response(status_code=503)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _bad_request(_: Request, fault: Exception) -> Response:
    return JSONResponse({"error": "bad_request", "detail": str(fault)}, 400)


async def _alive(_: Request) -> Response:
    return JSONResponse({"status": "alive"})


async def _ready(request: Request) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    await sandbox.store.run(lambda db: db.execute("SELECT 1").fetchone())
    return JSONResponse({"status": "ready"})


def build_app(
    store: SandboxStore,
    routes: list[Route],
    *,
    beside: Callable[[Sandbox], contextlib.AbstractAsyncContextManager[None]] | None = None,
) -> Starlette:
    """The app of one sandbox; `beside` is whatever else must run while it serves."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        sandbox = app.state.sandbox = Sandbox(store)
        await store.open()
        try:
            async with beside(sandbox) if beside else contextlib.nullcontext():
                yield
        finally:
            await store.close()

    return Starlette(
        routes=[*routes, Route("/livez", _alive), Route("/readyz", _ready)],
        # Loopback keeps other machines out, and this the pages of other sites: by a name that they
        # turned to this machine a browser could read. To write they lack the Idempotency-Key.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(HERE))],
        exception_handlers={BadRequest: _bad_request},
        lifespan=lifespan,
    )


class _Server(uvicorn.Server):
    """Ends held requests before it waits for connections, and ends with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._stop)
        yield

    def _stop(self) -> None:
        app = self.config.app
        if isinstance(app, Starlette) and hasattr(app.state, "sandbox"):
            app.state.sandbox.stopping.set()
        self.should_exit = True


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sandbox keeps its state and listens; loopback always."""

    database: Path
    api_port: int
    smtp_port: int = 0


def place_from(environment: Mapping[str, str], *ports: str) -> Place:
    """All that is missing or wrong is named at once."""
    wrong = [name for name in ("BATON_DATABASE", *ports) if not environment.get(name)]
    wrong += [name for name in ports if not environment.get(name, "0").isdecimal()]
    if wrong:
        sys.exit(f"set {', '.join(wrong)}: a path for the database, a number for a port")
    return Place(Path(environment["BATON_DATABASE"]), *(int(environment[name]) for name in ports))


async def _run(app: Starlette, place: Place) -> None:
    config = uvicorn.Config(
        app, host="127.0.0.1", port=place.api_port, loop="asyncio", http="h11", ws="none",
        lifespan="off", log_config=None, access_log=False,
        timeout_graceful_shutdown=STOP_WITHIN_S,
    )  # fmt: skip
    async with app.router.lifespan_context(app):
        await _Server(config).serve()


def serve(name: str, build: Callable[[Place], Starlette], *ports: str) -> None:
    """Until SIGTERM; what stands in the way of starting is one line in the log."""
    place = place_from(os.environ, *(ports or ("BATON_API_PORT",)))
    lines = logging.StreamHandler()
    lines.setFormatter(JsonLines(f"sandbox-{name}"))
    logging.basicConfig(handlers=[lines], level=logging.WARNING)
    try:
        asyncio.run(_run(build(place), place))
    except (OSError, sqlite3.Error) as fault:
        where = {"path": str(place.database), "port": place.api_port, "reason": str(fault)}
        _log.critical("the sandbox cannot run", extra=where)
        raise SystemExit(2) from None
