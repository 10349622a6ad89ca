"""The operations port: statuses decide, bodies explain, shutdown is bounded."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from time import monotonic

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from services.chassis.health import Health, operations, serve
from services.chassis.metrics import Known, Meters, Metrics

VERSION = {"version": "1.2", "commit": "abc"}


def client_of(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ops")


@pytest.fixture
def meters() -> Meters:
    return Metrics("crm", Known({}, {}), version="1.2").meters


async def test_a_process_without_complaints_is_alive_and_ready(meters: Meters) -> None:
    async with client_of(operations(Health("crm"), meters, VERSION)) as client:
        alive, ready = await client.get("/livez"), await client.get("/readyz")
        version = await client.get("/version")
    assert (alive.status_code, alive.json()) == (
        200,
        {"service": "crm", "status": "alive", "reasons": {}},
    )
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert version.json() == {"service": "crm", "version": "1.2", "commit": "abc"}


async def test_what_is_wrong_is_named_with_its_reason(meters: Meters) -> None:
    """Unready is not dead; dead is not ready; a check that breaks is a reason itself."""
    health = Health("crm")
    task = asyncio.create_task(asyncio.sleep(0))
    health.alive_while("relay", task)
    health.ready_if("kafka", lambda: "no answer for 12 s")
    health.ready_if("database", lambda: None)
    health.ready_if("broken", lambda: str(1 // 0))
    async with client_of(operations(health, meters, VERSION)) as client:
        alive, ready = await client.get("/livez"), await client.get("/readyz")
        await task
        dead, neither = await client.get("/livez"), await client.get("/readyz")
    kafka = {"kafka": "no answer for 12 s", "broken": "the check itself failed"}
    assert (alive.status_code, ready.status_code) == (200, 503)
    assert ready.json() == {"service": "crm", "status": "not ready", "reasons": kafka}
    relay = {"relay": "the task has ended"}
    assert (dead.status_code, dead.json()["reasons"]) == (503, relay)
    assert (neither.status_code, neither.json()["reasons"]) == (503, {**relay, **kafka})


async def test_a_short_trouble_within_its_grace_is_tolerated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A rebalance of 20 s passes; 60 s do not; afterwards the grace begins anew."""
    now = 1000.0
    monkeypatch.setattr("services.chassis.health.monotonic", lambda: now)
    health, trouble = Health("crm"), True
    health.ready_if("assigned", lambda: "rebalance" if trouble else None, ready_grace_s=60)
    seen = []
    for step, state in ((0, True), (20, True), (40, True), (0, False), (0, True), (59, True)):
        now, trouble = now + step, state
        seen.append(health.unready())
    reason = {"assigned": "rebalance"}
    assert seen == [{}, {}, reason, {}, {}, {}]


async def test_metrics_are_served_in_the_format_asked_for(meters: Meters) -> None:
    async with client_of(operations(Health("crm"), meters, VERSION)) as client:
        plain = await client.get("/metrics")
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        openmetrics = await client.get("/metrics", headers=accept)
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert 'saga_parked_keys{service="crm"} 0.0' in plain.text
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")


def app_of(answer: Callable[[Request], Awaitable[Response]]) -> Starlette:
    return Starlette(routes=[Route("/", answer)])


async def test_an_application_is_served_on_a_real_port_and_gone_afterwards() -> None:
    async def hello(_: Request) -> Response:
        return PlainTextResponse("hello")

    async with serve(app_of(hello), 0) as port, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/")
        assert (answer.status_code, answer.text) == (200, "hello")
        assert "server" not in answer.headers
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_port_in_use_is_said_at_once() -> None:
    app = Starlette()
    async with serve(app, 0) as port:
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
            async with serve(app, port):
                pass


async def test_signal_handlers_stay_the_process_s_own() -> None:
    """uvicorn would take SIGTERM, and the process would never hear it."""
    before = signal.getsignal(signal.SIGTERM)
    async with serve(Starlette(), 0):
        assert signal.getsignal(signal.SIGTERM) is before


async def test_a_request_that_never_ends_does_not_hold_up_the_end() -> None:
    """Stopping waits a few seconds for it and no longer."""
    begun = asyncio.Event()

    async def never(_: Request) -> Response:
        begun.set()
        await asyncio.Event().wait()
        return Response()

    async with httpx.AsyncClient(timeout=30) as client:
        async with serve(app_of(never), 0) as port:
            asking = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/"))
            await begun.wait()
            began = monotonic()
        assert monotonic() - began < 6
        with pytest.raises(httpx.HTTPError):
            (await asking).raise_for_status()
