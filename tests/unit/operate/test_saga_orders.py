"""`baton sagas retry ...`, `baton ops` and `baton audit` as typed: the real engine behind them."""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from stage import Said, Stage, Terminal, free_port
from telling_stage import Console, opened

from orchestrator.operate import completing, saga_work, telling
from schemas.billing import PaymentAuthorised, PaymentDeclined
from services.chassis.bus import ClientLost
from tests.unit.operate.orchestra import AMOUNT

ME = f"local/{getpass.getuser()}"
WHY = ("--reason", "billing is back")
ALL = ("--query", "service=billing", *WHY)
AUTHORISED = ("payment/do", PaymentAuthorised("o-1", "a-1", AMOUNT))
DECLINED = ("payment/do", PaymentDeclined("o-2", "card_expired"))


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Console]:
    async with opened(folder) as console:
        for order in ("o-1", "o-2", "o-3"):
            await console.playing.place_order(order)
            await console.playing.reserve(order)
        task = asyncio.create_task(console.runner.run())
        yield console
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@dataclass
class Desk:
    console: Console
    stage: Stage
    terminal: Terminal

    def type(self, *words: str) -> Said:
        return self.terminal.type("sagas", *words)

    def ids(self) -> list[str]:
        return [out.id for out in self.console.wire.sent]


