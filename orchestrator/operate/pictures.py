"""The picture of a saga's definition, as text for a terminal or as Mermaid, drawn by the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.engine.draw import mermaid, terminal
from orchestrator.saga import Saga
from orchestrator.sagas import SAGAS

FORMATS: Mapping[str, Callable[[Saga[object]], str]] = {"text": terminal, "mermaid": mermaid}


def draw(definition: str, form: str) -> str:
    """The newest version. Raises KeyError for an unknown definition, ValueError for a format."""
    versions = [saga for saga in SAGAS if saga.name == definition]
    if not versions:
        known = ", ".join(sorted({saga.name for saga in SAGAS}))
        raise KeyError(f"no saga is called {definition}; the definitions are {known}")
    if form not in FORMATS:
        raise ValueError(f"no format {form}; the formats are {', '.join(FORMATS)}")
    return FORMATS[form](max(versions, key=lambda saga: saga.version))
