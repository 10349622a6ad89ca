"""How long random tests search: the same examples every time, unless `make prove` asks for more.

Each test says how long one of its examples is; how many there are is said here alone.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow]
settings.register_profile(
    "check",
    derandomize=True,
    database=None,
    max_examples=100,
    deadline=None,
    suppress_health_check=_SLOW,
)
settings.register_profile("prove", max_examples=3_000, deadline=None, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "check")
