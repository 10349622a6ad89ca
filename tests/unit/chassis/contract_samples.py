"""A legal message of every type of the catalogue, made from its schema."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from company import CATALOGUE

from schemas.shapes import read_record


def _samples() -> ModuleType:
    sys.path.append(str(Path(__file__).parents[2] / "contract"))
    import samples  # noqa: PLC0415

    return samples


def body_of(full_name: str) -> object:
    contract = CATALOGUE.by_name[full_name]
    record = read_record(contract.schema)
    sample = _samples().sample
    return contract.python(**{each.name: sample(each, each.shape) for each in record.fields})
