"""What a process exports: the catalogue as data, one registry a process, and the calls to it.

`CHASSIS` lists what every process exports; a program brings further families, and dashboards,
rules and the reference are checked against these lists. Refuses to know what the numbers mean.
Two invariants: a label never takes a value that was not known at the start (what is new counts as
`other`), so that nobody outside can grow the registry; and every known label set is there with 0
from the start, so that no alert meets an absent series.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

LONG = (.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400)  # fmt: skip
# There is one for each type or topic that a process reads: few bounds keep the registry small.
HANDLE = (.001, .01, .1, 1, 10)  # fmt: skip
AGE = (.1, .5, 2.5, 10, 60, 600, 3600)  # fmt: skip
FAST = (.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5)  # fmt: skip

RESULTS = ("applied", "duplicate", "ignored", "late", "rejected", "parked", "forged")
UNREAD = ("rejected", "parked", "forged")  # what may become of a message of an unknown type
OTHER = "other"

Labels = tuple[str, ...]
Took = tuple[str, str, int, float]  # topic, type, when it says it was made, seconds of handling
Bucket = tuple[str, float] | tuple[str, float, Exemplar]


@dataclass(frozen=True, slots=True)
class Family:
    """One line of the catalogue."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: Labels
    meaning: str
    buckets: tuple[float, ...] = ()


CHASSIS = (
    Family("saga_events_consumed_total", "counter", ("service", "topic", "event", "result"),
           "Messages taken from a topic, by what became of them"),
    Family("saga_event_handle_seconds", "histogram", ("service", "event"),
           "From taking a message up until what it leads to was decided, not yet written", HANDLE),
    Family("saga_event_age_seconds", "histogram", ("service", "topic"),
           "From when a message says that it was made until it was committed here", AGE),
    Family("saga_events_published_total", "counter", ("service", "topic", "event"),
           "Messages that the broker acknowledged"),
    Family("saga_outbox_pending", "gauge", ("service",), "Committed messages not yet acknowledged"),
    Family("saga_outbox_oldest_age_seconds", "gauge", ("service",),
           "Age of the oldest of them"),
    Family("saga_outbox_blocked_keys", "gauge", ("service",),
           "Keys that wait behind a message no broker will ever take"),
    Family("saga_consumer_lag_messages", "gauge", ("service", "topic"),
           "Messages not yet applied, maximum over partitions"),
    Family("saga_consumer_lag_seconds", "gauge", ("service", "topic"),
           "How long the oldest of them has waited, maximum over partitions"),
    Family("saga_partitions_stopped", "gauge", ("service", "topic"),
           "Partitions that stand still because their stored position is not in the log"),
    Family("saga_records_misplaced_total", "counter", ("service", "topic"),
           "Records on another partition than their key's; applied, but order is not safe"),
    Family("saga_dead_letters_total", "counter", ("service", "topic", "reason"),
           "Records rejected or parked"),
    Family("saga_dead_letters_pending", "gauge", ("service", "topic"),
           "Dead letters that nobody has settled"),
    Family("saga_parked_keys", "gauge", ("service",), "Keys whose messages wait for a person"),
    Family("saga_contract_violations_total", "counter", ("service", "event", "kind"),
           "Payloads that break their contract, kind schema or version"),
    Family("saga_gateway_calls", "gauge", ("service",), "Calls to the outside under way"),
    Family("saga_gateway_unknown_total", "counter", ("service",),
           "Calls whose outcome was unknown and that are made again"),
    Family("saga_gateway_unrecorded_total", "counter", ("service",),
           "Calls whose result could not be recorded and that are made again; the log names them"),
    Family("saga_heartbeat_timestamp_seconds", "gauge", ("service",), "Last beat, unix time"),
    Family("saga_store_operation_seconds", "histogram", ("operation",),
           "One transaction of the database", FAST),
    Family("saga_commits_in_doubt_total", "counter", ("service",),
           "Commits whose answer was lost; what one did that landed is in no other counter"),
    Family("saga_store_log_bytes", "gauge", ("service",), "Size of the write-ahead log"),
    Family("saga_http_request_seconds", "histogram", ("route", "method", "code"),
           "HTTP requests to this process", FAST),
    Family("saga_build_info", "gauge", ("service", "version", "commit"),
           "Always 1; its labels say what runs"),
)  # fmt: skip


