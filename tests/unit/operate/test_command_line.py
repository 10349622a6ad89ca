"""What scripts rely on: forms of output, exit codes, options anywhere, and a quick `--help`."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from orchestrator.operate.cli import build_app, hoisted
from orchestrator.operate.client import Server
from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault
from orchestrator.operate.output import Form, Output

ROWS = [
    {"id": "o-1", "n": 2, "note": None, "extra": {"a": 1}},
    {"id": "o-[2]", "n": 10, "note": "a,b", "extra": {}},
]
HEAVY = {"aiokafka", "pydantic", "starlette", "httpx", "rich", "jgo", "fastavro", "uvicorn"}


def baton(*arguments: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "KAFKA_"))}
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.operate.cli", *arguments],
        env={**environment, "BATON_HOME": str(home), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
        cwd=Path(__file__).parents[3],
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["status", "-o", "json"], ["-o", "json", "status"]),
        (["status", "--output=csv", "-q"], ["--output=csv", "-q", "status"]),
        (["logs", "crm", "-n", "5", "--no-color"], ["--no-color", "logs", "crm", "-n", "5"]),
        (["order", "place", "--", "-q", "-o"], ["order", "place", "--", "-q", "-o"]),
        (["status", "-o"], ["-o", "status"]),
        ([], []),
    ],
)
def test_global_options_may_stand_anywhere(given: list[str], expected: list[str]) -> None:
    """What follows a double dash is the verb's own."""
    assert hoisted(given) == expected


