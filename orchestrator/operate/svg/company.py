"""The company at work: who commands whom, and who hears what.

Upper half: the orchestrator in the middle; commands go out and replies come back along one rail a
service. Lower half: what is published, one lane a topic; a line runs from each process down to the
lanes, ▲ where it writes and ● where it reads. A crossing without a mark is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from orchestrator.operate.svg.elements import element, link, picture, text, titled

BOX_W, BOX_H, ROW_H = 206.0, 64.0, 84.0
LEFT_X, RAIL_W, HUB_W = 74.0, 228.0, 190.0
LANE_H, LINE_GAP, TOP = 40.0, 13.0, 28.0
HUB_X = LEFT_X + BOX_W + RAIL_W
RIGHT_X = HUB_X + HUB_W + RAIL_W
WIDTH = RIGHT_X + BOX_W + LEFT_X

Side = Literal["left", "hub", "right"]
GLYPHS = {"up": "✓ up", "not ready": "! not ready", "down": "✖ down", "": ""}


@dataclass(frozen=True, slots=True)
class Box:
    """`state`: up, not ready, down, or "" for who is none of our processes. `dim`: not in focus."""

    name: str
    side: Side
    purpose: str
    state: str = ""
    dim: bool = False
    href: str = ""


@dataclass(frozen=True, slots=True)
class Rail:
    """Commands to a service and what comes back; labels such as `3.2/s · 0 behind`."""

    service: str
    commands: str
    replies: str
    dim: bool = False


@dataclass(frozen=True, slots=True)
class Lane:
    """A topic of events or outcomes. `readers`: name, and how far behind if it is."""

    topic: str
    outcome: bool
    label: str
    writers: tuple[str, ...]
    readers: tuple[tuple[str, str], ...]
    dim: bool = False
    href: str = ""


@dataclass(frozen=True, slots=True)
class Company:
    """`stale`: it is as it was once."""

    boxes: tuple[Box, ...]
    rails: tuple[Rail, ...]
    lanes: tuple[Lane, ...]
    stale: bool = False


def draw_company(company: Company) -> str:
    rows = max(sum(box.side == side for box in company.boxes) for side in ("left", "right"))
    lanes_y = TOP + rows * ROW_H + 30
    height = lanes_y + len(company.lanes) * LANE_H + 10
    places = dict(_places(company.boxes))
    lines = _lines(company.boxes, places)
    ends = {box.name: _reach(box, company.lanes, lanes_y) for box in company.boxes}
    return picture(
        WIDTH,
        height,
        "The company: the orchestrator commands services and hears their replies;"
        " everybody hears what is published",
        *(_line(box, lines[box.name], places[box.name], ends) for box in company.boxes),
        *(_rail(rail, places[rail.service]) for rail in company.rails),
        *(_box(box, places[box.name], rows) for box in company.boxes),
        *(_lane(lane, lanes_y + n * LANE_H, lines) for n, lane in enumerate(company.lanes)),
        name="company stale" if company.stale else "company",
    )


def _places(boxes: Sequence[Box]) -> Iterator[tuple[str, tuple[float, float]]]:
    for side, x in (("left", LEFT_X), ("right", RIGHT_X)):
        those = [box for box in boxes if box.side == side]
        for n, box in enumerate(those):
            yield box.name, (x, TOP + n * ROW_H)
    for box in boxes:
        if box.side == "hub":
            yield box.name, (HUB_X, TOP)


def _lines(boxes: Sequence[Box], places: dict[str, tuple[float, float]]) -> dict[str, float]:
    """The x of each process's line down: the upper a box, the farther outside its line."""
    found: dict[str, float] = {}
    for side in ("left", "right"):
        those = [box for box in boxes if box.side == side]
        for n, box in enumerate(those):
            out = 8 + n * LINE_GAP
            found[box.name] = out if side == "left" else WIDTH - out
    for box in boxes:
        if box.side == "hub":
            found[box.name] = places[box.name][0] + HUB_W / 2
    return found


def _reach(box: Box, lanes: Sequence[Lane], lanes_y: float) -> float:
    """How far down its line goes: to its last lane; 0 for none."""
    last = [
        n
        for n, lane in enumerate(lanes)
        if box.name in lane.writers or box.name in dict(lane.readers)
    ]
    return lanes_y + last[-1] * LANE_H + LANE_H / 2 if last else 0.0


