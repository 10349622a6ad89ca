"""The sandboxes keep what an outside world promises: one effect per key, totals that add up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiosmtplib
import httpx
import pytest
from starlette.applications import Starlette

from deploy.local.sandboxes import carrier, mail, payment
from deploy.local.sandboxes.serving import Place, place_from
from deploy.local.sandboxes.store import Keyed, Reply, SandboxStore, once
from deploy.local.sandboxes.values import TEST_VALUES, values_of

Build = Callable[[Place], Starlette]


@asynccontextmanager
async def sandbox(build: Build, database: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = build(Place(database, 0))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1"
        ) as client,
    ):
        client.app = app  # type: ignore[attr-defined]
        yield client


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with sandbox(payment.build, tmp_path / "payment.db") as client:
        yield client


@pytest.fixture
async def courier(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with sandbox(carrier.build, tmp_path / "carrier.db") as client:
        yield client


async def post(
    client: httpx.AsyncClient, path: str, key: str, **body: object
) -> tuple[int, dict[str, object]]:
    answer = await client.post(path, json=body, headers={"Idempotency-Key": key})
    return answer.status_code, answer.json()


def order(method: str = "tok_ok", order_id: str = "order-1") -> dict[str, object]:
    return {
        "order_id": order_id, "amount_minor": 2500, "currency": "GBP", "payment_method": method,
    }  # fmt: skip


def totals(**amounts: int) -> dict[str, int]:
    names = ("authorised", "captured", "voided", "refunded")
    counts = ("authorisations", "captures", "voids", "refunds")
    zero = dict.fromkeys([f"{each}_minor" for each in names] + list(counts), 0)
    return zero | amounts


async def ledger(client: httpx.AsyncClient) -> object:
    return (await client.get("/ledger")).json()


async def test_a_page_of_another_site_reads_and_does_nothing(provider: httpx.AsyncClient) -> None:
    """Not by a name of its own that leads here, and not without a header that it may not send."""
    turned = await provider.get("/ledger", headers={"Host": "evil.example:80"})
    simple = await provider.post("/authorisations", content="{}")
    assert (turned.status_code, turned.text) == (400, "Invalid host header")
    assert (simple.status_code, simple.json()["error"]) == (400, "bad_request")


async def test_a_payment_goes_from_authorised_to_refunded(provider: httpx.AsyncClient) -> None:
    """Each step answers once what it did, and the ledger adds it up by currency."""
    authorised = await post(provider, "/authorisations", "a", **order())
    captured = await post(provider, "/authorisations/order-1/capture", "c", amount_minor=2000)
    refunded = await post(provider, "/authorisations/order-1/refund", "r", amount_minor=500)
    assert authorised == (201, {"authorisation_id": authorised[1]["authorisation_id"]})
    assert captured == (200, {"amount_minor": 2000})
    assert refunded == (200, {"amount_minor": 500})
    assert await ledger(provider) == {
        "currencies": {
            "GBP": totals(
                authorised_minor=2500,
                captured_minor=2000,
                voided_minor=500,
                refunded_minor=500,
                authorisations=1,
                captures=1,
                refunds=1,
            )
        },
        "declined": 0,
        "tombstones": 0,
    }


@pytest.mark.parametrize(
    ("first", "second", "error"),
    [
        ("", "capture", "not_authorised"),
        ("", "refund", "exceeds_capture"),
        ("void", "capture", "already_voided"),
        ("capture", "capture", "already_captured"),
        ("void", "refund", "exceeds_capture"),
    ],
)
async def test_impossible_money_is_refused(
    provider: httpx.AsyncClient, first: str, second: str, error: str
) -> None:
    """What was never there is neither captured nor given back, whatever is asked."""
    if first:
        await post(provider, "/authorisations", "a", **order())
        body = {} if first == "void" else {"amount_minor": 2500}
        assert (await post(provider, f"/authorisations/order-1/{first}", "1", **body))[0] == 200
    answer = await post(provider, f"/authorisations/order-1/{second}", "2", amount_minor=1)
    assert answer == (409, {"error": error})


async def test_more_than_authorised_is_not_captured(provider: httpx.AsyncClient) -> None:
    """A capture beyond the authorisation changes nothing."""
    await post(provider, "/authorisations", "a", **order())
    answer = await post(provider, "/authorisations/order-1/capture", "c", amount_minor=2501)
    assert answer == (409, {"error": "exceeds_authorisation"})
    assert await post(provider, "/authorisations/order-1/void", "v") == (
        200, {"amount_minor": 2500},
    )  # fmt: skip


async def test_a_void_before_its_authorisation_refuses_it(provider: httpx.AsyncClient) -> None:
    """A tombstone voids nothing, and the authorisation that comes late takes no money."""
    assert await post(provider, "/authorisations/order-1/void", "v") == (200, {"amount_minor": 0})
    late = await post(provider, "/authorisations", "a", **order())
    assert late == (409, {"error": "already_voided"})
    assert await ledger(provider) == {"currencies": {}, "declined": 0, "tombstones": 1}


async def test_a_void_after_the_capture_gives_nothing_back(provider: httpx.AsyncClient) -> None:
    """Captured money leaves only as a refund."""
    await post(provider, "/authorisations", "a", **order())
    await post(provider, "/authorisations/order-1/capture", "c", amount_minor=2500)
    assert await post(provider, "/authorisations/order-1/void", "v") == (200, {"amount_minor": 0})


@pytest.mark.parametrize("method", [*values_of("payment", "payment_method"), "tok_unheard_of"])
async def test_each_payment_method_ends_as_its_table_says(
    provider: httpx.AsyncClient, method: str
) -> None:
    """Asked until it answers, a test value ends in its refusal, or in one authorisation."""
    statuses: list[int] = []
    answer: tuple[int, dict[str, object]] = (503, {})
    while answer[0] == 503:
        try:
            async with asyncio.timeout(3):
                answer = await post(provider, "/authorisations", "a", **order(method))
        except TimeoutError:
            statuses.append(0)
        else:
            statuses.append(answer[0])
    ends = {
        "tok_ok": ([201], ""),
        "tok_declined": ([402], "insufficient_funds"),
        "tok_expired": ([402], "card_expired"),
        "tok_slow": ([201], ""),
        "tok_silent_once": ([0, 201], ""),
        "tok_error": ([503, 503, 503, 201], ""),
        "tok_capture_refused": ([201], ""),
        "tok_unheard_of": ([402], "unknown_payment_method"),
    }
    assert (statuses, answer[1].get("error", "")) == ends[method]
    capture = await post(provider, "/authorisations/order-1/capture", "c", amount_minor=2500)
    if answer[0] == 402:
        assert capture == (409, {"error": "not_authorised"})
    elif method == "tok_capture_refused":
        assert capture == (409, {"error": "capture_refused"})
    else:
        assert capture == (200, {"amount_minor": 2500})


async def test_the_silent_request_took_effect(provider: httpx.AsyncClient) -> None:
    """Silence hides an effect, never undoes it; the next answer says that it is a replay."""
    silent = order("tok_silent_once")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            await post(provider, "/authorisations", "a", **silent)
    taken = await ledger(provider)
    again = await provider.post("/authorisations", json=silent, headers={"Idempotency-Key": "a"})
    assert (again.status_code, again.headers["idempotent-replay"]) == (201, "true")
    assert taken == await ledger(provider)
    assert taken == {
        "currencies": {"GBP": totals(authorised_minor=2500, authorisations=1)},
        "declined": 0,
        "tombstones": 0,
    }


async def test_a_key_belongs_to_one_request(provider: httpx.AsyncClient) -> None:
    """The same request again gets the stored answer, refusals too; another body gets a 422."""
    first = await post(provider, "/authorisations", "a", **order("tok_declined"))
    again = await post(provider, "/authorisations", "a", **order("tok_declined"))
    other = await post(provider, "/authorisations", "a", **order("tok_ok"))
    elsewhere = await post(provider, "/authorisations/order-1/void", "a")
    assert first == again == (402, {"error": "insufficient_funds"})
    assert other == elsewhere == (422, {"error": "idempotency_key_reused"})


async def test_one_key_at_the_same_time_has_one_effect(provider: httpx.AsyncClient) -> None:
    """Fifty requests at once under one key are one authorisation and fifty equal answers."""
    sent = [post(provider, "/authorisations", "a", **order()) for _ in range(50)]
    answers = await asyncio.gather(*sent)
    assert [each[0] for each in answers] == [201] * 50
    assert len({str(each[1]) for each in answers}) == 1
    assert await ledger(provider) == {
        "currencies": {"GBP": totals(authorised_minor=2500, authorisations=1)},
        "declined": 0,
        "tombstones": 0,
    }


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"[", "body"),
        (b'{"order_id": 1}', "order_id, amount_minor, currency, payment_method"),
        (b'{"order_id":"o","amount_minor":-1,"currency":"gbp","payment_method":"t","x":1}',
         "amount_minor, currency, x"),
    ],
)  # fmt: skip
async def test_what_is_not_understood_is_named(
    provider: httpx.AsyncClient, body: bytes, where: str
) -> None:
    """A bad body is a 400 that names the fields; its key stays free for the right one."""
    bad = await provider.post("/authorisations", content=body, headers={"Idempotency-Key": "a"})
    assert bad.status_code == 400
    assert bad.json() == {"error": "bad_request", "detail": f"not understood: {where}"}
    assert (await post(provider, "/authorisations", "a", **order()))[0] == 201


async def test_without_a_key_nothing_is_done(provider: httpx.AsyncClient) -> None:
    """A POST without its Idempotency-Key is refused."""
    answer = await provider.post("/authorisations", json=order())
    assert answer.json() == {
        "error": "bad_request", "detail": "the header Idempotency-Key is missing",
    }  # fmt: skip
    assert await ledger(provider) == {"currencies": {}, "declined": 0, "tombstones": 0}


def parcel(country: str = "United Kingdom") -> dict[str, object]:
    return {"order_id": "order-1", "country": country, "pieces": 7}


async def test_a_booking_is_dispatched_once_and_not_cancelled_after(
    courier: httpx.AsyncClient,
) -> None:
    """What left the house cannot be called back."""
    booked = await post(courier, "/bookings", "b", **parcel())
    sent = await post(courier, "/bookings/order-1/dispatch", "d")
    assert booked == (201, {"tracking": booked[1]["tracking"]})
    assert sent == (200, booked[1])
    assert await post(courier, "/bookings/order-1/cancel", "c") == (
        409, {"error": "already_dispatched"},
    )  # fmt: skip
    counted = {"booked": 0, "cancelled": 0, "dispatched": 1, "refused": 0, "tombstones": 0}
    assert (await courier.get("/bookings")).json() == counted


async def test_a_cancelled_booking_stays_in_the_house(courier: httpx.AsyncClient) -> None:
    """Cancelled before or after it was booked, nothing is dispatched."""
    await post(courier, "/bookings", "b", **parcel())
    assert await post(courier, "/bookings/order-1/cancel", "c") == (200, {"cancelled": True})
    assert await post(courier, "/bookings/order-1/dispatch", "d") == (
        409, {"error": "already_cancelled"},
    )  # fmt: skip
    assert await post(courier, "/bookings/order-2/cancel", "e") == (200, {"cancelled": False})
    late = await post(courier, "/bookings", "f", **(parcel() | {"order_id": "order-2"}))
    assert late == (409, {"error": "already_cancelled"})
    counted = {"booked": 0, "cancelled": 1, "dispatched": 0, "refused": 0, "tombstones": 1}
    assert (await courier.get("/bookings")).json() == counted


@pytest.mark.parametrize("country", list(values_of("carrier", "country")))
async def test_a_country_that_is_not_served_is_refused(
    courier: httpx.AsyncClient, country: str
) -> None:
    """The refusal is stored and nothing is booked, so nothing can be dispatched."""
    for _ in range(2):
        answer = await post(courier, "/bookings", "b", **parcel(country))
        assert answer == (422, {"error": "country_not_served"})
    assert await post(courier, "/bookings/order-1/dispatch", "d") == (409, {"error": "not_booked"})
    counted = {"booked": 0, "cancelled": 0, "dispatched": 0, "refused": 1, "tombstones": 0}
    assert (await courier.get("/bookings")).json() == counted


async def test_a_mail_is_its_message_id(tmp_path: Path) -> None:
    """Delivered twice under one Message-ID is one mail, counted twice; another is another."""
    async with sandbox(mail.build, tmp_path / "mail.db") as client:
        port = client.app.state.sandbox.ports["smtp"]  # type: ignore[attr-defined]
        for name in ("one", "one", "two"):
            await aiosmtplib.send(
                f"Message-ID: <{name}@baton.invalid>\r\nSubject: {name}\r\n\r\ntext\r\n",
                sender="shop@baton.invalid", recipients=["a@example.invalid"],
                hostname="127.0.0.1", port=port,
            )  # fmt: skip
        listed = (await client.get("/messages")).json()
        rest = (await client.get("/messages", params={"after": "<one@baton.invalid>"})).json()
        counted = (await client.get("/totals")).json()
    one = {"id": "<one@baton.invalid>", "to": "a@example.invalid", "subject": "one", "count": 2}
    two = {"id": "<two@baton.invalid>", "to": "a@example.invalid", "subject": "two", "count": 1}
    assert listed == {"messages": [one, two], "next": ""}
    assert rest == {"messages": [two], "next": ""}
    assert counted == {"mails": 2, "repeats": 1}


async def test_a_job_that_fails_is_undone_alone(tmp_path: Path) -> None:
    """A fault in one job of a batch reaches its caller and spares its neighbours."""
    store = SandboxStore(tmp_path / "s.db", "CREATE TABLE IF NOT EXISTS t (n INTEGER UNIQUE)")
    await store.open()
    put = "INSERT INTO t VALUES (?)"
    jobs = [store.run(lambda db, n=n: db.execute(put, (n,)).rowcount) for n in (1, 2, 1, 3)]
    done = await asyncio.gather(*jobs, return_exceptions=True)
    kept = await store.run(lambda db: [row[0] for row in db.execute("SELECT n FROM t ORDER BY n")])
    await store.close()
    assert [str(each) for each in done] == ["1", "1", "UNIQUE constraint failed: t.n", "1"]
    assert kept == [1, 2, 3]


async def test_an_effect_and_its_answer_are_kept_together(tmp_path: Path) -> None:
    """An effect that raises leaves neither a row nor a used key."""
    store = SandboxStore(tmp_path / "s.db", "CREATE TABLE IF NOT EXISTS t (n INTEGER)")
    await store.open()

    def fails(db: sqlite3.Connection) -> Reply:
        db.execute("INSERT INTO t VALUES (1)")
        raise RuntimeError("no paper in the printer")

    def count(db: sqlite3.Connection) -> Reply:
        return Reply(200, {"rows": db.execute("SELECT count(*) FROM t").fetchone()[0]})

    with pytest.raises(RuntimeError, match="no paper"):
        await store.run(lambda db: once(db, Keyed("k", "r"), fails))
    answer = await store.run(lambda db: once(db, Keyed("k", "r"), count))
    await store.close()
    assert answer == Reply(200, {"rows": 0})


def test_every_missing_setting_is_named_at_once() -> None:
    """A sandbox without its place says all that it lacks."""
    with pytest.raises(SystemExit, match="set BATON_DATABASE, BATON_API_PORT, BATON_SMTP_PORT: "):
        place_from({"BATON_SMTP_PORT": "smtp"}, "BATON_API_PORT", "BATON_SMTP_PORT")
    assert place_from({"BATON_DATABASE": "a.db", "BATON_API_PORT": "8080"}, "BATON_API_PORT") == (
        Place(Path("a.db"), 8080)
    )


def test_what_stands_in_the_way_is_one_line(tmp_path: Path) -> None:
    """A file that is no database: one log line names it and why, and the exit code is 2."""
    path = tmp_path / "payment.db"
    path.write_text("no database " * 100)
    environment = os.environ | {"BATON_DATABASE": str(path), "BATON_API_PORT": str(free_port())}
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.local.sandboxes.payment"],
        env=environment, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    (line,) = [json.loads(each) for each in ended.stderr.splitlines()]
    assert ended.returncode == 2
    assert (line["event"], line["path"], line["reason"]) == (
        "the sandbox cannot run", str(path), "file is not a database",
    )  # fmt: skip


def test_the_table_names_each_value_once() -> None:
    """The reference prints this table, so a value stands in it once, with what it does."""
    names = [(each.sandbox, each.field, each.value) for each in TEST_VALUES]
    assert len(set(names)) == len(names)
    assert all(each.meaning for each in TEST_VALUES)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running(database: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = os.environ | {"BATON_DATABASE": str(database), "BATON_API_PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.local.sandboxes.payment", env=environment
    )
    try:
        transport = httpx.AsyncHTTPTransport(retries=8)
        async with httpx.AsyncClient(transport=transport, timeout=20) as client:
            ready = await client.get(f"http://127.0.0.1:{port}/readyz")
            assert ready.json() == {"status": "ready"}
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_killed_sandbox_remembers_and_a_stopped_one_does_not_wait(tmp_path: Path) -> None:
    """What was answered before `kill -9` is replayed after it; SIGTERM ends a held request."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        async with running(tmp_path / "p.db", port) as process:
            first = await post(client, "/authorisations", "a", **order())
            process.send_signal(signal.SIGKILL)
        async with running(tmp_path / "p.db", port) as process:
            again = await client.post(
                "/authorisations", json=order(), headers={"Idempotency-Key": "a"}
            )
            silent = order("tok_silent_once", "order-2")
            held = asyncio.create_task(
                client.post("/authorisations", json=silent, headers={"Idempotency-Key": "s"})
            )
            while (await ledger(client))["currencies"]["GBP"]["authorisations"] < 2:  # type: ignore[index]
                await asyncio.wait([held], timeout=0.05)
            process.terminate()
            code = await asyncio.wait_for(process.wait(), 5)
        assert (await held).status_code == 503
    assert (again.status_code, again.json()) == first
    assert again.headers["idempotent-replay"] == "true"
    assert code == 0
