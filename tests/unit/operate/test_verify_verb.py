"""`baton verify` at a terminal: what it prints, how it exits, and what it says where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from stage import Terminal

from deploy.verify import Ruling, Verdict, Violation
from orchestrator.operate.exits import Exit
from orchestrator.operate.verify_verbs import as_row, exit_of, lines_of

GOOD = Verdict("I-1", "one saga each", Ruling.OK, {"sagas": 2}, notes=("2 open",))
BAD = Verdict(
    "I-2",
    "one outcome each",
    Ruling.VIOLATED,
    {"sagas": 2},
    why=("no database of crm",),
    violations=(Violation("has two", "o-1", "outcomes", 0, 7),),
    violations_in_all=3,
)
VOID = Verdict("I-3", "nothing lost", Ruling.UNCHECKED, {"positions": 2}, why=("in flight",))
NOTHING = Verdict("I-13", "bad records", Ruling.NOTHING, {})
STILL = Verdict("I-16", "metrics", Ruling.UNCHECKED, {}, why=("nothing runs",))


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([GOOD, NOTHING], Exit.DONE),
        ([GOOD, STILL], Exit.DONE),
        ([GOOD, VOID], Exit.PARTIAL),
        ([GOOD, VOID, BAD], Exit.FAILURE),
        ([NOTHING, STILL], Exit.PARTIAL),
    ],
)
def test_the_exit_code_says_the_worst(verdicts: list[Verdict], code: Exit) -> None:
    """Metrics of what does not run are no failure; that nothing was looked at is one."""
    assert exit_of(verdicts) is code


def test_a_line_an_invariant_and_its_reasons_under_it() -> None:
    """Violations with order, topic, partition and offset; how many more there are."""
    assert list(lines_of([GOOD, BAD, NOTHING])) == [
        "✔ I-1  one saga each: ok",
        "         2 sagas",
        "         2 open",
        "✖ I-2  one outcome each: violated",
        "         2 sagas",
        "       ✖ o-1: has two at outcomes/0/7",
        "         and 2 more",
        "       ? no database of crm",
        "· I-13 bad records: nothing to check",
    ]


def test_json_has_every_part_of_a_verdict() -> None:
    """Programs read places as fields."""
    assert as_row(BAD) == {
        "invariant": "I-2",
        "status": "violated",
        "claim": "one outcome each",
        "checked": {"sagas": 2},
        "violations_in_all": 3,
        "violations": [
            {"what": "has two", "key": "o-1", "topic": "outcomes", "partition": 0, "offset": 7}
        ],
        "why": ["no database of crm"],
        "notes": [],
    }


def test_what_is_no_export_is_told(terminal: Terminal, tmp_path: Path) -> None:
    """The folder by its name, and how to make one."""
    said = terminal.type("verify", "--from", str(tmp_path / "none"))
    assert (said.code, said.out) == (Exit.NOT_FOUND, "")
    assert f"✖ {tmp_path / 'none'} holds no export" in said.err
    assert "→ baton verify --export DIR" in said.err


def test_an_export_overwrites_nothing(terminal: Terminal, tmp_path: Path) -> None:
    """Refused before anything is read."""
    (tmp_path / "mine").write_text("keep")
    said = terminal.type("verify", "--export", str(tmp_path))
    assert (said.code, said.out) == (Exit.REFUSED, "")
    assert f"✖ {tmp_path} is not empty" in said.err


def test_where_nothing_was_ever_started_there_is_nothing_to_read(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No broker is made for it."""
    monkeypatch.setenv("BATON_HOME", str(tmp_path))
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    said = terminal.type("verify")
    assert (said.code, said.out) == (Exit.UNREACHABLE, "")
    assert f"✖ nothing was ever started in {tmp_path}" in said.err
    assert list(tmp_path.iterdir()) == []
