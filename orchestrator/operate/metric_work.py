"""What `baton metrics list prometheus` do. Every family of every process is found here."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final

from deploy.local.faults import StackStopped
from deploy.local.home import Home
from deploy.local.prometheus import prometheus_yml
from deploy.local.state import read_state
from deploy.local.supervisor import is_running
from orchestrator.metrics import SAGAS
from orchestrator.operate.metrics import CONSOLE
from orchestrator.operate.output import Output
from services.chassis.metrics import CHASSIS, Family

CATALOGUE: Final[Mapping[str, tuple[Family, ...]]] = {
    "every process": CHASSIS,
    "orchestrator": SAGAS,
    "console": CONSOLE,
}
COLUMNS: Final = ("name", "kind", "labels", "exported_by", "meaning")


def list_metrics(output: Output) -> None:
    rows = [
        {
            "name": family.name,
            "kind": family.kind,
            "labels": list(family.labels),
            "exported_by": exporter,
            "meaning": family.meaning,
            "buckets": list(family.buckets),
        }
        for exporter, families in CATALOGUE.items()
        for family in families
    ]
    output.rows(COLUMNS, rows)


def prometheus() -> None:
    home = Home.from_environment(os.environ)
    state = read_state(home) if is_running(home) else None
    if state is None:
        raise StackStopped(f"no stack runs in {home.root}", mend="baton up")
    sys.stdout.write(prometheus_yml(state.addresses))
