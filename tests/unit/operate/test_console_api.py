"""The console's API over a database that the real shell wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from orchestra import Orchestra, orchestra
from stage import TOKEN, Hands

from orchestrator.operate.api import routes
from orchestrator.operate.database import Database
from orchestrator.operate.filters import NAMES
from orchestrator.operate.pictures import draw
from orchestrator.operate.reading import Reading
from orchestrator.operate.sagas import Views
from orchestrator.sagas import SAGAS
from schemas.inventory import StockReleased
from services.chassis.access import Role
from services.chassis.gate import secured
from tests.gates import gate_for

START = "2025-11-24T16:00:00.000000Z"


CONTRARY = {
    f"{name}={one} {name}={other}": f"'{name}={other}' and the {name}= before it leave nothing"
    f" over; write {name}=a,b for either"
    for name, (one, other) in {
        **dict.fromkeys(NAMES, ("a", "b")),
        "phase": ("open", "finished"),
        "reason": ("no_reply", "paused"),
    }.items()
}


@dataclass
class Console:
    playing: Orchestra
    http: httpx.AsyncClient

    async def get(self, path: str) -> dict[str, object]:
        answer = await self.http.get(path)
        assert answer.status_code == 200, answer.text
        said: dict[str, object] = answer.json()
        return said

    async def keys(self, query: str) -> list[str]:
        answer = await self.http.get("/api/sagas", params={"query": query})
        return [saga["key"] for saga in answer.json()["sagas"]]


def http_of(database: Database, playing: Orchestra, folder: Path) -> httpx.AsyncClient:
    gate = gate_for(folder, {TOKEN: Role.OPERATOR})
    reading = Reading(database, Views(SAGAS), Hands(playing))
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(secured(routes(reading, draw), gate)),
        base_url="http://console",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    path = tmp_path / "orchestrator.db"
    async with (
        orchestra(path) as playing,
        Database(path) as database,
        http_of(database, playing, tmp_path) as http,
    ):
        yield Console(playing, http)


@pytest.fixture
async def played(console: Console) -> Console:
    """One of each: completed, cancelled, undoing, just begun, before its pivot's reply."""
    playing = console.playing
    await playing.complete("o-1")
    await playing.cancel("o-2")
    await playing.decline("o-3")
    await playing.place_order("o-4")
    await playing.place_order("o-5")
    await playing.book("o-5")
    playing.wait(15)
    return console


async def test_a_saga_says_where_it_stands_and_what_it_waits_for(played: Console) -> None:
    """The whole answer, by business key and by saga id alike."""
    saga = await played.get("/api/sagas/o-5")

    assert saga == await played.get("/api/sagas/fulfilment:o-5")
    assert {name: saga[name] for name in saga if name not in ("steps", "waiting", "timers")} == {
        "saga_id": "fulfilment:o-5",
        "key": "o-5",
        "definition": "fulfilment",
        "definition_version": 1,
        "phase": "running",
        "state": "awaiting_capture",
        "paused": False,
        "stuck": None,
        "reason": None,
        "detail": None,
        "waiting_on": "billing",
        "since": START,
        "deadline": "2025-11-24T16:02:00.000000Z",
        "attempts": 1,
        "started": START,
        "updated": START,
        "age_s": 15,
        "version": 4,
        "assignee": None,
        "attention": None,
        "attentions": 0,
        "cancellations": [],
        "parked": None,
        "others": [],
    }
    assert saga["waiting"] == [
        {
            "step": "capture",
            "kind": "do",
            "service": "billing",
            "command": "billing.CapturePayment",
            "answers": ["billing.PaymentCaptured"],
            "since": START,
            "deadline": "2025-11-24T16:02:00.000000Z",
            "put_off_to": None,
            "late_s": 0,
            "next_send": "2025-11-24T16:00:40.000000Z",
            "attempt": 1,
            "tries": 3,
        }
    ]
    assert saga["timers"] == [{"name": "capture/do", "due": "2025-11-24T16:00:40.000000Z"}]


