"""The README's pictures of the console show it as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.browser.pictures import DRAWN_BY, FOLDER, LIGHTS, PAGES, company, draw, drawn_by
from tests.browser.pixels import differ, small

UNLIKE = 0.005
EACH_BYTES, ALL_BYTES = 120_000, 1_000_000


@pytest.mark.costly
async def test_the_pictures_are_not_stale(tmp_path: Path, browser: Browser) -> None:
    """Drawn anew by the same browser with the same fonts, no more than a trace of one differs."""
    if drawn_by() != DRAWN_BY.read_text(encoding="utf-8"):
        pytest.skip("another browser or other fonts drew them; make pictures   draws them anew")
    unlike = {}
    async with company(tmp_path) as served:
        for name in PAGES:
            for light in LIGHTS:
                now = await draw(browser, served, name, light)
                was = (FOLDER / f"{name}-{light}.png").read_bytes()
                unlike[f"{name}-{light}"] = await differ(browser, now, was)

    stale = {name: f"{share:.1%}" for name, share in unlike.items() if share > UNLIKE}
    assert not stale, f"make pictures   draws them anew: {stale}"


async def test_other_colours_are_told(browser: Browser) -> None:
    """A picture is like itself, also with fewer colours, and unlike the same page in the dark."""
    light, dark = ((FOLDER / f"flow-{each}.png").read_bytes() for each in LIGHTS)

    assert await differ(browser, light, await small(browser, light)) == 0
    assert await differ(browser, light, dark) > 0.5
    assert await differ(browser, light, (FOLDER / "map-light.png").read_bytes()) > UNLIKE


def test_they_are_light_and_all_shown() -> None:
    """Each is in the README in both lights, and none weighs much."""
    readme = (FOLDER.parents[1] / "README.md").read_text(encoding="utf-8")
    bytes_of = {path.name: path.stat().st_size for path in FOLDER.glob("*.png")}

    assert set(bytes_of) == {f"{name}-{light}.png" for name in PAGES for light in LIGHTS}
    assert [name for name in bytes_of if f"deploy/screens/{name}" not in readme] == []
    assert max(bytes_of.values()) < EACH_BYTES
    assert sum(bytes_of.values()) < ALL_BYTES
