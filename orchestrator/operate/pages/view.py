"""What a page is: a path, a template of the same name, a context, and the regions that live.

A region is a block of the template that stands in an element of its name; `/live` sends the block
again whenever its HTML changed. A context is made of the question alone, so that any number of
tabs that ask the same is answered once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

from services.chassis.access import Role

Context: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class Question:
    """`given`: path and query parameters, the path's first. `personal`: the role may see it."""

    given: tuple[tuple[str, str], ...] = ()
    personal: bool = False

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.given if key == name), default)

    def every(self, name: str) -> list[str]:
        return [value for key, value in self.given if key == name and value]


class NoPage(Exception):
    """Why there is nothing to show: a heading, a sentence, and what to do instead."""

    def __init__(
        self,
        heading: str,
        sentence: str,
        *,
        status: HTTPStatus = HTTPStatus.NOT_FOUND,
        links: Mapping[str, str] | None = None,
    ) -> None:
        """`links`: words to address."""
        super().__init__(sentence)
        self.heading, self.status, self.links = heading, status, dict(links or {})


@dataclass(frozen=True, slots=True)
class View:
    """`every_s`: how often it is looked at for those who watch. `needs`: who may.

    A context's `watching`, if it has any, is what they ask beside the page's own question.
    """

    name: str
    path: str
    title: str
    context: Callable[[Question], Awaitable[Context]]
    regions: tuple[str, ...] = ()
    every_s: float = 1.0
    own: Callable[[str], Awaitable[Context]] | None = None
    needs: Role = Role.VIEWER
