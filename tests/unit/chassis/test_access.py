"""Who may do what: every route of the project has a policy, and the gate keeps to it."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from company import HandClock
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from deploy.local.stack import SERVICES
from deploy.reference import _of_console
from services.chassis.access import (
    OPEN,
    Guarded,
    Role,
    actor_of,
    guarded,
    opened,
    page,
    policy_of,
)
from services.chassis.gate import HEADERS, Gate, secured
from services.chassis.health import operations_app
from services.chassis.letters_http import letter_routes
from services.chassis.metrics import Known, Metrics
from services.chassis.rates import Rates
from services.chassis.tokens import Tokens, made, revoked, written
from tests.gates import gate_for

ROLES = {f"secret of {role}": role for role in Role}


def nothing() -> None:
    return None


def every_route() -> dict[str, Sequence[BaseRoute]]:
    """The routes of every process that serves an interface, its operations port too."""
    operations = operations_app(
        Metrics("crm", Known({}, {}), version="1"), list, more=letter_routes("crm", nothing)
    )
    found: dict[str, Sequence[BaseRoute]] = {
        name: importlib.import_module(f"services.{name}.api").routes(None) for name in SERVICES
    }
    console = [route for route in _of_console() if isinstance(route, BaseRoute)]
    return {**found, "console": console, "operations": operations.routes}


ALL = [
    pytest.param(route, id=f"{name} {route!r}")
    for name, routes in every_route().items()
    for route in routes
]
# What is served to whoever asks: nothing here may show a key, a name or a payload.
ANYBODY = {
    "/livez",
    "/readyz",
    "/metrics",
    "/version",
    "/login",
    "/login/oidc",
    "/login/oidc/back",
    "/settings",
    "/static/{name}",
}
# What a viewer may change: only what is his own.
OWN = {"/logout", "/api/logins", "/views"}


@pytest.mark.parametrize("route", ALL)
def test_every_route_of_the_project_has_a_policy(route: BaseRoute) -> None:
    """A route that says nobody's role is served to nobody; and what is open is listed here."""
    policy = policy_of(route)
    assert isinstance(route, Guarded)
    assert policy is not None, f"{route.path}: give it guarded, page or opened"
    assert (policy == OPEN) is (route.path in ANYBODY)
    if policy.needs is Role.VIEWER:
        safe = {"GET", "HEAD"}
        assert set(route.methods or ()) <= safe or route.path in OWN


def stand_in(route: Guarded) -> Guarded:
    async def answered(request: Request) -> Response:
        return JSONResponse({"path": request.url.path})

    return Guarded(route.path, answered, route.policy, sorted(route.methods or ()))


def asked(route: Guarded) -> tuple[str, str]:
    method = next(iter(sorted((route.methods or set()) - {"HEAD"})))
    return method, route.path.replace("{", "").replace("}", "")


GUARDED = [each for each in ALL if policy_of(each.values[0]) != OPEN]
LATER = timedelta(days=1)


@asynccontextmanager
async def served(
    routes: Sequence[BaseRoute], gate: Gate, **headers: str
) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(secured(routes, gate), raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://api", headers=headers
    ) as client:
        yield client


def ended_gate(folder: Path) -> Gate:
    """One token that expired, one that was revoked; both an admin's."""
    clock = HandClock()
    now = datetime.fromtimestamp(clock.now_us() / 1_000_000, UTC)
    old = made("expired secret", "old", Role.ADMIN, now=now - LATER, expires=now)
    gone = made("revoked secret", "gone", Role.ADMIN, now=now - LATER)
    file = folder / "tokens.json"
    file.write_text(written([old, *revoked([gone], "gone", now)]))
    file.chmod(0o600)
    return Gate(Tokens(file, clock), clock=clock)


@pytest.mark.parametrize("route", GUARDED)
async def test_each_route_is_refused_to_whoever_may_not(route: Guarded, tmp_path: Path) -> None:
    """No token, an unknown, an expired, a revoked one: 401; another role: 403; its role: in."""
    method, path = asked(route)
    routes = [stand_in(route)]
    known = [f"Bearer {secret}" for secret in ("guess", "expired secret", "revoked secret", "")]
    async with served(routes, ended_gate(tmp_path)) as client:
        codes = [
            (await client.request(method, path, headers=headers)).status_code
            for headers in ({}, *({"Authorization": each} for each in known))
        ]
    assert codes == [401] * 5

    needed = route.policy.needs
    assert needed is not None
    async with served(routes, gate_for(tmp_path, ROLES)) as client:
        for secret, role in ROLES.items():
            headers = {"Authorization": f"Bearer {secret}"}
            answer = await client.request(method, path, headers=headers)
            assert answer.status_code == (200 if role.may(needed) else 403), role


