"""Verbs that need no stack, and what holds of every verb: help, codes, forms, colour."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from stage import Said, Terminal

from schemas import asyncapi, compatibility
from schemas.catalogue import load_catalogue
from schemas.topics import TOPICS, all_topics

HELP = Path(__file__).parent / "help.txt"
BATON = (sys.executable, "-m", "orchestrator.operate.cli")


def test_the_top_level_help_is_the_one_that_was_agreed(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verb that comes, goes or is said otherwise shows here; write help.txt anew on purpose."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")

    assert terminal.type("--help") == Said(0, HELP.read_text(encoding="utf-8"), "")


@pytest.mark.parametrize(
    "noun", ["sagas", "order", "customer", "stock", "topics", "contracts", "events", "outcomes"]
)
def test_every_noun_explains_each_of_its_verbs(terminal: Terminal, noun: str) -> None:
    """In one line each, and at length."""
    said = terminal.type(noun, "--help")
    verbs = [line.split()[:2] for line in said.out.split("Commands:")[1].splitlines() if line]

    assert said.code == 0
    assert all(len(words) == 2 for words in verbs)
    for verb, _ in verbs:
        assert terminal.type(noun, verb, "--help").code == 0


def test_help_loads_nothing_heavy() -> None:
    """It answers at once because no verb's work is imported for it."""
    look = (
        "import sys; import orchestrator.operate.cli as cli; cli.build_app();"
        "print(sorted({'httpx', 'pydantic', 'aiokafka', 'starlette', 'fastavro', 'rich'}"
        " & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("sagas", "nonsense"),
        ("sagas", "list", "--nonsense"),
        ("sagas", "show"),
        ("sagas", "list", "-o", "yaml"),
        ("sagas", "graph", "fulfilment", "--format", "png"),
        ("order", "cancel", "ord-1"),
    ],
)
def test_a_wrong_usage_exits_2_with_nothing_on_standard_output(
    terminal: Terminal, words: tuple[str, ...]
) -> None:
    """Standard error says how it is used."""
    said = terminal.type(*words)

    assert (said.code, said.out) == (2, "")
    assert "Usage: baton" in said.err


@pytest.mark.parametrize(
    ("wanted", "code", "told"),
    [
        (
            "billing=2",
            6,
            "billing=2: the databases in {data} are SQLite files, and a file has one process",
        ),
        ("billing=9", 6, "billing=9: a program has 1 to 4 processes here, as many as its topics"),
        ("billing", 6, "billing: a program has 1 to 4 processes here"),
        ("kafka=2", 3, "kafka=2: no program called 'kafka' can be scaled"),
        ("billing=1", 7, "no stack runs in {home}"),
    ],
)
def test_what_cannot_be_scaled_is_refused(
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    wanted: str,
    code: int,
    told: str,
) -> None:
    """Before the supervisor is asked, with the reason and what to type."""
    monkeypatch.setenv("BATON_HOME", str(tmp_path))

    said = terminal.type("scale", wanted)

    assert (said.code, said.out) == (code, "")
    assert told.format(home=tmp_path, data=tmp_path / "data") in " ".join(said.err.split())
    assert "baton" in said.err.splitlines()[-1]


LISTS = (("topics", "list"), ("topics", "list", "--dead"), ("contracts", "list"),
         ("contracts", "check"))  # fmt: skip


@pytest.mark.parametrize("words", LISTS)
def test_lists_are_valid_in_every_form(terminal: Terminal, words: tuple[str, ...]) -> None:
    """The same rows in each; the table has no escape sequences."""
    rows = json.loads(terminal.type(*words, "-o", "json").out)
    lines = terminal.type(*words, "-o", "jsonl").out.splitlines()
    cells = list(csv.reader(io.StringIO(terminal.type(*words, "-o", "csv").out)))
    table = terminal.type(*words)

    assert rows == [json.loads(line) for line in lines]
    assert len(cells) == len(rows) + 1
    assert table.code == 0
    assert "\x1b" not in table.out + table.err


