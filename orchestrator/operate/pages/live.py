"""Streams of server-sent events: regions of a page, sent again when their HTML changed.

One look serves every tab that asks the same, at most one a second and only while somebody watches.
A stream begins with every region whole, so that a reconnected tab lacks nothing and repeats
nothing, whatever it saw before. Ends with the session that opened it, and with
the process: nobody waits for an open stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from orchestrator.operate.filters import BadFilter
from orchestrator.operate.pages.rendering import Rendering
from orchestrator.operate.pages.view import NoPage, Question, View
from orchestrator.operate.surfaces import NotAnswered, NotKnown
from services.chassis.clock import Clock
from services.chassis.store import Unavailable

PING_S: Final = 15.0
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
        self._looks: dict[tuple[str, Question], tuple[float, asyncio.Task[dict[str, object]]]] = {}
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

    async def _context(self, view: View, asked: Question) -> dict[str, object]:
        """Made once for all who ask the same within `every_s`."""
        now_s = self._clock.monotonic_s()
        key = (view.name, asked)
        made_s, task = self._looks.get(key, (0.0, None))
        if task is None or now_s - made_s >= view.every_s * 0.9:
            old = [each for each, (at_s, _) in self._looks.items() if now_s - at_s > PING_S]
            for each in old:
                del self._looks[each]
            task = asyncio.ensure_future(view.context(asked))
            self._looks[key] = now_s, task
        return await asyncio.shield(task)

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


def _event(number: int, html: str) -> str:
    lines = "".join(f"data: {each}\n" for each in html.splitlines())
    return f"id: {number}\n{lines}\n"


def _line(text: str) -> str:
    return " ".join(text.split())
