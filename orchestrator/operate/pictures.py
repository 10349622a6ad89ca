"""The picture of a saga's definition: as text or Mermaid, drawn by the engine, or as SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.engine.draw import mermaid, terminal
from orchestrator.operate.flowing import Traffic, flow_of
from orchestrator.operate.svg.flow import draw_flow, standalone
from orchestrator.saga import Saga
from orchestrator.sagas import SAGAS


def _svg(saga: Saga[object]) -> str:
    return standalone(draw_flow(flow_of(saga, Traffic())))


FORMATS: Mapping[str, Callable[[Saga[object]], str]] = {
    "text": terminal,
    "mermaid": mermaid,
    "svg": _svg,
}


def draw(definition: str, form: str, version: int | None = None) -> str:
    """The newest version, if none is given.

    Raises KeyError for an unknown definition, ValueError for a format.
    """
    versions = [
        saga
        for saga in SAGAS
        if saga.name == definition and (version is None or saga.version == version)
    ]
    if not versions:
        known = ", ".join(sorted({saga.name for saga in SAGAS}))
        raise KeyError(f"no saga is called {definition}; the definitions are {known}")
    if form not in FORMATS:
        raise ValueError(f"no format {form}; the formats are {', '.join(FORMATS)}")
    return FORMATS[form](max(versions, key=lambda saga: saga.version))
