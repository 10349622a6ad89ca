"""The console's verbs over the real engine: what is published is taken by the orchestra at once.

Nothing sleeps: waiting moves the orchestra's clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from orchestra import CATALOGUE, CODEC, Orchestra, orchestra
from stage import TOKEN, Hands
from starlette.routing import BaseRoute

from orchestrator.operate.api import routes
from orchestrator.operate.audit_api import AuditQuestions
from orchestrator.operate.auditing import MIGRATIONS, Audit
from orchestrator.operate.bulk import Operations
from orchestrator.operate.bulk_api import BulkVerbs
from orchestrator.operate.bulk_running import BulkRunner
from orchestrator.operate.database import Database
from orchestrator.operate.pictures import draw
from orchestrator.operate.reading import Reading
from orchestrator.operate.saga_telling import SagaTelling
from orchestrator.operate.saga_verb_api import SagaVerbs
from orchestrator.operate.sagas import Views
from orchestrator.operate.surfaces import Json
from orchestrator.operate.telling import Telling
from orchestrator.sagas import SAGAS
from schemas.topics import topics_read_by
from services.chassis.access import LOCAL, Role
from services.chassis.bus import BusError
from services.chassis.envelope import Maker
from services.chassis.gate import secured
from services.chassis.messages import Outgoing
from tests.gates import gate_for
from tests.unit.chassis.company import DirectStore

HEARD = frozenset(topic.name for topic in topics_read_by("orchestrator"))


class Ticking(Hands):
    """Looking at the clock takes a second of it, so that who waits is done at once."""

    def __init__(self, playing: Orchestra) -> None:
        super().__init__(playing)
        self._looked = 0

    def monotonic_s(self) -> float:
        self._looked += 1
        return float(self._looked)


@dataclass
class Wire:
    """Publishes to the orchestra. `broken`: what publishing raises; `asleep`: nothing is taken.

    `answers`: what a participant replies as soon as its saga was told something.
    """

    playing: Orchestra
    broken: BusError | None = None
    asleep: bool = False
    alive: bool = True
    sent: list[Outgoing] = field(default_factory=list)
    answers: dict[str, tuple[str, object]] = field(default_factory=dict)
    used: asyncio.Event = field(default_factory=asyncio.Event)

    async def rebuild(self) -> None:
        self.alive = True

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        if self.broken is not None:
            raise self.broken
        self.sent += messages
        for out in () if self.asleep else messages:
            if out.topic in HEARD:
                await self.playing.hear(out)
            if out.key in self.answers:
                await self.playing.reply(out.key, *self.answers.pop(out.key))
        self.used.set()


@dataclass
class Console:
    playing: Orchestra
    wire: Wire
    runner: BulkRunner
    http: httpx.AsyncClient
    kept: DirectStore
    routes: Sequence[BaseRoute]

    async def audited(self) -> list[tuple[object, ...]]:
        """Action, target and result of each line, the oldest first."""
        lines = (await self.read("/api/audit"))["acts"]
        return [(each["action"], each["target"], each["result"]) for each in reversed(lines)]

    async def post(
        self, path: str, body: Mapping[str, object], key: str = "p-1"
    ) -> tuple[int, Json]:
        answer = await self.http.post(path, json=dict(body), headers={"Idempotency-Key": key})
        return answer.status_code, answer.json()

    async def tell(
        self, name: str, body: Mapping[str, object], key: str = "k-1"
    ) -> tuple[int, dict[str, object]]:
        return await self.post(f"/api/sagas/{name}/verbs", body, key)

    async def read(self, path: str) -> Json:
        answer = await self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def told(self, name: str, key: str = "k-1") -> dict[str, object]:
        answer = await self.http.get(f"/api/sagas/{name}/verbs/{key}")
        said: dict[str, object] = answer.json()
        return said


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Console]:
    path = folder / "orchestrator.db"
    async with orchestra(path) as playing, Database(path) as database:
        clock, wire = Ticking(playing), Wire(playing)
        reading = Reading(database, Views(SAGAS), clock)
        published = Telling(wire, Maker("console", CODEC, CATALOGUE), clock)
        kept = DirectStore(migrations={"console": MIGRATIONS})
        audit = Audit(kept, clock)  # type: ignore[arg-type]
        telling = SagaTelling(reading, database, published, CATALOGUE, audit)
        gate = gate_for(folder, {TOKEN: Role.OPERATOR}, name=LOCAL)
        parts = (kept, reading, telling, audit, clock)
        runner = BulkRunner(*parts)  # type: ignore[arg-type]
        bulk = BulkVerbs(Operations(*parts), runner.held)  # type: ignore[arg-type]
        told = [*SagaVerbs(telling).routes(), *AuditQuestions(audit).routes(), *bulk.routes()]
        given = [*routes(reading, draw), *told]
        app = secured(given, gate)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://console",
            headers={"Authorization": f"Bearer {TOKEN}"},
        ) as http:
            yield Console(playing, wire, runner, http, kept, given)
