"""The steps an author writes: what is asked, how it is undone, how long a reply may take.

A step holds pure functions and durations, nothing else; what a command's replies mean stands in
its contract. Durations are integer microseconds of their own type, made by `seconds`, `minutes`
and `hours`, so that a bare number is a typing error. Legality is checked in `engine.plan`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Generic, Never, NewType, TypeAlias, TypeVar

D = TypeVar("D")

Duration = NewType("Duration", int)


def seconds(count: float) -> Duration:
    return Duration(round(count * 1_000_000))


def minutes(count: float) -> Duration:
    return seconds(count * 60)


def hours(count: float) -> Duration:
    return minutes(count * 60)


class IllegalSaga(Exception):
    """A saga that cannot be built; the message names saga, step, rule and remedy."""

    def __init__(self, saga: str, step: str | None, rule: str, remedy: str) -> None:
        where = f"saga {saga!r}" if step is None else f"saga {saga!r}, step {step!r}"
        super().__init__(f"{where}: {rule}. {remedy}.")


@dataclass(frozen=True, slots=True)
class Compensatable(Generic[D]):
    """A step that can be taken back.

    `within` is the total time from the first send, spread evenly over `tries` sends; it holds for
    do and undo alike. An undo without reply after `undo_within` calls an operator and goes on.
    `when` is asked once, when the step's turn comes. `keep` folds the answer into the data.
    """

    name: str
    do: Callable[[D], object]
    _: KW_ONLY
    undo: Callable[[D], object]
    within: Duration
    undo_within: Duration = Duration(600_000_000)
    tries: int = 3
    when: Callable[[D], bool] | None = None
    keep: Callable[[D, Never], D] | None = None


@dataclass(frozen=True, slots=True)
class Pivot(Generic[D]):
    """The point of no return: refused, the saga turns back; done, it only goes forward."""

    name: str
    do: Callable[[D], object]
    _: KW_ONLY
    within: Duration
    tries: int = 3
    keep: Callable[[D, Never], D] | None = None


@dataclass(frozen=True, slots=True)
class Retriable(Generic[D]):
    """A step after the point of no return: it cannot be refused and is sent until answered."""

    name: str
    do: Callable[[D], object]
    _: KW_ONLY
    within: Duration
    tries: int = 3
    when: Callable[[D], bool] | None = None
    keep: Callable[[D, Never], D] | None = None


AnyStep: TypeAlias = Compensatable[D] | Pivot[D] | Retriable[D]


@dataclass(frozen=True, slots=True, init=False)
class Parallel(Generic[D]):
    """Steps of one position: all Compensatable or all Retriable, sent together.

    All makers see the data from before the group. Kept replies are folded in this order,
    whatever order they arrived in, when all have answered.
    """

    steps: tuple[AnyStep[D], ...]

    def __init__(self, *steps: AnyStep[D]) -> None:
        object.__setattr__(self, "steps", steps)
