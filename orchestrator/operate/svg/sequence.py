"""Who said what to whom, top to bottom: a lifeline each, the orchestrator among its services.

A command is solid, whatever comes back is dashed, a timer turns back to where it came from, and
what was refused carries ✖. Every arrow is named in words for who cannot see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.operate.svg.elements import element, link, picture, text, titled

HEAD_H, ROW_H, LETTER_W, GAP_W, TIME_W = 44.0, 30.0, 8.0, 190.0, 96.0


@dataclass(frozen=True, slots=True)
class Said:
    """`at`: the time as it is shown. `kind`: command, event or timer."""

    at: str
    source: str
    target: str
    words: str
    kind: str
    failed: bool = False
    href: str = ""


def draw_sequence(title: str, lifelines: Sequence[str], said: Sequence[Said]) -> str:
    places = {name: TIME_W + 70 + n * GAP_W for n, name in enumerate(lifelines)}
    height = HEAD_H + ROW_H * (len(said) + 1)
    width = TIME_W + 140 + GAP_W * (len(lifelines) - 1) + 60
    lines = [_lifeline(name, x, height) for name, x in places.items()]
    arrows = [_arrow(each, places, HEAD_H + ROW_H * (n + 1)) for n, each in enumerate(said)]
    return picture(width, height, title, *lines, *arrows, name="sequence")


def _lifeline(name: str, x: float, height: float) -> str:
    return element(
        "g",
        text(x, 20, name, text_anchor="middle", class_="name"),
        element("path", d=f"M{x:.0f} 30V{height:.0f}", class_="lifeline"),
    )


def _arrow(said: Said, places: dict[str, float], y: float) -> str:
    start, end = places[said.source], places[said.target]
    mark = "✖ " if said.failed else ""
    told = f"{said.at} {said.source} to {said.target}: {mark}{said.words}"
    classes = "said bad" if said.failed else "said"
    if start == end:
        line = element("path", d=f"M{start:.0f} {y - 8:.0f}h22v12h-16", class_="line")
        tip = element("path", d=f"M{start:.0f} {y + 4:.0f}l8 -4v8z", class_="tip")
        label = text(start + 28, y + 2, f"{mark}◷ {said.words}", class_="words")
    else:
        dash = None if said.kind == "command" else "5 4"
        line = element(
            "path", d=f"M{start:.0f} {y:.0f}H{end:.0f}", class_="line", stroke_dasharray=dash
        )
        way = -8 if end > start else 8
        tip = element("path", d=f"M{end:.0f} {y:.0f}l{way} -4v8z", class_="tip")
        middle = (start + end) / 2
        label = text(middle, y - 5, f"{mark}{said.words}", text_anchor="middle", class_="words")
    when = text(4, y + 4, said.at, class_="told")
    inside = element("g", titled(told), when, line, tip, label, class_=classes)
    return link(said.href, told, inside) if said.href else inside
