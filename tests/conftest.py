"""Fixtures that every level may use: one real Kafka per run, started only if a test wants it.

`kafka` is its bootstrap address. The workers of one run share it: the first that asks starts it
under a file lock, and it ends with the run's own process, however that ends.
`KAFKA_BOOTSTRAP_SERVERS` uses a cluster that is there, `BATON_TEST_KAFKA=container` a container.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres_server import HOW, NoPostgres, PostgresServer

pytest_plugins = ["tests.companies"]
ASKED = os.environ.get("BATON_TEST_KAFKA", "embedded")
REQUIRE_ALL = os.environ.get("BATON_REQUIRE_ALL") == "1"
KEEPERS = {
    "embedded": ["-m", "deploy.local.lone_broker"],
    "container": [str(Path(__file__).parent / "integration" / "kafka_container.py")],
}


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Bootstrap servers of a running Kafka. Other tests use it too: take topics of your own."""
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return given
    of_a_worker = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if of_a_worker else base) / "kafka"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        address = folder / "address"
        if not address.exists():
            said = keep_running(folder, while_pid=os.getppid() if of_a_worker else os.getpid())
            address.write_text(said)
        said = address.read_text()
    if not said:
        last = (folder / "keeper.log").read_text(encoding="utf-8").strip().splitlines()[-2:]
        missing(f"no Kafka ({ASKED}) could be started: {' '.join(last)}")
    return said


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Running; other tests use it too: make databases of your own, and leave it running."""
    with tempfile.TemporaryDirectory(prefix="baton-postgres-") as folder:
        try:
            server = PostgresServer(Path(folder))
            server.begin()
        except NoPostgres as fault:
            missing(f"no PostgreSQL could be started: {fault}. {HOW}")
        yield server
        server.end("immediate")


def keep_running(folder: Path, *, while_pid: int) -> str:
    """The address that the keeper prints, or "" when it ended without one."""
    reading, writing = os.pipe()
    log = os.open(folder / "keeper.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    argv = [sys.executable, *KEEPERS[ASKED], str(folder), "--while", str(while_pid)]
    moves = [(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
    os.posix_spawn(sys.executable, argv, os.environ, file_actions=moves, setsid=True)
    os.close(writing)
    os.close(log)
    with os.fdopen(reading) as lines:
        return lines.readline().strip()


def missing(reason: str) -> None:
    """A part of the machine that a test needs is not there: said aloud, or a failure if asked."""
    if REQUIRE_ALL:
        pytest.fail(reason)
    pytest.skip(reason)