async def who(request: Request) -> Response:
    return JSONResponse({"actor": actor_of(request, request.query_params.get("given"))})


async def test_a_route_without_a_policy_is_nobodys(tmp_path: Path) -> None:
    """Not even an admin's; what is no route at all may be told as such to who is known."""
    async with served([Route("/new", who)], gate_for(tmp_path, ROLES)) as client:
        headers = {"Authorization": "Bearer secret of admin"}
        codes = [
            (await client.get(path, headers=given)).status_code
            for path in ("/new", "/nowhere")
            for given in (headers, {})
        ]
    assert codes == [403, 401, 404, 401]


async def test_a_refusal_says_which_role_is_asked_for(tmp_path: Path) -> None:
    """The same for every id, so that nobody learns which exist."""
    routes = [guarded("/orders/{id}", who, needs=Role.VIEWER)]
    headers = {"Authorization": "Bearer secret of publisher"}
    async with served(routes, gate_for(tmp_path, ROLES)) as client:
        answer = await client.get("/orders/o-1", headers=headers)
    why = "asks for the role viewer; publisher has the role publisher"
    assert answer.json() == {
        "type": "/problems/forbidden",
        "title": "forbidden",
        "status": 403,
        "detail": f"GET /orders/o-1: {why}",
        "errors": [{"place": "GET /orders/o-1", "problem": why}],
    }


@pytest.mark.parametrize(
    ("name", "given", "actor"),
    [
        ("local", "ann", "local/ann"),
        ("local", None, "token:local"),
        ("local", "a" * 200, "local/" + "a" * 122),
        ("shop", "ann", "token:shop"),
    ],
)
async def test_who_is_written_down_is_who_was_proved(
    tmp_path: Path, name: str, given: str | None, actor: str
) -> None:
    """Only who started the stack here may say which user of this machine he is."""
    gate = gate_for(tmp_path, {"secret": Role.OPERATOR}, name=name)
    async with served(
        [guarded("/who", who, needs=Role.VIEWER)], gate, Authorization="Bearer secret"
    ) as client:
        said = await client.get("/who", params={} if given is None else {"given": given})
    assert said.json() == {"actor": actor}


async def test_what_is_sent_too_often_waits(tmp_path: Path) -> None:
    """Each principal has a bucket of his own; reads are not counted."""
    clock = HandClock()
    gate = replace(gate_for(tmp_path, ROLES, clock=clock), rates=Rates(0.5, 2))
    routes = [
        guarded("/orders", who, needs=Role.PUBLISHER, methods=["POST"]),
        guarded("/orders", who, needs=Role.VIEWER),
    ]
    shop, admin = ({"Authorization": f"Bearer secret of {each}"} for each in ("publisher", "admin"))
    async with served(routes, gate) as client:
        codes = [(await client.post("/orders", headers=shop)).status_code for _ in range(2)]
        refused = await client.post("/orders", headers=shop)
        codes.append((await client.post("/orders", headers=admin)).status_code)
        codes.append((await client.get("/orders", headers=admin)).status_code)
        clock.move(2)
        codes.append((await client.post("/orders", headers=shop)).status_code)
    assert codes == [200] * 5
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "2")
    assert refused.json()["errors"] == [
        {
            "place": "publisher",
            "problem": "sends more than is taken from one; send the same again later",
        }
    ]


async def test_every_answer_tells_browsers_to_run_and_keep_nothing(tmp_path: Path) -> None:
    """Refusals and routes that are open, too; what may be kept says so itself."""

    async def kept(request: Request) -> Response:
        return Response(request.url.path, headers={"Cache-Control": "public"})

    routes = [guarded("/who", who, needs=Role.VIEWER), opened("/static", kept)]
    async with served(routes, gate_for(tmp_path, ROLES)) as client:
        answers = [await client.get("/who"), await client.get("/static")]
    for answer, cache in zip(answers, ("no-store", "public"), strict=True):
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert answer.headers["Cache-Control"] == cache
    assert HEADERS["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


async def test_a_page_without_sessions_asks_for_a_token(tmp_path: Path) -> None:
    """A gate that knows no browsers lets in by token alone."""
    async with served(
        [page("/stuck", who, needs=Role.VIEWER)], gate_for(tmp_path, ROLES)
    ) as client:
        assert (await client.get("/stuck")).status_code == 401
