"""What strangers and colleagues typed, in every field that is shown again: text, and no more."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from letterbox import Letterbox
from reading_pages import HOSTILE, Text
from stage import Stage, Terminal
from telling_stage import Console, opened
from website import Website, website

from orchestrator.operate import telling
from orchestrator.operate.output import Output
from tests.unit.chassis.company import command

# Names the window, colours, clears the screen in seven and in eight bits, turns the line around.
ESCAPES = "\x1b]0;owned\x07\x1b[31m\x9b2J\x1b[1A\r\u202eFDP\u2066\x7f\b"
WORDS = f"{HOSTILE}{ESCAPES}"
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
FORMS = ("table", "csv", "json", "jsonl")


async def act(console: Console) -> None:
    """Every field an operator fills, told by the API; and the reason of a cancellation."""
    playing = console.playing
    await playing.decline("o-1")
    for _ in range(14):
        playing.wait(60)
        await playing.fire()
    await playing.place_order("o-2")
    await playing.ask_cancellation("o-2", "r-1", WORDS)
    acts = [
        {"verb": "note", "reason": WORDS},
        {"verb": "assign", "assignee": WORDS, "reason": WORDS},
        {"verb": "skip", "evidence": WORDS, "step": "stock", "reason": WORDS},
        {"verb": "skip", "evidence": WORDS, "step": WORDS, "reason": WORDS},
    ]
    for n, each in enumerate(acts):
        status, told = await console.tell("o-1", {**each, "actor": WORDS}, f"k-{n}")
        assert status in {200, 409}, told
    many = {"verb": "note", "reason": WORDS, "actor": WORDS, "query": "state=compensated"}
    status, told = await console.post("/api/operations", many)
    assert status == 202, told
    playing.wait(1)


@asynccontextmanager
async def acting(folder: Path) -> AsyncIterator[Console]:
    async with opened(folder) as console:
        await act(console)
        task = asyncio.create_task(console.runner.run())
        yield console
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def desk(
    stage: Stage, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Terminal:
    monkeypatch.setattr(telling, "WAIT_S", 0.0)
    console = stage.enter(acting(tmp_path))
    monkeypatch.setenv("BATON_URL", stage.serve(console.routes))
    return terminal


def operation(terminal: Terminal) -> str:
    said = terminal.type("ops", "list", "-o", "json")
    assert said.code == 0, said
    (shown,) = json.loads(said.out)
    return str(shown["id"])


def typed(terminal: Terminal) -> Iterator[tuple[str, ...]]:
    """Every verb that reads what was written, in every form it has."""
    sagas = [("list",), ("stuck",), ("tail", "-n", "50"), ("diff", "o-1", "o-2")]
    one = ("show", "history", "timeline", "sequence", "export")
    sagas += [(verb, order) for verb in one for order in ("o-1", "o-2")]
    known = [("sagas", *each) for each in sagas]
    known += [("audit",), ("ops", "list"), ("ops", "show", operation(terminal))]
    yield from known
    yield from [("audit", "-o", form) for form in FORMS]
    yield ("sagas", "show", WORDS)
    yield ("sagas", "list", f"state={WORDS}")
    yield ("sagas", "note", WORDS, "--reason", WORDS)
    yield ("sagas", "skip", "o-1", "--step", WORDS, "--evidence", WORDS, "--reason", WORDS)
    yield ("ops", "show", WORDS)


def test_nothing_that_was_typed_reaches_the_terminal_but_as_text(desk: Terminal) -> None:
    """Of results, of progress, and of what went wrong; in every form."""
    shown = ""
    for words in typed(desk):
        said = desk.type(*words)
        assert said.code in {0, 2, 3, 6}, (words, said)
        assert FORBIDDEN.search(said.out + said.err) is None, words
        shown += said.out
    assert shown.count(HOSTILE) > 20


def test_dead_letters_reach_the_terminal_as_text(
    stage: Stage, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A stranger's headers and type, and the reason of who looked after them."""
    monkeypatch.setattr(telling, "WAIT_S", 0.0)

    async def make() -> Letterbox:
        box = Letterbox(tmp_path)
        made = command("a", "tok_broken")
        headers = tuple((name, WORDS.encode()) for name, _ in made.headers)
        box.deliver(made, made._replace(headers=headers), made._replace(value=WORDS.encode()))
        return box

    box = stage.run(make())
    monkeypatch.setenv("BATON_URL", stage.serve(box.letters().routes()))
    for words in (
        ("park", "b", "--service", "billing", "--reason", WORDS),
        ("park", WORDS, "--service", "billing", "--reason", WORDS),
        ("list",),
        ("show", "a", "--service", "billing"),
        ("show", "b", "--service", "billing"),
        ("show", WORDS, "--service", WORDS),
        ("redrive", "a", "--service", "billing", "--reason", WORDS, "--dry-run"),
    ):
        said = terminal.type("dlq", *words)
        assert FORBIDDEN.search(said.out + said.err) is None, words


def test_what_is_said_beside_results_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Faults, what to type next, progress, followed lines: lines of ours stay lines."""
    output = Output()
    output.say(f"one\n{ESCAPES}")
    output.fail(f"two\n{ESCAPES}", f"three {ESCAPES}")
    output.lines([f"four\n{ESCAPES}"])
    output.one({"five": {ESCAPES: ESCAPES}, "six": [ESCAPES]})
    said = capsys.readouterr()
    assert FORBIDDEN.search(said.out + said.err) is None
    assert said.err.count("\n") == 5


async def test_pages_show_what_was_typed_as_text(tmp_path: Path) -> None:
    """Every page that shows a reason, an actor, evidence, who it was given to, or a detail."""
    async with website(tmp_path) as site:
        await act_by_pages(site)
        for path in (
            *("/", "/stuck", "/sagas", "/operations", "/audit", "/dead-letters", "/topics"),
            *(f"/sagas/o-1?tab={tab}" for tab in ("story", "timeline", "sequence", "state", "raw")),
            *("/sagas/o-2", "/sagas/o-1", "/audit?actor=x", "/live?view=overview&once=1"),
        ):
            html = (await site.http.get(path)).text
            assert "<img" not in html, path
        story = Text((await site.http.get("/sagas/o-1")).text).seen
        assert HOSTILE in story


async def act_by_pages(site: Website) -> None:
    await site.playing.decline("o-1")
    for _ in range(14):
        site.playing.wait(60)
        await site.playing.fire()
    await site.playing.place_order("o-2")
    await site.playing.ask_cancellation("o-2", "r-1", WORDS)
    for verb, more in (
        ("note", {}),
        ("assign", {"assignee": WORDS}),
        ("skip", {"evidence": WORDS, "step": "stock"}),
    ):
        page = Text(await site.page(f"/act?verb={verb}&saga=o-1"))
        form = {**page.form_with("key"), "reason": WORDS, **more}
        await site.http.post("/act", data=form)
