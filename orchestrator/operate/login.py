"""How people come into the console: a token, an address that works once, an identity provider.

The token is not kept: what it opens is a session, which ends with it. Each try counts against where
it came from, before it is looked at. Where to go next is a path of ours only.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from orchestrator.operate import oidc_login
from orchestrator.operate.oidc_login import OidcLogin, ProviderAway
from orchestrator.operate.sessions import (
    ABSOLUTE_S,
    COOKIE,
    LOGIN,
    Sessions,
    form_of,
    from_elsewhere,
    local_path,
)
from services.chassis.access import Guarded, Principal, Role, guarded, opened, page, principal_of
from services.chassis.gate import Gate
from services.chassis.rates import Rates
from services.chassis.tokens import NotAdmitted

LOGOUT, CODES = "/logout", "/api/logins"
AWAY, BACK = "/login/oidc", "/login/oidc/back"
LOGINS_PER_MINUTE, LOGINS_BURST = 6.0, 10
WAIT = "too many logins from here; wait a little"
USED = "this address was used already, or is too old: baton login   prints another one"
NO_PROVIDER = "no identity provider is set here: log in with a token"
# The request; what is wrong, where to go next, which provider there is; the status.
Form = Callable[[Request, Mapping[str, str], HTTPStatus], Response]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ways:
    """What the settings say of logging in."""

    provider: OidcLogin | None = None
    per_minute: float = LOGINS_PER_MINUTE


def login_routes(
    sessions: Sessions, gate: Gate, form: Form, ways: Ways | None = None
) -> list[Guarded]:
    """`form` draws the page that asks who it is."""
    asked = _Logins(sessions, gate, form, ways or Ways())
    return [
        opened(LOGIN, asked.shown),
        opened(LOGIN, asked.given, methods=["POST"]),
        opened(AWAY, asked.away),
        opened(BACK, asked.back),
        page(LOGOUT, asked.logout, needs=Role.VIEWER, methods=["POST"]),
        guarded(CODES, asked.code, needs=Role.VIEWER, methods=["POST"]),
    ]


class _Logins:
    def __init__(self, sessions: Sessions, gate: Gate, form: Form, ways: Ways) -> None:
        self._sessions, self._gate, self._drawn = sessions, gate, form
        self._provider = ways.provider
        self._rates = Rates(ways.per_minute / 60, LOGINS_BURST)

    async def shown(self, request: Request) -> Response:
        """With `?code=` it logs in at once, and that code is used up."""
        next_ = local_path(request.query_params.get("next", "/"))
        code = request.query_params.get("code")
        if code is None:
            return self._form(request, "", next_, HTTPStatus.OK)
        principal = self._sessions.by_code(code)
        if principal is not None:
            return self._welcome(request, principal, _to(next_))
        return self._form(request, USED, next_, HTTPStatus.UNAUTHORIZED)

    async def given(self, request: Request) -> Response:
        form = await form_of(request)
        next_ = local_path(form.get("next", "/"))
        if why := from_elsewhere(request):
            return self._form(request, why, next_, HTTPStatus.FORBIDDEN)
        if (waits := self._waits(request, next_)) is not None:
            return waits
        try:
            principal = await self._gate.known(form.get("token", "").strip())
        except NotAdmitted as fault:
            _log.warning("a login was refused")
            return self._form(request, str(fault), next_, HTTPStatus.UNAUTHORIZED)
        return self._welcome(request, principal, _to(next_))

    async def away(self, request: Request) -> Response:
        """To the identity provider."""
        next_ = local_path(request.query_params.get("next", "/"))
        if self._provider is None:
            return self._form(request, NO_PROVIDER, next_, HTTPStatus.NOT_FOUND)
        return self._waits(request, next_) or self._provider.away(next_)

    async def back(self, request: Request) -> Response:
        """From there. It goes on by a page of ours: after a redirect that another site began, a
        browser does not show the session's cookie.
        """
        if self._provider is None:
            return self._form(request, NO_PROVIDER, "/", HTTPStatus.NOT_FOUND)
        try:
            principal, next_ = await self._provider.back(request)
        except NotAdmitted as fault:
            _log.warning("a login was refused")
            away = isinstance(fault, ProviderAway)
            status = HTTPStatus.BAD_GATEWAY if away else HTTPStatus.UNAUTHORIZED
            answer = self._form(request, str(fault), "/", status)
        else:
            answer = self._welcome(request, principal, _on(next_))
        answer.delete_cookie(oidc_login.COOKIE, path=oidc_login.PATH, httponly=True)
        return answer

    async def logout(self, request: Request) -> Response:
        self._sessions.end(request)
        answer = RedirectResponse(LOGIN, HTTPStatus.SEE_OTHER)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    async def code(self, request: Request) -> Response:
        """An address that logs the asker in once."""
        path = f"{LOGIN}?code={quote(self._sessions.code(principal_of(request)))}"
        return JSONResponse({"path": path, "role": principal_of(request).role})

    def _form(self, request: Request, problem: str, next_: str, status: HTTPStatus) -> Response:
        provider = self._provider.issuer if self._provider is not None else ""
        names = {"problem": problem, "next": next_, "provider": provider}
        return self._drawn(request, names, status)

    def _waits(self, request: Request, next_: str) -> Response | None:
        """Who tries too often is told when to come again."""
        wait_s = self._rates.wait_s(_host(request), self._gate.clock.monotonic_s())
        if not wait_s:
            return None
        answer = self._form(request, WAIT, next_, HTTPStatus.TOO_MANY_REQUESTS)
        answer.headers["Retry-After"] = str(math.ceil(wait_s))
        return answer

    def _welcome(self, request: Request, principal: Principal, answer: Response) -> Response:
        self._sessions.end(request)
        answer.set_cookie(
            COOKIE,
            self._sessions.begin(principal),
            max_age=int(ABSOLUTE_S),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        _log.info("logged in", extra={"actor": principal.actor})
        return answer


def _to(next_: str) -> Response:
    return RedirectResponse(next_, HTTPStatus.SEE_OTHER)


def _on(next_: str) -> Response:
    way = escape(next_)
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta http-equiv="refresh" content="0; url={way}">'
        f'<title>Logged in</title><h1>Logged in</h1><p><a href="{way}">Go on</a></p></html>'
    )


def _host(request: Request) -> str:
    return request.client.host if request.client else ""
