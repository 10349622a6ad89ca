"""How often somebody may: a bucket a name, filled at an even rate.

Pure but for the moment it is told. Bounded: of many names the one that was quiet longest is
forgotten, and with it only that it had waited.
"""

from __future__ import annotations

from collections import OrderedDict

NAMES_MAX = 10_000


class Rates:
    """`burst` at once, then `per_s` each second."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s, self._burst = per_s, burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, name: str, now_s: float) -> float:
        """0 lets it through and counts it; otherwise when to come again."""
        left, since_s = self._left.pop(name, (float(self._burst), now_s))
        left = min(self._burst, left + (now_s - since_s) * self._per_s)
        wait_s = 0.0 if left >= 1 else (1 - left) / self._per_s
        self._left[name] = (left if wait_s else left - 1, now_s)
        if len(self._left) > NAMES_MAX:
            self._left.popitem(last=False)
        return wait_s
