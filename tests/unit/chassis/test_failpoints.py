"""Failpoints end a process where they are armed, and nowhere else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from services.chassis import failpoints
from services.chassis.settings import Settings, SettingsError

NAMED = "a name of services/chassis/failpoints.py and a count, as before_commit:3"
PROGRAM = """
from services.chassis import failpoints
failpoints.arm("after_commit:2")
for each in ("after_commit", "before_commit", "before_commit", "after_commit", "after_outbox"):
    print(each, flush=True)
    failpoints.reached(each)
"""


def test_an_armed_process_dies_at_the_named_moment_and_count() -> None:
    """The second time, not at other names, as by SIGKILL; its last line says where it was."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    said = ["after_commit", "before_commit", "before_commit", "after_commit"]
    assert (ended.stdout.split(), ended.returncode) == (said, -9)
    assert re.fullmatch(r'{"failpoint":"after_commit:2","pid":[0-9]+}\n', ended.stderr)


def test_without_a_hook_a_moment_passes() -> None:
    assert failpoints.hook is None
    failpoints.reached("before_commit")


def test_each_name_stands_in_the_product_and_nothing_else_does() -> None:
    """A database of each kind has its own commit; all others stand once."""
    here = Path(failpoints.__file__).parent
    texts = [path.read_text() for path in here.glob("*.py")]
    found = {name for text in texts for name in re.findall(r'reached\("(\w+)"\)', text)}
    assert found == set(failpoints.NAMES)


@pytest.mark.parametrize(
    ("environment", "problems"),
    [
        (
            {"BATON_FAILPOINT": "before_commit:3"},
            ["BATON_FAILPOINT: kills this process, so it asks for BATON_TEST=1"],
        ),
        (
            {"BATON_FAILPOINT": "before_lunch:1", "BATON_TEST": "1"},
            [
                "BATON_FAILPOINT=before_lunch:1: allowed is " + NAMED,
            ],
        ),
    ],
)
def test_a_process_outside_tests_is_not_armed(
    environment: dict[str, str], problems: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({"KAFKA_BOOTSTRAP_SERVERS": "localhost:1", **environment}, service="billing")
    assert [str(problem) for problem in caught.value.problems] == problems


def test_a_test_may_arm_its_process() -> None:
    environment = {"KAFKA_BOOTSTRAP_SERVERS": "localhost:1", "BATON_FAILPOINT": "after_poll:1"}
    settings = Settings.read({**environment, "BATON_TEST": "1"}, service="billing")
    assert settings.failpoint == "after_poll:1"