def test_help_loads_nothing_heavy() -> None:
    """It answers within a quarter of a second because only typer is imported."""
    program = (
        "import sys, orchestrator.operate.cli as cli; app = cli.build_app()\n"
        f"print(sorted(set(sys.modules) & {HEAVY!r}))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert said.stdout.decode().strip() == "[]", said.stdout


def test_the_verbs_of_the_local_stack_are_there(tmp_path: Path) -> None:
    """Each with a line of help that is not cut off."""
    said = baton("--help", home=tmp_path)
    assert said.returncode == 0
    lines = [line.strip() for line in said.stdout.splitlines()]
    for verb in ("up", "down", "status", "reset", "doctor", "logs"):
        (line,) = [line for line in lines if line.split(" ")[0] == verb]
        assert line.endswith(".")
        assert not line.endswith("...")
    assert {
        command.name or command.callback.__name__
        for command in build_app().registered_commands
        if command.callback
    } >= {"up", "down", "status", "reset", "doctor", "logs"}


def test_json_is_the_whole_row_and_empty_is_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are for people."""
    Output(Form.JSON).rows(["id"], ROWS)
    assert json.loads(capsys.readouterr().out) == ROWS
    Output(Form.JSON).rows(["id"], [])
    assert json.loads(capsys.readouterr().out) == []
    Output(Form.JSON).one(ROWS[0])
    assert json.loads(capsys.readouterr().out) == ROWS[0]


def test_json_lines_are_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """And none for nothing."""
    Output(Form.JSONL).rows(["id"], ROWS)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS
    Output(Form.JSONL).rows(["id"], [])
    assert capsys.readouterr().out == ""


def test_csv_has_a_header_and_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    """The chosen columns, read back by any reader."""
    Output(Form.CSV).rows(["id", "n", "note"], ROWS)
    read = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert read == [["id", "n", "note"], ["o-1", "2", ""], ["o-[2]", "10", "a,b"]]


def test_a_piped_table_has_whole_cells_and_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets are text, not markup; numbers stand right."""
    long = "x" * 300
    Output().rows(["id", "n"], [*ROWS, {"id": long, "n": 3}])
    lines = capsys.readouterr().out.splitlines()
    assert "\x1b" not in "".join(lines)
    assert [line.split() for line in lines] == [
        ["ID", "N"], ["o-1", "2"], ["o-[2]", "10"], [long, "3"]
    ]  # fmt: skip
    assert lines[1].endswith("   2")


def test_quiet_silences_what_is_said_and_never_a_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Results and errors only."""
    output = Output(quiet=True)
    output.say("on the way")
    output.fail("broken", "mend it")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "✖ broken\n  → mend it\n"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("status",), 7, "no stack runs in"),
        (("down",), 0, "no stack runs in"),
        (("reset", "--yes"), 0, "nothing to delete in"),
        (("logs", "nobody"), 3, "no log of 'nobody'"),
        (("up", "--only", "biling"), 3, "no process is called biling"),
        (("dance",), 2, "No such command 'dance'"),
        (("status", "-o", "yaml"), 2, "'yaml' is not one of"),
    ],
)
def test_exit_codes_tell_what_happened(
    tmp_path: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    """Without a stack, and without a traceback."""
    said = baton(*arguments, home=tmp_path / "state")
    assert (said.returncode, "Traceback" in said.stderr) == (code, False)
    assert told in said.stderr


def test_nothing_running_is_an_empty_list_for_programs(tmp_path: Path) -> None:
    """The reason stands on standard error."""
    said = baton("status", "-o", "json", home=tmp_path / "state")
    assert json.loads(said.stdout) == []


def test_reset_without_anybody_to_ask_deletes_nothing(tmp_path: Path) -> None:
    """A script that forgot `--yes` loses no data."""
    (tmp_path / "data").mkdir()
    said = baton("reset", home=tmp_path)
    assert said.returncode == 6
    assert (tmp_path / "data").is_dir()


def test_reset_deletes_what_a_stack_makes_and_nothing_else(tmp_path: Path) -> None:
    """BATON_HOME may be a folder with other things in it."""
    for name in ("kafka", "data", "logs", "run", "photos"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / "token").touch()
    said = baton("reset", "--yes", home=tmp_path)
    assert said.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_logs_are_printed_by_process_and_all_together(tmp_path: Path) -> None:
    """Alone as they are, together with a name before each line."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "crm.log").write_text("a\nb\nc\n", encoding="utf-8")
    (tmp_path / "logs" / "mail.log").write_text("d\n", encoding="utf-8")
    assert baton("logs", "crm", "-n", "2", home=tmp_path).stdout == "b\nc\n"
    assert baton("logs", home=tmp_path).stdout.splitlines() == [
        "crm           a",
        "crm           b",
        "crm           c",
        "mail          d",
    ]


def test_doctor_names_what_is_ill_and_the_command_that_mends_it(tmp_path: Path) -> None:
    """An exposed token is a finding, not a crash, and makes the exit code 1."""
    home = tmp_path / "state"
    home.mkdir(mode=0o755)
    (home / "token").write_text("x", encoding="utf-8")
    (home / "token").chmod(0o644)
    said = baton("doctor", "-o", "json", home=home)
    found = {row["check"]: row for row in json.loads(said.stdout)}
    assert said.returncode == 1
    assert found["token"] == {
        "check": "token",
        "finding": "ill",
        "detail": f"{home}/token can be read by others on this machine (mode 0644)",
        "mend": f"chmod 600 {home}/token   (and if it was copied: rm {home}/token, a new one "
        "is made)",
    }
    assert found["state folder"]["mend"] == f"chmod 700 {home}"
    assert found["stack"] == {
        "check": "stack", "finding": "note", "detail": "none runs", "mend": "baton up"
    }  # fmt: skip
    assert {found[name]["finding"] for name in ("python", "venv module", "java")} == {"ok"}


def test_a_status_that_nobody_has_named_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a proxy before the console; told, and no traceback."""
    monkeypatch.setenv("BATON_TOKEN", "t")
    answer = httpx.Response(599, request=httpx.Request("GET", "http://console/api/sagas"))
    with Server(url="http://console") as server, pytest.raises(VerbFault) as told:
        server._json(answer)

    assert (told.value.code, str(told.value)) == (
        Exit.FAILURE,
        "GET http://console/api/sagas: status 599",
    )
