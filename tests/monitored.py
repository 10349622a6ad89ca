"""Every expression of the shipped rules, alerts and dashboards, with where it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from deploy.dashboards import FOLDER
from deploy.local.prometheus import MONITORING
from orchestrator.operate.metric_work import CATALOGUE
from tests.promql import grouped, known_series

RULES: Final = MONITORING / "rules.yml"
ALERTS: Final = MONITORING / "alerts.yml"
CASES: Final = MONITORING / "alerts.test.yml"
# What the client library tells of every process.
PROCESS: Final = {
    f"process_{name}": frozenset[str]()
    for name in ("cpu_seconds_total", "resident_memory_bytes", "start_time_seconds")
}


def rules(file: Path) -> list[dict[str, object]]:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return [rule for group in content["groups"] for rule in group["rules"]]


def boards() -> dict[str, dict[str, object]]:
    return {file.name: json.loads(file.read_text(encoding="utf-8")) for file in FOLDER.iterdir()}


def panels(board: dict[str, object]) -> list[dict[str, object]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    for file in (RULES, ALERTS):
        for rule in rules(file):
            yield str(rule.get("record") or rule["alert"]), str(rule["expr"])
    for name, board in boards().items():
        for panel in panels(board):
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", str(target["expr"])
        for annotation in board["annotations"]["list"]:
            yield f"{name}: {annotation['name']}", str(annotation["expr"])


def told() -> dict[str, frozenset[str]]:
    """Every series that the catalogue, the client library and the recording rules give."""
    families = [family for each in CATALOGUE.values() for family in each]
    recorded = {rule["record"]: grouped(rule["expr"]) - {"le", "state"} for rule in rules(RULES)}
    return {**known_series(families), **PROCESS, **recorded}
