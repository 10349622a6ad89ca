"""When each command was sent, sent again and answered: a bar each, on one axis of time.

Solid while it was waited for, a tick ╵ where it was sent again, ⚑ where its deadline stood, and how
it ended in words at its end. The axis tells time since the start, and of day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.operate.svg.elements import element, link, picture, text, titled

LABEL_W, CHART_W, END_W, ROW_H, AXIS_H = 190.0, 720.0, 190.0, 34.0, 46.0
TICKS = 6
STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 21600, 86400)


@dataclass(frozen=True, slots=True)
class Bar:
    """`end_us`: None while it lasts. `again_us`: when it was sent again."""

    label: str
    start_us: int
    end_us: int | None
    ended: str
    again_us: tuple[int, ...] = ()
    deadline_us: int | None = None
    back: bool = False
    failed: bool = False
    href: str = ""


def draw_timeline(title: str, bars: Sequence[Bar], start_us: int, now_us: int) -> str:
    last_us = max([now_us, *(bar.end_us or 0 for bar in bars)])
    flags = [bar.deadline_us or 0 for bar in bars if bar.end_us is None]
    span_us = max([last_us, *flags, start_us + 1_000]) - start_us
    scale = CHART_W / span_us
    height = AXIS_H + ROW_H * len(bars) + 8
    axis = list(_axis(start_us, span_us, scale, height))
    rows = [_row(bar, n, start_us, scale, now_us) for n, bar in enumerate(bars)]
    return picture(LABEL_W + CHART_W + END_W, height, title, *axis, *rows, name="timeline")


def _axis(start_us: int, span_us: int, scale: float, height: float) -> Iterator[str]:
    every_us = _every_us(span_us)
    for n in range(int(span_us // every_us) + 1):
        x = LABEL_W + n * every_us * scale
        of_day = datetime.fromtimestamp((start_us + n * every_us) / 1_000_000, UTC)
        yield element("path", d=f"M{x:.1f} {AXIS_H - 8:.0f}V{height:.0f}", class_="grid")
        yield text(x, 14, f"+{_spelled(n * every_us)}", text_anchor="middle", class_="told")
        yield text(x, 30, f"{of_day:%H:%M:%S}", text_anchor="middle", class_="told")


def _every_us(span_us: int) -> int:
    for seconds in STEPS_S:
        if span_us / (seconds * 1_000_000) <= TICKS:
            return round(seconds * 1_000_000)
    return -(-span_us // TICKS)


def _spelled(us: int) -> str:
    seconds = us / 1_000_000
    if seconds < 60:
        return f"{seconds:g} s"
    if seconds < 3600:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"


def _row(bar: Bar, n: int, start_us: int, scale: float, now_us: int) -> str:
    y = AXIS_H + n * ROW_H
    end_us = now_us if bar.end_us is None else bar.end_us
    x, width = LABEL_W + (bar.start_us - start_us) * scale, (end_us - bar.start_us) * scale
    took = _spelled(round((end_us - bar.start_us) / 1000) * 1000)
    tried = f", sent {len(bar.again_us) + 1} times" if bar.again_us else ""
    told = f"{bar.label}: {bar.ended} after {took}{tried}"
    glyph = "↩" if bar.back else "▶"
    parts = [
        text(LABEL_W - 8, y + 18, f"{glyph} {bar.label}", text_anchor="end", class_="name"),
        element("rect", x=x, y=y + 6, width=max(width, 3.0), height=16, rx=3, class_="bar"),
        *(_tick(LABEL_W + (at_us - start_us) * scale, y) for at_us in bar.again_us),
    ]
    said_x = x + max(width, 3.0) + 8
    if bar.deadline_us is not None and bar.deadline_us - start_us <= CHART_W / scale:
        flag_x = LABEL_W + (bar.deadline_us - start_us) * scale
        parts.append(text(flag_x, y + 19, "⚑", class_="flag"))
        if said_x - 16 < flag_x < said_x + END_W:
            said_x = max(said_x, flag_x + 16)
    mark = "✖ " if bar.failed else "… " if bar.end_us is None else "✓ "
    parts.append(text(said_x, y + 18, f"{mark}{bar.ended} {took}", class_="told"))
    kind = "bad" if bar.failed else "back" if bar.back else "forward"
    inside = element("g", titled(told), *parts, class_=kind)
    return link(bar.href, told, inside) if bar.href else inside


def _tick(x: float, y: float) -> str:
    return element("path", d=f"M{x:.1f} {y + 2:.0f}v24", class_="tick")
