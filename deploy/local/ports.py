"""The loopback ports of a state folder: chosen once, kept in `ports.json`, reused while free.

Chosen below the range that the kernel gives to outgoing connections, so that no client of ours
sits on one after a restart. A port that somebody else took meanwhile is replaced, and told.
"""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from .faults import HomeUnusable
from .home import write_whole

LOOPBACK: Final = "127.0.0.1"
FIRST: Final = 20_000
LAST: Final = 32_000
TRIES: Final = 1_000

IsFree = Callable[[int], bool]


def is_free(port: int) -> bool:
    """As a server would bind it: a port in TIME_WAIT is free."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def read_ports(path: Path) -> dict[str, int]:
    """What was chosen, or nothing. A broken file counts as nothing: ports are no state to keep."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {str(name): port for name, port in content.items() if isinstance(port, int)}


def taken(ports: Mapping[str, int], *, free: IsFree = is_free) -> dict[str, int]:
    return {name: port for name, port in ports.items() if not free(port)}


def choose_ports(path: Path, names: Iterable[str], *, free: IsFree = is_free) -> dict[str, int]:
    """One port per name, written to `path`. Call it while nothing of this stack runs."""
    known = read_ports(path)
    chosen: dict[str, int] = {}
    for name in names:
        port = known.get(name)
        if port is None or port in chosen.values() or not free(port):
            port = _new_port(avoiding={*known.values(), *chosen.values()}, free=free)
        chosen[name] = port
    ports = {**known, **chosen}
    if ports != known:
        write_whole(path, json.dumps(ports, indent=1) + "\n")
    return ports


def _new_port(*, avoiding: set[int], free: IsFree) -> int:
    for _ in range(TRIES):
        port = FIRST + secrets.randbelow(LAST - FIRST)
        if port not in avoiding and free(port):
            return port
    raise HomeUnusable(
        f"no free port between {FIRST} and {LAST} on {LOOPBACK} after {TRIES} tries",
        mend="ss -ltnp   (shows what listens)",
    )