def _line(box: Box, x: float, place: tuple[float, float], ends: Mapping[str, float]) -> str:
    reach = ends[box.name]
    if not reach:
        return ""
    left, top = place
    middle = top + BOX_H / 2
    if box.side == "hub":
        path = f"M{x:.0f} {top:.0f}V{reach:.0f}"
    else:
        edge = left if box.side == "left" else left + BOX_W
        path = f"M{edge:.0f} {middle:.0f}H{x:.0f}V{reach:.0f}"
    return element("path", d=path, class_=_class("drop", dim=box.dim))


def _box(box: Box, place: tuple[float, float], rows: int) -> str:
    x, y = place
    hub = HUB_W, (rows - 1) * ROW_H + BOX_H
    width, height = hub if box.side == "hub" else (BOX_W, BOX_H)
    kind = "outside" if not box.state else "hub" if box.side == "hub" else "ours"
    state, told_as = GLYPHS[box.state], box.state.replace(" ", "-") or "none"
    parts = [
        element("rect", x=x, y=y, width=width, height=height, rx=6, class_=f"box {kind}"),
        text(x + 12, y + 22, box.name, class_="name"),
        text(x + width - 12, y + 22, state, text_anchor="end", class_=f"is-{told_as}"),
        *(
            text(x + 12, y + 40 + 14 * n, words, class_="soft small")
            for n, words in enumerate(_wrapped(box.purpose, round(width / 6.9)))
        ),
    ]
    told = f"{box.name}{f', {box.state}' if box.state else ''}: {box.purpose}"
    inside = element("g", *parts, class_=_class("process", dim=box.dim))
    return link(box.href, told, inside) if box.href else element("g", titled(told), inside)


def _wrapped(words: str, width: int) -> list[str]:
    lines = [""]
    for word in words.split():
        if len(lines[-1]) + len(word) >= width and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _rail(rail: Rail, place: tuple[float, float]) -> str:
    x, y = place
    left = x < HUB_X
    near, far = (x + BOX_W, HUB_X) if left else (HUB_X + HUB_W, x)
    there, back = y + 18, y + 46
    # On the left commands run to the left, on the right to the right.
    out = (far - 2, near + 2) if left else (near + 2, far - 2)
    home = (near + 2, far - 2) if left else (far - 2, near + 2)
    middle = (near + far) / 2
    return element(
        "g",
        titled(f"{rail.service}: commands {rail.commands}; replies {rail.replies}"),
        _arrow(out, there, "command"),
        _arrow(home, back, "reply"),
        text(middle, there - 5, f"commands {rail.commands}", text_anchor="middle", class_="small"),
        text(middle, back - 5, f"replies {rail.replies}", text_anchor="middle", class_="small"),
        class_=_class("rail", dim=rail.dim),
    )


def _arrow(between: tuple[float, float], y: float, kind: str) -> str:
    begin, end = between
    back = -7 if end > begin else 7
    head = f"M{end:.0f} {y:.0f}l{back} -4v8z"
    return element("path", d=f"M{begin:.0f} {y:.0f}H{end:.0f}", class_=kind) + element(
        "path", d=head, class_=f"head {kind}-head"
    )


def _lane(lane: Lane, y: float, lines: Mapping[str, float]) -> str:
    middle = y + LANE_H / 2
    readers = [(name, late) for name, late in lane.readers if name in lines]
    writers = [name for name in lane.writers if name in lines]
    xs = [lines[name] for name in (*writers, *dict(readers))]
    star = "★ " if lane.outcome else ""
    who = f"{', '.join(lane.writers)} → {', '.join(dict(lane.readers)) or 'nobody'}"
    name = element(
        "text",
        element("tspan", escape(f"{star}{lane.topic}  {lane.label}"), class_="lane-name"),
        element("tspan", escape(f"    {who}"), class_="soft small", dx=14.0),
        x=LEFT_X + 26,
        y=middle - 6,
    )
    kind = "outcome" if lane.outcome else "event"
    told = f"{lane.topic}, written by {' and '.join(lane.writers)}, {lane.label}: {who}"
    parts = [
        element("path", d=f"M{min(xs):.0f} {middle:.0f}H{max(xs):.0f}", class_=f"lane {kind}"),
        *(_mark("▲", lines[each], middle, f"{each} writes it") for each in writers),
        *(
            _mark("●", lines[each], middle, f"{each} reads it{f', {late}' if late else ''}")
            for each, late in readers
        ),
        link(lane.href, told, name) if lane.href else name,
    ]
    return element("g", titled(told), *parts, class_=_class("topic", dim=lane.dim))


def _mark(glyph: str, x: float, y: float, said: str) -> str:
    return element("g", titled(said), text(x, y + 5, glyph, text_anchor="middle", class_="mark"))


def _class(name: str, *, dim: bool) -> str:
    return f"{name} dim" if dim else name
