"""Of the modules where a branch not taken is a rule not tested, every branch is taken.

By tests that are the same every time: what a long random search happens to reach is not counted,
so that whoever adds a branch also writes down what it is for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.tidy.tree import ROOT

WATCHED = (
    "orchestrator/engine/decide.py",
    "orchestrator/engine/machine.py",
    "services/chassis/inbox.py",
    "services/chassis/outbox.py",
)
TESTS = (
    "tests/unit/orchestrator/test_every_interruption.py",
    "tests/unit/orchestrator/test_every_step.py",
    "tests/unit/orchestrator/test_fulfilment.py",
    "tests/unit/orchestrator/test_machine_tables.py",
    "tests/unit/orchestrator/test_parallel.py",
    "tests/unit/orchestrator/test_refused_stimuli.py",
    "tests/unit/orchestrator/test_restored.py",
    "tests/unit/orchestrator/test_verbs.py",
    "tests/unit/chassis/test_inbox.py",
)


def test_every_branch_of_the_core_is_taken(tmp_path: Path) -> None:
    """No line and no branch is left out, and none is excused by a comment."""
    found = tmp_path / "coverage.json"
    names = [path.removesuffix(".py").replace("/", ".") for path in WATCHED]
    said = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS),
            *(f"--cov={name}" for name in names),
            *("--cov-branch", f"--cov-report=json:{found}"),
        ],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if "PYTEST" not in name}
        | {"COVERAGE_FILE": str(tmp_path / "data"), "HYPOTHESIS_PROFILE": "check"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    files = json.loads(found.read_text())["files"]
    left = {
        path: (each["missing_lines"], each["missing_branches"], each["excluded_lines"])
        for path, each in files.items()
    }
    assert left == {path: ([], [], []) for path in WATCHED}
