"""What a PromQL expression asks for, and the expressions of this project's rules and dashboards.

Not a parser: it finds every series that is selected with the labels that are matched, grouped by
or joined on, which is enough to see whether they exist. `promtool` judges the grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from services.chassis.metrics import Family

SCRAPED_WITH = frozenset({"job", "instance"})  # labels that Prometheus adds
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTED = re.compile(r"\b(?P<name>(?:saga|process)[a-z0-9_:]*)\b(?:\{(?P<matchers>[^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_OUTSIDE = re.compile(r"\$__\w+|\$\w+")


class Series(NamedTuple):
    """One selection: the name, and the labels its matchers name."""

    name: str
    labels: frozenset[str]


def selected(expr: str) -> list[Series]:
    """In order; a word inside a grouping or a text is no selection."""
    bare = _TEXT.sub('""', expr)
    groups = _GROUPED.sub(" ", bare)
    return [
        Series(each["name"], frozenset(_MATCHER.findall(each["matchers"] or "")))
        for each in _SELECTED.finditer(groups)
    ]


def grouped(expr: str) -> frozenset[str]:
    """Every label that something is grouped by or joined on."""
    lists = _GROUPED.findall(_TEXT.sub('""', expr))
    return frozenset(label.strip() for each in lists for label in each.split(",") if label.strip())


def known_series(families: Iterable[Family]) -> dict[str, frozenset[str]]:
    """Sample name to labels, as a scrape of these families has them."""
    found: dict[str, frozenset[str]] = {}
    for family in families:
        labels = frozenset(family.labels)
        if family.kind == "histogram":
            found |= {f"{family.name}_{end}": labels for end in ("sum", "count")}
            found[f"{family.name}_bucket"] = labels | {"le"}
        else:
            found[family.name] = labels
    return found


def unknown(expr: str, known: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """What an expression asks for that is nowhere told, each in words."""
    labels: frozenset[str] = SCRAPED_WITH
    for series in selected(expr):
        if series.name not in known:
            yield f"no metric {series.name}"
            continue
        labels |= known[series.name]
        for label in sorted(series.labels - known[series.name] - SCRAPED_WITH):
            yield f"{series.name} has no label {label}"
    for label in sorted(grouped(expr) - labels):
        yield f"nothing in it has the label {label}: {expr}"


def plain(expr: str) -> str:
    """Without a dashboard's variables, as Prometheus itself would read it."""
    return _OUTSIDE.sub(lambda each: "5m" if each[0].startswith("$__") else ".*", expr)
