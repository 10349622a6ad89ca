"""What every process says of itself on its operations port: ready or why not, and its numbers.

One look serves whoever asks within EVERY_S, and nobody looks while nobody asks. A process that
does not answer keeps its last words and the moment since when it is silent. Rates are differences
between two looks, so the first look has none. Knows no page and no picture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import orjson
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.operate.surfaces import NotAnswered, Surfaces
from services.chassis.clock import Clock

EVERY_S: Final = 2.0
RATE_OVER_S: Final = 10.0
_WANTED: Final = (
    "saga_build_info",
    "saga_consumer_lag_messages",
    "saga_consumer_lag_seconds",
    "saga_dead_letters_pending",
    "saga_event_handle_seconds",
    "saga_events_consumed_total",
    "saga_events_published_total",
    "saga_outbox_oldest_age_seconds",
    "saga_outbox_pending",
    "saga_parked_keys",
    "saga_partitions_stopped",
    "saga_state_duration_seconds_",
)
Labels = tuple[tuple[str, str], ...]
Samples = Mapping[tuple[str, Labels], float]


@dataclass(frozen=True, slots=True)
class Reason:
    name: str
    ok: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Process:
    """`seen_us`: when it answered last, None for never. `silent`: why it did not answer now.

    `before`: what it said at least RATE_OVER_S earlier, if it is the same run of the process.
    """

    name: str
    seen_us: int | None = None
    silent: str = ""
    silent_since_us: int | None = None
    ready: bool = False
    checks: tuple[Reason, ...] = ()
    samples: Samples | None = None
    before: tuple[int, Samples] | None = None

    @property
    def state(self) -> str:
        if self.silent:
            return "down"
        return "up" if self.ready else "not ready"

    @property
    def version(self) -> str:
        return next((dict(labels)["version"] for labels, _ in self._of("saga_build_info")), "")

    def total(self, name: str, **wanted: str) -> float:
        return sum(value for _, value in self._of(name, **wanted))

    def most(self, name: str, **wanted: str) -> float:
        return max((value for _, value in self._of(name, **wanted)), default=0.0)

    def rate(self, name: str, **wanted: str) -> float | None:
        """A second; None until two looks lie far enough apart, or while it is silent."""
        if self.before is None or self.seen_us is None or self.silent:
            return None
        at_us, samples = self.before
        was = sum(value for _, value in _chosen(samples, name, wanted))
        return max(0.0, self.total(name, **wanted) - was) * 1_000_000 / (self.seen_us - at_us)

    def labels(self, name: str, label: str) -> set[str]:
        """What that label was, wherever the sample has been counted at all."""
        return {dict(labels)[label] for labels, value in self._of(name) if value}

    def quantile_s(self, name: str, share: float, **wanted: str) -> float | None:
        """Of a histogram's whole life: the bound of the bucket where that share is reached."""
        buckets: dict[float, float] = {}
        for labels, value in self._of(f"{name}_bucket", **wanted):
            bound = float(dict(labels)["le"])
            buckets[bound] = buckets.get(bound, 0.0) + value
        all_of_them = max(buckets.values(), default=0.0)
        reached = (bound for bound, n in sorted(buckets.items()) if n >= share * all_of_them)
        return next(reached, None) if all_of_them else None

    def _of(self, name: str, **wanted: str) -> Iterator[tuple[Labels, float]]:
        return _chosen(self.samples or {}, name, wanted)


def _chosen(
    samples: Samples, name: str, wanted: Mapping[str, str]
) -> Iterator[tuple[Labels, float]]:
    for (sample, labels), value in samples.items():
        if sample == name and wanted.items() <= dict(labels).items():
            yield labels, value


class Scraping:
    def __init__(self, surfaces: Surfaces, clock: Clock) -> None:
        self._surfaces, self._clock = surfaces, clock
        self._seen = {name: Process(name) for name in surfaces.services}
        self._kept: dict[str, list[tuple[int, Samples]]] = {}
        self._looked_s: float | None = None
        self._turn = asyncio.Lock()

    async def look(self) -> Mapping[str, Process]:
        """Every process that the console knows of, in that order."""
        async with self._turn:
            now_s = self._clock.monotonic_s()
            if self._looked_s is None or now_s - self._looked_s >= EVERY_S:
                found = await asyncio.gather(*(self._ask(name) for name in self._seen))
                self._seen = {process.name: process for process in found}
                self._looked_s = now_s
            return self._seen

    async def _ask(self, name: str) -> Process:
        now_us, known = self._clock.now_us(), self._seen[name]
        try:
            answer = await self._surfaces.answer(name, "/readyz")
            ready, checks = _readiness(answer.content)
            samples = _parsed((await self._surfaces.answer(name, "/metrics")).text)
        except (NotAnswered, ValueError) as fault:
            said = "" if isinstance(fault, NotAnswered) else "says what no process of Baton says: "
            return Process(
                name,
                seen_us=known.seen_us,
                silent=f"{said}{fault}",
                silent_since_us=known.silent_since_us or now_us,
                checks=known.checks,
                samples=known.samples,
            )
        return Process(
            name,
            seen_us=now_us,
            ready=ready,
            checks=checks,
            samples=samples,
            before=self._before(name, now_us, samples),
        )

    def _before(self, name: str, now_us: int, samples: Samples) -> tuple[int, Samples] | None:
        """The youngest look that is old enough; counters that fell mean another run."""
        kept = self._kept.setdefault(name, [])
        if kept and any(value < kept[-1][1].get(key, 0.0) for key, value in _counters(samples)):
            kept.clear()
        old = [each for each in kept if now_us - each[0] >= RATE_OVER_S * 1_000_000]
        del kept[: max(0, len(old) - 1)]
        kept.append((now_us, samples))
        return old[-1] if old else None


def _readiness(body: bytes) -> tuple[bool, tuple[Reason, ...]]:
    """Raises ValueError for whatever else may listen on that port."""
    said = orjson.loads(body)
    try:
        checks = tuple(Reason(each["name"], each["ok"], each["reason"]) for each in said["checks"])
        return said["status"] == "ready", checks
    except (KeyError, TypeError, IndexError) as fault:
        raise ValueError(f"/readyz has no {fault}") from fault


def _counters(samples: Samples) -> Iterator[tuple[tuple[str, Labels], float]]:
    return ((key, value) for key, value in samples.items() if key[0].endswith("_total"))


def _parsed(text: str) -> Samples:
    """Only what is asked for: a whole page of metrics takes the parser tens of milliseconds."""
    lines = "\n".join(line for line in text.splitlines() if line.startswith(_WANTED))
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(f"{lines}\n")
        for sample in family.samples
    }