async def test_steps_stand_in_the_order_of_the_definition(played: Console) -> None:
    """Name, kind and status of each."""
    saga = await played.get("/api/sagas/o-5")
    steps = saga["steps"]
    assert isinstance(steps, list)

    assert [(step["name"], step["kind"], step["status"]) for step in steps] == [
        ("stock", "compensatable", "done"),
        ("payment", "compensatable", "done"),
        ("shipment", "compensatable", "done"),
        ("capture", "pivot", "sent"),
        ("dispatch", "retriable", "idle"),
    ]


async def test_the_history_tells_each_line_with_its_cause_and_what_was_sent(
    played: Console,
) -> None:
    """A refusal at the payment, undone."""
    history = await played.get("/api/sagas/o-2/history")
    lines = history["lines"]
    assert isinstance(lines, list)

    assert [
        (each["what"], each["from_state"], each["to_state"], each["cause"]["type"], each["sent"])
        for each in lines
    ] == [
        ("started", None, "awaiting_stock", "orders.OrderPlaced", ["ReserveStock"]),
        (
            "answered",
            "awaiting_stock",
            "awaiting_payment",
            "inventory.StockReserved",
            ["AuthorisePayment"],
        ),
        (
            "refused",
            "awaiting_payment",
            "undoing_stock",
            "billing.PaymentDeclined",
            ["ReleaseStock"],
        ),
        (
            "undo_answered",
            "undoing_stock",
            "compensated",
            "inventory.StockReleased",
            ["OrderCancelled"],
        ),
    ]
    assert (history["finished"], history["next"]) == (True, lines[-1]["seq"])
    assert (await played.get(f"/api/sagas/o-2/history?after={lines[-2]['seq']}"))["lines"] == lines[
        -1:
    ]


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("", ["o-5", "o-4", "o-3", "o-2", "o-1"]),
        ("state=awaiting_stock", ["o-4"]),
        ("state=awaiting_stock,completed", ["o-4", "o-1"]),
        ("phase=open", ["o-5", "o-4", "o-3"]),
        ("phase=finished", ["o-2", "o-1"]),
        ("phase=compensating", ["o-3"]),
        ("reason=insufficient_funds", ["o-3", "o-2"]),
        ("reason=insufficient_funds phase=finished", ["o-2"]),
        ("service=billing", ["o-5"]),
        ("service=inventory age>10s", ["o-4", "o-3"]),
        ("age<10s", []),
        ("age<10s age<1h", []),
        ("age<1h age<10s", []),
        ("age>10m age>1s", []),
        ("started<1s started<1h", []),
        ("started>1h started>1s", []),
        ("phase=open phase=running,needs_operator", ["o-5", "o-4"]),
        ("key=o-1,o-2 key=o-2,o-3", ["o-2"]),
        ("definition=onboarding", []),
        ("definition=fulfilment,onboarding state=completed", ["o-1"]),
        ("key=o-1,o-4", ["o-1", "o-4"]),
        ("key=o-1 state=awaiting_stock", []),
        ("state=nonsense", []),
    ],
)
async def test_a_filter_finds_exactly_what_it_says_newest_first(
    played: Console, query: str, keys: list[str]
) -> None:
    """And the count of it is the number found."""
    counted = await played.http.get("/api/sagas/count", params={"query": query})

    assert (await played.keys(query), counted.json()) == (
        keys,
        {"count": len(keys), "whole": True},
    )


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("state", "'state': write a term as name=value or age>10m"),
        ("age>ten", "'age>ten': write an age as age>90s, age>10m, age<2h or age<1d"),
        ("age=10m", "'age=10m': write an age as age>90s, age>10m, age<2h or age<1d"),
        ("colour=red", "'colour=red': the terms are state=, phase=, reason=, definition=, key=, "),
        ("phase=lost", "phase=lost: the phases are open, finished, running, compensating, "),
        ("state=,", "'state=,': write a value, as state=a, or state=a,b for either"),
        *CONTRARY.items(),
        (
            "started=2026-11-23 started=2026-11-24",
            "'started=2026-11-24': another day stands before it, and no saga started on both",
        ),
        (" ".join(["key=a"] * 21), "a filter has at most 20 terms, this one has 21"),
    ],
)
async def test_a_filter_that_cannot_be_read_is_refused_with_how_to_write_it(
    console: Console, query: str, told: str
) -> None:
    """422, and the term is named."""
    answer = await console.http.get("/api/sagas", params={"query": query})

    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid_filter")
    assert answer.json()["errors"][0]["problem"].startswith(told)


