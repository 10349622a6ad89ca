"""What operators did, in a chain that shows when it was touched."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from telling_stage import Console, opened

from services.chassis.bus import BusError
from services.chassis.store import Unavailable

NOTE = {"verb": "note", "reason": "seen", "actor": "ann"}
SAGA = "fulfilment:o-1"


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    async with opened(tmp_path) as console:
        await console.playing.place_order("o-1")
        yield console


async def test_each_act_is_written_before_it_is_told_and_when_it_is_done(console: Console) -> None:
    """Who, how, what, to whom, why, under which id; told twice under one id, it is one act."""
    await console.tell("o-1", NOTE, "k-1")
    await console.tell("o-1", NOTE, "k-1")
    await console.tell("o-1", {**NOTE, "version": 9}, "k-2")

    assert (await console.read("/api/audit"))["acts"] == [
        {
            "seq": seq,
            "actor": "local/ann",
            "via": "api",
            "action": "note",
            "target": SAGA,
            "reason": "seen",
            "request": request,
            "result": result,
            "at": "2025-11-24T16:00:00.000000Z",
        }
        for seq, request, result in [
            (3, "k-2", "stale"),
            (2, "k-1", "applied"),
            (1, "k-1", "asked"),
        ]
    ]


async def test_without_a_line_nothing_is_told(console: Console) -> None:
    """503 while the console's database cannot be written, and no message left."""
    console.kept.faults.append(Unavailable("disk full"))

    status, said = await console.tell("o-1", NOTE)

    assert (status, said["detail"]) == (
        503,
        "audit: nothing was told: the console cannot write its audit: disk full",
    )
    assert console.wire.sent == []


async def test_what_kafka_did_not_take_is_written_as_that(console: Console) -> None:
    """Asked, then no_kafka."""
    console.wire.broken = BusError("gone")

    await console.tell("o-1", NOTE)

    assert await console.audited() == [("note", SAGA, "asked"), ("note", SAGA, "no_kafka")]


async def test_lines_are_found_by_page_person_and_saga(console: Console) -> None:
    """Newest first, page after page; and those of one actor or target alone."""
    await console.playing.place_order("o-2")
    await console.tell("o-1", NOTE, "k-1")
    await console.tell("o-2", {**NOTE, "actor": "bob"}, "k-2")

    first = await console.read("/api/audit?limit=3")
    rest = await console.read(f"/api/audit?limit=3&before={first['next']}")
    bobs = await console.read("/api/audit?actor=local/bob")
    of_saga = await console.read(f"/api/audit?target={SAGA}")

    assert [each["seq"] for each in first["acts"]] == [4, 3, 2]
    assert [each["seq"] for each in rest["acts"]] == [1]
    assert rest["next"] is None
    assert [each["seq"] for each in bobs["acts"]] == [4, 3]
    assert [each["seq"] for each in of_saga["acts"]] == [2, 1]


async def test_a_touched_line_breaks_the_chain(console: Console) -> None:
    """Whole as written; changed, or taken out, it says which line is not as it was."""
    for at in range(3):
        await console.tell("o-1", NOTE, f"k-{at}")
    whole = await console.read("/api/audit/check")
    lines = await console.read("/api/audit/export?limit=2")
    for trigger in ("audit_stands", "audit_stays"):
        console.kept.write(f"DROP TRIGGER {trigger}")

    console.kept.write("UPDATE audit SET actor = 'eve' WHERE seq = 4")
    changed = await console.read("/api/audit/check")
    console.kept.write("DELETE FROM audit WHERE seq = 2")
    taken = await console.read("/api/audit/check")

    assert (whole["lines"], whole["broken"]) == (6, None)
    assert [line["seq"] for line in lines["lines"]] == [1, 2]
    assert changed == {
        "lines": 3,
        "head": changed["head"],
        "broken": "line 4 is not as it was written",
    }
    assert (taken["lines"], taken["broken"]) == (1, "line 2 is missing")


@pytest.mark.parametrize("sql", ["UPDATE audit SET actor = 'eve'", "DELETE FROM audit"])
async def test_the_database_refuses_to_change_a_line(console: Console, sql: str) -> None:
    """Append-only, whoever asks."""
    await console.tell("o-1", NOTE)

    with pytest.raises(sqlite3.IntegrityError, match="the audit is append-only"):
        console.kept.write(sql)
