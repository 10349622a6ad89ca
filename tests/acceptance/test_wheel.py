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

from tests.acceptance.readme import block
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


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def as_a_clone(folder: Path, home: Path) -> Path:
    """A folder in which the README's commands find what they find in a clone."""
    folder.mkdir()
    for name, place in {
        ".venv": Path(sys.prefix),
        ".baton": home,
        "schemas": ROOT / "schemas",
        "tests": ROOT / "tests",
    }.items():
        (folder / name).symlink_to(place)
    return folder


def commands_of_the_readme() -> str:
    """Without curl, which a plain machine may lack, the same request is made in Python."""
    shim = "curl() { python3 -c 'import urllib.request as u, sys; "
    shim += 'print(u.urlopen(sys.argv[1]).read().decode())\' "$2"; }\n'
    return ("" if shutil.which("curl") else shim) + block("sh", "follow_outcomes.py")


def test_the_installed_wheel_brings_the_company_up(empty: Path, here: Path, tmp_path: Path) -> None:
    """From a folder that holds nothing: the README's outsiders meet the company it brings up."""
    home, baton = tmp_path / "home", empty / "baton"
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
        clone = as_a_clone(tmp_path / "clone", home)
        seen = run("bash", "-c", commands_of_the_readme(), cwd=clone).stdout.splitlines()
    finally:
        run(baton, "down", cwd=here, home=home)
    assert list(here.iterdir()) == []
    assert seen[0] == (
        "baton.orchestrator.OrderCancelled {'order_id': 'web-1', 'customer_id': None, "
        "'placed_event_id': 'web-1/placed', 'reason': 'out_of_stock', 'detail': 'stock'}"
    )
    assert 'saga_finished_total{outcome="compensated",saga="fulfilment"} 1.0' in seen