@pytest.mark.parametrize("query", ["", "phase=open", "definition=fulfilment", "phase=finished"])
async def test_pages_follow_each_other_without_gap_or_repetition(
    console: Console, query: str
) -> None:
    """Whatever path the query takes; many of them begin at the same microsecond."""
    for n in range(7):
        await console.playing.complete(f"done-{n}")
        await console.playing.place_order(f"open-{n}")
    whole = await console.keys(query)
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        params = {"query": query, "limit": "3", "after": after}
        page = (await console.http.get("/api/sagas", params=params)).json()
        found += [saga["key"] for saga in page["sagas"]]
        after = page["next"]

    assert found == whole
    assert len(set(found)) == (14 if query in ("", "definition=fulfilment") else 7)


async def test_counts_are_those_of_the_rows_and_grow_with_them(played: Console) -> None:
    """Asked twice, nothing is counted twice; what finishes between is counted once."""
    first = await played.get("/api/counts?states=1")
    await played.playing.complete("o-6")
    await played.playing.reply("o-3", "stock/undo", StockReleased("o-3"))
    second = await played.get("/api/counts")

    assert first == {
        "as_of": "2025-11-24T16:00:15.000000Z",
        "started": 5,
        "open": 3,
        "oldest_open_s": 15,
        "phases": {"compensating": 1, "running": 2, "completed": 1, "compensated": 1},
        "counts": [
            _count("compensated", "insufficient_funds", 1),
            _count("compensating", "insufficient_funds", 1),
            _count("completed", None, 1),
            _count("running", None, 2),
        ],
        "states": [
            {"definition": "fulfilment", "state": state, "count": 1}
            for state in ("awaiting_capture", "awaiting_stock", "undoing_stock")
        ],
    }
    assert (second["started"], second["open"], second["counts"]) == (
        6,
        2,
        [
            _count("compensated", "insufficient_funds", 2),
            _count("completed", None, 2),
            _count("running", None, 2),
        ],
    )


async def test_a_saga_touched_after_its_end_is_still_counted_once(played: Console) -> None:
    """A refused cancellation writes the row again, at a later time."""
    await played.get("/api/counts")
    played.playing.wait(3600)
    await played.playing.ask_cancellation("o-1", "too-late-1")

    assert (await played.get("/api/counts"))["phases"] == {
        "compensating": 1,
        "running": 2,
        "completed": 1,
        "compensated": 1,
    }


async def test_the_journal_of_all_goes_on_where_it_was_left(played: Console) -> None:
    """`last` for the newest, then `after`."""
    newest = await played.get("/api/journal?last=2")
    await played.playing.reserve("o-4")
    more = await played.get(f"/api/journal?after={newest['next']}")
    lines, new = newest["lines"], more["lines"]
    assert isinstance(lines, list)
    assert isinstance(new, list)

    assert [line["saga_id"] for line in lines] == ["fulfilment:o-5", "fulfilment:o-5"]
    assert [(line["saga_id"], line["to_state"]) for line in new] == [
        ("fulfilment:o-4", "awaiting_payment")
    ]
    assert (await played.get("/api/journal?last=0"))["lines"] == []


