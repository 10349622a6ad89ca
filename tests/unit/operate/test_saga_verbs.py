"""`baton sagas …` as typed, against a console over a database that the real shell wrote."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass

import pytest
from orchestra import Orchestra
from stage import Said, Stage, Terminal

from orchestrator.operate import saga_reading
from schemas.inventory import StockReleased

START, END = "2025-11-24T16:00:00.000000Z", "2025-11-24T16:02:00.000000Z"
DETAIL = "billing.CapturePayment sent 4 times"
WAITING = (
    "attempt 4  waiting for billing.PaymentCaptured since 2025-11-24 16:00:00,"
    " deadline 2025-11-24 16:02:00 (40s late)"
)
TERMS = (
    "state=, phase=, reason=, definition=, key=, service=, stuck=, version=,"
    " age>, age<, started<, started>, started= and slow=p95"
)
TAIL_TERMS = "definition=, key=, state=, reason="
ENDED = "undoing_stock → compensated"
FUNDS, NO_REPLY = "insufficient_funds", "no_reply"


@dataclass
class Desk:
    stage: Stage
    playing: Orchestra
    terminal: Terminal

    def type(self, *words: str) -> Said:
        return self.terminal.type("sagas", *words)


@pytest.fixture
def desk(stage: Stage, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Desk:
    playing, url = stage.console()
    monkeypatch.setenv("BATON_URL", url)
    return Desk(stage, playing, terminal)


@pytest.fixture
def played(desk: Desk) -> Desk:
    """Completed, cancelled, undoing, just begun, and one whose pivot has no reply in time."""

    async def play() -> None:
        playing = desk.playing
        await playing.complete("o-1")
        await playing.cancel("o-2")
        await playing.place_order("o-5")
        await playing.book("o-5")
        for _ in range(4):
            playing.wait(40)
            await playing.fire()
        await playing.decline("o-3")
        await playing.place_order("o-4")

    desk.stage.run(play())
    return desk


def test_a_service_that_is_away_is_told_in_the_headline(desk: Desk) -> None:
    """Late by the clock, and to when its time was put off."""

    async def play() -> None:
        await desk.playing.place_order("o-1")
        desk.playing.wait(36)
        await desk.playing.put_off("inventory.stock.commands.v1")

    desk.stage.run(play())
    said = desk.type("show", "o-1", "--time", "iso")

    assert said.out.splitlines()[0].endswith(
        "deadline 2025-11-24T16:00:30.000000Z (6s late),"
        " put off to 2025-11-24T16:01:06.000000Z: the command was not read  stuck: no_reply"
    )


def test_the_list_is_a_table_newest_first(played: Desk) -> None:
    """State with its glyph, on whom it waits, why it turned back, why it is stuck."""
    said = played.type("list", "--time", "iso")

    assert [line.split() for line in said.out.splitlines()] == [
        ["KEY", "DEFINITION", "STATE", "SINCE", "WAITING", "ON", "ATTEMPTS", "REASON", "STUCK"],
        ["o-4", "fulfilment", "▶", "awaiting_stock", *_at("16:02:40"), "inventory", "1"],
        ["o-3", "fulfilment", "↩", "undoing_stock", *_at("16:02:40"), "inventory", "1", FUNDS],
        ["o-5", "fulfilment", "▶", "awaiting_capture", *_at("16:00:00"), "billing", "4", NO_REPLY],
        ["o-2", "fulfilment", "✓", "compensated", *_at("16:00:00"), "0", FUNDS],
        ["o-1", "fulfilment", "✓", "completed", *_at("16:00:00"), "0"],
    ]
    assert (said.code, said.err) == (0, "")


def _at(clock: str) -> list[str]:
    return [f"2025-11-24T{clock}.000000Z"]


def test_what_is_stuck_is_grouped_with_what_to_type_next(played: Desk) -> None:
    """And the footer says of how many."""
    said = played.type("stuck", "--time", "iso")

    heading = f"REASON      STATE             WAITING ON  COUNT  OLDEST  {'SINCE':<27}  SUGGESTED"
    retry = "baton sagas retry --query 'reason=no_reply service=billing'"
    group = f"… no_reply  awaiting_capture  billing         1  2m      {START}  {retry}"
    assert [line.rstrip() for line in said.out.splitlines()[:2]] == [heading, group]
    assert said.out.splitlines()[2] == ("1 group · 1 stuck, 3 open · as of 2025-11-24 16:02:40")
    assert said.code == 0
    assert played.type("stuck", "--fail-if-any").code == 1
    assert played.type("stuck", "reason=paused", "--fail-if-any").code == 0


def test_members_of_the_groups_are_listed_one_by_one(played: Desk) -> None:
    """With their deadline."""
    said = played.type("stuck", "--members", "-o", "csv")

    assert said.out.splitlines() == [
        "key,reason,state,waiting_on,age_s,since,deadline,detail",
        f"o-5,no_reply,awaiting_capture,billing,160,{START},{END},{DETAIL}",
    ]


def test_jsonl_of_groups_is_what_scripts_select_from(played: Desk) -> None:
    """One object a line, ages as numbers."""
    said = played.type("stuck", "-o", "jsonl")
    groups = [json.loads(line) for line in said.out.splitlines()]

    assert [(group["reason"], group["oldest_s"], group["count"]) for group in groups] == [
        ("no_reply", 160, 1)
    ]


def test_nothing_stuck_is_said_and_exits_0(desk: Desk) -> None:
    """Also as a probe."""
    said = desk.type("stuck", "--fail-if-any")

    assert (said.code, said.out) == (0, "✓ Nothing is stuck. No saga is open.\n")


def test_a_saga_is_shown_as_a_sentence_and_its_story(played: Desk) -> None:
    """Why it waits, then what happened, with refusals and what was sent again."""
    said = played.type("show", "o-5")

    assert said.out.splitlines() == [
        "o-5  fulfilment v1  ▶ awaiting_capture  " + WAITING + "  stuck: no_reply",
        _line("16:00:00", "← orders.OrderPlaced", "awaiting_stock  → ReserveStock"),
        _line(
            "16:00:00",
            "← inventory.StockReserved",
            "awaiting_stock → awaiting_payment  → AuthorisePayment",
        ),
        _line(
            "16:00:00",
            "← billing.PaymentAuthorised",
            "awaiting_payment → awaiting_shipment  → BookShipment",
        ),
        _line(
            "16:00:00",
            "← shipping.ShipmentBooked",
            "awaiting_shipment → awaiting_capture  → CapturePayment",
        ),
        *(
            _line(clock, "⏱ capture/do", "awaiting_capture  → capture/do again")
            for clock in ("16:00:40", "16:01:20", "16:02:00")
        ),
    ]
    assert said.err == "next: baton logs billing · baton sagas wait o-5\n"


def _line(clock: str, came: str, rest: str) -> str:
    return f"  2025-11-24 {clock}.000  {came:<38} {rest}"


def test_a_shown_saga_as_json_holds_its_history(played: Desk) -> None:
    """One object."""
    saga = json.loads(played.type("show", "fulfilment:o-2", "-o", "json").out)

    assert (saga["state"], saga["reason"], len(saga["history"])) == ("compensated", FUNDS, 4)


def test_history_is_the_lines_alone(played: Desk) -> None:
    """The same as `show` has, without the sentence."""
    shown = played.type("show", "o-2").out.splitlines()
    history = played.type("history", "o-2").out.splitlines()

    assert [line.strip() for line in shown[1:]] == history


def test_history_followed_ends_when_the_saga_ends(played: Desk) -> None:
    """What happens meanwhile is printed as it comes."""
    ending = played.playing.reply("o-3", "stock/undo", StockReleased("o-3"))
    later = played.stage.begin(ending)
    said = played.type("history", "o-3", "--follow", "-o", "jsonl")
    later.result(10)

    assert [json.loads(line)["to_state"] for line in said.out.splitlines()] == [
        "awaiting_stock",
        "awaiting_payment",
        "undoing_stock",
        "compensated",
    ]


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (("count",), "5\n"),
        (("count", "phase=open"), "3\n"),
        (("count", "phase=open", "-o", "json"), '{\n "count": 3,\n "whole": true\n}\n'),
        (("count", "phase=open", "-o", "csv"), "count,whole\n3,True\n"),
    ],
)
def test_count_prints_a_number(played: Desk, words: tuple[str, ...], out: str) -> None:
    """In every form."""
    assert played.type(*words) == Said(0, out, "")


@pytest.mark.parametrize(
    ("name", "code", "out"),
    [
        ("o-1", 0, "fulfilment:o-1  ✓ completed\n"),
        ("o-2", 10, "fulfilment:o-2  ✓ compensated  (insufficient_funds)\n"),
    ],
)
def test_wait_exits_with_the_outcome(played: Desk, name: str, code: int, out: str) -> None:
    """0 completed, 10 compensated."""
    assert played.type("wait", name) == Said(code, out, "")


def test_wait_exits_11_when_an_operator_is_needed(desk: Desk) -> None:
    """An undo without a reply for ten minutes."""

    async def play() -> None:
        await desk.playing.decline("o-1")
        for _ in range(120):
            desk.playing.wait(6)
            await desk.playing.fire()

    desk.stage.run(play())

    assert desk.type("wait", "o-1") == Said(
        11, "fulfilment:o-1  ✖ needs_operator  (insufficient_funds)\n", ""
    )


def test_wait_exits_5_when_the_time_is_over(played: Desk) -> None:
    """Whether the saga is still open or was never seen."""
    opened = played.type("wait", "o-4", "--timeout", "0s")
    unknown = played.type("wait", "o-77", "--timeout", "0s")

    assert opened == Said(
        5,
        "",
        "✖ fulfilment:o-4 did not end within 0s: ▶ awaiting_stock\n  → baton sagas show o-4\n",
    )
    assert unknown == Said(
        5, "", "✖ no saga o-77 within 0s\n  → baton order show o-77; baton status\n"
    )


def test_wait_sees_the_end_that_comes_while_it_waits(played: Desk) -> None:
    """It asks again."""
    ending = played.playing.reply("o-3", "stock/undo", StockReleased("o-3"))
    later = played.stage.begin(ending)
    said = played.type("wait", "o-3", "-o", "jsonl")
    later.result(10)

    assert (said.code, json.loads(said.out)["state"]) == (10, "compensated")


def test_tail_prints_the_last_lines_of_all(played: Desk) -> None:
    """Filtered by definition, key, state and result."""
    lines = played.type("tail", "-n", "3", "-o", "jsonl").out.splitlines()
    some = played.type("tail", "-n", "100", "key=o-2", "state=compensated", "-o", "jsonl")

    assert [json.loads(line)["saga_id"] for line in lines] == [
        "fulfilment:o-3",
        "fulfilment:o-3",
        "fulfilment:o-4",
    ]
    assert [json.loads(line)["sent"] for line in some.out.splitlines()] == [["OrderCancelled"]]


@pytest.mark.parametrize(
    ("words", "code", "err"),
    [
        (("show", "o-77"), 3, "✖ saga: no saga o-77 is known here\n"),
        (("history", "o-77"), 3, "✖ saga: no saga o-77 is known here\n"),
        (
            ("list", "colour=red"),
            2,
            f"✖ query: 'colour=red': the terms are {TERMS}\n",
        ),
        (("tail", "colour=red"), 2, f"✖ 'colour=red': the terms of tail are {TAIL_TERMS}\n"),
        (("wait", "o-1", "--timeout", "soon"), 2, "✖ 'soon' is no time: write 30s, 5m or 1h\n"),
        (
            ("graph", "nothing"),
            3,
            "✖ no saga is called nothing; the definitions are fulfilment, onboarding\n",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_has_its_code_and_a_sentence(
    desk: Desk, words: tuple[str, ...], code: int, err: str
) -> None:
    """Nothing on standard output."""
    assert desk.type(*words) == Said(code, "", err)


def test_a_wrong_token_is_refused_with_6(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says where the right one is."""
    monkeypatch.setenv("BATON_TOKEN", "wrong")

    assert desk.type("list") == Said(
        6,
        "",
        "✖ Authorization: send `Authorization: Bearer <token>` with a valid token\n"
        "  → compare BATON_TOKEN with the file `token` in BATON_HOME\n",
    )


