"""The six numbers of the overview, each with its list, its note and its line.

Pure: out of samples and of what is now. A number over a range is only told where the samples reach
back that far; else it is of all there ever was, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from markupsafe import Markup

from orchestrator.operate.pages.rendering import count, per_second
from orchestrator.operate.svg.sparkline import Course, draw_sparkline
from orchestrator.operate.trends import US, WINDOW, Ended, Points, Sample, Trend
from orchestrator.operate.wording import spell

SPANS: Final = {900: "15 min", 3_600: "1 h", 86_400: "24 h"}
_FILTERS: Final = {900: "15m", 3_600: "1h", 86_400: "24h"}


@dataclass(frozen=True, slots=True)
class Tile:
    href: str
    label: str
    value: str
    note: str
    picture: Markup


def tiles(trend: Trend, now: Sample) -> list[Tile]:
    rates = trend.per_minute()
    return [
        Tile(
            _sagas("phase=open"),
            "Open",
            count(now.open),
            f"oldest {spell(now.oldest_open_s)}" if now.open else "",
            _drawn(trend, "open", trend.highest(lambda each: each.open), _whole),
        ),
        Tile(
            _sagas(f"started<{_FILTERS[trend.span_s]}"),
            "Started / min",
            per_second(rates[-1]),
            _started(trend, now),
            _drawn(trend, "started", rates, lambda rate: f"{per_second(rate)}/min", over=True),
        ),
        _outcome(trend, now, "completed", completed=True),
        _outcome(trend, now, "compensated", completed=False),
        Tile(
            "/stuck",
            "Stuck",
            f"{'✖' if now.severe else '…' if now.stuck else '✓'} {count(now.stuck)}",
            _severity(now),
            _drawn(trend, "stuck", trend.highest(lambda each: each.stuck), _whole),
        ),
        Tile(
            "/stuck",
            "Oldest stuck",
            spell(now.oldest_stuck_s) if now.stuck else "✓ none",
            "",
            _drawn(trend, "oldest stuck", trend.highest(lambda each: each.oldest_stuck_s), _age),
        ),
    ]


def _outcome(trend: Trend, now: Sample, name: str, *, completed: bool) -> Tile:
    points = trend.share(completed=completed)
    share, note = _share(trend, now, completed=completed)
    picture = _drawn(trend, name, points, _per_cent, over=True)
    return Tile(_sagas(f"phase={name}"), name.capitalize(), share, note, picture)


def _drawn(
    trend: Trend, name: str, points: Points, spelt: Callable[[float], str], *, over: bool = False
) -> Markup:
    """`over`: a point is of the time before it, as a rate is."""
    lately = f"in the last {spell(WINDOW * trend.width_us // US)}" if over else "now"
    times = [_time(us, trend) for us in trend.begins_us]
    # Every module of `svg` escapes what it is given.
    return Markup(draw_sparkline(Course(name, points, times, spelt, lately)))  # noqa: S704


def watched(trend: Trend) -> str:
    """Why the lines do not fill the range; empty where they do."""
    if trend.whole:
        return ""
    since = datetime.fromtimestamp(trend.since_us / US, UTC)
    return (
        f"This console keeps these numbers since {since:%Y-%m-%d %H:%M:%S} UTC only, so its lines"
        f" do not fill {SPANS[trend.span_s]} yet."
    )


def _started(trend: Trend, now: Sample) -> str:
    number = trend.started()
    if number is None:
        return f"{count(now.started)} in all"
    return f"{count(number)} in {SPANS[trend.span_s]}"


def _share(trend: Trend, now: Sample, *, completed: bool) -> tuple[str, str]:
    lately = trend.ended()
    ended = lately or Ended(now.completed + now.compensated, now.completed)
    share, within = ended.share(completed=completed), f"in {SPANS[trend.span_s]}"
    if share is None:
        return "none", f"none ended {within}" if lately else "none ended yet"
    if lately:
        return _per_cent(share), f"of {count(ended.number)} ended {within}"
    return _per_cent(share), f"of all {count(ended.number)} ended"


def _severity(now: Sample) -> str:
    """What only a person can mend, and what is late."""
    told = [f"✖ {count(now.severe)} need a person"] if now.severe else []
    late = now.stuck - now.severe
    return ", ".join([*told, f"… {count(late)} late"] if late else told)


def _sagas(query: str) -> str:
    return f"/sagas?{urlencode({'query': query})}"


def _time(us: int, trend: Trend) -> str:
    at = datetime.fromtimestamp(us / US, UTC)
    return f"{at:%H:%M:%S}" if trend.width_us < 60 * US else f"{at:%H:%M}"


def _whole(number: float) -> str:
    return count(round(number))


def _per_cent(share: float) -> str:
    return f"{share:g} %"


def _age(seconds: float) -> str:
    return spell(round(seconds))
