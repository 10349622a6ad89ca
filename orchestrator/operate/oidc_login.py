"""Logging in at an identity provider: the way there and back (authorization code with PKCE).

Knows no session and draws no page. The invariants: a login that comes back counts once, in the
browser that began it, within ASKED_S; where it comes back to is the setting's, never the request's;
the code is changed for a token by us alone, and that token names our nonce.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.chassis.access import Principal
from services.chassis.clock import Clock
from services.chassis.tokens import NotAdmitted

COOKIE = "baton_login"
PATH = "/login"  # of the cookie: it is shown to nothing else
ASKED_S, ASKED_MAX = 600.0, 10_000
ANSWER_WITHIN_S, ANSWER_BYTES_MAX = 5.0, 256 * 1024
NOT_BEGUN = "this login was not begun in this browser, or too long ago: begin it again"
NOT_THERE = "the provider cannot be reached now: begin again in a moment"
NO_ID_TOKEN = "the provider sent no ID token: it must let this client ask for the scope openid"  # noqa: S105
NOT_TAKEN = (
    "the provider did not take the code: begin again; if it stays so, compare"
    " BATON_OIDC_CLIENT_ID, its secret and BATON_OIDC_CALLBACK_URL with what is registered there"
)
# What the provider may say (RFC 6749, OpenID Connect); of anything else the words are not told.
_ERRORS = frozenset(
    """
    access_denied unauthorized_client invalid_request invalid_scope unsupported_response_type
    server_error temporarily_unavailable login_required consent_required interaction_required
    account_selection_required
    """.split()  # noqa: SIM905
)


class ProviderAway(NotAdmitted):
    """It did not answer: nothing is said about who asks."""


class LogsIn(Protocol):
    """`services.chassis.oidc.Verifier`, of tokens whose audience is this client."""

    async def logged_in(self, token: str, nonce: str) -> Principal: ...


@dataclass(frozen=True, slots=True)
class Client:
    """What the provider knows this console as."""

    issuer: str
    client_id: str
    secret: str
    login_url: str
    token_url: str
    callback_url: str


@dataclass(frozen=True, slots=True)
class _Asked:
    state: str
    nonce: str
    verifier: str
    next: str
    began_s: float


class OidcLogin:
    def __init__(
        self,
        client: Client,
        tokens: LogsIn,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client, self._tokens, self._clock = client, tokens, clock
        self._transport = transport
        self._asked: dict[bytes, _Asked] = {}

    @property
    def issuer(self) -> str:
        return self._client.issuer

    def away(self, next_: str) -> Response:
        """To the provider. What has to come back is kept here, under a cookie of this browser."""
        cookie, client = secrets.token_urlsafe(32), self._client
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        self._asked[_digest(cookie)] = _Asked(
            state, nonce, verifier, next_, self._clock.monotonic_s()
        )
        if len(self._asked) > ASKED_MAX:
            del self._asked[next(iter(self._asked))]
        query = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": client.callback_url,
            "scope": "openid",
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(_digest(verifier)).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        joined = "&" if urlsplit(client.login_url).query else "?"
        answer = RedirectResponse(
            f"{client.login_url}{joined}{urlencode(query)}", HTTPStatus.SEE_OTHER
        )
        # Lax: the way back begins at another site, and a Strict cookie would stay behind.
        answer.set_cookie(
            COOKIE,
            cookie,
            max_age=int(ASKED_S),
            path=PATH,
            httponly=True,
            samesite="lax",
            secure=client.callback_url.startswith("https:"),
        )
        return answer

    async def back(self, request: Request) -> tuple[Principal, str]:
        """Who came back, and where he wanted to. Raises NotAdmitted, which says what to do."""
        asked = self._asked.pop(_digest(request.cookies.get(COOKIE, "")), None)
        given = request.query_params
        if asked is None or self._clock.monotonic_s() - asked.began_s > ASKED_S:
            raise NotAdmitted(NOT_BEGUN)
        if not hmac.compare_digest(given.get("state", "").encode(), asked.state.encode()):
            raise NotAdmitted(NOT_BEGUN)
        if given.get("iss", self.issuer) != self.issuer:
            raise NotAdmitted("another provider answered than was asked: begin it again")
        if error := given.get("error"):
            said = f" ({error})" if error in _ERRORS else ""
            raise NotAdmitted(f"the provider let nobody in{said}: ask who runs it, or begin again")
        token = await self._token(given.get("code", ""), asked.verifier)
        return await self._tokens.logged_in(token, asked.nonce), asked.next

    async def _token(self, code: str, verifier: str) -> str:
        client = self._client
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": client.callback_url,
            "client_id": client.client_id,
            "code_verifier": verifier,
        }
        secret = httpx.Auth()
        if client.secret:  # each is encoded as in a form, RFC 6749 2.3.1
            secret = httpx.BasicAuth(quote_plus(client.client_id), quote_plus(client.secret))
        try:
            async with httpx.AsyncClient(
                timeout=ANSWER_WITHIN_S, trust_env=False, transport=self._transport
            ) as http:
                answer = await http.post(client.token_url, data=form, auth=secret)
        except httpx.HTTPError as fault:
            raise ProviderAway(NOT_THERE) from fault
        if answer.is_server_error:
            raise ProviderAway(NOT_THERE)
        if not answer.is_success or len(answer.content) > ANSWER_BYTES_MAX:
            raise NotAdmitted(NOT_TAKEN)
        return _id_token(answer)


def _id_token(answer: httpx.Response) -> str:
    try:
        said = answer.json()
    except ValueError as fault:
        raise NotAdmitted(NO_ID_TOKEN) from fault
    token = said.get("id_token") if isinstance(said, dict) else None
    if not isinstance(token, str):
        raise NotAdmitted(NO_ID_TOKEN)
    return token


def _digest(given: str) -> bytes:
    return hashlib.sha256(given.encode()).digest()