class Histogram:
    """Counts by bucket; the last one is what lies above every bound."""

    __slots__ = ("bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    def observe(self, value: float) -> int:
        at = bisect_left(self.bounds, value)
        self.counts[at] += 1
        self.total += value
        return at

    def samples(self) -> list[Bucket]:
        """(upper bound, cumulative count, exemplar if any), as the exposition wants them."""
        rows: list[Bucket] = []
        cumulative = 0
        for at, count in enumerate(self.counts):
            cumulative += count
            bound = str(float(self.bounds[at])) if at < len(self.bounds) else "+Inf"
            exemplar = self.exemplars.get(at)
            rows.append((bound, cumulative, exemplar) if exemplar else (bound, cumulative))
        return rows


class Meters(Collector):
    """The registry of one process, kept in plain dicts: a call is a look-up and an addition.

    The client library's own children cost five times as much, on the path of every message;
    here it only writes the exposition.
    """

    def __init__(self, families: Iterable[Family]) -> None:
        self.families = {family.name: family for family in families}
        self._values: dict[str, dict[Labels, float]] = {name: {} for name in self.families}
        self._histograms: dict[str, dict[Labels, Histogram]] = {
            name: {} for name, family in self.families.items() if family.kind == "histogram"
        }
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def begin(self, name: str, *values: Iterable[str]) -> None:
        """Every combination of these label values is there from now on, with 0."""
        for labels in product(*values):
            if name in self._histograms:
                self._histogram(name, labels)
            else:
                self._values[name].setdefault(labels, 0)

    def add(self, name: str, labels: Labels, n: float = 1) -> None:
        values = self._values[name]
        values[labels] = values.get(labels, 0) + n

    def set(self, name: str, labels: Labels, value: float) -> None:
        self._values[name][labels] = value

    def replace(self, name: str, values: Mapping[Labels, float]) -> None:
        """Sets a gauge's known label sets: those that are not named any more become 0."""
        self._values[name].update({**dict.fromkeys(self._values[name], 0.0), **values})

    def observe(
        self, name: str, labels: Labels, value: float, exemplar: dict[str, str] | None = None
    ) -> None:
        child = self._histograms[name].get(labels) or self._histogram(name, labels)
        at = child.observe(value)
        if exemplar is not None:
            child.exemplars[at] = Exemplar(exemplar, value, time.time())

    def bound(self, name: str, *labels: str) -> Histogram:
        """The histogram of one label set, there from now on, for a path that is hot."""
        return self._histogram(name, labels)

    def collect(self) -> Iterator[Metric]:
        for name, family in self.families.items():
            if name in self._histograms:
                told = HistogramMetricFamily(name, family.meaning, labels=family.labels)
                for labels, child in list(self._histograms[name].items()):
                    told.add_metric(labels, child.samples(), child.total)
                yield told
            else:
                kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
                plain = kind(name, family.meaning, labels=family.labels)
                for labels, value in list(self._values[name].items()):
                    plain.add_metric(labels, value)
                yield plain

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition and its content type; OpenMetrics, with exemplars, if asked for."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    async def rendered(self, accept: str = "") -> tuple[bytes, str]:
        """In a thread: thousands of series take tens of milliseconds."""
        return await asyncio.to_thread(self.render, accept)

    def _histogram(self, name: str, labels: Labels) -> Histogram:
        return self._histograms[name].setdefault(labels, Histogram(self.families[name].buckets))


@dataclass(frozen=True, slots=True)
class Known:
    """What a process knows at its start; nothing else ever becomes a label value.

    `read` and `written`: topic → the types on it. `reasons`: of dead letters. `results`: what may
    become of a message whose type is known.
    """

    read: Mapping[str, Iterable[str]]
    written: Mapping[str, Iterable[str]]
    reasons: Iterable[str] = ()
    results: Iterable[str] = RESULTS
    operations: Iterable[str] = ("commit",)


class Metrics:
    """The calls that the chassis makes. `meters` takes those of a program's own families."""

    def __init__(
        self,
        service: str,
        known: Known,
        *,
        version: str,
        commit: str = "unknown",
        families: Iterable[Family] = (),
    ) -> None:
        self.meters = Meters((*CHASSIS, *families))
        self.service, self.version, self.commit = service, version, commit
        self._read = {topic: frozenset(types) for topic, types in known.read.items()}
        self._written = {topic: frozenset(types) for topic, types in known.written.items()}
        self._events = frozenset().union(*self._read.values()) if self._read else frozenset()
        self._reasons = frozenset(known.reasons)
        self._operations = frozenset(known.operations)
        self._begin(tuple(known.results))
        self.meters.set("saga_build_info", (service, version, commit), 1)

    def consumed(self, topic: str, event: str, result: str, n: int = 1) -> None:
        topic, event = self._placed(self._read, topic, event)
        labels = (self.service, topic, event, result if result in RESULTS else "ignored")
        self.meters.add("saga_events_consumed_total", labels, n)

    def consumed_many(self, counts: Mapping[tuple[str, str, str], int]) -> None:
        """Of one transaction: (topic, event, result) → how many."""
        for (topic, event, result), n in counts.items():
            self.consumed(topic, event, result, n)

    def handled(self, took: Iterable[Took], now_us: int) -> None:
        """Of one transaction, committed now: of messages understood, so of known types.

        The only call that is made for every message.
        """
        handling, ages = self._handling, self._ages
        for topic, event, time_us, seconds in took:
            handled, aged = handling.get(event), ages.get(topic)
            if handled is None or aged is None:
                continue  # redriven, of a topic that is not read any more
            handled.observe(seconds)
            # A publisher's clock may be ahead of ours.
            aged.observe(max(0.0, (now_us - time_us) / 1_000_000))

    def published(self, topic: str, event: str, n: int = 1) -> None:
        topic, event = self._placed(self._written, topic, event)
        self.meters.add("saga_events_published_total", (self.service, topic, event), n)

    def outbox(self, pending: int, oldest_age_s: float, blocked_keys: int = 0) -> None:
        mine = (self.service,)
        self.meters.set("saga_outbox_pending", mine, pending)
        self.meters.set("saga_outbox_oldest_age_seconds", mine, oldest_age_s)
        self.meters.set("saga_outbox_blocked_keys", mine, blocked_keys)

    def lag(self, topic: str, messages: int, seconds: float) -> None:
        labels = (self.service, topic if topic in self._read else OTHER)
        self.meters.set("saga_consumer_lag_messages", labels, messages)
        self.meters.set("saga_consumer_lag_seconds", labels, seconds)

    def partitions_stopped(self, topics: Mapping[str, int]) -> None:
        self._replace("saga_partitions_stopped", topics)

    def misplaced(self, topic: str, n: int = 1) -> None:
        labels = (self.service, topic if topic in self._read else OTHER)
        self.meters.add("saga_records_misplaced_total", labels, n)

    def dead_letter(self, topic: str, reason: str, n: int = 1) -> None:
        topic = topic if topic in self._read else OTHER
        reason = reason if reason in self._reasons else OTHER
        self.meters.add("saga_dead_letters_total", (self.service, topic, reason), n)

    def dead_letters_pending(self, topics: Mapping[str, int]) -> None:
        self._replace("saga_dead_letters_pending", topics)

    def parked_keys(self, n: int) -> None:
        self.meters.set("saga_parked_keys", (self.service,), n)

    def contract_violation(self, event: str, kind: Literal["schema", "version"]) -> None:
        event = event if event in self._events else OTHER
        self.meters.add("saga_contract_violations_total", (self.service, event, kind))

    def gateway_calls(self, under_way: int) -> None:
        self.meters.set("saga_gateway_calls", (self.service,), under_way)

    def gateway_unknown(self, n: int = 1) -> None:
        self.meters.add("saga_gateway_unknown_total", (self.service,), n)

    def gateway_unrecorded(self, n: int = 1) -> None:
        self.meters.add("saga_gateway_unrecorded_total", (self.service,), n)

    def heartbeat(self) -> None:
        self.meters.set("saga_heartbeat_timestamp_seconds", (self.service,), time.time())

    def store_operation(self, seconds: float, operation: str = "commit") -> None:
        operation = operation if operation in self._operations else OTHER
        self.meters.observe("saga_store_operation_seconds", (operation,), seconds)

    def commits_in_doubt(self, so_far: int) -> None:
        self.meters.set("saga_commits_in_doubt_total", (self.service,), so_far)

    def store_log(self, size_bytes: int) -> None:
        self.meters.set("saga_store_log_bytes", (self.service,), size_bytes)

    def http_request(self, route: str, method: str, code: int, seconds: float) -> None:
        """`route` is a template of ours, never a path; `services.chassis.api` sees to it."""
        labels = (route, method if method in _METHODS else OTHER, str(code))
        self.meters.observe("saga_http_request_seconds", labels, seconds)

    def _begin(self, results: Iterable[str]) -> None:
        begin, mine = self.meters.begin, (self.service,)
        for topic, types in (*self._read.items(), (OTHER, frozenset())):
            begin("saga_events_consumed_total", mine, (topic,), types, results)
            begin("saga_events_consumed_total", mine, (topic,), (OTHER,), UNREAD)
            reasons = (*self._reasons, OTHER) if types else (OTHER,)
            begin("saga_dead_letters_total", mine, (topic,), reasons)
            for name in _BY_TOPIC:
                begin(name, mine, (topic,))
        for topic, types in self._written.items():
            begin("saga_events_published_total", mine, (topic,), (*types, OTHER))
        begin("saga_contract_violations_total", mine, (OTHER,), ("schema", "version"))
        begin("saga_store_operation_seconds", self._operations)
        bound, service = self.meters.bound, self.service
        self._handling = {
            event: bound("saga_event_handle_seconds", service, event) for event in self._events
        }
        self._ages = {
            topic: bound("saga_event_age_seconds", service, topic) for topic in self._read
        }
        for family in CHASSIS:
            if family.labels == ("service",):
                begin(family.name, mine)

    def _replace(self, name: str, topics: Mapping[str, int]) -> None:
        counts: dict[Labels, float] = {}
        for topic, n in topics.items():
            labels = (self.service, topic if topic in self._read else OTHER)
            counts[labels] = counts.get(labels, 0) + n
        self.meters.replace(name, counts)

    @staticmethod
    def _placed(known: Mapping[str, frozenset[str]], topic: str, event: str) -> tuple[str, str]:
        types = known.get(topic)
        if types is None:
            return OTHER, OTHER
        return topic, event if event in types else OTHER


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BY_TOPIC = (
    "saga_consumer_lag_messages",
    "saga_consumer_lag_seconds",
    "saga_partitions_stopped",
    "saga_records_misplaced_total",
    "saga_dead_letters_pending",
)
