"""The picture of a saga's definition, as text for a terminal or as Mermaid, drawn by the engine."""

from __future__ import annotations

FORMATS = ("text", "mermaid")


def draw(definition: str, form: str) -> str:
    """Raises KeyError, which names what is known."""
    raise KeyError(f"no picture of {definition} as {form}")
