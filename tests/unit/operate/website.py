"""The console's pages over a database that the real shell wrote, without a server.

The clock is the orchestra's, moved by hand, so that every age on a page is known.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import httpx
from kafka_log import KafkaLog
from orchestra import CATALOGUE, CODEC, Orchestra, orchestra
from stage import TOKEN, Hands
from starlette.applications import Starlette
from telling_stage import Ticking, Wire

from deploy.local.faults import LocalFault
from orchestrator.operate.auditing import MIGRATIONS, Audit
from orchestrator.operate.bulk import Operations
from orchestrator.operate.bulk_running import BulkRunner
from orchestrator.operate.database import Database
from orchestrator.operate.history import History
from orchestrator.operate.lessons import Lessons
from orchestrator.operate.letter_telling import LetterTelling
from orchestrator.operate.login import Ways, login_routes
from orchestrator.operate.pages.composing import Sources, composed, views
from orchestrator.operate.pages.live import Live
from orchestrator.operate.pages.view import View
from orchestrator.operate.reading import Reading
from orchestrator.operate.saga_telling import SagaTelling
from orchestrator.operate.sagas import Views
from orchestrator.operate.saved_views import SavedViews
from orchestrator.operate.scraping import Scraping
from orchestrator.operate.sessions import Sessions
from orchestrator.operate.surfaces import Surfaces
from orchestrator.operate.tailing import Tails
from orchestrator.operate.telling import Telling
from orchestrator.sagas import SAGAS
from services.chassis.access import LOCAL, Principal, Role
from services.chassis.envelope import Maker
from services.chassis.gate import secured
from tests.gates import gate_for
from tests.unit.chassis.company import DirectStore

OPERATOR = Principal(LOCAL, Role.OPERATOR)
LOOKS = "a-viewers"
NOBODY: Mapping[str, Callable[[httpx.Request], httpx.Response]] = {}


@dataclass
class Website:
    playing: Orchestra
    app: Starlette
    live: Live
    http: httpx.AsyncClient
    sources: Sources
    sessions: Sessions
    wire: Wire
    runner: BulkRunner
    kept: DirectStore
    reading: Reading
    log: KafkaLog = field(default_factory=KafkaLog)
    views: dict[str, View] = field(default_factory=dict)
    streams: list[tuple[str, int]] = field(default_factory=list)
    made: Callable[[], tuple[Starlette, Live]] | None = None

    def anew(self) -> tuple[Starlette, Live]:
        """The same pages, as a process that has just begun has them."""
        assert self.made is not None
        return self.made()

    @property
    def scraping(self) -> Scraping:
        return self.sources.scraping

    @property
    def history(self) -> History:
        return self.sources.history

    async def page(self, path: str, status: int = 200, *, token: str = TOKEN) -> str:
        answer = await self.http.get(path, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status, answer.text
        return answer.text

    async def send(self, path: str, given: Sequence[tuple[str, str]], status: int = 303) -> str:
        """Where it leads, or else the page that says why not."""
        body = urlencode(given)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await self.http.post(path, content=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.headers.get("location") or answer.text


@dataclass
class Bench:
    """Processes that could be stopped, if anybody ran here. `refuses`: what asking raises."""

    running: dict[str, str] | None = None
    refuses: LocalFault | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    said: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def last_words(self, process: str) -> Sequence[str]:
        return self.said.get(process, ())

    def states(self) -> Mapping[str, str] | None:
        return self.running

    async def ask(self, verb: str, process: str) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.asked.append((verb, process))

    async def pause(self, seconds: float) -> None:
        """Nobody waits."""


@dataclass
class Served:
    """A website behind a real server."""

    site: Website
    url: str

    def login(self) -> str:
        """The address that logs an operator in once."""
        return f"{self.url}/login?code={self.site.sessions.code(OPERATOR)}"


@contextmanager
def _counting(streams: list[tuple[str, int]], page: str) -> Iterator[None]:
    streams.append((page, 1))
    try:
        yield
    finally:
        streams.append((page, -1))


@asynccontextmanager
async def website(
    folder: Path,
    processes: Mapping[str, Callable[[httpx.Request], httpx.Response]] = NOBODY,
    letters: LetterTelling | None = None,
    machine: Bench | None = None,
    ways: Ways | None = None,
) -> AsyncIterator[Website]:
    """`processes`: what each answers on its operations port, by name."""
    path, stack = folder / "orchestrator.db", machine or Bench()
    addresses = {name: f"http://{name}" for name in processes}
    transport = httpx.MockTransport(lambda asked: processes[asked.url.host](asked))
    async with (
        orchestra(path) as playing,
        Database(path) as database,
        Surfaces(addresses, transport=transport) as surfaces,
    ):
        streams, hands = list[tuple[str, int]](), Hands(playing)
        wire, kept = Wire(playing), DirectStore(migrations={"console": MIGRATIONS})
        reading, audit = Reading(database, Views(SAGAS), hands), Audit(kept, hands)  # type: ignore[arg-type]
        published = Telling(wire, Maker("console", CODEC, CATALOGUE), Ticking(playing))
        telling = SagaTelling(reading, database, published, CATALOGUE, audit)
        bulk = (kept, reading, telling, audit, hands)
        runner, log = BulkRunner(*bulk), KafkaLog()  # type: ignore[arg-type]
        sources = Sources(
            reading,
            telling,
            Operations(*bulk),  # type: ignore[arg-type]
            runner.held,
            audit,
            letters or LetterTelling(surfaces, published, audit),
            Lessons(published, stack, hands, pause=stack.pause),
            stack,
            Scraping(surfaces, hands),
            History(kept, reading),  # type: ignore[arg-type]
            Tails(log.opened, hands),
            SavedViews(kept, hands),  # type: ignore[arg-type]
            hands,
            partial(_counting, streams),
        )
        gate = gate_for(folder, {TOKEN: Role.OPERATOR, LOOKS: Role.VIEWER}, name=LOCAL, clock=hands)
        gate = replace(gate, browsers=(sessions := Sessions(gate.tokens, hands)))

        def made() -> tuple[Starlette, Live]:
            site, live = composed(sources)
            entrance = login_routes(sessions, gate, site.login, ways)
            return secured([*entrance, *site.routes()], gate), live

        app, live = made()
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://console",
            headers={"Authorization": f"Bearer {TOKEN}"},
        ) as http:
            named = {view.name: view for view in views(sources)}
            yield Website(
                playing,
                app,
                live,
                http,
                sources,
                sessions,
                wire,
                runner,
                kept,
                reading,
                log,
                named,
                streams,
                made,
            )
