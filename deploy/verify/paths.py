"""The declared graph: which states may follow which, by what happened (DESIGN section 3, again).

Forward one position at a time; back only as far as the pivot, last position first; a terminal
state has no way out. Inside a Parallel position the state is the first step still waited for.
A paused saga applies replies and sends nothing, so it stands before its next step; `resume` does
what was held back. An operator's word may lead out of `needs_operator` to wherever the saga was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import product

from deploy.verify.wiring import SAGAS, Declared

Edge = tuple[str, str]
STUCK = "needs_operator"
EARLY = "cancelled_early"
COMPLETED, COMPENSATED = "completed", "compensated"
# Told to wait, noted, or sent again: the saga stands where it stood.
_STANDS = ("timer_unsent", "reminded", "verb_note", "verb_assign", "verb_unassign", "verb_pause")


@cache
def edges(definition: str) -> Mapping[str, frozenset[Edge]]:
    """From what happened to the pairs (before, after) that it may lead to."""
    saga = SAGAS[definition]
    awaiting = {f"awaiting_{step.name}" for step in saga.steps}
    undoing = {f"undoing_{step.name}" for step in saga.steps if step.undo}
    open_states = awaiting | undoing | {STUCK}
    stay = {(state, state) for state in open_states}
    ends = {(state, state) for state in (COMPLETED, COMPENSATED)}
    forward, turned, back = _forward(saga), _turned(saga), _back(saga)
    stopped = set(product(awaiting, [STUCK]))
    freed = set(product([STUCK], open_states | {COMPLETED, COMPENSATED}))
    settled = stay | forward | turned | stopped
    first = {("", f"awaiting_{step.name}") for step in saga.positions[0]}
    made: dict[str, Iterable[Edge]] = {
        "started": first | {(EARLY, COMPENSATED)},
        "answered": settled,
        "refused": settled,
        "timed_out": settled,
        "undo_answered": stay | back | set(product([STUCK], undoing | {COMPENSATED})),
        "timer": stay | set(product(undoing, [STUCK])),
        "forgotten": set(product(open_states, [STUCK])) | ends,
        "cancellation": stay | ends | turned | stopped | {("", EARLY), (EARLY, EARLY)},
        "verb_retry": stay | freed,
        "verb_compensate": stay | turned | stopped | freed,
        "verb_resume": settled | back | set(product(awaiting, undoing | {COMPENSATED})),
        "verb_skip": settled | back | freed,
        **{what: stay | ends | {(EARLY, EARLY)} for what in _STANDS},
    }
    return {what: frozenset(pairs) for what, pairs in made.items()}


def _forward(saga: Declared) -> set[Edge]:
    """To a sibling, to the next position, or from the last one to the end."""
    found: set[Edge] = set()
    for at, position in enumerate(saga.positions):
        here = [f"awaiting_{step.name}" for step in position]
        following = saga.positions[at + 1 : at + 2]
        there = [f"awaiting_{step.name}" for each in following for step in each] or [COMPLETED]
        found |= set(product(here, [*here, *there]))
    return found


def _turned(saga: Declared) -> set[Edge]:
    """Backward from any position up to the pivot, to whatever has an effect before it."""
    found: set[Edge] = set()
    last = len(saga.positions) - 1 if saga.pivot is None else saga.pivot
    for at, position in enumerate(saga.positions[: last + 1]):
        here = [f"awaiting_{step.name}" for step in position]
        before = [step for each in saga.positions[: at + 1] for step in each if step.undo]
        found |= set(product(here, [*(f"undoing_{step.name}" for step in before), COMPENSATED]))
    return found


def _back(saga: Declared) -> set[Edge]:
    found: set[Edge] = set()
    for at, position in enumerate(saga.positions):
        here = [f"undoing_{step.name}" for step in position if step.undo]
        before = [step for each in saga.positions[: at + 1] for step in each if step.undo]
        found |= set(product(here, [*(f"undoing_{step.name}" for step in before), COMPENSATED]))
    return found
