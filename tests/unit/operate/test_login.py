"""How people come into the console's pages, stay, and go; and what is no page's own POST."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Message

from orchestrator.operate.login import LOGINS_BURST, login_routes
from orchestrator.operate.sessions import (
    ABSOLUTE_S,
    CODE_S,
    COOKIE,
    CSRF_HEADER,
    ELSEWHERE,
    IDLE_S,
    NOT_OURS,
    Sessions,
    csrf_of,
    form_of,
    local_path,
)
from services.chassis.access import Role, page, principal_of
from services.chassis.gate import secured
from services.chassis.tokens import read_tokens, revoked, written
from tests.gates import gate_for
from tests.unit.chassis.company import HandClock

TOKENS = {"operator's": Role.OPERATOR, "viewer's": Role.VIEWER}


class Browser:
    def __init__(self, http: httpx.AsyncClient, clock: HandClock, folder: Path) -> None:
        self.http, self.clock, self.folder = http, clock, folder

    async def log_in(self, token: str = "operator's") -> httpx.Response:
        return await self.http.post("/login", data={"token": token, "next": "/stuck?q=1"})

    async def code(self, path: str = "/stuck") -> int:
        return (await self.http.get(path)).status_code

    async def csrf(self) -> str:
        return (await self.http.get("/stuck")).text.partition(" ")[2]


@asynccontextmanager
async def browsing(folder: Path, base: str = "http://console") -> AsyncIterator[Browser]:
    clock = HandClock()
    gate = gate_for(folder, TOKENS, clock=clock)
    sessions = Sessions(gate.tokens, clock)
    gate = replace(gate, browsers=sessions)

    def form(request: Request, names: Mapping[str, str], status: int) -> Response:
        return PlainTextResponse(f"{request.url.path} {names['problem']}", status)

    async def stuck(request: Request) -> Response:
        return PlainTextResponse(f"{principal_of(request).name} {csrf_of(request)}")

    async def act(request: Request) -> Response:
        return PlainTextResponse((await form_of(request)).get("reason", ""))

    routes = [
        *login_routes(sessions, gate, form),
        page("/stuck", stuck, needs=Role.VIEWER),
        page("/act", act, needs=Role.OPERATOR, methods=["POST"]),
    ]
    transport = httpx.ASGITransport(secured(routes, gate))
    async with httpx.AsyncClient(transport=transport, base_url=base) as http:
        yield Browser(http, clock, folder)


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with browsing(tmp_path) as opened:
        yield opened


async def test_who_is_not_logged_in_is_sent_there_and_back(browser: Browser) -> None:
    """With the way back of a GET; a token opens a session, whose cookie no script can read."""
    away = await browser.http.get("/stuck?q=1")
    post = await browser.http.post("/act")
    back = await browser.log_in()
    assert (away.status_code, away.headers["location"]) == (303, "/login?next=%2Fstuck%3Fq%3D1")
    assert (post.status_code, post.headers["location"]) == (303, "/login")
    assert (back.status_code, back.headers["location"]) == (303, "/stuck?q=1")
    name, _, rest = back.headers["set-cookie"].partition("=")
    assert name == COOKIE
    assert (
        rest.partition("; ")[2] == f"HttpOnly; Max-Age={int(ABSOLUTE_S)}; Path=/; SameSite=strict"
    )
    assert (await browser.http.get("/stuck")).text.startswith("operator ")


async def test_the_cookie_is_secure_where_the_way_is(tmp_path: Path) -> None:
    async with browsing(tmp_path, "https://console") as browser:
        assert "; Secure" in (await browser.log_in()).headers["set-cookie"]


async def test_a_session_opens_pages_and_no_api(browser: Browser) -> None:
    """An API takes a bearer token only, so that nothing a browser does by itself reaches it."""
    await browser.log_in()
    assert (await browser.http.post("/api/logins")).status_code == 401


@pytest.mark.parametrize(
    ("idle_s", "times", "code"),
    [(IDLE_S, 1, 200), (IDLE_S + 1, 1, 303), (IDLE_S, 12, 200), (IDLE_S, 13, 303)],
)
async def test_a_session_ends_unused_and_in_any_case(
    browser: Browser, idle_s: float, times: int, code: int
) -> None:
    """After an hour in which nothing was asked, and after twelve."""
    await browser.log_in()
    for _ in range(times):
        browser.clock.move(idle_s)
        last = await browser.code()
    assert last == code


async def test_a_session_ends_with_its_token_and_with_logging_out(browser: Browser) -> None:
    """What was revoked is over with the next request, without a restart."""
    await browser.log_in()
    cookie = browser.http.cookies[COOKIE]
    out = await browser.http.post("/logout", data={"csrf": await browser.csrf()})
    browser.http.cookies.set(COOKIE, cookie)
    gone = await browser.code()
    browser.http.cookies.clear()
    await browser.log_in()
    inside = await browser.code()
    file, now = browser.folder / "tokens.json", datetime.fromtimestamp(0, UTC)
    file.write_text(written(revoked(read_tokens(file), "operator", now)))
    codes = (gone, inside, await browser.code())
    assert (out.headers["location"], codes) == ("/login", (303, 200, 303))


@pytest.mark.parametrize(
    ("headers", "sent", "why"),
    [
        ({}, "csrf", ""),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://console"}, "csrf", ""),
        ({}, "header", ""),
        ({}, "", NOT_OURS),
        ({}, "other", NOT_OURS),
        ({"Sec-Fetch-Site": "cross-site"}, "csrf", ELSEWHERE),
        ({"Sec-Fetch-Site": "same-site"}, "csrf", ELSEWHERE),
        ({"Origin": "http://evil.example"}, "csrf", ELSEWHERE),
        ({"Origin": "http://console:81"}, "csrf", ELSEWHERE),
        ({"Origin": "null"}, "csrf", ELSEWHERE),
    ],
)
async def test_a_post_counts_only_from_the_sessions_own_pages(
    browser: Browser, headers: dict[str, str], sent: str, why: str
) -> None:
    """With its proof, in the form or in a header, and not from another site, port or frame."""
    await browser.log_in()
    proof = await browser.csrf()
    data = {"reason": "seen", **({"csrf": proof} if sent == "csrf" else {})}
    if sent == "other":
        data["csrf"] = "0" * 64
    if sent == "header":
        headers = {**headers, CSRF_HEADER: proof}
    answer = await browser.http.post("/act", data=data, headers=headers)
    if why:
        assert (answer.status_code, f"POST /act: {why}." in answer.text) == (403, True)
    else:
        assert (answer.status_code, answer.text) == (200, "seen")


async def test_a_page_is_refused_to_a_role_that_may_not(browser: Browser) -> None:
    await browser.log_in("viewer's")
    answer = await browser.http.post("/act", data={"csrf": await browser.csrf()})
    assert answer.status_code == 403
    assert "POST /act: asks for the role operator; viewer has the role viewer." in answer.text


async def test_wrong_logins_are_told_why_and_soon_have_to_wait(browser: Browser) -> None:
    """Also a right one then, so that nobody learns by trying."""
    answers = [await browser.log_in("guess") for _ in range(LOGINS_BURST)]
    waits = await browser.log_in()
    browser.clock.move(10)
    later = await browser.log_in()
    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].text.startswith("/login send `Authorization: Bearer <token>` with a valid")
    assert (waits.status_code, waits.headers["Retry-After"]) == (429, "10")
    assert later.status_code == 303


async def test_a_login_from_another_sites_page_is_refused(browser: Browser) -> None:
    """Nobody is logged in as somebody else behind his back."""
    headers = {"Sec-Fetch-Site": "cross-site"}
    answer = await browser.http.post("/login", data={"token": "viewer's"}, headers=headers)
    assert (answer.status_code, ELSEWHERE in answer.text) == (403, True)


@pytest.mark.parametrize(("wait_s", "codes"), [(0, [303, 401]), (CODE_S + 1, [401, 401])])
async def test_an_address_logs_in_once_and_soon(
    browser: Browser, wait_s: float, codes: list[int]
) -> None:
    """As the principal who asked for it."""
    headers = {"Authorization": "Bearer viewer's"}
    said = (await browser.http.post("/api/logins", headers=headers)).json()
    browser.clock.move(wait_s)
    came = [(await browser.http.get(said["path"])).status_code for _ in range(2)]
    assert (came, said["role"]) == (codes, "viewer")
    if codes[0] == 303:
        assert (await browser.http.get("/stuck")).text.startswith("viewer ")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/stuck?q=1#a", "/stuck?q=1#a"),
        ("", "/"),
        ("stuck", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
    ],
)
def test_the_way_on_is_a_path_of_ours(given: str, path: str) -> None:
    assert local_path(given) == path


async def test_a_form_that_was_cut_off_is_not_taken(tmp_path: Path) -> None:
    """What it would have said after the cut, as that only one is to be tried, is not known."""
    clock = HandClock()
    sessions = Sessions(gate_for(tmp_path, TOKENS, clock=clock).tokens, clock)
    scope = {"type": "http", "headers": []}
    begun = f"csrf={csrf_of(HTTPConnection(scope))}&verb=compensate".encode()
    parts = [
        {"type": "http.request", "body": begun, "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return parts.pop(0)

    why, _ = await sessions.forged(scope, receive)

    assert why == "the form is too large, or was cut off"
