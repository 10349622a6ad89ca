"""The gate before every HTTP interface: finds out who asks, and lets through what his role may.

Deny by default: a route without a policy is refused to everybody. An API is entered with a bearer
token only, a page also with a session, which `Browsers` keeps. Refusals are told before the route
is reached: they depend on the route and the role, never on what the route would have found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Protocol

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.chassis.access import OPEN, Policy, Principal, policy_of
from services.chassis.api import (
    BodyLimit,
    Fault,
    Observed,
    Observing,
    http_problem,
    our_fault,
    problem,
    unobserved,
)
from services.chassis.clock import Clock, SystemClock
from services.chassis.rates import Rates
from services.chassis.settings import Settings
from services.chassis.tokens import UNKNOWN, NotAdmitted, Tokens

POSTS_PER_S, POSTS_BURST = 200.0, 2_000
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="baton"'}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Verifies(Protocol):
    """`services.chassis.oidc.Verifier`: who a signed token of elsewhere says somebody is."""

    async def principal(self, token: str) -> Principal:
        """Raises NotAdmitted."""


class Browsers(Protocol):
    """The sessions of pages; `orchestrator.operate.sessions` keeps them."""

    def principal(self, connection: HTTPConnection) -> Principal | None: ...
    def still(self, connection: HTTPConnection) -> Principal | None:
        """The same, without counting as being used."""

    def sent_to_login(self, connection: HTTPConnection) -> Response: ...
    def forbidden(self, connection: HTTPConnection, why: str) -> Response: ...
    async def forged(self, scope: Scope, receive: Receive) -> tuple[str, Receive]:
        """Why a POST is not the page's own, or nothing; and the body to be read once more."""


@dataclass(frozen=True)
class Gate:
    """Who is let in, by what. As it stands alone, nobody is."""

    tokens: Tokens = field(default_factory=lambda: Tokens(None, SystemClock()))
    oidc: Verifies | None = None
    browsers: Browsers | None = None
    rates: Rates = field(default_factory=lambda: Rates(POSTS_PER_S, POSTS_BURST))
    clock: Clock = field(default_factory=SystemClock)

    async def who(self, connection: HTTPConnection) -> Principal:
        """By the bearer token. Raises NotAdmitted."""
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise NotAdmitted(UNKNOWN)
        return await self.known(given.strip())

    async def known(self, given: str) -> Principal:
        """By what is one of our tokens, or of those we trust. Raises NotAdmitted."""
        if not given:
            raise NotAdmitted(UNKNOWN)
        if self.oidc is not None and given.count(".") == 2:
            return await self.oidc.principal(given)
        return self.tokens.principal(given)


def secured(
    routes: Sequence[BaseRoute], gate: Gate, *, observe: Observed | None = None
) -> Starlette:
    """An application that is entered through the gate only, its 404 and 405 included."""
    return Starlette(
        routes=list(routes),
        middleware=[
            Middleware(Observing, observe=observe or unobserved),
            Middleware(Entrance, gate=gate, routes=routes),
            Middleware(BodyLimit),
        ],
        exception_handlers={HTTPException: http_problem, Exception: our_fault},
    )


class _Refused(Exception):
    """Answered instead of the route."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class Entrance:
    def __init__(self, app: ASGIApp, gate: Gate, routes: Sequence[BaseRoute]) -> None:
        self._app, self._gate, self._routes = app, gate, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = self._route(scope)
        told = _with_headers(send)
        try:
            if policy_of(route) != OPEN:
                receive = await self._admitted(scope, receive, route)
        except _Refused as refused:
            await refused.response(scope, receive, told)
        else:
            await self._app(scope, receive, told)

    async def _admitted(self, scope: Scope, receive: Receive, route: BaseRoute | None) -> Receive:
        """The principal is then in the scope's state; the body may have been read, and is again."""
        connection, policy, gate = HTTPConnection(scope), policy_of(route), self._gate
        browsers = gate.browsers if policy is not None and policy.page else None
        if "authorization" in connection.headers:
            browsers = None
        principal = await self._who(connection, browsers)
        state = scope.setdefault("state", {})
        state["principal"] = principal
        state["still"] = partial(self._still, connection, browsers, principal)
        if why := _forbids(route, policy, principal):
            raise _forbidden(connection, browsers, why)
        if scope["method"] in _SAFE:
            return receive
        if wait_s := gate.rates.wait_s(principal.actor, gate.clock.monotonic_s()):
            raise _too_many(principal, wait_s)
        if browsers is not None:
            why, receive = await browsers.forged(scope, receive)
            if why:
                raise _forbidden(connection, browsers, why)
        return receive

    async def _who(self, connection: HTTPConnection, browsers: Browsers | None) -> Principal:
        if browsers is None:
            try:
                return await self._gate.who(connection)
            except NotAdmitted as fault:
                raise _unauthorised(str(fault)) from fault
        principal = browsers.principal(connection)
        if principal is None:
            raise _Refused(browsers.sent_to_login(connection))
        return principal

    async def _still(
        self, connection: HTTPConnection, browsers: Browsers | None, principal: Principal
    ) -> bool:
        if browsers is not None:
            return browsers.still(connection) == principal
        try:
            return await self._gate.who(connection) == principal
        except NotAdmitted:
            return False

    def _route(self, scope: Scope) -> BaseRoute | None:
        """As the router will: the first of the path and method, else the first of the path."""
        partial = None
        for route in self._routes:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return route
            if match is Match.PARTIAL and partial is None:
                partial = route
        return partial


def _forbids(route: BaseRoute | None, policy: Policy | None, principal: Principal) -> str:
    """Why this role may not, or nothing. What is no route may be told as such to who is known."""
    if route is None:
        return ""
    if policy is None or policy.needs is None:
        return "this route has no policy, so it is nobody's; that is a defect of ours"
    if principal.role.may(policy.needs):
        return ""
    return f"asks for the role {policy.needs}; {principal.name} has the role {principal.role}"


def _unauthorised(why: str) -> _Refused:
    fault = Fault("Authorization", why)
    return _Refused(problem(HTTPStatus.UNAUTHORIZED, "unauthorised", fault, headers=_CHALLENGE))


def _forbidden(connection: HTTPConnection, browsers: Browsers | None, why: str) -> _Refused:
    if browsers is not None:
        return _Refused(browsers.forbidden(connection, why))
    fault = Fault(f"{connection.scope['method']} {connection.scope['path']}", why)
    return _Refused(problem(HTTPStatus.FORBIDDEN, "forbidden", fault))


def _too_many(principal: Principal, wait_s: float) -> _Refused:
    fault = Fault(principal.name, "sends more than is taken from one; send the same again later")
    headers = {"Retry-After": str(math.ceil(wait_s))}
    status = HTTPStatus.TOO_MANY_REQUESTS
    return _Refused(problem(status, "too_many_requests", fault, headers=headers))


def _with_headers(send: Send) -> Send:
    """What every answer says to a browser; what may be kept says so itself."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return told


def gate_of(settings: Settings, clock: Clock) -> Gate:
    """The gate of a process, as its settings say who is let in."""
    return Gate(Tokens(settings.tokens_file, clock), oidc=_verifier(settings, clock), clock=clock)


def _verifier(settings: Settings, clock: Clock) -> Verifies | None:
    if settings.oidc_audience is None:
        return None
    from services.chassis.oidc import verifier_of  # noqa: PLC0415  the extra `oidc`

    return verifier_of(settings, settings.oidc_audience, clock)
