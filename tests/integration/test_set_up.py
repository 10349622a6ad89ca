"""What a machine lacks at set-up and at the start is named, with the command that mends it.

Really provoked: each case runs `make setup` or `baton up` on a machine that lacks the one thing.
A small disk and another user are root's to make; elsewhere these tests say that they were skipped.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from deploy.local.home import Home
from deploy.local.ports import read_ports
from tests.companies import fill
from tests.integration.running_company import plainly

ROOT = Path(__file__).parents[2]
READ_BY_MAKE = ("Makefile", "requirements.lock", "pyproject.toml")
DEAD = "http://127.0.0.1:1"

Said = tuple[int, list[str]]


def said_by(argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Said:
    """Exit code, and what stands on both outputs without make's own lines."""
    done = subprocess.run(
        argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=240, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    return done.returncode, [line for line in lines if not line.startswith("make: ")]


def baton(home: Path, *words: str) -> Said:
    argv = (sys.executable, "-m", "orchestrator.operate.cli", *words)
    return said_by(argv, ROOT, plainly(BATON_HOME=str(home)))


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    return copied_to(tmp_path)


def copied_to(folder: Path) -> Path:
    """What `make setup` reads, and nothing that was set up."""
    for name in READ_BY_MAKE:
        shutil.copy(ROOT / name, folder)
    return folder


def test_a_python_without_the_venv_module(fresh: Path) -> None:
    """Debian splits it off: `import ensurepip` fails, and then nothing can be set up."""
    lacking = fresh / "lacking"
    lacking.mkdir()
    (lacking / "ensurepip.py").write_text("raise ImportError")
    version = f"Python {'.'.join(map(str, sys.version_info[:3]))}"

    said = said_by(
        ("make", "setup", f"PYTHON={sys.executable}"), fresh, plainly(PYTHONPATH=str(lacking))
    )

    assert said == (2, [
        f"✖ the venv module of {version} is missing",
        "  → apt-get install python3-venv   (as root), then: make setup",
    ])  # fmt: skip


def test_a_python_that_is_too_old(fresh: Path) -> None:
    old = fresh / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.2\n[ "$1" = -V ]\n')
    old.chmod(0o755)

    said = said_by(("make", "setup", f"PYTHON={old}"), fresh, plainly())

    assert said == (2, [
        f"✖ Python 3.11 or newer is needed; {old} is Python 3.9.2",
        "  → apt-get install python3.11, or: make setup PYTHON=/path/to/python3.11",
    ])  # fmt: skip


def test_no_network_for_the_packages(fresh: Path) -> None:
    """pip names the package that it was after; then it is said how to go on."""
    without = plainly(
        HTTPS_PROXY=DEAD, HTTP_PROXY=DEAD, PIP_RETRIES="0", PIP_NO_CACHE_DIR="1", PIP_FIND_LINKS=""
    )

    code, lines = said_by(("make", "setup", f"PYTHON={sys.executable}"), fresh, without)

    assert code == 2
    assert any(line.startswith("ERROR: No matching distribution found for ") for line in lines)
    assert lines[-2:] == [
        "✖ pip could not install every package, for the reason above; what it fetched is kept",
        "  → make setup   (again, once the network answers; df -h . /tmp ~ shows the room)",
    ]


def test_no_network_for_kafka(tmp_path: Path) -> None:
    """The jar, the reason on the wire and not what five libraries made of it, and three ways on."""
    without = plainly(
        HTTPS_PROXY=DEAD, HTTP_PROXY=DEAD, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path),
        PYTHONPATH=str(ROOT),
    )  # fmt: skip

    code, lines = said_by((sys.executable, "-m", "deploy.local.jars"), tmp_path, without)

    assert code == 1
    assert " of the embedded Kafka could not be fetched: ConnectionRefusedError: " in lines[-2]
    assert lines[-1] == (
        "  → make setup   (again, once the network answers: what was fetched is kept; "
        "HTTPS_PROXY names a proxy, REQUESTS_CA_BUNDLE its certificates); "
        "or set KAFKA_BOOTSTRAP_SERVERS to a Kafka you have"
    )


def test_a_disk_that_is_too_small_to_set_up_on(small_disk: Path) -> None:
    copied_to(small_disk)

    said = said_by(("make", "setup", f"PYTHON={sys.executable}"), small_disk, plainly())

    assert said == (2, [
        f"✖ the disk of {small_disk} has 96 MB left; setting up needs 600 MB",
        "  → df -h .   (make room, then: make setup)",
    ])  # fmt: skip


def test_a_disk_that_is_too_small_to_start_on(small_disk: Path) -> None:
    home = small_disk / "home"

    code, lines = baton(home, "up")

    assert code == 1
    assert lines == [
        f"✖ the disk of {home} has 100 MB left; a stack needs 268 MB to start and 1 GB to work",
        f"  → df -h {home}; or set BATON_HOME to a folder on another disk",
    ]


def test_a_disk_that_is_full(small_disk: Path) -> None:
    fill(small_disk)
    home = small_disk / "home"

    assert baton(home, "up") == (1, [
        f"✖ the disk of {home} is full",
        f"  → df -h {small_disk}   (a stack needs 1 GB; BATON_HOME moves its state)",
    ])  # fmt: skip


def test_a_port_that_somebody_took_meanwhile(tmp_path: Path) -> None:
    """The address of the last start is kept unless another program has it: then that is told."""
    home = tmp_path / "home"
    up = ("up", "--detach", "--only", "mail")
    assert baton(home, *up)[0] == 0
    assert baton(home, "down")[0] == 0
    before = read_ports(Home(home).ports)["mail"]
    with closing(socket.create_server(("127.0.0.1", before))):
        _, checks = baton(home, "doctor", "-o", "csv")
        code, lines = baton(home, *up)
        assert baton(home, "down")[0] == 0
    after = read_ports(Home(home).ports)["mail"]
    (told,) = (line for line in checks if line.startswith("ports,"))
    assert "note" in told
    assert f"mail {before}" in told  # beside others, if somebody else is busy on this machine
    assert (code, after != before) == (0, True)
    assert f"the port of mail was taken by another program; it is now {after}" in lines
