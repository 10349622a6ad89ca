"""A sparkline: one image, one sentence, as many points as were sampled."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st
from reading_pages import HOSTILE

from orchestrator.operate.svg.sparkline import (
    HEIGHT,
    WIDTH,
    Course,
    draw_sparkline,
    placed,
    sentence,
)

GOLDEN = Path(__file__).parent / "pictures" / "sparkline.svg"
POINTS = st.lists(st.none() | st.floats(0, 1e6), min_size=1, max_size=60)


def line(*points: float | None, name: str = "throughput") -> Course:
    times = [f"13:{n:02}" for n in range(len(points))]
    return Course(name, points, times, lambda value: f"{value:g}/s")


def test_it_is_drawn_as_it_was_looked_at() -> None:
    """With a gap, and a point that stands alone."""
    drawn = draw_sparkline(line(4, 5, 9, None, 3, None, None, 5, 7, 12))

    assert drawn + "\n" == GOLDEN.read_text()


def test_it_says_what_it_shows() -> None:
    """Where it is, how low and how high it was, and when it was so last."""
    assert (
        sentence(line(12, 3, 15, 3, 12))
        == "throughput 12/s now, low 3/s at 13:03, high 15/s at 13:02"
    )
    assert sentence(line(None, 4, 4)) == "throughput 4/s now, always 4/s since 13:01"
    assert (
        sentence(line(4, 5, None)) == "throughput unknown now, low 4/s at 13:00, high 5/s at 13:01"
    )
    assert sentence(line(None, None)) == "throughput: nothing was sampled in this range"


@given(POINTS)
def test_every_point_stands_within_the_picture(points: list[float | None]) -> None:
    """In order from left to right, as many as are known, the higher the further up."""
    drawn = line(*points)
    if drawn.known:
        found = [place for place in placed(drawn) if place is not None]
        values = [value for value, _ in drawn.known]
        assert len(found) == len(values)
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in found)
        assert [x for x, _ in found] == sorted(x for x, _ in found)
        for value, (_, y) in zip(values, found, strict=True):
            assert (
                y >= min(y for _, y in found)
                if value < max(values)
                else y == min(y for _, y in found)
            )


@given(POINTS)
def test_what_hangs_together_is_drawn_together(points: list[float | None]) -> None:
    """No line bridges a gap."""
    svg = draw_sparkline(line(*points))
    drawn = [path.count("L") + 1 for path in re.findall(r' d="([^"]*)"', svg)]
    runs = [len(run) for run in "".join("-x"[v is not None] for v in points).split("-") if run]

    assert drawn == [length for length in runs if length > 1]


def test_it_is_one_image_and_escaped() -> None:
    """To a screen reader a picture with a sentence; no text of a name is markup."""
    svg = ET.fromstring(draw_sparkline(line(1, 2, name=HOSTILE)))

    assert (svg.get("role"), svg.get("aria-label")) == (
        "img",
        f"{HOSTILE} 2/s now, low 1/s at 13:00, high 2/s at 13:01",
    )
