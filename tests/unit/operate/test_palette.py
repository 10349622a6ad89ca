"""The colours of states stay apart for every kind of eye, and text and lines stand out.

Distances are CIEDE2000 (Sharma, Wu, Dalal 2005); how protanopes and deuteranopes see is simulated
after Machado, Oliveira, Fernandes 2009, severity 1. Contrast is WCAG 2.2's.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

import orchestrator.operate.pages

SHEET = Path(orchestrator.operate.pages.__file__).parent / "static" / "baton.css"
STATES = ("good", "warn", "bad", "back", "on")
EYES = {
    "usual": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protan": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deutan": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
}
Triple = tuple[float, float, float]


def themes() -> dict[str, dict[str, Triple]]:
    """Each variable of the sheet in linear light, by theme; the sheet says the dark one twice."""
    blocks = re.findall(r"color-scheme: (light|dark);(.*?)\}", SHEET.read_text(), re.DOTALL)
    found: dict[str, dict[str, Triple]] = {}
    for theme, block in blocks:
        colours = {
            name: linear(value) for name, value in re.findall(r"--(\w+): #([0-9a-f]{6})", block)
        }
        assert found.setdefault(theme, colours) == colours, f"{theme} differs from itself"
    return found


def linear(value: str) -> Triple:
    red, green, blue = (int(value[at : at + 2], 16) / 255 for at in (0, 2, 4))
    return _linear(red), _linear(green), _linear(blue)


def _linear(share: float) -> float:
    return share / 12.92 if share <= 0.04045 else math.pow((share + 0.055) / 1.055, 2.4)


THEMES = themes()


def luminance(colour: Triple) -> float:
    red, green, blue = colour
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Triple, other: Triple) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def product(matrix: Iterable[Triple], colour: Triple) -> Triple:
    red, green, blue = (sum(a * b for a, b in zip(row, colour, strict=True)) for row in matrix)
    return red, green, blue


def seen(colour: Triple, eye: str) -> Triple:
    red, green, blue = (min(1.0, max(0.0, each)) for each in product(EYES[eye], colour))
    return red, green, blue


def lab(colour: Triple) -> Triple:
    """CIELAB under D65."""
    rows = (
        (0.4124564, 0.3575761, 0.1804375),
        (0.2126729, 0.7151522, 0.0721750),
        (0.0193339, 0.1191920, 0.9503041),
    )
    white = (0.95047, 1.0, 1.08883)
    x, y, z = (_f(each / full) for each, full in zip(product(rows, colour), white, strict=True))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _f(share: float) -> float:
    return math.cbrt(share) if share > 216 / 24389 else (24389 / 27 * share + 16) / 116


def distance(one: Triple, other: Triple) -> float:
    """CIEDE2000 of two CIELAB colours."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    chroma = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * math.sqrt(chroma**7 / (chroma**7 + 25**7))
    c1, c2 = math.hypot(a1 * stretch, b1), math.hypot(a2 * stretch, b2)
    h1 = math.degrees(math.atan2(b1, a1 * stretch)) % 360
    h2 = math.degrees(math.atan2(b2, a2 * stretch)) % 360
    turn = (h2 - h1 + 180) % 360 - 180 if c1 and c2 else 0.0
    hue = (h1 + turn / 2) % 360
    light, mean = (l1 + l2) / 2, (c1 + c2) / 2
    across = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2))
    t = (
        1
        - 0.17 * math.cos(math.radians(hue - 30))
        + 0.24 * math.cos(math.radians(2 * hue))
        + 0.32 * math.cos(math.radians(3 * hue + 6))
        - 0.20 * math.cos(math.radians(4 * hue - 63))
    )
    bend = 30 * math.exp(-(((hue - 275) / 25) ** 2))
    twist = -2 * math.sqrt(mean**7 / (mean**7 + 25**7)) * math.sin(math.radians(2 * bend))
    dl = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / math.sqrt(20 + (light - 50) ** 2))
    dc = (c2 - c1) / (1 + 0.045 * mean)
    dh = across / (1 + 0.015 * mean * t)
    return math.sqrt(dl**2 + dc**2 + dh**2 + twist * dc * dh)


def test_the_distance_is_that_of_the_paper() -> None:
    """Pairs 1, 7, 17 and 25 of Sharma, Wu and Dalal's table."""
    pairs = (
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    )
    assert [round(distance(one, other), 4) for one, other, _ in pairs] == [far for *_, far in pairs]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("eye", EYES)
def test_no_two_states_look_alike(theme: str, eye: str) -> None:
    """At least ten apart: a glance tells them, even without their glyphs."""
    colours = {name: lab(seen(THEMES[theme][name], eye)) for name in STATES}
    near = {
        f"{one} and {other}": round(far, 1)
        for one, other in itertools.combinations(STATES, 2)
        if (far := distance(colours[one], colours[other])) < 10
    }
    assert near == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_lines_stand_out(theme: str) -> None:
    """4.5 to 1 for text on every ground it stands on, 3 to 1 for lines."""
    colours = THEMES[theme]
    faint = {
        f"{ink} on {ground}": round(found, 2)
        for ground in ("ground", "raised", "mark")
        for ink in ("text", "soft", "link", *STATES, "line")
        if (found := contrast(colours[ink], colours[ground])) < (3 if ink == "line" else 4.5)
    }
    assert faint == {}