def test_a_list_longer_than_a_page_is_asked_for_page_by_page(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And `-n` cuts it."""
    monkeypatch.setattr(saga_reading, "PAGE_MAX", 5)

    async def play() -> None:
        for n in range(12):
            await desk.playing.place_order(f"o-{n}")

    desk.stage.run(play())
    some = desk.type("list", "-n", "5")

    assert len(desk.type("list", "-o", "jsonl").out.splitlines()) == 12
    assert len(some.out.splitlines()) == 6
    assert some.err == "5 shown, there are more: -n 50\n"


def test_control_characters_of_strangers_never_reach_the_screen(desk: Desk) -> None:
    """A reason that would clear the screen is shown harmless in every form."""

    async def play() -> None:
        await desk.playing.place_order("o-1")
        await desk.playing.ask_cancellation("o-1", "request-1", "\x1b[2Jgone\x9b5m")

    desk.stage.run(play())
    outputs = [
        desk.type("show", "o-1").out,
        *(desk.type("list", "-o", form).out for form in ("table", "json", "jsonl", "csv")),
    ]

    assert "�[2Jgone�5m" in outputs[0]
    assert [text for text in outputs if "\x1b" in text or "\x9b" in text] == []


FORMS = ("json", "jsonl", "csv")
LISTS = (("list",), ("stuck",), ("stuck", "--members"), ("tail",))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("words", LISTS)
@pytest.mark.parametrize("empty", [True, False])
def test_every_list_is_valid_in_every_form_also_when_empty(
    desk: Desk, request: pytest.FixtureRequest, words: tuple[str, ...], form: str, *, empty: bool
) -> None:
    """An empty list is `[]`, or no line at all, or only the heading; the exit code is 0."""
    if not empty:
        request.getfixturevalue("played")
    said = desk.type(*words, "-o", form)
    read = {"json": _json, "jsonl": _jsonl, "csv": _csv}[form]

    assert said.code == 0
    assert (len(read(said.out)) == 0) is empty
    if empty:
        assert said.out == {"json": "[]\n", "jsonl": ""}.get(form, said.out)


def _json(text: str) -> list[object]:
    read = json.loads(text)
    assert isinstance(read, list)
    return read


def _jsonl(text: str) -> list[object]:
    return [json.loads(line) for line in text.splitlines()]


def _csv(text: str) -> list[object]:
    rows = list(csv.reader(io.StringIO(text)))
    assert len({len(row) for row in rows}) == 1
    return list(rows[1:])


def test_a_timeline_shows_how_long_it_stood_in_each_state(played: Desk) -> None:
    """A row a state with its seconds, and how many lines of the journal it is made of."""
    rows = json.loads(played.type("timeline", "o-5", "-o", "json").out)
    drawn = played.type("timeline", "o-5").out.splitlines()

    assert rows[-1] == {"state": "awaiting_capture", "from_s": 0.0, "to_s": 120.0, "lines": 4}
    assert [row["state"] for row in rows[:-1]] == [
        "awaiting_stock",
        "awaiting_payment",
        "awaiting_shipment",
    ]
    assert drawn[0] == "fulfilment:o-5  awaiting_capture"
    assert drawn[-1] == f"awaiting_capture   {'█' * 40}    120.000 s  4 lines"


def test_a_sequence_shows_who_said_what_to_whom(played: Desk) -> None:
    """Each cause, then each message that left, with whom it is for."""
    rows = json.loads(played.type("sequence", "o-2", "-o", "json").out)

    assert [(row["from"], row["to"], row["message"]) for row in rows] == [
        ("shop", "orchestrator", "orders.OrderPlaced"),
        ("orchestrator", "inventory", "ReserveStock"),
        ("inventory", "orchestrator", "inventory.StockReserved"),
        ("orchestrator", "billing", "AuthorisePayment"),
        ("billing", "orchestrator", "billing.PaymentDeclined"),
        ("orchestrator", "inventory", "ReleaseStock"),
        ("inventory", "orchestrator", "inventory.StockReleased"),
        ("orchestrator", "all", "OrderCancelled"),
    ]


def test_two_sagas_are_compared_by_their_stories(played: Desk) -> None:
    """Where their ways part; nothing where they do not."""
    parted = played.type("diff", "o-2", "o-3")
    same = played.type("diff", "o-2", "fulfilment:o-2")

    moved = [line for line in parted.out.splitlines() if line[:1] in "+-"]
    assert moved == [
        "--- o-2",
        "+++ o-3",
        f"-undo_answered  inventory.StockReleased  {ENDED}  applied  OrderCancelled",
    ]
    assert (same.out, same.err) == ("", "they went the same way\n")


def test_a_saga_is_exported_whole(played: Desk) -> None:
    """The saga and every line of its journal, in JSON whatever form is asked for."""
    exported = json.loads(played.type("export", "o-1").out)

    assert exported["saga_id"] == "fulfilment:o-1"
    assert exported["history"] == json.loads(played.type("history", "o-1", "-o", "json").out)
