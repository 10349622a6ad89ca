"""Repair verbs refuse what cannot be meant, and touch no database whose process runs."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from stage import Said, Terminal

from deploy.local.control import Request
from deploy.local.faults import ProcessFailed
from deploy.local.home import Home
from orchestrator.operate import stopped
from orchestrator.operate.auditing import MIGRATIONS as CONSOLES
from orchestrator.operate.auditing import Act, Audit
from services.chassis.clock import SystemClock
from services.chassis.sqlite import locked, open_store

TOPIC = "billing.replies.v1"
BECAUSE = ("--reason", "a test")


def spoken(home: Path) -> Path:
    """Billing's database, in which a reply was sent and something to another topic."""
    file = home / "data" / "billing.db"

    async def make() -> None:
        async with open_store(file, {}):
            pass

    asyncio.run(make())
    row = "INSERT INTO outbox VALUES (?, 1, ?, 1, ?, 'o-1', x'00', x'5b5d', 1, 1000000, NULL)"
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        for seq, topic in ((1, TOPIC), (2, "billing.payment.events.v1")):
            database.execute(row, (seq, f"m-{seq}", topic))
    return file


def unsent(file: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT seq FROM outbox WHERE sent_us IS NULL").fetchall()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("restore", "--service", "bank", *BECAUSE), 3, "✖ no process is called bank\n"),
        (("restore", "--service", "crm", "--reason", " "), 2, "✖ the reason is empty\n"),
        (("restore", "--service", "crm", "--since", "x", *BECAUSE), 2, "✖ 'x' is no time\n"),
        (("outbox", "republish", *BECAUSE), 2, "✖ neither a topic nor a time was named\n"),
        (
            ("outbox", "republish", "--topic", "nobody.v1", *BECAUSE),
            3,
            "✖ nobody.v1 is no topic of Baton. `baton topics list` names them all.\n",
        ),
        (
            ("offsets", "accept", "--topic", "nobody.v1", *BECAUSE),
            3,
            "✖ nobody.v1 is no topic of Baton. `baton topics list` names them all.\n",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(
    terminal: Terminal, words: tuple[str, ...], code: int, said: str
) -> None:
    """Before anything is opened or started."""
    answer = terminal.type(*words)

    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith(said)


def test_counting_changes_nothing_and_republishing_marks_and_records(
    terminal: Terminal, tmp_path: Path
) -> None:
    """Beside a running process it counts; it changes rows only where none runs."""
    file = spoken(tmp_path / "home")
    words = ("-o", "json", "outbox", "republish", "--topic", TOPIC, *BECAUSE)
    rows = [{"service": "billing", "topic": TOPIC, "rows": 1}]
    with locked(file):
        counted = terminal.type(*words, "--dry-run")
        assert (counted.code, json.loads(counted.out)) == (0, rows)
        refused = terminal.type(*words)
    assert refused == Said(6, "", f"✖ billing runs, and {file} is its own\n  → baton down\n")
    assert unsent(file) == []
    done = terminal.type(*words)

    assert (done.code, json.loads(done.out)) == (0, rows)
    assert unsent(file) == [(1,)]
    with closing(sqlite3.connect(file)) as database:
        (row,) = database.execute("SELECT what, detail, reason FROM repairs")
    assert row == ("republish", f"{TOPIC}, each partition, since the beginning", "a test")


def test_each_copy_of_a_service_stands_still_while_its_database_is_repaired(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of its processes and no others; one that does not come up keeps none from starting."""
    file, asked = spoken(tmp_path / "home"), list[tuple[str, str, int]]()

    def ask(home: Home, request: Request) -> None:
        assert home.root == tmp_path / "home"
        asked.append((request.verb, request.name, len(unsent(file))))
        if request == Request("start", "billing"):
            raise ProcessFailed("billing is not ready", mend="baton doctor")

    names = ("kafka", "billing", "billing-2", "crm")
    state = SimpleNamespace(processes=[{"name": name} for name in names])
    monkeypatch.setattr(stopped, "is_running", lambda _: True)
    monkeypatch.setattr(stopped, "read_state", lambda _: state)
    monkeypatch.setattr(stopped, "ask_supervisor", ask)

    answer = terminal.type("outbox", "republish", "--topic", TOPIC, *BECAUSE)

    assert answer.code == 0
    assert "billing is not ready yet; baton doctor says why\n" in answer.err
    assert asked == [
        ("stop", "billing", 0),
        ("stop", "billing-2", 0),
        ("start", "billing", 1),
        ("start", "billing-2", 1),
    ]


def test_a_copy_is_not_put_under_a_running_process(terminal: Terminal, tmp_path: Path) -> None:
    file = spoken(tmp_path / "home")
    before = file.read_bytes()
    with locked(file):
        said = terminal.type(
            "restore", "--service", "billing", "--from", str(tmp_path / "copy"), *BECAUSE
        )
    assert said == Said(6, "", f"✖ billing runs, and {file} is its own\n  → baton down\n")
    assert file.read_bytes() == before


def test_a_backup_says_what_it_copied(terminal: Terminal, tmp_path: Path) -> None:
    spoken(tmp_path / "home")
    said = terminal.type("-o", "json", "backup", str(tmp_path / "copy"))

    assert [(row["database"], row["outbox"]) for row in json.loads(said.out)] == [("billing", 2)]
    assert said.err == f"1 databases copied to {tmp_path / 'copy'}\n"


def test_the_consoles_audit_is_copied_and_put_back(terminal: Terminal, tmp_path: Path) -> None:
    """Without Kafka, in which it says nothing that it could forget; and it is noted who did it."""
    file, copy = tmp_path / "home" / "data" / "console.db", tmp_path / "copy"

    async def act(request: str) -> None:
        async with open_store(file, {"console": CONSOLES}) as store:
            audit = Audit(store, SystemClock())
            async with audit.acting(Act("ann", "cli", "note", "o-1", "seen", request)) as became:
                became.result = "applied"

    asyncio.run(act("k-1"))
    backed = terminal.type("-o", "json", "backup", str(copy))
    asyncio.run(act("k-2"))
    with locked(file):
        refused = terminal.type("restore", "--service", "console", "--from", str(copy), *BECAUSE)
    restored = terminal.type("restore", "--service", "console", "--from", str(copy), *BECAUSE)

    assert [row["database"] for row in json.loads(backed.out)] == ["console"]
    assert refused == Said(6, "", f"✖ console runs, and {file} is its own\n  → baton down\n")
    assert (restored.code, restored.out) == (0, "")
    assert restored.err.endswith(
        "the console says nothing in Kafka that it could have forgotten; next: baton up\n"
    )
    with closing(sqlite3.connect(file)) as database:
        acts = database.execute("SELECT request, result FROM audit").fetchall()
        (noted,) = database.execute("SELECT what, detail, reason FROM repairs").fetchall()
    assert acts == [("k-1", "asked"), ("k-1", "applied")]
    assert noted == ("restore", "audit and operations", "a test")