def test_topics_are_those_of_the_table(terminal: Terminal) -> None:
    """With `--dead`, those of dead letters as well."""
    listed = json.loads(terminal.type("topics", "list", "-o", "json").out)
    whole = json.loads(terminal.type("topics", "list", "--dead", "-o", "json").out)

    assert [topic["name"] for topic in listed] == [topic.name for topic in TOPICS]
    assert [topic["name"] for topic in whole] == [topic.name for topic in all_topics()]
    assert listed[0]["writers"] == ["anybody"]


def test_contracts_are_filtered_by_kind_and_owner(terminal: Terminal) -> None:
    """A kind that is none finds none, and that is `[]`."""
    words = ("contracts", "list", "--kind", "command", "--owner", "billing", "-o", "json")
    listed = json.loads(terminal.type(*words).out)
    nothing = terminal.type("contracts", "list", "--kind", "wish", "-o", "json")

    assert {each["name"] for each in listed} == {
        name
        for name, contract in load_catalogue().by_name.items()
        if contract.kind == "command" and contract.owner == "billing"
    }
    assert nothing == Said(0, "[]\n", "")


def test_contracts_that_break_a_reader_exit_1_with_each_finding(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What, where and what to do."""
    finding = compatibility.Finding("baton.x.Y", "0.1.0", "baton.x.Y.z", "removed", "Put it back")
    monkeypatch.setattr(compatibility, "check_released", lambda: (finding,))
    well = terminal.type("contracts", "check", "-o", "jsonl")

    assert (well.code, json.loads(well.out)["path"]) == (1, "baton.x.Y.z")
    assert well.err.endswith("messages against released 0.1.0: 1 findings\n")


def test_the_asyncapi_document_is_the_generated_one(terminal: Terminal, tmp_path: Path) -> None:
    """On standard output, or in a file."""
    file = tmp_path / "asyncapi.json"
    printed = json.loads(terminal.type("contracts", "asyncapi").out)
    written = terminal.type("contracts", "asyncapi", "--file", str(file))
    nowhere = terminal.type("contracts", "asyncapi", "--file", str(tmp_path / "no" / "where"))

    assert printed == asyncapi.document(version=printed["info"]["version"])
    assert json.loads(file.read_text()) == printed
    assert (written.code, written.out, nowhere.code) == (0, "", 1)


def test_a_reader_that_goes_away_is_no_failure() -> None:
    """`baton topics list | head -1` ends quietly."""
    listing = f"{' '.join(BATON)} topics list --dead -o jsonl"
    done = subprocess.run(
        ["/bin/sh", "-c", f"({listing}; echo $? >&2) | head -1"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "BATON_HOME": "/nowhere"},
    )

    assert (len(done.stdout.splitlines()), done.stderr) == (1, "0\n")


@pytest.mark.parametrize(
    ("words", "environment", "red"),
    [
        ((), {}, True),
        (("--no-color",), {}, False),
        ((), {"NO_COLOR": "1"}, False),
    ],
)
def test_only_a_terminal_that_wants_it_gets_colour(
    words: tuple[str, ...], environment: dict[str, str], *, red: bool
) -> None:
    """And the sign before a fault is there without it."""
    ours, theirs = os.openpty()
    done = subprocess.run(
        (*BATON, *words, "sagas", "graph", "nothing"),
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=False,
        env={**_without_colour_settings(), "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    said = os.read(ours, 65_536).decode()
    os.close(ours)

    assert (done.returncode, done.stdout) == (3, b"")
    assert ("\x1b[31m" in said) is red
    assert "✖ no saga is called nothing" in said


def test_a_pipe_gets_no_escape_sequence() -> None:
    """Neither in results nor in faults."""
    listed = subprocess.run((*BATON, "topics", "list"), capture_output=True, text=True, check=True)
    failed = subprocess.run(
        (*BATON, "sagas", "graph", "nothing"), capture_output=True, text=True, check=False
    )

    assert failed.returncode == 3
    assert "\x1b" not in listed.stdout + listed.stderr + failed.stdout + failed.stderr


def _without_colour_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if "COLOR" not in name}