async def test_an_unknown_saga_is_404_with_keys_that_begin_alike(played: Console) -> None:
    """Also when it is asked for by a saga id."""
    for path in ("/api/sagas/o-77", "/api/sagas/fulfilment:o-77/history"):
        answer = await played.http.get(path)

        assert answer.status_code == 404
        assert answer.json()["detail"].endswith("is known here")
    order = await played.http.get("/api/sagas/o-1x")
    await played.playing.place_order("ord-10042")
    near = await played.http.get("/api/sagas/ord-10043")

    assert order.status_code == 404
    assert near.json()["detail"] == (
        "saga: no saga ord-10043 is known here; keys that begin alike: ord-10042"
    )


async def test_without_a_database_the_answer_is_503_with_a_sentence(tmp_path: Path) -> None:
    """And once it is there, the same console answers."""
    path = tmp_path / "later" / "orchestrator.db"
    async with (
        orchestra(tmp_path / "other.db") as playing,
        Database(path) as database,
        http_of(database, playing, tmp_path) as http,
    ):
        early = await http.get("/api/sagas/stuck")
        async with orchestra(path) as real:
            await real.place_order("o-1")
            later = await http.get("/api/sagas/o-1")

    assert (early.status_code, early.headers["Retry-After"]) == (503, "1")
    assert early.json()["detail"] == (
        f"database: the orchestrator's database cannot be read now: {path}: No such file or"
        " directory. Is it running?"
    )
    assert later.status_code == 200


async def test_a_database_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    """What was counted of the former one is forgotten with it."""
    path = tmp_path / "orchestrator.db"
    async with Database(path) as database, orchestra(path) as first:
        await first.complete("o-1")
        async with http_of(database, first, tmp_path) as http:
            before = (await http.get("/api/counts")).json()["phases"]
            _delete(path)
            async with orchestra(path) as second:
                await second.cancel("o-2")
                await second.place_order("o-3")
                after = (await http.get("/api/counts")).json()["phases"]

    assert (before, after) == ({"completed": 1}, {"running": 1, "compensated": 1})


async def test_no_route_is_reached_without_the_token(console: Console) -> None:
    """Neither an unknown one: who has no token learns nothing of what is there."""
    for path in ("/api/sagas", "/api/sagas/o-1", "/api/counts", "/api/nowhere", "/"):
        answer = await console.http.get(path, headers={"Authorization": "Bearer wrong"})

        assert answer.status_code == 401


async def test_a_graph_is_text_or_mermaid_and_others_are_refused(console: Console) -> None:
    """By name of the definition."""
    text = await console.http.get("/api/graph/fulfilment")
    mermaid = await console.http.get("/api/graph/onboarding?format=mermaid")
    unknown = await console.http.get("/api/graph/nothing")
    format_ = await console.http.get("/api/graph/fulfilment?format=png")

    assert text.text == draw("fulfilment", "text")
    assert mermaid.text.startswith("stateDiagram-v2")
    assert (unknown.status_code, format_.status_code) == (404, 422)
    assert unknown.json()["detail"] == (
        "definition: no saga is called nothing; the definitions are fulfilment, onboarding"
    )


async def test_topics_say_what_was_applied_of_them(played: Console) -> None:
    """Every topic of the table; only those that the orchestrator reads have a position."""
    topics = (await played.get("/api/topics"))["topics"]
    assert isinstance(topics, list)
    by_name = {topic["name"]: topic for topic in topics}

    assert by_name["billing.replies.v1"]["applied"] == 5
    assert by_name["billing.payment.commands.v1"]["applied"] is None
    assert by_name["orders.order.events.v1"]["writers"] == ["*"]


@pytest.mark.parametrize("limit", ["-1", "1001", "many", "٣"])
async def test_a_limit_outside_its_bounds_is_refused(console: Console, limit: str) -> None:
    """No page is larger than a thousand."""
    answer = await console.http.get("/api/sagas", params={"limit": limit})

    assert (answer.status_code, answer.json()["errors"][0]) == (
        422,
        {"place": "limit", "problem": "must be a whole number from 0 to 1000"},
    )


def _count(phase: str, reason: str | None, count: int) -> dict[str, object]:
    return {"definition": "fulfilment", "phase": phase, "reason": reason, "count": count}


def _delete(database: Path) -> None:
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()
