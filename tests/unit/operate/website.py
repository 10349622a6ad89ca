"""The console's pages over a database that the real shell wrote, without a server.

The clock is the orchestra's, moved by hand, so that every age on a page is known.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from orchestra import Orchestra, orchestra
from stage import Hands
from starlette.applications import Starlette

from orchestrator.operate.database import Database
from orchestrator.operate.pages.composing import Sources, composed, views
from orchestrator.operate.pages.live import Live
from orchestrator.operate.pages.view import View
from orchestrator.operate.reading import Reading
from orchestrator.operate.sagas import Views
from orchestrator.operate.scraping import Scraping
from orchestrator.operate.surfaces import Surfaces
from orchestrator.sagas import SAGAS

NOBODY: Mapping[str, Callable[[httpx.Request], httpx.Response]] = {}


@dataclass
class Website:
    playing: Orchestra
    app: Starlette
    live: Live
    http: httpx.AsyncClient
    scraping: Scraping
    views: dict[str, View] = field(default_factory=dict)
    streams: list[tuple[str, int]] = field(default_factory=list)

    async def page(self, path: str, status: int = 200) -> str:
        answer = await self.http.get(path)
        assert answer.status_code == status, answer.text
        return answer.text


@dataclass
class Served:
    """A website behind a real server."""

    site: Website
    url: str


@asynccontextmanager
async def website(
    folder: Path, processes: Mapping[str, Callable[[httpx.Request], httpx.Response]] = NOBODY
) -> AsyncIterator[Website]:
    """`processes`: what each answers on its operations port, by name."""
    path = folder / "orchestrator.db"
    addresses = {name: f"http://{name}" for name in processes}
    async with (
        orchestra(path) as playing,
        Database(path) as database,
        Surfaces(
            addresses, httpx.MockTransport(lambda asked: processes[asked.url.host](asked))
        ) as surfaces,
    ):
        streams: list[tuple[str, int]] = []
        hands = Hands(playing)

        @contextmanager
        def counting(page: str) -> Iterator[None]:
            streams.append((page, 1))
            yield
            streams.append((page, -1))

        sources = Sources(
            Reading(database, Views(SAGAS), hands),
            Scraping(surfaces, hands),
            hands,
            counting,
        )
        site, live = composed(sources)
        app = Starlette(routes=site.routes())
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://console") as http:
            named = {view.name: view for view in views(sources)}
            yield Website(playing, app, live, http, sources.scraping, named, streams)
