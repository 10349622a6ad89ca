"""Logging in at an identity provider: there, back, and everything that is refused on the way."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from orchestrator.operate.console import ways_of
from orchestrator.operate.login import LOGINS_BURST, NO_PROVIDER, Ways, login_routes
from orchestrator.operate.oidc_login import (
    ASKED_S,
    COOKIE,
    NO_ID_TOKEN,
    NOT_BEGUN,
    NOT_TAKEN,
    NOT_THERE,
    Client,
    OidcLogin,
)
from orchestrator.operate.sessions import Sessions, csrf_of
from orchestrator.operate.settings import ConsoleSettings
from services.chassis.access import Role, page, principal_of
from services.chassis.gate import Gate, secured
from services.chassis.oidc import Provider, Verifier
from services.chassis.settings import SettingsError
from services.chassis.tokens import Tokens
from tests.unit.chassis.company import HandClock

ISSUER = "https://id.example"
CALLBACK = "https://console.example/login/oidc/back"
CLIENT = Client(
    ISSUER, "baton-console", "s e:cret", f"{ISSUER}/login?tenant=shop", f"{ISSUER}/token", CALLBACK
)
ROLES = {"ops": Role.OPERATOR, "guests": Role.VIEWER}
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS = {
    "keys": [
        {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key())), "kid": "k"}
        | {"alg": "RS256"}
    ]
}


class Issuer:
    """Logs Ann in: gives a code for what it is asked, and an ID token for the code.

    `changes` of the claims, `key`, `algorithm` and `answer` let it do what it should not.
    """

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.asked: dict[str, str] = {}
        self.taken: list[httpx.Request] = []
        self.changes: dict[str, object] = {}
        self.key, self.algorithm = KEY, "RS256"
        self.answer: httpx.Response | httpx.ConnectError | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/keys":
            return httpx.Response(200, json=KEYS)
        assert str(request.url) == CLIENT.token_url
        self.taken.append(request)
        if isinstance(self.answer, httpx.ConnectError):
            raise self.answer
        return self.answer or self._token(dict(parse_qsl(request.content.decode())))

    def _token(self, form: Mapping[str, str]) -> httpx.Response:
        proof = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(proof).decode().rstrip("=")
        if (form["code"], challenge) != ("code-1", self.asked["code_challenge"]):
            return httpx.Response(400, json={"error": "invalid_grant"})
        now_s = self.clock.us // 1_000_000
        claims = {"iss": ISSUER, "aud": "baton-console", "sub": "ann", "exp": now_s + 600}
        claims |= {"nonce": self.asked["nonce"], "roles": ["ops"], **self.changes}
        said = {name: value for name, value in claims.items() if value is not None}
        key = "" if self.algorithm == "none" else self.key
        token = jwt.encode(said, key, algorithm=self.algorithm, headers={"kid": "k"})  # type: ignore[arg-type]
        return httpx.Response(200, json={"id_token": token, "token_type": "Bearer"})


class Browser:
    def __init__(self, http: httpx.AsyncClient, issuer: Issuer) -> None:
        self.http, self.issuer = http, issuer

    async def leave(self, next_: str = "/stuck") -> str:
        """To the provider; the state it was sent with."""
        away = await self.http.get("/login/oidc", params={"next": next_})
        assert away.status_code == 303
        address = away.headers["location"]
        self.issuer.asked = {name: value for name, (value,) in parse_qs(address).items()}
        return self.issuer.asked["state"]

    async def come(self, state: str, code: str = "code-1", **also: str) -> httpx.Response:
        query = {"state": state, "code": code, **also}
        return await self.http.get("/login/oidc/back", params=query)

    async def refused(self, answer: httpx.Response) -> tuple[int, str]:
        """What is told, and that nobody is inside then."""
        assert not await self.inside()
        return answer.status_code, answer.text

    async def inside(self) -> bool:
        return (await self.http.get("/stuck")).status_code == 200


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    clock = HandClock()
    issuer = Issuer(clock)
    transport = httpx.MockTransport(issuer)
    provider = Provider(ISSUER, CLIENT.client_id, f"{ISSUER}/keys", "roles", ROLES)
    ways = Ways(OidcLogin(CLIENT, Verifier(provider, clock, transport), clock, transport), 12)
    async with browsing(tmp_path, clock, ways) as http:
        yield Browser(http, issuer)


def browsing(folder: Path, clock: HandClock, ways: Ways) -> httpx.AsyncClient:
    tokens = Tokens(folder / "tokens.json", clock)
    sessions = Sessions(tokens, clock)
    gate = replace(Gate(tokens, clock=clock), browsers=sessions)

    def form(request: Request, names: Mapping[str, str], status: int) -> Response:
        del request
        return PlainTextResponse(names["problem"], status)

    async def stuck(request: Request) -> Response:
        who = principal_of(request)
        return PlainTextResponse(f"{who.actor} {who.role} {csrf_of(request)}")

    routes = [
        *login_routes(sessions, gate, form, ways),
        page("/stuck", stuck, needs=Role.VIEWER),
    ]
    app = httpx.ASGITransport(secured(routes, gate))
    return httpx.AsyncClient(transport=app, base_url="https://console.example")


async def test_people_are_sent_to_the_provider_with_what_has_to_come_back(
    browser: Browser,
) -> None:
    """The way back is the setting's, whatever host was asked for; the cookie is not for scripts."""
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    away = await browser.http.get("/login/oidc", headers=headers)
    address = urlsplit(away.headers["location"])
    asked = dict(parse_qsl(address.query))
    random = {name: asked.pop(name) for name in ("state", "nonce", "code_challenge")}
    assert (away.status_code, address.netloc, address.path) == (303, "id.example", "/login")
    assert asked == {
        "tenant": "shop",
        "response_type": "code",
        "client_id": "baton-console",
        "redirect_uri": CALLBACK,
        "scope": "openid",
        "code_challenge_method": "S256",
    }
    assert {len(each) for each in random.values()} == {43}
    name, _, rest = away.headers["set-cookie"].partition("=")
    assert (name, rest.partition("; ")[2]) == (
        COOKIE,
        "HttpOnly; Max-Age=600; Path=/login; SameSite=lax; Secure",
    )


