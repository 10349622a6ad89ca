"""Rules, alerts and dashboards: they ask for what is exported, and each says what to do."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.dashboards import files
from deploy.local.prometheus import MONITORING
from tests.conftest import missing
from tests.monitored import ALERTS, CASES, RULES, boards, expressions, panels, rules, told
from tests.promql import plain, unknown

RUNBOOK = MONITORING.parent / "RUNBOOK.md"
Board = dict[str, object]


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        missing("no promtool: apt-get install prometheus")
    return str(found)


def say(promtool: str, *arguments: str | Path) -> str:
    done = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_understands_every_rule(promtool: str) -> None:
    """And none of them twice."""
    say(promtool, "check", "rules", "--lint-fatal", RULES, ALERTS)


def test_each_alert_fires_when_it_must_and_only_then(promtool: str) -> None:
    """By the shipped cases, with whole labels and annotations."""
    say(promtool, "test", "rules", CASES)


def test_each_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    """An alert without them could be written wrong for ever."""
    cases: dict[str, set[bool]] = {}
    for test in yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]:
        for case in test["alert_rule_test"]:
            cases.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))

    assert cases == {rule["alert"]: {True, False} for rule in rules(ALERTS)}


def test_each_alert_says_how_bad_it_is_what_to_read_and_where_to_look() -> None:
    """The section of its name in the runbook, and a page of the console."""
    headings = re.findall(r"^## (.*)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    for rule in rules(ALERTS):
        name, notes = rule["alert"], rule["annotations"]
        assert rule["labels"]["severity"] in {"critical", "warning"}, name
        assert notes["runbook_url"] == f"deploy/RUNBOOK.md#{name.lower()}"
        assert name in headings
        assert re.match(r"\{\{ \$externalLabels\.console }}/\w", notes["console"]), name
        assert set(notes) == {"summary", "description", "runbook_url", "console"}, name


def test_every_metric_and_label_that_is_asked_for_is_exported() -> None:
    """By rules, alerts, dashboards and their annotations alike."""
    known = told()
    asked = list(expressions())
    assert len(asked) > 50
    assert [f"{at}: {what}" for at, expr in asked for what in unknown(expr, known)] == []


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("rate(saga_startd_total[5m])", ["no metric saga_startd_total"]),
        (
            'max by (saga) (saga_stuck_instances{cause="x"})',
            ["saga_stuck_instances has no label cause"],
        ),
        (
            "sum by (target) (saga_instances)",
            ["nothing in it has the label target: sum by (target) (saga_instances)"],
        ),
        ('sum by (saga) (saga_instances{state=~"saga_x|y", terminal="false"})', []),
        ("saga:started:rate5m > 0", []),
    ],
)
def test_what_is_not_exported_is_found_out(expr: str, found: list[str]) -> None:
    """The check itself can fail: a wrong name, a wrong matcher, a wrong grouping."""
    assert list(unknown(expr, told())) == found


def test_prometheus_understands_what_dashboards_ask(promtool: str, tmp_path: Path) -> None:
    """Variables aside, each is an expression."""
    asked = [plain(expr) for at, expr in expressions() if ".json" in at]
    made = [{"record": f"asked:{n}", "expr": expr} for n, expr in enumerate(asked)]
    file = tmp_path / "asked.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": made}]}))
    say(promtool, "check", "rules", file)


def test_the_committed_dashboards_are_what_the_code_says() -> None:
    """Nobody has to remember to write them."""
    for file, text in files().items():
        assert file.read_text(encoding="utf-8") == text, "run `make reference`"
    assert set(boards()) == {file.name for file in files()}


def faults(board: Board) -> list[str]:
    """What a dashboard lacks, each in words."""
    found = []
    variables = {each["name"]: each["type"] for each in board["templating"]["list"]}
    if variables.get("datasource") != "datasource" or variables.get("console") != "textbox":
        found.append("no variable for the data source, or none for the console")
    if not board["description"] or not board["annotations"]["list"]:
        found.append("no description, or no deployments")
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    for at, (x, y, w, h) in enumerate(places):
        for x2, y2, w2, h2 in places[:at]:
            if x < x2 + w2 and x2 < x + w and y < y2 + h2 and y2 < y + h:
                found.append(f"{board['panels'][at]['title']} lies on another panel")
    for panel in panels(board):
        found += [f"{panel['title']}: {fault}" for fault in panel_faults(panel, variables)]
    return found


def panel_faults(panel: Board, variables: dict[str, str]) -> list[str]:
    defaults = panel["fieldConfig"]["defaults"]
    links = [each["url"] for each in defaults.get("links", ())]
    exprs = [target["expr"] for target in panel["targets"]]
    ranges = [each for expr in exprs for each in re.findall(r"\[([^\]]*)\]", expr)]
    used = {each for expr in exprs for each in re.findall(r"\$(\w+)", expr)}
    checks = {
        "no unit": not defaults.get("unit"),
        "no description": not panel["description"].endswith("."),
        "no link into the console": not all(each.startswith("${console}/") for each in links)
        or not links,
        "another data source": panel["datasource"]["uid"] != "${datasource}",
        "a range of its own": not set(ranges) <= {"$__rate_interval", "$__range"},
        "a variable that is not there": not used
        <= {*variables, "__rate_interval", "__range", "__all"},
        "asks nothing": not exprs and panel["type"] != "alertlist",
    }
    return [fault for fault, holds in checks.items() if holds]


@pytest.mark.parametrize("name", sorted(boards()))
def test_a_dashboard_is_whole(name: str) -> None:
    """Data source and console are variables; each panel has unit, description, link and range."""
    assert faults(boards()[name]) == []


def test_what_a_dashboard_lacks_is_found_out() -> None:
    """The linter itself can fail."""
    board = copy.deepcopy(boards()["operations.json"])
    panel = panels(board)[0]
    panel["fieldConfig"]["defaults"] = {}
    panel["description"] = ""
    panel["datasource"] = {"uid": "prometheus"}
    panel["targets"][0]["expr"] = 'rate(saga_started_total{saga="$shop"}[5m])'
    panel["gridPos"] = dict(panels(board)[1]["gridPos"])
    board["templating"]["list"] = [
        each for each in board["templating"]["list"] if each["name"] != "console"
    ]
    assert faults(board) == [
        "no variable for the data source, or none for the console",
        "Stuck lies on another panel",
        "Open: no unit",
        "Open: no description",
        "Open: no link into the console",
        "Open: another data source",
        "Open: a range of its own",
        "Open: a variable that is not there",
    ]
