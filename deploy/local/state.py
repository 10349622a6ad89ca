"""What a running supervisor says of itself, read from `run/supervisor.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from .home import Home


@dataclass(frozen=True, slots=True)
class StackState:
    """`processes` are rows as `Status.as_json` makes them."""

    pid: int
    since: float
    bootstrap: str
    addresses: Mapping[str, str]
    processes: tuple[Mapping[str, object], ...]

    @property
    def is_ready(self) -> bool:
        return bool(self.processes) and all(process["ready"] for process in self.processes)


def read_state(home: Home) -> StackState | None:
    """None when there is none. The file of a killed supervisor may lie there: ask `is_running`."""
    try:
        content = json.loads(home.supervisor_state.read_text(encoding="utf-8"))
        return StackState(
            pid=content["pid"],
            since=content["since"],
            bootstrap=content.get("bootstrap", ""),
            addresses=content.get("addresses", {}),
            processes=tuple(content["processes"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
