"""The console's process: the API over the orchestrator's database, and its operations port.

It reads what the orchestrator wrote, asks every process about its dead letters, and publishes what
an operator decides. Ready means that the orchestrator's database can be read: Kafka is spoken to
only when there is something to tell, or somebody looks at a topic. Starts nothing at import.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from deploy.local.home import Home
from orchestrator.operate.api import routes
from orchestrator.operate.audit_api import AuditQuestions
from orchestrator.operate.auditing import MIGRATIONS, Audit
from orchestrator.operate.bulk import Operations
from orchestrator.operate.bulk_api import BulkVerbs
from orchestrator.operate.bulk_running import BulkRunner
from orchestrator.operate.database import Database
from orchestrator.operate.deadletters import DeadLetters
from orchestrator.operate.history import History
from orchestrator.operate.lessons import Lessons
from orchestrator.operate.letter_telling import LetterTelling
from orchestrator.operate.login import Ways, login_routes
from orchestrator.operate.machine import LocalMachine
from orchestrator.operate.metrics import CONSOLE, ConsoleMetrics
from orchestrator.operate.oidc_login import Client, OidcLogin
from orchestrator.operate.pages.composing import Sources, composed
from orchestrator.operate.pages.live import Counted, Live
from orchestrator.operate.pictures import draw
from orchestrator.operate.reading import Reading
from orchestrator.operate.saga_telling import SagaTelling
from orchestrator.operate.saga_verb_api import SagaVerbs
from orchestrator.operate.sagas import Views
from orchestrator.operate.saved_views import SavedViews
from orchestrator.operate.scraping import Scraping
from orchestrator.operate.service_api import service_routes
from orchestrator.operate.sessions import Sessions
from orchestrator.operate.settings import ConsoleSettings
from orchestrator.operate.surfaces import Surfaces
from orchestrator.operate.tailing import LAST, Tails
from orchestrator.operate.telling import TOLD_WITHIN_S, Telling
from orchestrator.sagas import SAGAS
from schemas.catalogue import load_catalogue
from services.chassis.bus_admin import Tail
from services.chassis.bus_publish import Publisher
from services.chassis.clock import Clock, SystemClock
from services.chassis.codec import Codec
from services.chassis.envelope import Maker
from services.chassis.gate import Gate, gate_of, secured
from services.chassis.health import Check, operations_app, serving
from services.chassis.logs import configure
from services.chassis.metrics import Known, Metrics
from services.chassis.settings import SettingsError
from services.chassis.sqlite import open_store
from services.chassis.store import Store, StoreError, Unavailable, WrongDatabase

NAME = "console"
FAILED, UNUSABLE = 1, 2
_LOOK_AGAIN_S = 2.0
_TAIL_WITHIN_S = 3.0
_log = logging.getLogger(__name__)


class Parts(NamedTuple):
    """What the console's routes stand on."""

    reading: Reading
    database: Database
    surfaces: Surfaces
    tails: Tails
    telling: Telling
    audit: Audit
    store: Store
    counted: Counted
    sessions: Sessions
    gate: Gate
    home: Home
    ways: Ways


class Served(NamedTuple):
    """Its routes, each with its policy, which a test walks; and what has to run and to stop."""

    routes: list[BaseRoute]
    live: Live
    runner: BulkRunner
    history: History


def console_routes(parts: Parts) -> Served:
    reading, telling, clock = parts.reading, parts.telling, parts.gate.clock
    sagas = SagaTelling(reading, parts.database, telling, load_catalogue(), parts.audit)
    bulk = (parts.store, reading, sagas, parts.audit, clock)
    operations, runner = Operations(*bulk), BulkRunner(*bulk)
    scraping, history = Scraping(parts.surfaces, clock), History(parts.store, reading)
    letters = LetterTelling(parts.surfaces, telling, parts.audit)
    machine = LocalMachine(parts.home)
    lessons = Lessons(telling, machine, clock)
    told = (sagas, operations, runner.held, parts.audit, letters, lessons, machine)
    looks = (scraping, history, parts.tails, SavedViews(parts.store, clock), clock, parts.counted)
    site, live = composed(Sources(reading, *told, *looks))
    given: list[BaseRoute] = [
        *routes(reading, draw),
        *DeadLetters(letters).routes(),
        *SagaVerbs(sagas).routes(),
        *BulkVerbs(operations, runner.held).routes(),
        *AuditQuestions(parts.audit).routes(),
        *service_routes(scraping, clock),
        *login_routes(parts.sessions, parts.gate, site.login, parts.ways),
        *site.routes(),
    ]
    return Served(given, live, runner, history)


def ways_of(settings: ConsoleSettings, clock: Clock) -> Ways:
    """How people log in, at a provider, too, if one is set."""
    return Ways(_provider(settings, clock), settings.logins_per_minute)


def _provider(settings: ConsoleSettings, clock: Clock) -> OidcLogin | None:
    """Its settings are whole, or none is there."""
    login, token = settings.oidc_login_url, settings.oidc_token_url
    back, client_id = settings.oidc_callback_url, settings.oidc_client_id
    if not (login and token and back and client_id):
        return None
    from services.chassis.oidc import verifier_of  # noqa: PLC0415  the extra `oidc`

    given = settings.oidc_client_secret
    secret = given.get_secret_value() if given is not None else ""
    client = Client(settings.oidc_issuer or "", client_id, secret, login, token, back)
    return OidcLogin(client, verifier_of(settings, client_id, clock), clock)


