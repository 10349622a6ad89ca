"""How people come into the console: the form that takes a token, the address that works once.

The token is not kept: what it opens is a session, which ends with it. Each try counts against where
it came from, before it is looked at. Where to go next is a path of ours only.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

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
LOGINS_PER_S, LOGINS_BURST = 0.1, 10
WAIT = "too many logins from here; wait a little"
USED = "this address was used already, or is too old: baton login   prints another one"
# The request, what is wrong, where to go next.
Form = Callable[[Request, str, str, HTTPStatus], Response]
_log = logging.getLogger(__name__)


def login_routes(sessions: Sessions, gate: Gate, form: Form) -> list[Guarded]:
    """`form` draws the page that asks for a token."""
    asked = _Logins(sessions, gate, form)
    return [
        opened(LOGIN, asked.shown),
        opened(LOGIN, asked.given, methods=["POST"]),
        page(LOGOUT, asked.logout, needs=Role.VIEWER, methods=["POST"]),
        guarded(CODES, asked.code, needs=Role.VIEWER, methods=["POST"]),
    ]


class _Logins:
    def __init__(self, sessions: Sessions, gate: Gate, form: Form) -> None:
        self._sessions, self._gate, self._form = sessions, gate, form
        self._rates = Rates(LOGINS_PER_S, LOGINS_BURST)

    async def shown(self, request: Request) -> Response:
        """With `?code=` it logs in at once, and that code is used up."""
        next_ = local_path(request.query_params.get("next", "/"))
        code = request.query_params.get("code")
        if code is None:
            return self._form(request, "", next_, HTTPStatus.OK)
        principal = self._sessions.by_code(code)
        if principal is not None:
            return self._welcome(request, principal, next_)
        return self._form(request, USED, next_, HTTPStatus.UNAUTHORIZED)

    async def given(self, request: Request) -> Response:
        form = await form_of(request)
        next_ = local_path(form.get("next", "/"))
        if why := from_elsewhere(request):
            return self._form(request, why, next_, HTTPStatus.FORBIDDEN)
        if wait_s := self._rates.wait_s(_host(request), self._gate.clock.monotonic_s()):
            answer = self._form(request, WAIT, next_, HTTPStatus.TOO_MANY_REQUESTS)
            answer.headers["Retry-After"] = str(math.ceil(wait_s))
            return answer
        try:
            principal = await self._gate.known(form.get("token", "").strip())
        except NotAdmitted as fault:
            _log.warning("a login was refused")
            return self._form(request, str(fault), next_, HTTPStatus.UNAUTHORIZED)
        return self._welcome(request, principal, next_)

    async def logout(self, request: Request) -> Response:
        self._sessions.end(request)
        answer = RedirectResponse(LOGIN, HTTPStatus.SEE_OTHER)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    async def code(self, request: Request) -> Response:
        """An address that logs the asker in once."""
        path = f"{LOGIN}?code={quote(self._sessions.code(principal_of(request)))}"
        return JSONResponse({"path": path, "role": principal_of(request).role})

    def _welcome(self, request: Request, principal: Principal, next_: str) -> Response:
        self._sessions.end(request)
        answer = RedirectResponse(next_, HTTPStatus.SEE_OTHER)
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


def _host(request: Request) -> str:
    return request.client.host if request.client else ""
