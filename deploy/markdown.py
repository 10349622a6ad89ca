"""Markdown as the reference needs it: tables, fences, and parts of a file between two markers.

Invariant: what stands outside the markers of a file is never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines) + "\n"


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def codes(texts: Iterable[str]) -> str:
    return ", ".join(map(code, texts))


def fence(language: str, text: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```\n"


def between(text: str, name: str, part: str) -> str:
    """The text with `part` between its markers of that name. Raises ValueError without them."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if start not in text or end not in text:
        raise ValueError(f"no place for {name}: write {start.strip()} and {end} where it belongs")
    head, _, rest = text.partition(start)
    return f"{head}{start}{part}{end}{rest.partition(end)[2]}"


def _cell(text: str) -> str:
    """A `<` outside code would begin an HTML tag and vanish."""
    parts = text.replace("|", "\\|").split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts).replace("\n", "<br>")
