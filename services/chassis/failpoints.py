"""Named moments of the machinery at which a test may end a process, or look at it.

A moment stands where a crash leaves something different behind than one before or after it. Off,
which is always outside tests, each costs one look whether `hook` is None. Refuses to know what a
test wants: `arm` is for a real process, the simulation puts in a hook of its own.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

NAMES = (
    "after_poll",
    "after_begin",
    "after_offset_cas",
    "after_inbox",
    "after_load",
    "after_fold",
    "after_state",
    "after_outbox",
    "before_commit",
    "after_commit",
    "after_attempt",
    "positions_before_seek",
    "relay_after_select",
    "relay_after_send",
    "relay_after_ack",
    "relay_after_mark",
    "timer_after_select",
    "timer_after_take",
    "gateway_before_call",
    "gateway_after_call",
    "gateway_after_record",
)
SPEC = rf"^({'|'.join(NAMES)}):[1-9][0-9]*$"

hook: Callable[[str], None] | None = None


def reached(name: str) -> None:
    if hook is not None:
        hook(name)


def arm(spec: str) -> None:
    """`before_commit:3`: the third time it comes, this process says so and ends as by SIGKILL."""
    global hook  # noqa: PLW0603 - one per process, as its end is
    wanted, _, times = spec.partition(":")
    left = int(times)

    def kill(name: str) -> None:
        nonlocal left
        left -= name == wanted
        if not left:
            os.write(
                sys.stderr.fileno(), f'{{"failpoint":"{spec}","pid":{os.getpid()}}}\n'.encode()
            )
            os.kill(os.getpid(), signal.SIGKILL)

    hook = kill
