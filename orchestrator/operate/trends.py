"""Sixty points out of samples: how a number went over a range of time.

Points lie on multiples of their width, so that a line moves once a width and not at every look.
What is counted up (started, completed) becomes what came within the WINDOW before a point. A point
without a sample is None; nothing is guessed into a gap. Knows no clock and no database.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

POINTS: Final = 60
WINDOW: Final = 5  # in points
RANGES: Final = {"15m": 900, "1h": 3_600, "24h": 86_400}  # seconds
US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Started, completed and compensated count up; the others are of that moment."""

    at_us: int
    open: int
    started: int
    completed: int
    compensated: int
    stuck: int
    severe: int
    oldest_open_s: int
    oldest_stuck_s: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How many ended within some time, and how many of them completed."""

    number: int
    completed: int

    def share(self, *, completed: bool) -> float | None:
        """In per cent; None where none ended."""
        if not self.number:
            return None
        named = self.completed if completed else self.number - self.completed
        return round(100 * named / self.number, 1)


Points: TypeAlias = list[float | None]


class Trend:
    """`samples`: oldest first; `now` is the last of them or is added."""

    def __init__(self, samples: Sequence[Sample], now: Sample, span_s: int) -> None:
        self.span_s, self.width_us = span_s, span_s * US // POINTS
        self._now = now
        self._samples = [each for each in samples if each.at_us < now.at_us] + [now]
        self._times = [each.at_us for each in self._samples]
        last = now.at_us // self.width_us
        self.begins_us = [(last - n) * self.width_us for n in reversed(range(POINTS))]

    @property
    def whole(self) -> bool:
        """Samples reach back to where the range begins."""
        return self._times[0] <= self._now.at_us - self.span_s * US

    @property
    def since_us(self) -> int:
        return self._times[0]

    def highest(self, of: Callable[[Sample], int]) -> Points:
        """A spike between two points is not lost."""
        return [max(map(of, each), default=None) for each in self._buckets()]

    def per_minute(self) -> Points:
        """Started, within the window before each point."""
        return [self._rate(each[-1]) if each else None for each in self._buckets()]

    def share(self, *, completed: bool) -> Points:
        """Of those that ended within the window before each point, in per cent."""
        shares: Points = []
        for each in self._buckets():
            ended = self._ended(each[-1], WINDOW * self.width_us) if each else None
            shares.append(ended.share(completed=completed) if ended else None)
        return shares

    def started(self) -> int | None:
        """Within the range; None unless the samples reach back that far."""
        before = self._before(self._now, self.span_s * US)
        return None if before is None else _grown(before.started, self._now.started)

    def ended(self) -> Ended | None:
        """Within the range; None unless the samples reach back that far."""
        return self._ended(self._now, self.span_s * US)

    def _buckets(self) -> list[Sequence[Sample]]:
        edges = [bisect_right(self._times, us - 1) for us in self.begins_us]
        return [
            self._samples[start:end]
            for start, end in zip(edges, [*edges[1:], len(self._times)], strict=True)
        ]

    def _before(self, sample: Sample, us: int) -> Sample | None:
        """The youngest that is so much older."""
        place = bisect_right(self._times, sample.at_us - us)
        return self._samples[place - 1] if place else None

    def _rate(self, sample: Sample) -> float | None:
        before = self._before(sample, WINDOW * self.width_us) or self._samples[0]
        grown = _grown(before.started, sample.started)
        if grown is None or before is sample:
            return None
        return round(grown * 60 * US / (sample.at_us - before.at_us), 1)

    def _ended(self, sample: Sample, us: int) -> Ended | None:
        before = self._before(sample, us)
        if before is None:
            return None
        completed = _grown(before.completed, sample.completed)
        compensated = _grown(before.compensated, sample.compensated)
        if completed is None or compensated is None:
            return None
        return Ended(completed + compensated, completed)


def _grown(before: int, after: int) -> int | None:
    """None where the counter is another one: the database was put back."""
    return after - before if after >= before else None
