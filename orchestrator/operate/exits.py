"""The exit codes of `baton`, which scripts rely on."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    DONE = 0
    FAILURE = 1
    USAGE = 2
    NOT_FOUND = 3
    PARTIAL = 4  # some items failed
    TIMEOUT = 5  # what was waited for did not come
    REFUSED = 6  # forbidden, or the state has changed
    UNREACHABLE = 7
    COMPENSATED = 10  # the saga that was waited for
    NEEDS_OPERATOR = 11
    INTERRUPTED = 130
