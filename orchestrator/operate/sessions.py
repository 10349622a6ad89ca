"""Sessions of the console's pages: who is logged in, kept in memory, gone with the process.

Kept are hashes only, of the cookie's random id and of the codes that log in once. The invariants:
a session ends with the token that opened it; a POST counts only with the session's own proof, and
only from our own pages; a code works once, for a while.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape
from http import HTTPStatus
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Message, Receive, Scope

from services.chassis.access import Principal
from services.chassis.clock import Clock
from services.chassis.tokens import NotAdmitted, Tokens

COOKIE = "baton_session"
CSRF = "csrf"
CSRF_HEADER = "X-CSRF-Token"
LOGIN, LIVE = "/login", "/live"
IDLE_S, ABSOLUTE_S, CODE_S = 3_600.0, 12 * 3_600.0, 600.0
SESSIONS_MAX = 10_000
FORM_BYTES_MAX = 64 * 1024
NOT_OURS = "the form was not made for this session; load the page again and send it from there"
ELSEWHERE = "it was sent by a page of another site"


@dataclass(frozen=True, slots=True)
class _Kept:
    principal: Principal
    began_s: float
    seen_s: float


class Sessions:
    """A `services.chassis.gate.Browsers`."""

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self._tokens, self._clock = tokens, clock
        self._open: dict[bytes, _Kept] = {}
        self._codes: dict[bytes, _Kept] = {}

    def begin(self, principal: Principal) -> str:
        """The cookie's value."""
        return self._keep(self._open, principal)

    def code(self, principal: Principal) -> str:
        """What logs this principal in once, within CODE_S."""
        return self._keep(self._codes, principal)

    def by_code(self, code: str) -> Principal | None:
        kept = self._codes.pop(_digest(code), None)
        if kept is None or self._clock.monotonic_s() - kept.began_s > CODE_S:
            return None
        return self._still(kept.principal)

    def end(self, connection: HTTPConnection) -> None:
        self._open.pop(_digest(connection.cookies.get(COOKIE, "")), None)

    def principal(self, connection: HTTPConnection) -> Principal | None:
        """Who is logged in; the session is then as if seen anew, unless a page renews itself."""
        principal = self.still(connection)
        if principal is not None and connection.url.path != LIVE:
            name, now_s = _digest(connection.cookies[COOKIE]), self._clock.monotonic_s()
            self._open[name] = replace(self._open[name], seen_s=now_s)
        return principal

    def still(self, connection: HTTPConnection) -> Principal | None:
        name = _digest(connection.cookies.get(COOKIE, ""))
        kept, now_s = self._open.get(name), self._clock.monotonic_s()
        if kept is None:
            return None
        principal = self._still(kept.principal)
        idle, old = now_s - kept.seen_s > IDLE_S, now_s - kept.began_s > ABSOLUTE_S
        if principal is None or idle or old:
            del self._open[name]
            return None
        return principal

    def sent_to_login(self, connection: HTTPConnection) -> Response:
        """With the way back, where that is a page."""
        url = connection.url
        back = quote(url.path + (f"?{url.query}" if url.query else ""), safe="")
        again = f"?next={back}" if connection.scope["method"] == "GET" else ""
        if connection.headers.get("HX-Request") == "true":
            headers = {"HX-Redirect": LOGIN}
            return Response(status_code=HTTPStatus.UNAUTHORIZED, headers=headers)
        return RedirectResponse(LOGIN + again, HTTPStatus.SEE_OTHER)

    def forbidden(self, connection: HTTPConnection, why: str) -> Response:
        place = f"{connection.scope['method']} {connection.url.path}"
        return HTMLResponse(
            f'<!doctype html><html lang="en"><title>Refused</title><h1>Refused</h1>'
            f'<p>{escape(place)}: {escape(why)}.</p><p><a href="/">Overview</a></p></html>',
            HTTPStatus.FORBIDDEN,
        )

    async def forged(self, scope: Scope, receive: Receive) -> tuple[str, Receive]:
        connection = HTTPConnection(scope)
        if why := from_elsewhere(connection):
            return why, receive
        given = connection.headers.get(CSRF_HEADER, "")
        if not given:
            body = await _body(receive)
            if body is None:
                return "the form is too large, or was cut off", receive
            given, receive = fields(body).get(CSRF, ""), _replayed(body, receive)
        ours = hmac.compare_digest(given.encode(), csrf_of(connection).encode())
        return "" if ours else NOT_OURS, receive

    def _keep(self, where: dict[bytes, _Kept], principal: Principal) -> str:
        now_s, given = self._clock.monotonic_s(), secrets.token_urlsafe(32)
        where[_digest(given)] = _Kept(principal, now_s, now_s)
        if len(where) > SESSIONS_MAX:
            del where[next(iter(where))]
        return given

    def _still(self, principal: Principal) -> Principal | None:
        """As the token that opened the session says now."""
        now_s = self._clock.now_us() / 1_000_000
        if principal.until_s is not None and principal.until_s <= now_s:
            return None
        if not principal.token_id:
            return principal
        try:
            return self._tokens.by_id(principal.token_id)
        except NotAdmitted:
            return None


def csrf_of(connection: HTTPConnection) -> str:
    """The session's proof for its own forms: made of the cookie, which no other site can read."""
    cookie = connection.cookies.get(COOKIE, "")
    return hmac.new(cookie.encode(), CSRF.encode(), hashlib.sha256).hexdigest()


class Html(str):
    """Text that a template shows as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def csrf_field(request: HTTPConnection) -> Html:
    """The hidden field that every POST form of a page holds."""
    return Html(f'<input type="hidden" name="{CSRF}" value="{csrf_of(request)}">')


def fields(body: bytes) -> Mapping[str, str]:
    """The fields of a form; of a name given twice the last."""
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


async def form_of(request: Request) -> Mapping[str, str]:
    return fields(await request.body())


def from_elsewhere(connection: HTTPConnection) -> str:
    """Why a POST comes from a page that is not ours, or nothing. Who is no browser says neither."""
    site, origin = (connection.headers.get(name) for name in ("Sec-Fetch-Site", "Origin"))
    if site is not None and site not in ("same-origin", "none"):
        return ELSEWHERE
    if origin is not None and urlsplit(origin).netloc != connection.headers.get("Host"):
        return ELSEWHERE
    return ""


def local_path(given: str) -> str:
    """Where to go after logging in: a path of ours, whatever was asked."""
    parts = urlsplit(given)
    ours = given.startswith("/") and not given.startswith("//") and not parts.netloc
    plain = given.isprintable() and "\\" not in given
    return given if ours and plain and not parts.scheme else "/"


async def _body(receive: Receive) -> bytes | None:
    body = b""
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > FORM_BYTES_MAX or message["type"] == "http.disconnect":
            return None
        if not message.get("more_body", False):
            return body


def _replayed(body: bytes, receive: Receive) -> Receive:
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return left.pop() if left else await receive()

    return again


def _digest(given: str) -> bytes:
    return hashlib.sha256(given.encode()).digest()
