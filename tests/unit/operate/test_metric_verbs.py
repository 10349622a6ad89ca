"""`baton metrics`: the catalogue as the code has it, and a scrape configuration of what runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stage import Terminal

from deploy.local import prometheus
from orchestrator.metrics import SAGAS
from orchestrator.operate.metrics import CONSOLE
from services.chassis.metrics import CHASSIS


def test_the_catalogue_is_listed_whole(terminal: Terminal) -> None:
    """Each family once, with who exports it; the reference is written from the same list."""
    said = terminal.type("metrics", "list", "-o", "json")
    rows = json.loads(said.out)

    assert said.code == 0
    assert [(row["name"], row["exported_by"]) for row in rows] == [
        *((family.name, "every process") for family in CHASSIS),
        *((family.name, "orchestrator") for family in SAGAS),
        *((family.name, "console") for family in CONSOLE),
    ]
    stuck = next(row for row in rows if row["name"] == "saga_stuck_instances")
    assert stuck == {
        "name": "saga_stuck_instances",
        "kind": "gauge",
        "labels": ["saga", "state", "reason"],
        "exported_by": "orchestrator",
        "meaning": "Sagas past a deadline or stopped, by the first of the seven reasons that holds",
        "buckets": [],
    }


def test_a_prometheus_without_a_stack_is_refused(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the folder that was looked into and what to type next."""
    monkeypatch.setenv("BATON_HOME", str(tmp_path))
    said = terminal.type("metrics", "prometheus")

    assert (said.code, said.out) == (7, "")
    assert said.err == f"✖ no stack runs in {tmp_path}\n  → baton up\n"


def test_the_configuration_names_every_process_the_rules_and_the_console(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Addresses of people are not scraped."""
    monkeypatch.setattr(prometheus, "RULES", (Path("/m/rules.yml"), Path("/m/alerts.yml")))
    addresses = {
        "kafka": "127.0.0.1:1",
        "console": "http://127.0.0.1:2",
        "orchestrator metrics": "http://127.0.0.1:3/metrics",
        "console metrics": "http://127.0.0.1:4/metrics",
    }

    assert prometheus.prometheus_yml(addresses) == (
        """\
global:
  scrape_interval: 5s
  evaluation_interval: 15s
  external_labels:
    console: "http://127.0.0.1:2"
rule_files:
  - "/m/rules.yml"
  - "/m/alerts.yml"
scrape_configs:
  - job_name: baton
    static_configs:
      - targets:
          - "127.0.0.1:3"
          - "127.0.0.1:4"
"""
    )
