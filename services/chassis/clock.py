"""The two clocks of a process: one that says when, one that says how long.

Nothing else of the chassis reads time, so that a test or a simulation moves it by hand.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now_us(self) -> int:
        """Microseconds since 1970, UTC: what is written down."""

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary moment: what intervals are measured with."""


class SystemClock:
    """`offset_s` shifts what is written down, not how long things take."""

    def __init__(self, offset_s: int = 0) -> None:
        self._offset_us = offset_s * 1_000_000

    def now_us(self) -> int:
        return time.time_ns() // 1000 + self._offset_us

    def monotonic_s(self) -> float:
        return time.monotonic()
