"""One process from its settings to its end: the composition root of services and orchestrator.

Starts nothing at import. What is built here is what runs in production and in every test against
a real broker. A task that ends by itself ends the process, with a code that says so: a process
that is half alive is worse than one that is restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from starlette.routing import BaseRoute

from schemas.catalogue import load_catalogue
from schemas.releases import releases
from schemas.topics import topics_read_by
from services.chassis.admission import Admission
from services.chassis.api import ApiPort
from services.chassis.bus import BusError
from services.chassis.bus_admin import Admin
from services.chassis.bus_publish import Publisher, partition_of
from services.chassis.bus_read import Reader, ReaderTuning
from services.chassis.clock import SystemClock
from services.chassis.codec import Codec
from services.chassis.envelope import Maker
from services.chassis.gateways import Gateways
from services.chassis.handlers import Handler
from services.chassis.housekeeping import Housekeeping
from services.chassis.intake import Intake
from services.chassis.items import Application
from services.chassis.lifecycle import end_cleanly, was_clean
from services.chassis.logs import configure
from services.chassis.positions import Positions
from services.chassis.reading import Reading
from services.chassis.relay import Relay
from services.chassis.settings import Settings, SettingsError
from services.chassis.sqlite import SqliteStore, open_store
from services.chassis.startup import wait_for_topics
from services.chassis.store import StoreError, statements
from services.chassis.surface import Surface
from services.chassis.timers import Timers
from services.chassis.transaction import Setting

_log = logging.getLogger(__name__)
Place = Callable[[str], int]
FAILED, UNUSABLE = 1, 2


@dataclass(frozen=True)
class Program:
    """What makes one process different from another.

    `application` is made from the maker of its messages and the function that places a key.
    `awaited`: topic → group of the readers that its timers wait for. `never_queued`: topics whose
    messages do not wait behind a parked key. `facts` counts what the application committed.
    """

    name: str
    application: Callable[[Maker, Place], Application[object]]
    migrations: Mapping[str, Path] = field(default_factory=dict)
    queries: Path | None = None
    handlers: Sequence[Handler] = ()
    gateway: Callable[[Settings], AbstractAsyncContextManager[object]] | None = None
    routes: Callable[[ApiPort], Sequence[BaseRoute]] | None = None
    awaited: Mapping[str, str] = field(default_factory=dict)
    never_queued: frozenset[str] = frozenset()
    settings: type[Settings] = Settings


def run(program: Program) -> None:
    """Read the settings, run until told to stop; the exit code says how it ended."""
    try:
        settings = program.settings.read(os.environ, service=program.name)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(UNUSABLE) from error
    configure(settings)
    try:
        code = asyncio.run(Process(program, settings).run())
    except StoreError as error:
        _log.critical("the database cannot be used", extra={"reason": str(error)})  # noqa: TRY400
        raise SystemExit(UNUSABLE) from error
    raise SystemExit(code)


class Process:
    """A running program. `stop()` ends it gracefully; `run` returns the exit code."""

    def __init__(self, program: Program, settings: Settings) -> None:
        self._program, self._settings = program, settings
        self._clock = SystemClock()
        self._stopped = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], str] = {}

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stop)
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(
                open_store(self._settings.database, self._program.migrations)
            )
            return await self._with_store(store, stack)

    async def _with_store(self, store: SqliteStore, stack: AsyncExitStack) -> int:
        settings, program = self._settings, self._program
        surface = Surface(program.name, settings, self._clock)
        await stack.enter_async_context(surface.serving())
        topics = topics_read_by(program.name)
        partitions = await self._until_stopped(
            wait_for_topics(settings.kafka_bootstrap_servers, program.name, store)
        )
        if partitions is None:
            return 0
        catalogue = load_catalogue()
        codec = Codec(
            catalogue, [each.schema for each in releases()], settings.confluent_schema_ids
        )
        place = partial(partition_of, partitions=partitions)
        positions = Positions()
        if not await store.run(was_clean):
            positions.guard()
        publisher = Publisher(
            settings.kafka_bootstrap_servers,
            client_id=program.name,
            deadline_s=settings.publish_deadline_s,
            message_bytes_max=1_500_000,
        )
        reader = Reader(
            settings.kafka_bootstrap_servers,
            group=f"baton.{program.name}",
            topics=[topic.name for topic in topics],
            client_id=program.name,
            tuning=ReaderTuning(
                instance_id=settings.instance_id,
                session_timeout_ms=settings.session_timeout_ms,
                fetch_max_wait_ms=settings.fetch_max_wait_ms,
                stuck_after_s=settings.stuck_after_s,
            ),
        )
        intake: Intake[object] = Intake(
            store,
            program.application(Maker(program.name, codec, catalogue), place),
            Setting(place, Admission(codec, catalogue, topics), program.never_queued),
            positions,
            self._clock,
            batch_max=settings.batch_max,
            observe=surface.committed,
        )
        relay = Relay(store, publisher, self._clock, intake.sent)
        intake.relay = relay
        if program.gateway is not None:
            gateway = await stack.enter_async_context(program.gateway(settings))
            intake.gateways = Gateways(
                gateway, program.handlers, intake.put_returned, settings.gateway_calls_max
            )
        reading = Reading(
            store, reader, positions, intake, relay, intake.gateways, self._clock,
            batch_max=settings.batch_max, decode=codec.decode,
        )
        admin = Admin(settings.kafka_bootstrap_servers)
        timers = Timers(
            store, positions, reader, admin, self._clock,
            awaited=program.awaited, fire=intake.put_tick,
        )
        keeping = Housekeeping(
            store, reader, positions, relay, settings, self._clock, store.log_bytes
        )
        surface.watch(reading=reading, relay=relay, intake=intake, store=store, reader=reader,
                      positions=positions)
        if program.routes is not None:
            queries = statements(program.queries) if program.queries else {}
            await stack.enter_async_context(
                surface.api(program.routes, intake.submit, store, queries)
            )
        self._spawn("intake", intake.run())
        self._spawn("reading", reading.run())
        self._spawn("relay", relay.run())
        self._spawn("timers", timers.run(settings.timer_tick_s))
        self._spawn("commits", keeping.commit_often())
        self._spawn("retention", keeping.sweep_often())
        self._spawn("surface", surface.measure_often())
        code = await self._until_end()
        await self._wind_down(intake, relay, keeping, store)
        await asyncio.gather(
            reader.close(), publisher.close(), admin.close(), return_exceptions=True
        )
        return code

    def _spawn(self, name: str, work: Coroutine[object, object, None]) -> None:
        self._tasks[asyncio.create_task(work, name=name)] = name

    async def _until_stopped(self, work: Coroutine[object, object, int]) -> int | None:
        """The result of the work, or None if the process is told to stop before."""
        doing = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stopped.wait())
        await asyncio.wait({doing, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if doing.done():
            return doing.result()
        doing.cancel()
        return None

    async def _until_end(self) -> int:
        stopped = asyncio.create_task(self._stopped.wait())
        done, _ = await asyncio.wait(
            {stopped, *self._tasks}, return_when=asyncio.FIRST_COMPLETED
        )
        ended = [self._tasks[each] for each in done if each in self._tasks]
        for each in done & self._tasks.keys():
            _log.critical(
                "a part of the process ended by itself", exc_info=each.exception(),
                extra={"part": self._tasks[each]},
            )
        stopped.cancel()
        return FAILED if ended else 0

    async def _wind_down(
        self, intake: Intake[object], relay: Relay, keeping: Housekeeping, store: SqliteStore
    ) -> None:
        """Stop polling, commit what was begun, publish it, tell Kafka, mark the end as clean.

        What does not fit in the time is not lost: it is what the next start finds.
        """
        by_name = {name: task for task, name in self._tasks.items()}
        for name in ("reading", "timers", "retention"):
            by_name[name].cancel()
        intake.drop_records()
        if intake.gateways is not None:
            await intake.gateways.close()
        with contextlib.suppress(TimeoutError, BusError, StoreError):
            async with asyncio.timeout(self._settings.stop_within_s * 0.6):
                await relay.drained()
                intake.stop()
                await asyncio.wait({by_name["intake"]})
                await keeping.commit()
                await store.run(end_cleanly)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
