"""The sagas of this release. A definition stays here, in each version, while one of it runs."""

from __future__ import annotations

from typing import cast

from orchestrator.saga import Saga
from orchestrator.sagas.fulfilment import FULFILMENT
from orchestrator.sagas.onboarding import ONBOARDING

__all__ = ["FULFILMENT", "ONBOARDING", "SAGAS"]

SAGAS: tuple[Saga[object], ...] = (
    cast("Saga[object]", FULFILMENT),
    cast("Saga[object]", ONBOARDING),
)
