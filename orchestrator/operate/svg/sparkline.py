"""How a number went, as a line of words' height: its points, its lowest and its highest.

A gap stays a gap. The picture is one image to a screen reader, with a sentence that says what the
line shows: where it is, how low and how high it was, and when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from orchestrator.operate.svg.elements import element, picture, text

WIDTH, HEIGHT, EDGE, LABELS = 168.0, 44.0, 5.0, 52.0


@dataclass(frozen=True, slots=True)
class Course:
    """`times`: the words for each point's moment. `spell`: a value as people read it."""

    name: str
    points: Sequence[float | None]
    times: Sequence[str]
    spell: Callable[[float], str]
    latest: str = "now"

    @property
    def known(self) -> list[tuple[float, str]]:
        return [
            (value, at)
            for value, at in zip(self.points, self.times, strict=True)
            if value is not None
        ]


def sentence(course: Course) -> str:
    """`throughput 12/s now, low 3/s at 13:40, high 15/s at 14:02`."""
    if not course.known:
        return f"{course.name}: nothing was sampled in this range"
    low, high = _extremes(course)
    last = course.points[-1]
    now = (
        f"{course.spell(last)} {course.latest}" if last is not None else f"unknown {course.latest}"
    )
    if low[0] == high[0]:
        return f"{course.name} {now}, always {course.spell(low[0])} since {course.known[0][1]}"
    told = [f"{word} {course.spell(v)} at {at}" for word, (v, at) in (("low", low), ("high", high))]
    return f"{course.name} {now}, {told[0]}, {told[1]}"


def draw_sparkline(course: Course) -> str:
    said = sentence(course)
    if not course.known:
        drawn = [text(0.0, HEIGHT / 2 + 4, "no history yet", class_="soft small")]
    else:
        drawn = [*_runs(course), *_labels(course)]
    return picture(WIDTH, HEIGHT, said, *drawn, name="sparkline", role="img")


def placed(course: Course) -> Iterator[tuple[float, float] | None]:
    """Where every point stands, None in a gap."""
    low, high = _extremes(course)
    step = (WIDTH - LABELS - 2 * EDGE) / max(1, len(course.points) - 1)
    scale = (HEIGHT - 2 * EDGE) / ((high[0] - low[0]) or 1.0)
    flat = (HEIGHT - 2 * EDGE) / 2 if high[0] == low[0] else 0.0
    for n, value in enumerate(course.points):
        if value is None:
            yield None
        else:
            yield EDGE + n * step, HEIGHT - EDGE - flat - (value - low[0]) * scale


def _extremes(course: Course) -> tuple[tuple[float, str], tuple[float, str]]:
    """The latest of the lowest and of the highest."""
    newest_first = course.known[::-1]
    by_value = [each[0] for each in newest_first]
    lowest, highest = min(by_value), max(by_value)
    return newest_first[by_value.index(lowest)], newest_first[by_value.index(highest)]


def _runs(course: Course) -> Iterator[str]:
    """A path for what hangs together, a dot for what stands alone and for where it is now."""
    places = list(placed(course))
    for there, run in groupby(places, key=lambda place: place is not None):
        found = [place for place in run if place is not None]
        if there and len(found) > 1:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in found)
            yield element("path", d=f"M{path}", class_="line", fill="none")
        elif there:
            yield _dot(found[0], 1.5)
    if places[-1] is not None:
        yield _dot(places[-1], 3.0)


def _dot(place: tuple[float, float], radius: float) -> str:
    return element("circle", cx=place[0], cy=place[1], r=radius, class_="now")


def _labels(course: Course) -> Iterator[str]:
    low, high = _extremes(course)
    x = WIDTH - LABELS + 4
    if low[0] == high[0]:
        yield text(x, HEIGHT / 2 + 4, course.spell(low[0]), class_="soft small")
        return
    yield text(x, 12.0, course.spell(high[0]), class_="soft small")
    yield text(x, HEIGHT - 2, course.spell(low[0]), class_="soft small")
