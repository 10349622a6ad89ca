"""One process from its settings to its end: the composition root of services and orchestrator.

Starts nothing at import. What is built here is what runs in production and in every test against
a real broker. A task that ends by itself ends the process, with a code that says so: a process
that is half alive is worse than one that is restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Generic

from schemas.catalogue import load_catalogue
from schemas.releases import releases
from schemas.topics import DEAD_LETTER_BYTES_MAX, topics_read_by
from services.chassis import failpoints
from services.chassis.assembly import Ground, Parts, Program, assemble
from services.chassis.bus import BusError
from services.chassis.bus_admin import Admin
from services.chassis.bus_publish import Publisher
from services.chassis.bus_read import Reader, ReaderTuning
from services.chassis.clock import SystemClock
from services.chassis.codec import Codec
from services.chassis.database import open_store
from services.chassis.health import CannotListen
from services.chassis.intake import Intake
from services.chassis.items import Request, S
from services.chassis.lifecycle import end_cleanly, was_clean
from services.chassis.logs import configure
from services.chassis.settings import Settings, SettingsError
from services.chassis.startup import (
    refuse_older,
    wait_for_disk,
    wait_for_store,
    wait_for_topics,
)
from services.chassis.store import Statement, Store, StoreError, T, Value, statements
from services.chassis.surface import Surface, Watched

_log = logging.getLogger(__name__)
FAILED, UNUSABLE = 1, 2
_GC_THRESHOLDS = (100_000, 50, 50)


def run(program: Program[S]) -> None:
    """Read the settings, run until told to stop; the exit code says how it ended."""
    try:
        settings = program.settings.read(os.environ, service=program.name)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(UNUSABLE) from error
    configure(settings)
    if settings.failpoint is not None:
        failpoints.arm(settings.failpoint)
    # A batch makes tens of thousands of objects that live for milliseconds and form no cycles:
    # with Python's defaults a sixth of the time went into looking for some.
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        code = asyncio.run(Process(program, settings).run())
    except StoreError as error:
        _log.critical("the database cannot be used", extra={"reason": str(error)})
        raise SystemExit(UNUSABLE) from error
    except CannotListen as error:
        _log.critical("cannot serve", extra={"reason": error.strerror})
        raise SystemExit(FAILED) from error
    raise SystemExit(code)


class Process(Generic[S]):
    """A running program. `stop()` ends it gracefully; `run` returns the exit code."""

    def __init__(self, program: Program[S], settings: Settings) -> None:
        self._program, self._settings = program, settings
        self._clock = SystemClock(settings.clock_offset_s)
        self._stopped = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], str] = {}

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stop)
        async with AsyncExitStack() as stack:
            surface = Surface(self._program.name, self._settings, self._clock, self._program.meters)
            await stack.enter_async_context(surface.operations())
            store = await self._until_stopped(
                wait_for_disk(lambda: stack.enter_async_context(self._store()), surface.waits_for)
            )
            if store is None:
                return 0
            partitions = await self._until_stopped(
                wait_for_topics(
                    self._settings.kafka_bootstrap_servers,
                    self._program.name,
                    store,
                    surface.waits_for,
                )
            )
            if partitions is None:
                return 0
            told = refuse_older(
                self._settings.kafka_bootstrap_servers,
                self._program.name,
                store,
                surface.waits_for,
            )
            if await self._until_stopped(told) is None:
                return 0
            clean = await self._until_stopped(wait_for_store(store, was_clean, surface.waits_for))
            if clean is None:
                return 0
            gateway = None
            if self._program.gateway is not None:
                gateway = await stack.enter_async_context(self._program.gateway(self._settings))
            ground = self._ground(store, partitions, gateway)
            parts = assemble(self._program, self._settings, ground, surface.committed)
            if not clean:
                parts.positions.guard()
            surface.watch(_watched(parts, store))
            await stack.enter_async_context(self._api(surface, parts.intake, store))
            code = await self._work(parts, store, surface)
            closing = (ground.reader.close(), ground.publisher.close(), ground.others.close())
            await asyncio.gather(*closing, return_exceptions=True)
            return code

    def _store(self) -> AbstractAsyncContextManager[Store]:
        return open_store(self._settings.database, self._program.migrations)

    def _ground(self, store: Store, partitions: int, gateway: object) -> Ground:
        settings, name = self._settings, self._program.name
        catalogue = load_catalogue()
        released = [each.schema for each in releases()]
        reader = Reader(
            settings.kafka_bootstrap_servers,
            group=f"baton.{name}",
            topics=[topic.name for topic in topics_read_by(name)],
            client_id=name,
            tuning=ReaderTuning(
                instance_id=settings.instance_id,
                session_timeout_ms=settings.session_timeout_ms,
                fetch_max_wait_ms=settings.fetch_max_wait_ms,
                stuck_after_s=settings.stuck_after_s,
            ),
        )
        publisher = Publisher(
            settings.kafka_bootstrap_servers,
            client_id=name,
            deadline_s=settings.publish_deadline_s,
            message_bytes_max=DEAD_LETTER_BYTES_MAX,
        )
        return Ground(
            store=store,
            log_bytes=store.log_bytes,
            reader=reader,
            publisher=publisher,
            others=Admin(settings.kafka_bootstrap_servers),
            clock=self._clock,
            codec=Codec(catalogue, released, settings.confluent_schema_ids),
            partitions=partitions,
            gateway=gateway,
        )

    def _api(
        self, surface: Surface, intake: Intake[S], store: Store
    ) -> AbstractAsyncContextManager[object]:
        routes, queries = self._program.routes, self._program.queries
        if routes is None or not self._settings.api_port:
            return contextlib.nullcontext()
        named = statements(queries) if queries else {}
        return surface.api(routes(Port(intake.submit, store.read, named)))

    async def _work(self, parts: Parts[S], store: Store, surface: Surface) -> int:
        self._spawn("intake", parts.intake.run())
        self._spawn("reading", parts.reading.run())
        self._spawn("relay", parts.relay.run())
        self._spawn("timers", parts.timers.run(self._settings.timer_tick_s))
        self._spawn("commits", parts.keeping.commit_often())
        self._spawn("retention", parts.keeping.sweep_often())
        self._spawn("surface", surface.measure_often())
        code = await self._until_end()
        await self._wind_down(parts, store, clean=code == 0)
        return code

    def _spawn(self, name: str, work: Coroutine[object, object, None]) -> None:
        self._tasks[asyncio.create_task(work, name=name)] = name

    async def _until_stopped(self, work: Coroutine[object, object, T]) -> T | None:
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
        stopped = asyncio.ensure_future(self._stopped.wait())
        await asyncio.wait({stopped, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        ended = [(task, name) for task, name in self._tasks.items() if task.done()]
        for task, name in ended:
            _log.critical(
                "a part of the process ended by itself",
                exc_info=task.exception(),
                extra={"part": name},
            )
        stopped.cancel()
        return FAILED if ended else 0

    async def _wind_down(self, parts: Parts[S], store: Store, *, clean: bool) -> None:
        """Stop polling, commit what was begun, publish it, tell Kafka, mark the end as clean.

        What does not fit in the time is not lost: it is what the next start finds.
        """
        by_name = {name: task for task, name in self._tasks.items()}
        for name in ("reading", "timers", "retention"):
            by_name[name].cancel()
        parts.intake.drop_records()
        if parts.intake.gateways is not None:
            await parts.intake.gateways.close()
        with contextlib.suppress(TimeoutError, BusError, StoreError):
            async with asyncio.timeout(self._settings.stop_within_s * 0.6):
                await parts.intake.settled()
                await parts.relay.drained()
                parts.intake.stop()
                await asyncio.wait({by_name["intake"]})
                await parts.keeping.commit()
                if clean:
                    await store.run(end_cleanly)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@dataclass(frozen=True)
class Port:
    """What the routes of this process are given; an `ApiPort`."""

    submit_request: Callable[[Request], Awaitable[object]]
    read_rows: Callable[[Statement, Mapping[str, Value]], Awaitable[list[dict[str, Value]]]]
    queries: Mapping[str, Statement]

    async def submit(self, request: object) -> object:
        return await self.submit_request(request)  # type: ignore[arg-type]

    async def read(self, query: str, /, **params: object) -> Sequence[Mapping[str, object]]:
        return await self.read_rows(self.queries[query], params)  # type: ignore[arg-type]


def _watched(parts: Parts[S], store: Store) -> Watched:
    return Watched(parts.reading, parts.relay, parts.intake, parts.positions, store, parts.letters)
