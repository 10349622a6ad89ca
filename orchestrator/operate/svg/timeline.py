"""When each command was sent, sent again and answered: a bar each, on one axis of time.

Solid while it was waited for, a tick ╵ where it was sent again, ⚑ where its deadline stood, and how
it ended in words at its end; behind it, how long it takes as a rule. Under it its timers, dashed
from when each was set to when it fired, was not needed any more, or is due. The axis tells time
since the start, and of day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate

from orchestrator.operate.svg.elements import element, link, picture, text, titled

LABEL_W, CHART_W, END_W, ROW_H, AXIS_H = 190.0, 720.0, 190.0, 34.0, 46.0
TIMER_H = 24.0
TICKS = 6
FIRED, NEEDLESS, DUE = "fired", "not needed", "due"
GLYPHS = {FIRED: "◷", NEEDLESS: "✓", DUE: "…"}
STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 21600, 86400)


@dataclass(frozen=True, slots=True)
class Clocked:
    """A timer that was set. `became`: fired, not needed, due; `href`: where that is told."""

    set_us: int
    until_us: int
    became: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """`end_us`: None while it lasts. `again_us`: when it was sent again.

    `usual_us`: after how long half of them, and 95 of 100, were answered in the last day.
    """

    label: str
    start_us: int
    end_us: int | None
    ended: str
    again_us: tuple[int, ...] = ()
    deadline_us: int | None = None
    back: bool = False
    failed: bool = False
    href: str = ""
    usual_us: tuple[int, int] | None = None
    timers: tuple[Clocked, ...] = ()


def draw_timeline(title: str, bars: Sequence[Bar], start_us: int, now_us: int) -> str:
    last_us = max([now_us, *(bar.end_us or 0 for bar in bars)])
    flags = [bar.deadline_us or 0 for bar in bars if bar.end_us is None]
    due = [each.until_us for bar in bars for each in bar.timers if each.became == DUE]
    span_us = max([last_us, *flags, *due, start_us + 1_000]) - start_us
    scale = CHART_W / span_us
    tops = list(accumulate((_height(bar) for bar in bars), initial=AXIS_H))
    axis = list(_axis(start_us, span_us, scale, tops[-1] + 8))
    rows = [_row(*each, start_us, scale, now_us) for each in zip(bars, tops, strict=False)]
    timers = [
        _timers(bar, y + ROW_H, start_us, scale)
        for bar, y in zip(bars, tops, strict=False)
        if bar.timers
    ]
    return picture(
        LABEL_W + CHART_W + END_W, tops[-1] + 8, title, *axis, *rows, *timers, name="timeline"
    )


def _height(bar: Bar) -> float:
    return ROW_H + (TIMER_H if bar.timers else 0.0)


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


def _row(bar: Bar, y: float, start_us: int, scale: float, now_us: int) -> str:
    end_us = now_us if bar.end_us is None else bar.end_us
    x, width = LABEL_W + (bar.start_us - start_us) * scale, (end_us - bar.start_us) * scale
    took = _spelled(round((end_us - bar.start_us) / 1000) * 1000)
    tried = f", sent {len(bar.again_us) + 1} times" if bar.again_us else ""
    usual, slow = _usual(bar, end_us)
    told = f"{bar.label}: {bar.ended} after {took}{tried}{usual}"
    glyph = "↩" if bar.back else "▶"
    parts = [
        text(LABEL_W - 8, y + 18, f"{glyph} {bar.label}", text_anchor="end", class_="name"),
        *_band(bar, y, x, scale),
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
    parts.append(text(said_x, y + 18, f"{mark}{bar.ended} {took}{slow}", class_="told"))
    kind = "bad" if bar.failed else "back" if bar.back else "forward"
    inside = element("g", titled(told), *parts, class_=kind)
    return link(bar.href, told, inside) if bar.href else inside


def _usual(bar: Bar, end_us: int) -> tuple[str, str]:
    """As a sentence goes on, and as a mark of what took longer than 95 of 100."""
    if bar.usual_us is None:
        return "", ""
    p50_us, p95_us = bar.usual_us
    slow = end_us - bar.start_us > p95_us
    words = f"; as a rule {_spelled(_fine(p50_us))} to {_spelled(_fine(p95_us))}"
    return words + (", so this is slow" if slow else ""), " ⚠ slow" if slow else ""


def _fine(us: int) -> int:
    return round(us, -3) if us < 10_000_000 else round(us, -6)


def _band(bar: Bar, y: float, x: float, scale: float) -> Iterator[str]:
    """As far as it lies in the picture."""
    if bar.usual_us is not None:
        p50_us, p95_us = bar.usual_us
        left, right = (min(x + us * scale, LABEL_W + CHART_W) for us in (p50_us, p95_us))
        yield element(
            "rect", x=left, y=y + 1, width=max(right - left, 2.0), height=26, class_="usual"
        )


def _timers(bar: Bar, y: float, start_us: int, scale: float) -> str:
    label = text(LABEL_W - 8, y + 14, f"◷ {bar.label}", text_anchor="end", class_="told")
    lines = [_timer(each, y, bar.label, start_us, scale) for each in bar.timers]
    last = bar.timers[-1]
    end_x = LABEL_W + max(0, last.until_us - start_us) * scale
    words = text(end_x + 10, y + 14, f"{GLYPHS[last.became]} {last.became}", class_="told")
    return element("g", label, *lines, words, class_="timers")


def _timer(timer: Clocked, y: float, name: str, start_us: int, scale: float) -> str:
    moments = timer.set_us, timer.until_us
    left, right = (LABEL_W + max(0, us - start_us) * scale for us in moments)
    start, end = (f"{datetime.fromtimestamp(us / 1_000_000, UTC):%H:%M:%S}" for us in moments)
    told = f"timer {name}, set {start}, {timer.became} {end}"
    width = max(right - left, TIMER_H)
    space = element("rect", x=left, y=y - 2, width=width, height=TIMER_H, class_="space")
    line = element("path", d=f"M{left:.1f} {y + 10:.0f}H{right:.1f}", class_="wait")
    tip = element("path", d=f"M{right:.1f} {y + 4:.0f}v12", class_="tick")
    inside = element("g", titled(told), space, line, tip)
    return link(timer.href, told, inside) if timer.href else inside


def _tick(x: float, y: float) -> str:
    return element("path", d=f"M{x:.1f} {y + 2:.0f}v24", class_="tick")
