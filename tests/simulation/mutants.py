"""The mutants of `mutants.toml`."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from tests.simulation.mutation import Mutant


@cache
def mutants() -> dict[str, Mutant]:
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    found = [
        Mutant(
            each["name"],
            each["breaks"],
            each["failure"],
            each["file"],
            tuple((edit["was"], edit["instead"]) for edit in each["edit"]),
        )
        for each in tomllib.loads(text)["mutant"]
    ]
    by_name = {each.name: each for each in found}
    if len(by_name) != len(found):
        raise ValueError("two mutants have one name")
    return by_name