async def test_who_the_provider_names_is_logged_in(browser: Browser) -> None:
    """With the role of the claim, on a page of ours that goes on; our secret goes to it alone."""
    back = await browser.come(await browser.leave("/stuck?q=<1>"), iss=ISSUER)
    (asked,) = browser.issuer.taken
    sent = dict(parse_qsl(asked.content.decode()))
    assert back.status_code == 200
    assert 'http-equiv="refresh" content="0; url=/stuck?q=&lt;1&gt;"' in back.text
    assert "baton_session=" in back.headers["set-cookie"]
    assert (await browser.http.get("/stuck")).text.startswith("oidc:ann operator ")
    assert browser.http.cookies.get(COOKIE) is None
    known = base64.b64encode(b"baton-console:s+e%3Acret").decode()  # as RFC 6749 2.3.1 encodes it
    assert asked.headers["authorization"] == f"Basic {known}"
    assert {name: sent[name] for name in ("grant_type", "redirect_uri", "code", "client_id")} == {
        "grant_type": "authorization_code",
        "redirect_uri": CALLBACK,
        "code": "code-1",
        "client_id": "baton-console",
    }


async def test_the_session_ends_with_the_providers_token_and_with_logging_out(
    browser: Browser,
) -> None:
    """As one that a token of ours opened."""
    await browser.come(await browser.leave())
    proof = (await browser.http.get("/stuck")).text.rpartition(" ")[2]
    out = await browser.http.post("/logout", data={"csrf": proof})
    assert (out.headers["location"], await browser.inside()) == ("/login", False)
    await browser.come(await browser.leave())
    browser.issuer.clock.move(599)
    assert await browser.inside()
    browser.issuer.clock.move(1)
    assert not await browser.inside()


REFUSED_TOKENS: dict[str, tuple[dict[str, object], str]] = {
    "nonce": ({"nonce": "other"}, "the signed token was made for another login: begin again"),
    "no nonce": ({"nonce": None}, "the signed token was made for another login: begin again"),
    "issuer": ({"iss": "https://evil.example"}, "the signed token is refused: InvalidIssuerError"),
    "audience": ({"aud": "other"}, "the signed token is refused: InvalidAudienceError"),
    "no expiry": ({"exp": None}, "the signed token is refused: MissingRequiredClaimError"),
    "expired": ({"exp": 1}, "the signed token is expired: ask the provider for another one"),
    "role": (
        {"roles": ["nobody"]},
        (
            "the signed token's roles holds no role of ours;"
            " BATON_OIDC_ROLES says which values are roles"
        ),
    ),
    "two audiences": (
        {"aud": ["baton-console", "other"]},
        "the signed token was made for another client than this console",
    ),
    "another's": (
        {"azp": "other"},
        "the signed token was made for another client than this console",
    ),
}


@pytest.mark.parametrize(("changes", "why"), REFUSED_TOKENS.values(), ids=REFUSED_TOKENS)
async def test_a_token_that_is_not_for_this_login_lets_nobody_in(
    browser: Browser, changes: dict[str, object], why: str
) -> None:
    browser.issuer.changes = changes
    answer = await browser.come(await browser.leave())
    assert await browser.refused(answer) == (401, why)


async def test_a_token_that_nobody_signed_lets_nobody_in(browser: Browser) -> None:
    """By another key, and by none."""
    browser.issuer.key = OTHER_KEY
    other = await browser.refused(await browser.come(await browser.leave()))
    browser.issuer.algorithm = "none"
    none = await browser.refused(await browser.come(await browser.leave()))
    assert other == (401, "the signed token is refused: InvalidSignatureError")
    assert none == (401, "the signed token is refused: InvalidAlgorithmError")


