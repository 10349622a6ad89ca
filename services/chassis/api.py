"""What every HTTP interface of ours has: a limit of what comes, and one shape of a refusal.

Knows no route's business; who asks is the gate's. The invariants: nobody can make a process hold
more than BODY_BYTES_MAX of a body, and every refusal is one shape, `application/problem+json`,
that names the place and says what to do, never a value or a stack.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import Protocol

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES_MAX = 256 * 1024
_log = logging.getLogger(__name__)
# route, method, code, seconds
Observed = Callable[[str, str, int, float], None]


class ApiPort(Protocol):
    """What routes are given: the one writer of their process, and its named queries."""

    async def submit(self, request: object) -> object:
        """The handler's answer, after it is committed. Raises StoreError when it cannot be."""

    async def read(self, query: str, /, **params: object) -> Sequence[Mapping[str, object]]:
        """Rows of a named query of store.sql, read in a short transaction of their own."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where, and what to do about it."""

    place: str
    problem: str


def problem(
    status: HTTPStatus,
    reason: str,
    *faults: Fault,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> Response:
    """RFC 9457. `reason` is a snake_case word that clients may rely on; `more` are extensions."""
    return JSONResponse(
        {
            **(more or {}),
            "type": f"/problems/{reason}",
            "title": reason.replace("_", " "),
            "status": status.value,
            "detail": "; ".join(f"{fault.place}: {fault.problem}" for fault in faults),
            "errors": [{"place": fault.place, "problem": fault.problem} for fault in faults],
        },
        status,
        headers,
        "application/problem+json",
    )


class BodyLimit:
    """Refuses by Content-Length, and counts what comes whatever that said."""

    def __init__(self, app: ASGIApp, bytes_max: int = BODY_BYTES_MAX) -> None:
        self._app, self._bytes_max = app, bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = Headers(scope=scope).get("content-length", "0") if scope["type"] == "http" else ""
        if length.isdecimal() and int(length) > self._bytes_max:
            await _too_large(self._bytes_max)(scope, receive, send)
            return
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self._bytes_max:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return message

        await self._app(scope, counted, send)


class Observing:
    """Tells route template, method, code and seconds of each request."""

    def __init__(self, app: ASGIApp, observe: Observed) -> None:
        self._app, self._observe = app, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, code = perf_counter(), HTTPStatus.INTERNAL_SERVER_ERROR.value

        async def told(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            self._observe(route, scope["method"], code, perf_counter() - began)


async def http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return _too_large(BODY_BYTES_MAX)
    status = HTTPStatus(error.status_code)
    reason = status.phrase.lower().replace(" ", "_").replace("-", "_")
    fault = Fault(f"{request.method} {request.url.path}", status.description or status.phrase)
    return problem(status, reason, fault, headers=error.headers)


async def our_fault(request: Request, error: Exception) -> Response:
    _log.error(
        "a request failed",
        exc_info=error,
        extra={"method": request.method, "path": request.url.path},
    )
    fault = Fault("service", "failed; the log of this process says where, at this time")
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", fault)


def _too_large(bytes_max: int) -> Response:
    fault = Fault("body", f"may have {bytes_max} bytes")
    return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", fault)


def unobserved(route: str, method: str, code: int, seconds: float) -> None:
    del route, method, code, seconds
