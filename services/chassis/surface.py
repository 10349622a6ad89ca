"""What a process shows of itself: health, readiness with reasons, metrics, and its API's door.

Reads the parts of the process and changes none of them. Readiness speaks of what the process can
do now: its database, its assignment, its outbox; a rebalance is forgiven for a minute.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from starlette.routing import BaseRoute

from schemas.catalogue import load_catalogue
from schemas.topics import TOPICS, reply_topic, topics_read_by
from services.chassis.bus import BusError
from services.chassis.clock import Clock
from services.chassis.gate import gate_of, secured
from services.chassis.gateways import Gateways
from services.chassis.health import Check, operations_app, serving
from services.chassis.items import Applied
from services.chassis.letters_http import Tells, letter_routes
from services.chassis.metrics import RESULTS, Family, Known, Meters, Metrics
from services.chassis.positions import Positions
from services.chassis.reading import Reading
from services.chassis.relay import Relay
from services.chassis.settings import Settings
from services.chassis.store import Readable, Store, StoreError, statements

SQL = statements(Path(__file__).parent / "chassis.sql")
REASONS = (
    "bad_envelope",
    "bad_key",
    "conflicting_start",
    "constraint",
    "handler_raised",
    "key_mismatch",
    "killed_process",
    "out_of_bounds",
    "record_raised",
    "too_large",
    "type_not_allowed",
    "undecodable",
    "unknown_saga",
    "unknown_schema",
    "wrong_command",
    "wrong_type",
    "wrong_writer",
)
# Only a program that judges replies, and counts what it decides, has these besides.
_JUDGED = frozenset({"conflicting_start", "unknown_saga", "wrong_command"})
_JUDGEMENTS = frozenset({"forged", "late", "rejected"})
_VIOLATIONS: Mapping[str, Literal["schema", "version"]] = {
    "undecodable": "schema",
    "out_of_bounds": "schema",
    "unknown_schema": "version",
}
_MEASURE_S = 2.0
_MEASURE_MAX_S = 60.0
_REST = 19  # a twentieth of the time, at most, goes into looking through a program's own tables
_UNASSIGNED_FORGIVEN_S = 60.0
_SILENCE_FORGIVEN_S = 15.0
_log = logging.getLogger(__name__)


class Counting(Protocol):
    """What a program counts beside the chassis: its families, and the facts it committed.

    `look` is called every few seconds, to set gauges from the store.
    """

    @property
    def families(self) -> tuple[Family, ...]: ...
    def begin(self, meters: Meters) -> None: ...
    def count(self, facts: Sequence[object]) -> None: ...
    async def look(self, store: Readable, now_us: int) -> None: ...


class Gauged(Protocol):
    """What is read of the intake."""

    @property
    def unwritable(self) -> str: ...
    @property
    def in_doubt(self) -> int: ...
    @property
    def calls_under_way(self) -> int: ...
    @property
    def gateways(self) -> Gateways | None: ...


class Watched(NamedTuple):
    """The parts of a process that its surface reads."""

    reading: Reading
    relay: Relay
    intake: Gauged
    positions: Positions
    store: Store
    letters: Tells


class Surface:
    """`watch` names the parts once they exist; until then the process is alive but not ready."""

    def __init__(
        self, name: str, settings: Settings, clock: Clock, counting: Counting | None
    ) -> None:
        self._settings, self._clock, self._counting = settings, clock, counting
        self._gate = gate_of(settings, clock)
        self._parts: Watched | None = None
        self._waiting = Check("kafka", ok=False, reason="waiting for Kafka and its topics")
        self.metrics = Metrics(
            name,
            _known(name, judges=counting is not None),
            version=version("baton-saga"),
            families=() if counting is None else counting.families,
        )
        if counting is not None:
            counting.begin(self.metrics.meters)

    def waits_for(self, name: str, reason: str) -> None:
        """What keeps the process from beginning."""
        self._waiting = Check(name, ok=False, reason=reason)

    def watch(self, watched: Watched) -> None:
        self._parts = watched

    def committed(self, applied: Applied, seconds: float, items: int) -> None:
        """Called by the writer after each commit, with how long it took and how much it held."""
        del items
        metrics = self.metrics
        metrics.store_operation(seconds)
        metrics.handled(applied.took, self._clock.now_us())
        metrics.consumed_many(applied.results)
        for (topic, reason), n in applied.dead.items():
            metrics.dead_letter(topic, reason, n)
            if reason in _VIOLATIONS:
                metrics.contract_violation("", _VIOLATIONS[reason])
        for topic, n in applied.misplaced.items():
            metrics.misplaced(topic, n)
        if self._counting is not None and applied.facts:
            self._counting.count(applied.facts)

    @asynccontextmanager
    async def operations(self) -> AsyncIterator[None]:
        """Health, readiness, metrics and version, where a port is given for them."""
        more = letter_routes(self.metrics.service, lambda: self._parts and self._parts.letters)
        app = operations_app(self.metrics, self.checks, more=more, gate=self._gate)
        async with serving(app, self._settings.bind, self._settings.ops_port):
            yield

    @asynccontextmanager
    async def api(self, routes: Sequence[BaseRoute]) -> AsyncIterator[None]:
        """The program's own routes, behind the gate."""
        app = secured(routes, self._gate, observe=self.metrics.http_request)
        async with serving(app, self._settings.bind, self._settings.api_port):
            yield

    def checks(self) -> list[Check]:
        if self._parts is None:
            return [self._waiting]
        reading, relay, intake, positions, *_ = self._parts
        began = bool(positions.all)
        unassigned_s = self._since(reading.unassigned_since_s)
        silent_s = self._since(reading.silent_since_s)
        failing_s = self._since(relay.failing_since_s)
        return [
            Check("database", ok=not intake.unwritable, reason=intake.unwritable or "writable"),
            Check(
                "assignment",
                ok=began and unassigned_s < _UNASSIGNED_FORGIVEN_S,
                reason=f"no partitions for {unassigned_s:.0f} s" if unassigned_s else "assigned",
            ),
            Check(
                "reading",
                ok=silent_s < _SILENCE_FORGIVEN_S,
                reason=f"Kafka silent for {silent_s:.0f} s" if silent_s else "reading",
            ),
            Check(
                "outbox",
                ok=failing_s < _SILENCE_FORGIVEN_S,
                reason=f"publishing fails for {failing_s:.0f} s" if failing_s else "publishing",
            ),
            Check(
                "partitions",
                ok=not reading.stopped,
                reason="; ".join(reading.stopped.values()) or "none stopped",
            ),
        ]

    def _since(self, moment_s: float | None) -> float:
        return 0.0 if moment_s is None else max(self._clock.monotonic_s() - moment_s, 0.001)

    async def measure_often(self) -> None:
        await asyncio.gather(
            _often(self._clock, self._measure, rest=0), _often(self._clock, self._look, rest=_REST)
        )

    async def _look(self) -> None:
        assert self._parts is not None
        if self._counting is not None:
            await self._counting.look(self._parts.store, self._clock.now_us())

    async def _measure(self) -> None:
        assert self._parts is not None
        reading, relay, intake, _, store, _ = self._parts
        metrics = self.metrics
        metrics.heartbeat()
        for (topic, event), n in relay.take_published().items():
            metrics.published(topic, event, n)
        metrics.commits_in_doubt(intake.in_doubt)
        metrics.gateway_calls(intake.calls_under_way)
        if intake.gateways is not None:
            metrics.gateway_unknown(intake.gateways.take_unknown())
            metrics.gateway_unrecorded(intake.gateways.take_unrecorded())
        stopped: dict[str, int] = {}
        for place in reading.stopped:
            stopped[place.topic] = stopped.get(place.topic, 0) + 1
        metrics.partitions_stopped(stopped)
        await self._measure_store(relay.blocked, store)
        for topic, behind in (await reading.lag()).items():
            metrics.lag(topic, behind.messages, behind.seconds)
        await reading.look_at_topics()

    async def _measure_store(self, blocked: int, store: Store) -> None:
        """On the connection for reading: the writer waits for nobody's metrics."""
        metrics = self.metrics
        (outbox,) = await store.read(SQL["outbox.backlog"])
        pending = int(outbox["pending"] or 0)
        made_us = int(outbox["oldest_us"] or 0)
        age_us = self._clock.now_us() - made_us if pending else 0
        metrics.outbox(pending, age_us / 1_000_000, blocked)
        dead = await store.read(SQL["dead.pending"])
        metrics.dead_letters_pending({str(row["topic"]): int(row["n"] or 0) for row in dead})
        (parked,) = await store.read(SQL["parked.count"])
        metrics.parked_keys(int(parked["n"] or 0))
        metrics.store_log(await store.log_bytes())


async def _often(clock: Clock, measure: Callable[[], Awaitable[None]], *, rest: float) -> None:
    """Again and again, with a pause of `rest` times as long as it took, within bounds."""
    while True:
        began_s = clock.monotonic_s()
        try:
            await measure()
        except (BusError, StoreError) as error:
            _log.warning("metrics wait", extra={"reason": str(error)})
        took_s = clock.monotonic_s() - began_s
        await asyncio.sleep(min(max(_MEASURE_S, rest * took_s), _MEASURE_MAX_S))


def _known(name: str, *, judges: bool) -> Known:
    catalogue = load_catalogue()
    written = {topic.name: topic.types for topic in TOPICS if topic.may_write(name)}
    written.setdefault(
        reply_topic(name), tuple(each.full_name for each in catalogue.replies_of(name))
    )
    return Known(
        read={topic.name: topic.types for topic in topics_read_by(name)},
        written=written,
        reasons=[each for each in REASONS if judges or each not in _JUDGED],
        results=[each for each in RESULTS if judges or each not in _JUDGEMENTS],
    )
