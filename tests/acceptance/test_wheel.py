"""What is shipped is whole: the wheel alone, in an empty environment, brings the company up.

The wheel is built from a copy of the tree, without fetching anything; its requirements come from
the lock, hashes checked, out of what the set-up fetched before. Slow, and so the last to run.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tidy.tree import PRODUCT, ROOT, files

pytestmark = [pytest.mark.stack, pytest.mark.kafka]

Done = subprocess.CompletedProcess[str]
SHIPPED = (".avsc", ".sql", ".csv.gz", ".lock", ".properties", "py.typed", ".py")
READY_WITHIN_S = 180


def run(*argv: str | Path, cwd: Path = ROOT, home: Path | None = None) -> Done:
    """Ended well; both streams are shown when not."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "NO_COLOR": "1"}
    if home is not None:
        environment["BATON_HOME"] = str(home)
    done = subprocess.run(
        list(map(str, argv)),
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=READY_WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for path in files():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, source / path)
    run(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"),
        *("--quiet", "--wheel-dir", made, source),
    )
    (found,) = made.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with the wheel and what it asks for, nothing else."""
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    pip = (sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install")
    locked = environment / "requirements.lock"
    locked.write_text("".join(needed_lines()))
    subprocess.run(
        [*pip, "--quiet", "--no-deps", "--no-compile", "--require-hashes", "-r", locked], check=True
    )
    subprocess.run([*pip, "--quiet", "--no-deps", "--no-compile", wheel], check=True)
    return environment / "bin"


def needed_lines() -> Iterator[str]:
    """The entries of the lock that the wheel itself needs; the others are for development."""
    wanted = needed("baton-saga", frozenset())
    for entry in re.findall(r"^\S+==.*\n(?: +.*\n)*", locked_text(), re.MULTILINE):
        if canonicalize_name(entry.partition("==")[0]) in wanted:
            yield entry


def locked_text() -> str:
    return (ROOT / "requirements.lock").read_text(encoding="utf-8")


def needed(package: str, known: frozenset[str]) -> frozenset[str]:
    for requirement in map(Requirement, requires(package) or ()):
        name = canonicalize_name(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and name not in known:
            known = needed(name, known | {name})
    return known


def test_the_wheel_holds_the_product_and_nothing_else(wheel: Path) -> None:
    """Schemas, statements, data and locks of jars are there; tests are not."""
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    of_ours = {path for path in files() if path.partition("/")[0] in PRODUCT}
    shipped = {path for path in of_ours if path.endswith(SHIPPED)}
    assert sorted(shipped - held) == []
    assert sorted(p for p in held if p.startswith(("tests/", ".ci", "build/"))) == []
    assert {path.partition("/")[0] for path in held if ".dist-info" not in path} == set(PRODUCT)


def test_every_requirement_of_the_wheel_is_locked() -> None:
    """With its hashes, so that nobody installs anything else under its name."""
    entries = list(needed_lines())
    names = {str(canonicalize_name(entry.partition("==")[0])) for entry in entries}
    assert names == set(needed("baton-saga", frozenset()))
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_installed_wheel_brings_the_company_up(empty: Path, tmp_path: Path) -> None:
    """From a folder that holds nothing: help, contracts, the whole company, and down again."""
    here, home, baton = tmp_path / "here", tmp_path / "home", empty / "baton"
    here.mkdir()
    assert "Start everything and stay." in run(baton, "--help", cwd=here).stdout
    agreed = run(baton, "contracts", "check", cwd=here, home=home).stderr
    assert re.fullmatch(r"\d{2} messages against released [\d., ]+: 0 findings\n", agreed)
    code = "import services; print(services.__file__)"
    where = run(empty / "python", "-c", code, cwd=here).stdout.strip()
    assert Path(where).is_relative_to(empty.parent)
    try:
        run(baton, "up", "-d", cwd=here, home=home)
        status = run(baton, "status", "-o", "jsonl", cwd=here, home=home).stdout
        assert len(status.splitlines()) == 13
    finally:
        run(baton, "down", cwd=here, home=home)
    assert list(here.iterdir()) == []
