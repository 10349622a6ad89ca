"""Streams of server-sent events: regions of a page, sent again when their HTML changed.

One look serves every tab that asks the same, at most one a second, rarer where it is dear, and
only while somebody watches.
A stream begins with every region whole, so that a reconnected tab lacks nothing and repeats
nothing, whatever it saw before. Ends with the session that opened it, and with
the process: nobody waits for an open stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from orchestrator.operate.filters import BadFilter
from orchestrator.operate.pages.rendering import Rendering
from orchestrator.operate.pages.view import Context, NoPage, Question, View
from orchestrator.operate.surfaces import NotAnswered, NotKnown
from services.chassis.clock import Clock
from services.chassis.store import Unavailable

PING_S: Final = 15.0
KEPT_S: Final = 60.0
RESTS: Final = 4  # times as long as a look took, until the next: a fifth of a core at most
STREAMS_MAX: Final = 200
_log = logging.getLogger(__name__)
Counted = Callable[[str], AbstractContextManager[None]]  # page: one more while it lasts
Still = Callable[[], Awaitable[bool]]  # whether who watches may go on
Regions = dict[str, str]
# The page is then loaded anew, which leads to the login.
ENDED: Final = "event: ended\ndata: the session has ended; log in again\n\n"


class Live:
    def __init__(self, rendering: Rendering, clock: Clock, counted: Counted) -> None:
        self._rendering, self._clock, self._counted = rendering, clock, counted
        self._looks: dict[tuple[str, Question], _Look] = {}
        self._stopping = asyncio.Event()
        self._open = 0

    def stop(self) -> None:
        self._stopping.set()

    async def stream(
        self, view: View, asked: Question, around: Mapping[str, object], still: Still
    ) -> AsyncIterator[str]:
        """Until who watches may no longer, or nothing is served any more."""
        sent: Regions = {}
        number = 0
        quiet_s = 0.0
        with self._counting(view):
            while not self._stopping.is_set():
                if not await still():
                    yield ENDED
                    return
                try:
                    now = await self.look(view, asked, around)
                except (Unavailable, BadFilter, NoPage, NotKnown, NotAnswered) as fault:
                    yield f"event: stale\ndata: {_line(str(fault))}\n\n"
                    now = sent
                changed = [html for name, html in now.items() if sent.get(name) != html]
                if changed or not number:
                    number += 1
                    yield _event(number, "".join(changed))
                    sent, quiet_s = now, 0.0
                elif quiet_s >= PING_S:
                    yield ": ping\n\n"
                    quiet_s = 0.0
                quiet_s += view.every_s
                await self._pause(view.every_s)

    async def look(self, view: View, asked: Question, around: Mapping[str, object]) -> Regions:
        """Every region by name, as a partial that htmx puts in its place."""
        names = {**around, **await self._context(view, asked), "live": ""}
        return {
            region: f'<hx-partial hx-target="#{region}" hx-swap="innerMorph">'
            f"{self._rendering.region(view.name, region, names)}</hx-partial>"
            for region in view.regions
        }

    async def _context(self, view: View, asked: Question) -> Context:
        """Made once for all who ask the same within `every_s`, or longer where it is dear."""
        now_s, key = self._clock.monotonic_s(), (view.name, asked)
        look = self._looks.get(key)
        if look is None or look.is_old(now_s, view.every_s * 0.9):
            kept = self._looks.items()
            self._looks = {each: old for each, old in kept if now_s - old.began_s <= KEPT_S}
            look = self._looks[key] = _Look(now_s)
            look.task = asyncio.ensure_future(look.timed(view.context(asked), self._clock))
        assert look.task is not None
        return await asyncio.shield(look.task)

    @property
    def full(self) -> bool:
        return self._open >= STREAMS_MAX

    @contextmanager
    def _counting(self, view: View) -> Iterator[None]:
        self._open += 1
        try:
            with self._counted(view.name):
                yield
        finally:
            self._open -= 1

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


@dataclass(slots=True)
class _Look:
    """`took_s`: None while it is being made."""

    began_s: float
    took_s: float | None = None
    task: asyncio.Task[Context] | None = None

    async def timed(self, making: Awaitable[Context], clock: Clock) -> Context:
        try:
            return await making
        finally:
            self.took_s = clock.monotonic_s() - self.began_s

    def is_old(self, now_s: float, every_s: float) -> bool:
        if self.took_s is None:
            return False
        return now_s - self.began_s >= max(every_s, (RESTS + 1) * self.took_s)


def _event(number: int, html: str) -> str:
    lines = "".join(f"data: {each}\n" for each in html.splitlines())
    return f"id: {number}\n{lines}\n"


def _line(text: str) -> str:
    return " ".join(text.split())