@pytest.fixture
def desk(stage: Stage, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Desk:
    """Three orders wait for their payment."""
    monkeypatch.setattr(saga_work, "LOOK_S", 0.01)
    monkeypatch.setattr(saga_work, "TAKEN_S", 0.05)
    monkeypatch.setattr(telling, "WAIT_S", 0.0)
    console = stage.enter(running(tmp_path))
    monkeypatch.setenv("BATON_URL", stage.serve(console.routes))
    return Desk(console, stage, terminal)


def test_one_saga_is_rehearsed_and_nothing_is_sent(desk: Desk) -> None:
    """The messages with topic, id and money, and what to think of it."""
    said = desk.type("retry", "o-1", *WHY, "--dry-run")

    assert said.code == 0
    table, (line,) = said.out.splitlines()[:2], said.out.splitlines()[2:]
    assert [row.split() for row in table] == [
        ["TYPE", "TOPIC", "SERVICE", "ID", "AGAIN", "MONEY"],
        [
            "billing.AuthorisePayment",
            "billing.payment.commands.v1",
            "billing",
            "fulfilment:o-1/payment/do",
            "True",
            "42.00",
            "GBP",
        ],
    ]
    assert line == "fulfilment:o-1: awaiting_payment → awaiting_payment"
    assert said.err == "nothing was changed\n"
    assert desk.ids() == []


def test_one_saga_is_told_as_it_was_rehearsed(desk: Desk) -> None:
    """The result in JSON, and in the audit who said it on the command line."""
    said = desk.type("retry", "o-1", *WHY, "-o", "json")
    acts = json.loads(desk.terminal.type("audit", "-o", "json").out)

    told = json.loads(said.out)
    assert (said.code, told["result"], told["verified"]) == (0, "applied", "unchanged")
    assert (told["saga_id"], told["version_before"]) == ("fulfilment:o-1", 2)
    assert [(act["actor"], act["via"], act["result"]) for act in acts] == [
        (ME, "cli", "applied"),
        (ME, "cli", "asked"),
    ]


@pytest.mark.parametrize(
    ("order", "answer", "code", "verified", "because"),
    [
        ("o-1", AUTHORISED, 0, "progressed", "billing.PaymentAuthorised → awaiting_shipment"),
        ("o-2", DECLINED, 1, "failed_again", "billing.PaymentDeclined → undoing_stock"),
        ("o-3", None, 5, "unchanged", None),
    ],
)
def test_waiting_ends_with_the_verified_result(
    desk: Desk, order: str, answer: tuple[str, object] | None, code: int, verified: str,
    because: str | None,
) -> None:  # fmt: skip
    """0 it moved on, 1 it failed again, 5 nothing came of it in time."""
    if answer is not None:
        desk.console.wire.answers[order] = answer

    said = desk.type("retry", order, *WHY, "--wait", "--timeout", "1s", "-o", "json")

    told = json.loads(said.out)
    assert (said.code, told["verified"], told["because"]) == (code, verified, because)


def test_all_that_match_are_told_and_followed(desk: Desk) -> None:
    """5 while one of them has not moved in time; each counted by what came of it."""
    desk.console.wire.answers |= {"o-1": AUTHORISED, "o-2": DECLINED}

    said = desk.type("retry", *ALL, "--yes", "--wait", "--timeout", "1s", "-o", "json")

    told = json.loads(said.out)
    assert said.code == 5
    assert told["seen"] == 3
    assert told["counts"] == {
        "pending": 0,
        "telling": 0,
        "requested": 0,
        "progressed": 1,
        "moved_on": 0,
        "failed_again": 1,
        "unchanged": 1,
        "refused": 0,
        "skipped": 0,
    }


def test_some_that_fail_make_it_partial(desk: Desk) -> None:
    """4, and only what did not go well is listed."""
    desk.console.wire.answers |= {"o-1": AUTHORISED, "o-2": DECLINED}

    said = desk.type("retry", "o-1", "o-2", *WHY, "--yes", "--wait")

    lines = said.out.splitlines()
    assert said.code == 4
    assert lines[0].endswith(" done · 2 sagas · 1 progressed · 1 failed again")
    assert lines[1:] == [
        "SAGA ID         STATE         DETAIL                                 ",
        "fulfilment:o-2  failed_again  billing.PaymentDeclined → undoing_stock",
    ]


def test_several_are_rehearsed_together(desk: Desk) -> None:
    """Each saga with its messages, then all messages and their money, and how many."""
    said = desk.type("retry", *ALL, "--dry-run")

    assert said.code == 0
    assert said.out.splitlines()[-2:] == [
        "3 billing.AuthorisePayment to billing.payment.commands.v1 126.00 GBP",
        "3 sagas match",
    ]
    assert said.err == "nothing was changed\n"


def test_an_operation_is_tried_stopped_and_looked_at(desk: Desk) -> None:
    """One first, then it waits: shown, resumed, cancelled too late, listed."""
    begun = desk.type("pause", *ALL, "--yes", "--first", "1").out.strip()

    desk.stage.run(desk.console.wire.used.wait())
    resumed = desk.terminal.type("ops", "resume", begun, "--reason", "the first is well")
    late = desk.terminal.type("ops", "resume", begun, "--reason", "again")
    shown = json.loads(desk.terminal.type("ops", "show", begun, "-o", "json").out)
    listed = json.loads(desk.terminal.type("ops", "list", "-o", "json").out)

    assert (resumed.code, late.code) == (0, 6)
    assert f"{begun} is " in late.err
    assert [item["saga_id"] for item in shown["items"]] == [
        "fulfilment:o-3",
        "fulfilment:o-2",
        "fulfilment:o-1",
    ]
    assert [each["id"] for each in listed] == [begun]


@pytest.mark.parametrize(
    ("words", "code", "err"),
    [
        (("retry", "o-1"), 2, "Missing option '--reason'"),
        (("retry", "o-1", "--reason", " "), 2, "--reason is empty"),
        (("retry", *WHY), 2, "retry whom?"),
        (("retry", "o-1", *ALL), 2, "retry whom?"),
        (("retry", *ALL), 2, "3 sagas match"),
        (("retry", *ALL, "--yes", "--rate", "fast"), 2, "--rate fast: from 1/s to 1000/s"),
        (("retry", "o-1", *WHY, "--timeout", "soon"), 2, "'soon' is no duration"),
        (("retry", "o-9", *WHY), 3, "saga: no saga o-9 is known here"),
        (("retry", "--query", "key=o-9", *WHY), 3, "no saga matches"),
        (("resume", "o-1", *WHY), 6, "resume was refused: not_paused; it is awaiting_payment"),
        (("resume", "o-1", *WHY, "--dry-run"), 6, "resume would be refused: not_paused"),
    ],
)
def test_each_refusal_has_its_code(desk: Desk, words: tuple[str, ...], code: int, err: str) -> None:
    """2 not understood, 3 not found, 6 refused; and nothing was obeyed."""
    said = desk.type(*words)

    assert said.code == code
    assert err in said.err
    assert desk.console.playing.sent[6:] == []


def test_what_nobody_takes_and_what_nobody_hears(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5 when the orchestrator did not take it, 7 without Kafka and without a console."""
    desk.console.wire.asleep = True
    slept = desk.type("retry", "o-1", *WHY)
    desk.console.wire.broken = ClientLost("gone")
    lost = desk.type("retry", "o-1", *WHY)
    monkeypatch.setenv("BATON_URL", f"http://127.0.0.1:{free_port()}")
    away = desk.type("retry", "o-1", *WHY)

    assert (slept.code, lost.code, away.code) == (5, 7, 7)
    assert "✖ o-1 has not taken it yet" in slept.err
    assert "nothing was told: gone" in lost.err
    assert "the interface of console at http" in away.err


def test_the_audit_is_checked_and_exported(desk: Desk) -> None:
    """Whole: 0 and its head. Touched: 1 and where. Exported, a line an act, as it is chained."""
    desk.type("note", "o-1", *WHY)
    whole = desk.terminal.type("audit", "--check")
    lines = [json.loads(each) for each in desk.terminal.type("audit", "--export").out.splitlines()]

    async def touch() -> None:
        desk.console.kept.write("DROP TRIGGER audit_stands")
        desk.console.kept.write("UPDATE audit SET reason = 'other' WHERE seq = 1")

    desk.stage.run(touch())
    broken = desk.terminal.type("audit", "--check")

    assert (whole.code, whole.out) == (
        0,
        f"✓ the audit is whole: 2 lines, head {lines[1]['hash']}\n",
    )
    assert [(line["seq"], line["result"]) for line in lines] == [(1, "asked"), (2, "applied")]
    assert broken.code == 1
    assert "✖ the audit is broken: line 1 is not as it was written" in broken.err


@pytest.mark.usefixtures("desk")
def test_shells_complete_ids_and_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the server; nothing at all, and no word, where it is away."""
    names, states = completing.saga_names("o-"), completing.terms("state=awaiting")
    words = completing.terms("s")
    monkeypatch.setenv("BATON_URL", f"http://127.0.0.1:{free_port()}")
    away = completing.saga_names("o-")

    assert names == ["o-3", "o-2", "o-1"]
    assert states == ["state=awaiting_payment"]
    assert words == ["state=", "service="]
    assert away == []
