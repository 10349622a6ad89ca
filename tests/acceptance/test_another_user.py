"""All of it as a user who is not root: a clone of their own, set up, started, stopped.

Fetches every package again, so it runs where everything is required (`make prove`) and says that it
was skipped elsewhere. Needs root, to become nobody, and a Python that nobody may run, too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local import jars
from tests.conftest import REQUIRE_ALL, missing
from tests.integration.running_company import plainly

pytestmark = [pytest.mark.stack, pytest.mark.costly]

ROOT = Path(__file__).parents[2]
NOBODY = "65534"
SYSTEM = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class User:
    """Nobody, with a home that is theirs."""

    home: Path

    @property
    def clone(self) -> Path:
        return self.home / "baton"

    def types(self, *words: str, **more: str) -> tuple[int, list[str]]:
        path = f"{self.clone}/.venv/bin:{SYSTEM}"
        ids = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        done = subprocess.run(
            (*ids, *words), cwd=self.clone, env=plainly(HOME=str(self.home), PATH=path, **more),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=500, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout.splitlines()


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    if os.getuid() != 0:
        missing("this run is not root's, so every other test of it is this one")
    if not REQUIRE_ALL:
        pytest.skip("sets everything up a second time: BATON_REQUIRE_ALL=1 asks for it")
    with tempfile.TemporaryDirectory(prefix="baton-nobody-") as folder:
        home = Path(folder)
        made = User(home)
        clone = ("git", "clone", "-q", "--no-hardlinks", str(ROOT), str(made.clone))
        subprocess.run(clone, check=True)
        jar_folder = jars.jar_folder(jars.read_lock())
        shutil.copytree(jar_folder, home / ".cache" / "baton" / jar_folder.name)
        subprocess.run(("chown", "-R", f"{NOBODY}:{NOBODY}", folder), check=True)
        code, lines = made.types("make", "setup")
        assert (code, lines[-1]) == (0, "set up; next time nothing is fetched"), lines[-20:]
        yield made
        made.types("baton", "down")


def test_an_order_comes_to_its_end(user: User) -> None:
    """Every process is theirs, and so is every file of its state."""
    code, lines = user.types("baton", "up", "--detach")
    assert code == 0, lines
    _, said = user.types("baton", "doctor", "-o", "csv")
    assert [line for line in said if ",ill," in line] == []
    assert user.types("baton", "stock", "receive", "lamp:10")[0] == 0
    assert user.types("baton", "order", "place", "lamp:2:1250", "--id", "web-9")[0] == 0
    code, lines = user.types("baton", "sagas", "wait", "web-9", "--timeout", "60s")
    assert code == 0, lines
    owners = {path.stat().st_uid for path in (user.clone / ".baton").rglob("*")}
    assert owners == {int(NOBODY)}
    assert user.types("baton", "down")[0] == 0
    assert user.types("baton", "status")[0] == 7


@pytest.fixture
def foreign() -> Iterator[Path]:
    """A state folder of root's, which others may not even look into."""
    with tempfile.TemporaryDirectory(prefix="baton-foreign-") as folder:
        (Path(folder) / "run").mkdir()
        yield Path(folder)


def cannot_use(folder: Path) -> list[str]:
    return [
        f"✖ the state folder {folder} cannot be used: Permission denied",
        f"  → ls -ld {folder}; or set BATON_HOME to a folder of yours",
    ]


def cannot_see(file: str) -> Callable[[Path], list[str]]:
    def said(folder: Path) -> list[str]:
        path = folder / file
        mend = f"ls -ld {path.parent}; df -h {path.parent}; or set BATON_HOME to a folder of yours"
        return [f"✖ {path}: Permission denied", f"  → {mend}"]

    return said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("up",), cannot_use),
        (("down",), cannot_use),
        (("status",), cannot_use),
        (("reset", "--yes"), cannot_use),
        (("import", "--dry-run", "--limit", "1"), cannot_see("data/imports")),
        (("logs",), cannot_see("logs")),
    ],
)
def test_a_folder_of_somebody_else_is_told(
    user: User, foreign: Path, words: tuple[str, ...], said: Callable[[Path], list[str]]
) -> None:
    """Whose it is, and what to set instead; never a traceback."""
    assert user.types("baton", *words, BATON_HOME=str(foreign)) == (1, said(foreign))


def test_doctor_looks_on_where_it_may_not_look(user: User, foreign: Path) -> None:
    """The folder is ill, and the other findings are there as well."""
    code, lines = user.types("baton", "doctor", "-o", "csv", BATON_HOME=str(foreign))
    mend = f"ls -ld {foreign}; or set BATON_HOME to a folder of yours"
    assert code == 1
    assert f"state folder,ill,{foreign} is not yours to write,{mend}" in lines
    assert any(line.startswith("java,ok,") for line in lines)


def test_a_clone_of_somebody_else_is_told_before_anything_is_fetched(user: User) -> None:
    with tempfile.TemporaryDirectory(prefix="baton-foreign-") as folder:
        for name in ("Makefile", "requirements.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
        Path(folder).chmod(0o755)
        code, lines = user.types("make", "-C", folder, "setup")
    assert code == 2
    assert [line for line in lines if not line.startswith("make: ")] == [
        f"✖ {folder} cannot be written by nobody",
        f"  → sudo chown -R nobody {folder}   (or clone into a folder of yours)",
    ]
