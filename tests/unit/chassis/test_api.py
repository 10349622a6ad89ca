"""What stands before our HTTP interfaces: token, body limit, one shape of refusal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.chassis.access import Role, guarded
from services.chassis.api import BODY_BYTES_MAX, Fault, problem
from services.chassis.gate import secured
from tests.gates import gate_for

TOKEN = "right-token"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}
CANARY = "Ada Lovelace"


@pytest.fixture
def observed() -> list[tuple[str, str, int]]:
    return []


@pytest.fixture
def app(tmp_path: Path, observed: list[tuple[str, str, int]]) -> Starlette:
    async def length(request: Request) -> Response:
        return JSONResponse({"bytes": len(await request.body())})

    async def broken(request: Request) -> Response:
        raise ValueError(CANARY, request)

    def observe(route: str, method: str, code: int, seconds: float) -> None:
        assert seconds > 0
        observed.append((route, method, code))

    routes = [
        guarded("/things/{id}", length, needs=Role.PUBLISHER, methods=["POST"]),
        guarded("/broken", broken, needs=Role.VIEWER),
    ]
    return secured(routes, gate_for(tmp_path, {TOKEN: Role.OPERATOR}), observe=observe)


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": f"Bearer {TOKEN}x"},
    ],
)
@pytest.mark.parametrize("path", ["/things/1", "/nowhere", "/broken"])
async def test_without_the_token_nothing_is_reached(
    client: httpx.AsyncClient, headers: dict[str, str], path: str
) -> None:
    """Not even the knowledge whether a route exists."""
    answer = await client.post(path, headers=headers, content=b"x")
    problem = "send `Authorization: Bearer <token>` with a valid token"
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="baton"'
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "/problems/unauthorised",
        "title": "unauthorised",
        "status": 401,
        "detail": f"Authorization: {problem}",
        "errors": [{"place": "Authorization", "problem": problem}],
    }


async def test_with_the_token_the_route_answers(client: httpx.AsyncClient) -> None:
    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} {TOKEN}"}
        answer = await client.post("/things/1", headers=headers, content=b"four")
        assert (answer.status_code, answer.json()) == (200, {"bytes": 4})


@pytest.mark.parametrize("size", [BODY_BYTES_MAX, BODY_BYTES_MAX + 1])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_body_has_a_limit_whatever_its_length_header_says(
    client: httpx.AsyncClient, size: int, *, streamed: bool
) -> None:
    """The last byte allowed is taken; one more is refused, also when it comes in pieces."""

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, size, 50_000):
            yield b"x" * min(50_000, size - at)

    content = pieces() if streamed else b"x" * size
    answer = await client.post("/things/1", headers=RIGHT, content=content)
    if size <= BODY_BYTES_MAX:
        assert (answer.status_code, answer.json()) == (200, {"bytes": size})
    else:
        said = answer.json()
        assert (answer.status_code, said["type"]) == (413, "/problems/too_large")
        assert said["errors"] == [{"place": "body", "problem": "may have 262144 bytes"}]


async def test_every_refusal_has_the_one_shape(client: httpx.AsyncClient) -> None:
    """No such route, wrong method, and our own failure, which shows nothing of itself."""
    answers = [
        await client.get("/nowhere", headers=RIGHT),
        await client.get("/things/1", headers=RIGHT),
        await client.get("/broken", headers=RIGHT),
    ]
    assert [(a.status_code, a.json()["type"]) for a in answers] == [
        (404, "/problems/not_found"),
        (405, "/problems/method_not_allowed"),
        (500, "/problems/internal_error"),
    ]
    assert [a.json()["errors"][0]["place"] for a in answers] == [
        "GET /nowhere",
        "GET /things/1",
        "service",
    ]
    assert answers[1].headers["allow"] == "POST"
    assert CANARY not in answers[2].text


async def test_requests_are_observed_by_template_never_by_path(
    client: httpx.AsyncClient, observed: list[tuple[str, str, int]]
) -> None:
    await client.post("/things/secret-id", headers=RIGHT)
    await client.post("/things/secret-id")
    await client.get("/nowhere", headers=RIGHT)
    await client.get("/broken", headers=RIGHT)
    assert observed == [
        ("/things/{id}", "POST", 200),
        ("unknown", "POST", 401),
        ("unknown", "GET", 404),
        ("/broken", "GET", 500),
    ]


def test_a_problem_names_each_place() -> None:
    answer = problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid_order",
        Fault("lines[0].quantity", "must be at least 1"),
        Fault("currency", "must be three letters"),
        headers={"Retry-After": "1"},
    )
    assert (answer.status_code, answer.headers["retry-after"]) == (422, "1")
    assert bytes(answer.body) == (
        b'{"type":"/problems/invalid_order","title":"invalid order","status":422,'
        b'"detail":"lines[0].quantity: must be at least 1; currency: must be three letters",'
        b'"errors":[{"place":"lines[0].quantity","problem":"must be at least 1"},'
        b'{"place":"currency","problem":"must be three letters"}]}'
    )
