"""Linter, formatter, type checker and the import rules agree with the tree: `make check`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.tree import PRODUCT, ROOT

BIN = Path(sys.executable).parent
CHECKS = {
    "ruff check": ["ruff", "check", "--no-fix", "-q", "."],
    "ruff format": ["ruff", "format", "--check", "-q", "."],
    "mypy": ["mypy"],
    "lint-imports": ["lint-imports", "--no-logo"],
}
PLANTED = {
    "Services never import each other": ("services/crm/domain.py", "services.orders.domain"),
    "Services import neither": ("services/orders/domain.py", "orchestrator.saga"),
    "The chassis imports no service": ("services/chassis/clock.py", "services.crm.domain"),
    "Schemas import nothing of ours": ("schemas/values.py", "services.chassis.clock"),
    "never a service": ("orchestrator/operate/exits.py", "services.billing.domain"),
    "only its console": ("orchestrator/engine/machine.py", "deploy.local.home"),
    "names all else as strings": ("deploy/local/home.py", "orchestrator.saga"),
    "shares no code": ("deploy/verify/facts.py", "schemas.values"),
    "judged without a clock": ("deploy/verify/facts.py", "asyncio"),
    "know no clock": ("services/shipping/domain.py", "asyncio"),
}


def run(argv: list[str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / argv[0]), *argv[1:]]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("check", CHECKS)
def test_the_tools_agree(check: str) -> None:
    """Nothing is left to say for them."""
    done = run(CHECKS[check])
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_import_rule_can_break(tmp_path: Path) -> None:
    """One forbidden import for each contract: all of them say so."""
    for folder in PRODUCT:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=_no_code)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for path, name in PLANTED.values():
        with (tmp_path / path).open("a") as file:
            file.write(f"\nimport {name}\n")
    said = run(["lint-imports", "--no-logo", "--no-cache"], tmp_path).stdout
    verdicts = [line for line in said.splitlines() if line.endswith((" KEPT", " BROKEN"))]
    assert len(verdicts) == len(PLANTED), said
    for contract in PLANTED:
        assert [line for line in verdicts if contract in line and line.endswith("BROKEN")], contract


def _no_code(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if "." in name and not name.endswith(".py")]