class Console:
    """`stop()` ends it gracefully; `run` returns when it has stopped."""

    def __init__(self, settings: ConsoleSettings) -> None:
        self._settings = settings
        self._stopped = asyncio.Event()
        self._working: list[asyncio.Task[None]] = []
        self._database = Check("database", ok=False, reason="not looked at yet")
        self.metrics = Metrics(
            NAME, Known({}, {}, ()), version=version("baton-saga"), families=CONSOLE
        )
        self.counted = ConsoleMetrics(self.metrics.meters)

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        settings = self._settings
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(Database(settings.orchestrator_database))
            reading = Reading(database, Views(SAGAS), SystemClock())
            health = operations_app(self.metrics, lambda: [self._database])
            self._work(stack, self._watch(reading))
            await stack.enter_async_context(serving(health, settings.bind, settings.ops_port))
            if settings.tokens_file is not None:
                app, live = await self._app(stack, reading, database)
                await stack.enter_async_context(serving(app, settings.bind, settings.api_port))
                stack.callback(live.stop)  # before the server waits for what is open
            _log.info("serving", extra={"port": settings.api_port})
            self._work(stack, _until(self._stopped))
            done, _ = await asyncio.wait(self._working, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()

    def _work(self, stack: AsyncExitStack, work: Coroutine[None, None, None]) -> None:
        """What ends by itself ends the console: a half-working one looks like a whole one."""
        task = asyncio.create_task(work)
        self._working.append(task)
        stack.callback(task.cancel)

    async def _own(self, stack: AsyncExitStack) -> Store:
        """Its own database: what was done, by whom. Raises StoreError."""
        place = self._settings.database
        if not isinstance(place, Path):
            raise WrongDatabase("the console keeps its own in SQLite: BATON_DATABASE is a path")
        return await stack.enter_async_context(open_store(place, {NAME: MIGRATIONS}))

    def _telling(self, stack: AsyncExitStack) -> Telling:
        settings, catalogue = self._settings, load_catalogue()
        publisher = Publisher(
            settings.kafka_bootstrap_servers,
            client_id=NAME,
            deadline_s=min(settings.publish_deadline_s, TOLD_WITHIN_S - 1),
        )
        stack.push_async_callback(publisher.close)
        return Telling(publisher, Maker(NAME, Codec(catalogue), catalogue), SystemClock())

    def _tails(self, stack: AsyncExitStack) -> Tails:
        kafka = self._settings.kafka_bootstrap_servers

        def opened(topic: str) -> Tail:
            return Tail(kafka, [topic], last=LAST, answer_within_s=_TAIL_WITHIN_S)

        tails = Tails(opened, SystemClock())
        stack.push_async_callback(tails.close)
        self._work(stack, _going_on(tails.run))
        return tails

    async def _app(
        self, stack: AsyncExitStack, reading: Reading, database: Database
    ) -> tuple[ASGIApp, Live]:
        settings, clock = self._settings, SystemClock()
        gate = gate_of(settings, clock)
        sessions = Sessions(gate.tokens, clock)
        gate = replace(gate, browsers=sessions)
        surfaces = Surfaces(settings.surfaces, settings.surfaces_token_file)
        await stack.enter_async_context(surfaces)
        telling, counted = self._telling(stack), self.counted.streaming
        store = await self._own(stack)
        audit = Audit(store, clock, self.counted)
        home = Home(settings.home)
        ways = ways_of(settings, clock)
        own = (audit, store, counted, sessions, gate, home, ways)
        parts = Parts(reading, database, surfaces, self._tails(stack), telling, *own)
        served = console_routes(parts)
        self._work(stack, served.runner.run())
        self._work(stack, _going_on(served.history.run))
        app = secured(served.routes, gate, observe=self.metrics.http_request)
        return app, served.live

    async def _watch(self, reading: Reading) -> None:
        """Looks whether questions can be answered, until it is cancelled."""
        while True:
            was = self._database.ok
            try:
                await reading.journal_last()
                self._database = Check("database", ok=True, reason="readable")
                if not was:  # a long history is counted before somebody asks for a page
                    await reading.finished_counts()
            except Unavailable as fault:
                self._database = Check("database", ok=False, reason=str(fault))
            if self._database.ok is not was:
                _log.info("readiness changed", extra={"reason": self._database.reason})
            self.metrics.heartbeat()
            await asyncio.sleep(_LOOK_AGAIN_S if self._database.ok else _LOOK_AGAIN_S / 10)


async def _going_on(work: Callable[[], Coroutine[None, None, None]]) -> None:
    """What the console can do without for a moment: begun anew, and the log says why."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001  whatever it was, the pages are served
            _log.exception("begun anew")
        await asyncio.sleep(_LOOK_AGAIN_S)


async def _until(stopped: asyncio.Event) -> None:
    await stopped.wait()


def main() -> None:
    """Read the settings, serve until SIGTERM; the exit code says how it ended."""
    try:
        settings = ConsoleSettings.read(os.environ, service=NAME)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(UNUSABLE) from error
    configure(settings)
    try:
        asyncio.run(_run(settings))
    except (OSError, StoreError) as error:
        _log.critical("cannot serve", extra={"reason": str(error)})
        raise SystemExit(FAILED) from error


async def _run(settings: ConsoleSettings) -> None:
    console = Console(settings)
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, console.stop)
    await console.run()
