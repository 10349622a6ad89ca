"""Identities made by us: time-ordered, so that rows lie together, and not to be guessed.

UUIDv7 of RFC 9562 with 74 random bits. The invariant: ids of one process rise, also within a
millisecond and when the clock is set back. Ids that derive from a message are not made here.
"""

from __future__ import annotations

import secrets
import time
import uuid
from threading import Lock

_RANDOM_BITS = 74
_RANDOM_MASK = (1 << _RANDOM_BITS) - 1
# A step within a millisecond keeps the next id as hard to guess as the first.
_STEP_BITS = 32


class IdMaker:
    """`new()` is what `new_id` calls; a test gives it clock and randomness of its own."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last_ms = 0
        self._random = 0

    def new(self) -> str:
        with self._lock:
            now_ms = time.time_ns() // 1_000_000
            if now_ms > self._last_ms:
                self._last_ms, self._random = now_ms, secrets.randbits(_RANDOM_BITS - 1)
            else:
                self._random += 1 + secrets.randbits(_STEP_BITS)
                if self._random > _RANDOM_MASK:
                    self._last_ms += 1
                    self._random = secrets.randbits(_RANDOM_BITS - 1)
            return _uuid7(self._last_ms, self._random)


def _uuid7(ms: int, random: int) -> str:
    """48 bits of time, version, 12 bits, variant, 62 bits."""
    high, low = random >> 62, random & ((1 << 62) - 1)
    return str(uuid.UUID(int=ms << 80 | 7 << 76 | high << 64 | 2 << 62 | low))


_maker = IdMaker()


def new_id() -> str:
    return _maker.new()


def traceparent(parent: str = "") -> str:
    """W3C trace context: the parent's trace with a new span, or a new sampled trace."""
    parts = parent.split("-")
    if len(parts) == 4 and len(parts[1]) == 32:
        return f"00-{parts[1]}-{secrets.token_hex(8)}-{parts[3]}"
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
