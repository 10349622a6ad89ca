"""What a Grafana dashboard is made of, as JSON: rows of panels over one Prometheus.

`make reference` writes the files. A panel cannot be made without a unit, a description and a link
into the console; what it asks is checked against the metric catalogue by a test. Knows no metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import starmap
from typing import Final, Literal

Json = dict[str, object]
Kind = Literal["stat", "timeseries", "barchart", "heatmap", "table", "alertlist"]
COLUMNS: Final = 24
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
STUCK: Final = "/stuck"
SAGAS: Final = "/sagas"
SERVICES: Final = "/services"


@dataclass(frozen=True, slots=True)
class Asked:
    """A query and the name of its series. `at_once`: one value over the whole time shown."""

    expr: str
    name: str = ""
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """`link` is a path of the console; `stacked` series lie on each other."""

    title: str
    kind: Kind
    unit: str
    says: str
    asks: Sequence[Asked]
    link: str
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """Panels side by side. `repeat`: one such row for each value of that variable."""

    title: str
    panels: Sequence[Panel]
    height: int = 8
    repeat: str = ""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`variables`: name to the query of its values, for the selections above the panels."""

    uid: str
    title: str
    says: str
    rows: Sequence[Band]
    variables: dict[str, str] = field(default_factory=dict)


def as_json(board: Dashboard) -> Json:
    panels: list[Json] = []
    y = 0
    for row in board.rows:
        head: Json = {"type": "row", "title": row.title, "panels": [], "collapsed": False}
        if row.repeat:
            head["repeat"] = row.repeat
        panels.append({**head, "id": len(panels) + 1, "gridPos": _place(0, y, COLUMNS, 1)})
        width = COLUMNS // len(row.panels)
        for at, panel in enumerate(row.panels):
            place = _place(at * width, y + 1, width, row.height)
            panels.append({**_panel(panel), "id": len(panels) + 1, "gridPos": place})
        y += 1 + row.height
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.says,
        "tags": ["baton"],
        "schemaVersion": 39,
        "timezone": "utc",
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [*_places(), *starmap(_variable, board.variables.items())]},
        "annotations": {"list": [_deployments()]},
        "panels": panels,
    }


def _panel(panel: Panel) -> Json:
    made: Json = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "targets": [_target(asked, panel, at) for at, asked in enumerate(panel.asks)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
    }
    if panel.kind == "alertlist":
        made["options"] = {"alertName": "Saga", "stateFilter": {"firing": True, "pending": True}}
    if panel.kind == "heatmap":
        made["options"] = {"calculate": False, "yAxis": {"unit": panel.unit}}
    return made


def _defaults(panel: Panel) -> Json:
    link = {"title": "in the console", "url": f"${{console}}{panel.link}", "targetBlank": True}
    made: Json = {"unit": panel.unit, "links": [link]}
    if panel.stacked:
        made["custom"] = {"stacking": {"mode": "normal"}, "drawStyle": "bars", "fillOpacity": 80}
    return made


def _target(asked: Asked, panel: Panel, at: int) -> Json:
    made: Json = {
        "refId": "ABCDEFGH"[at],
        "datasource": SOURCE,
        "expr": asked.expr,
        "legendFormat": asked.name or "__auto",
        "exemplar": "histogram_quantile" in asked.expr,
    }
    if asked.at_once:
        made |= {"instant": True, "range": False}
    if panel.kind == "heatmap":
        made["format"] = "heatmap"
    if panel.kind == "table":
        made["format"] = "table"
    return made


def _places() -> list[Json]:
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {
            "name": "console",
            "label": "Console",
            "type": "textbox",
            "query": "http://127.0.0.1:8080",
            "current": {"text": "http://127.0.0.1:8080", "value": "http://127.0.0.1:8080"},
        },
    ]


def _variable(name: str, query: str) -> Json:
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": query,
        "definition": query,
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _deployments() -> Json:
    return {
        "name": "Deployments",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": "changes(saga_build_info[$__rate_interval]) > 0",
        "titleFormat": "{{service}} {{version}}",
    }


def _place(x: int, y: int, width: int, height: int) -> Json:
    return {"x": x, "y": y, "w": width, "h": height}