async def test_a_login_counts_once_soon_and_where_it_was_begun(browser: Browser) -> None:
    """Nobody is logged in as somebody else by an address he is sent; no code is changed then."""
    not_begun = (401, NOT_BEGUN)
    wrong = await browser.refused(await browser.come(await browser.leave() + "x"))
    state = await browser.leave()
    browser.http.cookies.clear()
    elsewhere = await browser.refused(await browser.come(state))
    state = await browser.leave()
    browser.issuer.clock.move(ASKED_S + 1)
    late = await browser.refused(await browser.come(state))
    assert (wrong, elsewhere, late) == (not_begun,) * 3
    assert browser.issuer.taken == []
    state = await browser.leave()
    cookie = browser.http.cookies[COOKIE]
    await browser.come(state)
    browser.http.cookies.clear()
    browser.http.cookies.set(COOKIE, cookie)
    assert await browser.refused(await browser.come(state)) == not_begun


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            {"error": "access_denied"},
            "the provider let nobody in (access_denied): ask who runs it, or begin again",
        ),
        (
            {"error": "call +44 123"},
            "the provider let nobody in: ask who runs it, or begin again",
        ),
        (
            {"iss": "https://evil.example"},
            "another provider answered than was asked: begin it again",
        ),
        ({"code": "guessed"}, NOT_TAKEN),
    ],
)
async def test_what_the_provider_says_no_to_is_told(
    browser: Browser, said: dict[str, str], why: str
) -> None:
    """In words of ours: an address somebody made up says nothing of its own on our page."""
    state = await browser.leave()
    answer = await browser.come(state, **said)
    assert await browser.refused(answer) == (401, why)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (httpx.ConnectError("refused"), (502, NOT_THERE)),
        (httpx.Response(503), (502, NOT_THERE)),
        (httpx.Response(302, headers={"location": "https://evil.example"}), (401, NOT_TAKEN)),
        (httpx.Response(200, json={"access_token": "a"}), (401, NO_ID_TOKEN)),
        (httpx.Response(200, json=[]), (401, NO_ID_TOKEN)),
        (httpx.Response(200, text="<html>"), (401, NO_ID_TOKEN)),
        (httpx.Response(200, json={"id_token": "a.b.c"}), (401, "the signed token is refused")),
    ],
)
async def test_a_provider_that_answers_otherwise_is_told(
    browser: Browser, answer: httpx.Response | httpx.ConnectError, told: tuple[int, str]
) -> None:
    browser.issuer.answer = answer
    said = await browser.refused(await browser.come(await browser.leave()))
    assert (said[0], said[1].partition(": DecodeError")[0]) == told


async def test_logins_that_begin_too_often_have_to_wait(browser: Browser) -> None:
    """As those by token; at the rate that the setting says."""
    for _ in range(LOGINS_BURST):
        await browser.leave()
    waits = await browser.http.get("/login/oidc")
    assert (waits.status_code, waits.headers["Retry-After"]) == (429, "5")


async def test_where_no_provider_is_set_the_page_says_so(tmp_path: Path) -> None:
    async with browsing(tmp_path, HandClock(), Ways()) as http:
        for path in ("/login/oidc", "/login/oidc/back"):
            answer = await http.get(path)
            assert (answer.status_code, answer.text) == (404, NO_PROVIDER)


GIVEN = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "BATON_OIDC_ISSUER": ISSUER,
    "BATON_OIDC_AUDIENCE": "baton",
    "BATON_OIDC_KEYS_URL": f"{ISSUER}/keys",
    "BATON_OIDC_ROLES": '{"ops": "operator"}',
    "BATON_OIDC_CLIENT_ID": "baton-console",
    "BATON_OIDC_CLIENT_SECRET": "s e:cret",
    "BATON_OIDC_LOGIN_URL": CLIENT.login_url,
    "BATON_OIDC_TOKEN_URL": CLIENT.token_url,
    "BATON_OIDC_CALLBACK_URL": CALLBACK,
}


def test_the_settings_name_the_provider() -> None:
    """Whole, or not at all; who comes back comes to the one path there is."""
    without = {name: value for name, value in GIVEN.items() if "CLIENT" not in name}
    settings = ConsoleSettings.read({**GIVEN, "BATON_LOGINS_PER_MINUTE": "30"}, service="console")
    made = ways_of(settings, HandClock())
    assert made.provider is not None
    assert (made.provider._client, made.per_minute) == (CLIENT, 30)
    assert "s e:cret" not in repr(settings)
    with pytest.raises(SettingsError) as refused:
        ConsoleSettings.read(
            {**without, "BATON_OIDC_CALLBACK_URL": "https://console.example/"}, service="console"
        )
    assert [str(each) for each in refused.value.problems] == [
        "BATON_OIDC_CLIENT_ID: missing, and other BATON_OIDC_ settings are given",
        (
            "BATON_OIDC_CALLBACK_URL=https://console.example/: allowed is"
            " the console's own address, https:// unless on this machine, and /login/oidc/back"
        ),
    ]
