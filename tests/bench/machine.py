"""What a process used, as Linux accounts it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from deploy.local.home import Home

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def pids(home: Home, names: Iterable[str]) -> dict[str, int]:
    return {name: int(json.loads(home.pid(name).read_text())["pid"]) for name in names}


def cpu_s(processes: Mapping[str, int]) -> dict[str, float]:
    """User and system seconds of each process since it began."""
    found: dict[str, float] = {}
    for name, pid in processes.items():
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        found[name] = (int(fields[11]) + int(fields[12])) * _TICK_S
    return found


def rss_mb(processes: Mapping[str, int]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, pid in processes.items():
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                found[name] = round(int(line.split()[1]) / 1024, 1)
    return found


def bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
