"""A filter's text as pages change it: one term less, one more, all of them as chips. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Chip(NamedTuple):
    """A term, and the filter without it."""

    term: str
    rest: str


def chips(text: str) -> list[Chip]:
    terms = text.split()
    return [
        Chip(term, " ".join(terms[:place] + terms[place + 1 :])) for place, term in enumerate(terms)
    ]


def narrowed(text: str, name: str, value: str) -> str:
    """With `name=value` instead of what was said of that name."""
    return " ".join([*_others(text, name), f"{name}={value}"])


def widened(text: str, name: str) -> str:
    """Without what was said of that name."""
    return " ".join(_others(text, name))


def said(text: str, name: str) -> frozenset[str]:
    """The values that are asked for by that name."""
    prefix = f"{name}="
    return frozenset(
        value
        for term in text.split()
        if term.startswith(prefix)
        for value in term.removeprefix(prefix).split(",")
    )


def _others(text: str, name: str) -> Iterator[str]:
    return (term for term in text.split() if not term.startswith((f"{name}=", f"{name}<")))
