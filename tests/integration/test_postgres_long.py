"""Three orchestrators and two of each core service on one PostgreSQL, with real timers, for long.

Each disturbance is met by 200 orders; then all books agree, and `baton verify` finds nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from schemas.orders import OrderPlaced
from tests.cut_wire import cut_wire
from tests.integration.bad_records import CASES
from tests.integration.books import check_books, many_orders, phases, placed
from tests.integration.running_company import comes_true, until
from tests.integration.shared_company import (
    THRICE,
    TWICE,
    Shared,
    check_journal,
    company_on,
    done,
    own_server,
)
from tests.integration.verifying import WELL, baton, statuses, verify
from tests.postgres_server import PostgresServer

pytestmark = [
    pytest.mark.stack,
    pytest.mark.costly,
    pytest.mark.asyncio(loop_scope="session"),
]

ORDERS: Final = 200
AS_PLACED: Final = {"fulfilled": 140, "cancelled": 60}
WITHIN_S: Final = 900.0
BAD: Final = [case.sent for case in CASES if case.name in {"json", "registry"}]
ONE: Final = "orchestrator"
RESTARTS_AFTER_S: Final = (5.0, 17.0, 8.0, 40.0, 5.0)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with own_server() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def thrice(
    server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shared]:
    async with company_on(server.url, tmp_path_factory.mktemp("thrice"), THRICE) as running:
        await running.publish(*BAD)
        yield running


async def check_all(
    company: Shared,
    server: PostgresServer,
    orders: Sequence[OrderPlaced],
    *,
    uncounted: bool = False,
) -> None:
    """Every order ended as placed, the books agree, and the checker finds nothing.

    `uncounted`: what a commit did whose answer was lost is in the database and in no counter;
    then, and only then, what is counted too little cannot be checked.
    """
    expected = {how: n * len(orders) // ORDERS for how, n in AS_PLACED.items()}
    await until(
        lambda: done(company, list(orders)) == len(orders), "all have ended", within_s=WITHIN_S
    )
    assert await check_books(company, orders) == expected
    check_journal(company)
    code, verdicts = await verify(company.home.root, "--wait", "120", BATON_POSTGRES=base(server))
    told = statuses(verdicts)
    if uncounted:
        row, why = verdicts["I-16"], [str(each) for each in verdicts["I-16"]["why"]]
        assert (told | {"I-16": "ok"}, row["violations"]) == (WELL, [])
        assert row["status"] == ("could not check" if why else "ok")
        assert all(each.endswith("of its commits were in doubt") for each in why), why
    else:
        assert told == WELL
        assert code == 0


def base(server: PostgresServer) -> str:
    return server.url.rpartition("/")[0]


async def test_three_orchestrators_share_the_work(thrice: Shared, server: PostgresServer) -> None:
    """All three read and speak; nothing is done twice."""
    orders = many_orders("three", ORDERS)
    await thrice.publish(*placed(*orders))
    await check_all(thrice, server, orders)
    for name in ("orchestrator", "orchestrator-2", "orchestrator-3", "billing", "billing-2"):
        samples = await thrice.metrics(name)
        read = sum(n for (metric, _), n in samples.items() if metric.endswith("consumed_total"))
        assert read > 0, name


async def test_the_console_shows_what_the_server_holds(thrice: Shared) -> None:
    """Every verb that only reads, typed against the running company."""
    home = thrice.home.root
    order = many_orders("shown", 1)[0]
    await thrice.publish(*placed(order))

    async def typed(*words: str) -> str:
        code, out, said = await baton(home, "-o", "json", *words)
        assert code == 0, said
        return out

    assert await typed("sagas", "wait", order.order_id, "--timeout", "120s")
    shown = json.loads(await typed("sagas", "show", order.order_id))
    assert (shown["key"], shown["state"]) == ("shown-0", "completed")
    listed = json.loads(await typed("sagas", "list", "key=shown-0"))
    assert [each["saga_id"] for each in listed] == ["fulfilment:shown-0"]
    (parked,) = json.loads(await typed("sagas", "stuck"))
    assert (parked["reason"], parked["state"]) == ("contract", "not_open")
    assert json.loads(await typed("sagas", "count", "key=shown-0"))["count"] == 1
    tail = json.loads(await typed("sagas", "tail", "-n", "1000", "key=shown-0"))
    history = json.loads(await typed("sagas", "history", order.order_id))
    assert [each["seq"] for each in tail] == [each["seq"] for each in history]
    assert history[-1]["to_state"] == "completed"


async def test_an_orchestrator_stopped_beyond_its_session_wakes_up_to_nothing(
    thrice: Shared, server: PostgresServer
) -> None:
    """Its partitions went to the two others, which ended every order meanwhile."""
    orders = many_orders("stopped", ORDERS)
    half = ORDERS // 2
    await thrice.publish(*placed(*orders[:half]))
    await until(lambda: phases(thrice).get(orders[0].order_id), "they are at work")
    pid = thrice.pid("orchestrator-3")
    os.kill(pid, signal.SIGSTOP)
    try:
        await thrice.publish(*placed(*orders[half:]))
        await until(lambda: done(thrice, orders) == ORDERS, "the others do it", within_s=WITHIN_S)
    finally:
        os.kill(pid, signal.SIGCONT)
    await check_all(thrice, server, orders)
    await thrice.ready("orchestrator", "orchestrator-2", "orchestrator-3")
    assert thrice.pid("orchestrator-3") == pid


async def test_a_server_that_crashes_again_and_again_under_load_loses_nothing(
    thrice: Shared, server: PostgresServer
) -> None:
    """Orders come between its crashes; no process ends for it."""
    orders = many_orders("crashing", ORDERS)
    pids = {name: thrice.pid(name) for name in THRICE if name != "kafka"}
    part = ORDERS // len(RESTARTS_AFTER_S)
    for n, after_s in enumerate(RESTARTS_AFTER_S):
        await thrice.publish(*placed(*orders[n * part : (n + 1) * part]))
        await comes_true(lambda: False, within_s=after_s)
        await asyncio.to_thread(server.restart)
    await check_all(thrice, server, orders)
    assert {name: thrice.pid(name) for name in pids} == pids


async def test_what_is_written_into_a_ledger_behind_its_back_is_found(
    thrice: Shared, server: PostgresServer
) -> None:
    """By the invariants it breaks and no other, on the server and in an export of it."""
    order = many_orders("robbed", 1)[0]
    await thrice.publish(*placed(order))
    await until(lambda: done(thrice, [order]) == 1, "it has ended")
    robbed = (
        "INSERT INTO posting SELECT order_id || '/captured-again', order_id, 'captured-again',"
        " currency, debit, credit, amount_minor, 1 FROM posting"
        " WHERE posting_id = 'robbed-0/captured'"
    )
    server.sql(robbed, server.url_of("billing"))
    code, verdicts = await verify(thrice.home.root, "--wait", "120", BATON_POSTGRES=base(server))
    export = thrice.home.root / "export"
    given = {"BATON_POSTGRES": base(server)}
    await verify(thrice.home.root, "--wait", "120", "--export", str(export), **given)
    code_of_export, exported = await verify(thrice.home.root, "--from", str(export))
    server.sql("DELETE FROM posting WHERE kind = 'captured-again'", server.url_of("billing"))

    found = {name for name, row in verdicts.items() if row["violations"]}
    assert (code, found) == (1, {"I-5", "I-6"})
    assert exported.pop("I-16")["status"] == "could not check"
    assert exported == {name: row for name, row in verdicts.items() if name != "I-16"}
    assert code_of_export == 1


async def test_a_reader_outside_its_log_is_let_read_on(
    thrice: Shared, server: PostgresServer
) -> None:
    """Its process is stopped for a moment; the row says by whom and why."""
    url, topic = server.url_of("notifications"), "customers.customer.events.v1"
    server.sql(f"UPDATE offsets SET next = 99 WHERE topic = '{topic}' AND partition = 0", url)
    words = ("offsets", "accept", "--topic", topic, "--reason", "a test")
    code, out, said = await baton(
        thrice.home.root, "-o", "json", *words, BATON_POSTGRES=base(server)
    )

    moved = {"service": "notifications", "topic": topic, "partition": 0, "stood_at": 99}
    assert (code, json.loads(out or "[]")) == (0, [{**moved, "reads_on_at": 0}]), said
    await thrice.ready("notifications")
    assert server.sql("SELECT what, detail, reason FROM repairs", url) == [
        ("accept", f"{topic}[0]: 99 to 0", "a test")
    ]


async def test_a_copy_that_the_servers_tools_put_back_catches_up(
    thrice: Shared, server: PostgresServer, tmp_path: Path
) -> None:
    """The orchestrator's, under load: told what it forgot, and every order has its one outcome."""
    early, late = many_orders("early", 60), many_orders("late", 40)
    orders, copy, url = [*early, *late], tmp_path / "orchestrator.dump", server.url_of(ONE)
    await thrice.publish(*placed(*early))
    await until(lambda: phases(thrice).get(early[0].order_id), "some have begun")
    tool(server, "pg_dump", "--format=custom", f"--file={copy}", url)
    await thrice.publish(*placed(*late))
    await until(lambda: done(thrice, late) > 10, "some that came later have ended, too")
    three = [name for name in THRICE if name.partition("-")[0] == ONE]
    await asyncio.gather(*(thrice.keeper(name).stop() for name in three))
    tool(server, "pg_restore", "--clean", "--if-exists", f"--dbname={url}", str(copy))
    words = ("restore", "--service", ONE, "--reason", "a test")
    code, out, said = await baton(
        thrice.home.root, "-o", "json", *words, BATON_POSTGRES=base(server)
    )
    assert code == 0, said
    (row,) = json.loads(out)
    assert row["spoken"] > 0
    for name in three:
        thrice.keeper(name).begin()
    await thrice.ready(*three)

    assert await check_books(thrice, orders) == {"fulfilled": 70, "cancelled": 30}


def tool(server: PostgresServer, program: str, *words: str) -> None:
    subprocess.run([server.programs / program, *words], check=True, timeout=120)


@pytest.mark.parametrize("lost", ["COMMIT", "its answer"])
async def test_a_wire_cut_at_commits_for_long_applies_nothing_twice(
    lost: str, tmp_path: Path
) -> None:
    """Every 61st commit of any process dies on the way there or on the way back."""
    orders = many_orders("cut", ORDERS)
    with own_server() as server:
        async with (
            cut_wire(server.url, before=lost == "COMMIT", every=61) as wire,
            company_on(wire.url, tmp_path / "home", (*TWICE, "orchestrator-3")) as company,
        ):
            await company.publish(*BAD, *placed(*orders))
            await check_all(company, server, orders, uncounted=lost == "its answer")
        assert wire.cuts >= 50
