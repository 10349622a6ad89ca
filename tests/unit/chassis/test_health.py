"""The operations port: statuses decide, bodies explain, shutdown is bounded."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from time import monotonic

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from services.chassis.health import Check, operations_app, serving
from services.chassis.metrics import Known, Metrics

HOST = "127.0.0.1"


def client_of(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ops")


def fine() -> list[Check]:
    return [Check("database", ok=True, reason="writable")]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("crm", Known({}, {}), version="1.2", commit="abc")


async def test_a_process_without_complaints_is_alive_and_ready(metrics: Metrics) -> None:
    async with client_of(operations_app(metrics, fine)) as client:
        alive, ready = await client.get("/livez"), await client.get("/readyz")
        version = await client.get("/version")
    said = {"service": "crm", "status": "alive", "checks": []}
    assert (alive.status_code, alive.json()) == (200, said)
    database = {"name": "database", "ok": True, "reason": "writable"}
    assert ready.json() == {"service": "crm", "status": "ready", "checks": [database]}
    assert version.json() == {"service": "crm", "version": "1.2", "commit": "abc"}


async def test_what_is_wrong_is_named_with_its_reason(metrics: Metrics) -> None:
    """Unready is not dead: a restart would not help."""
    wrong = Check("kafka", ok=False, reason="silent for 12 s")
    async with client_of(operations_app(metrics, lambda: [*fine(), wrong])) as client:
        alive, ready = await client.get("/livez"), await client.get("/readyz")
    assert alive.status_code == 200
    assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
    assert ready.json()["checks"][1] == {"name": "kafka", "ok": False, "reason": "silent for 12 s"}


async def test_what_is_dead_is_not_ready_either(metrics: Metrics) -> None:
    ended = Check("relay", ok=False, reason="the task has ended")
    async with client_of(operations_app(metrics, fine, alive=lambda: [ended])) as client:
        answers = [await client.get("/livez"), await client.get("/readyz")]
    assert [(a.status_code, a.json()["status"]) for a in answers] == [
        (503, "not alive"),
        (503, "not ready"),
    ]


async def test_a_check_that_fails_to_run_is_a_reason(metrics: Metrics) -> None:
    def broken() -> list[Check]:
        return [Check("never", ok=1 // 0 == 0)]

    async with client_of(operations_app(metrics, broken)) as client:
        ready = await client.get("/readyz")
    reason = "a check itself failed; the log says where"
    assert (ready.status_code, ready.json()["checks"]) == (
        503,
        [{"name": "checks", "ok": False, "reason": reason}],
    )


async def test_metrics_are_served_in_the_format_asked_for(metrics: Metrics) -> None:
    async with client_of(operations_app(metrics, fine)) as client:
        plain = await client.get("/metrics")
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        openmetrics = await client.get("/metrics", headers=accept)
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert 'saga_parked_keys{service="crm"} 0.0' in plain.text
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def app_of(answer: Callable[[Request], Awaitable[Response]]) -> Starlette:
    return Starlette(routes=[Route("/", answer)])


async def test_an_application_is_served_on_a_real_port_and_gone_afterwards() -> None:
    async def hello(_: Request) -> Response:
        return PlainTextResponse("hello")

    port = free_port()
    async with serving(app_of(hello), HOST, port), httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/")
        assert (answer.status_code, answer.text) == (200, "hello")
        assert "server" not in answer.headers
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_port_in_use_is_said_at_once() -> None:
    app, port = Starlette(), free_port()
    async with serving(app, HOST, port):
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
            async with serving(app, HOST, port):
                pass


async def test_port_zero_serves_nothing() -> None:
    """That is how settings say `none`."""
    tasks = asyncio.all_tasks()
    async with serving(Starlette(), HOST, 0):
        assert asyncio.all_tasks() == tasks


async def test_signal_handlers_stay_the_process_s_own() -> None:
    """uvicorn would take SIGTERM, and the process would never hear it."""
    before = signal.getsignal(signal.SIGTERM)
    async with serving(Starlette(), HOST, free_port()):
        assert signal.getsignal(signal.SIGTERM) is before


async def test_a_request_that_never_ends_does_not_hold_up_the_end() -> None:
    """Stopping waits a few seconds for it and no longer."""
    begun = asyncio.Event()

    async def never(_: Request) -> Response:
        begun.set()
        await asyncio.Event().wait()
        return Response()

    port = free_port()
    async with httpx.AsyncClient(timeout=30) as client:
        async with serving(app_of(never), HOST, port):
            asking = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/"))
            await begun.wait()
            began = monotonic()
        assert monotonic() - began < 5
        with pytest.raises(httpx.HTTPError):
            (await asking).raise_for_status()
