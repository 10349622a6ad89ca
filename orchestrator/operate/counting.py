"""How many sagas match, and what can be told apart among those that are open.

What is counted anyway (`tally`, the open ones by phase) is not looked at one by one; what nobody
counts is looked at as far as COUNTED_PAGES_MAX pages go, and then said to be more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from orchestrator.operate.filters import Filter
from orchestrator.operate.reading import PAGE_MAX, Reading

COUNTED_PAGES_MAX: Final = 5


class Sort(NamedTuple):
    """What open sagas are told apart by. `stuck`: the reason, or ""."""

    definition: str
    state: str
    stuck: str
    services: str


@dataclass(frozen=True, slots=True)
class Counted:
    """`whole`: False when there may be more than could be looked at."""

    number: int
    whole: bool = True


async def sorts(reading: Reading) -> Mapping[Sort, int]:
    """How many open sagas of each sort there are now."""
    now_us, found = reading.now_us(), Counter[Sort]()
    async for each in reading.every_open(Filter()):
        found[Sort(each.definition, each.state, each.stuck(now_us), each.services)] += 1
    return found


async def count(reading: Reading, wanted: Filter) -> Counted:
    if wanted.keys or not (wanted.only_open or wanted.told_by_kind):
        return await _walked(reading, wanted)
    finished = 0
    if not wanted.only_open:
        counts = await reading.finished_counts()
        finished = sum(n for kind, n in counts.items() if wanted.counts(*kind))
    if wanted.told_by_phase:
        opened = await reading.open_counts()
        kinds = [each for each in opened if wanted.counts(each.definition, each.phase, "")]
        return Counted(finished + sum(each.count for each in kinds))
    return Counted(finished + sum([1 async for _ in reading.every_open(wanted)]))


async def _walked(reading: Reading, wanted: Filter) -> Counted:
    number, after = 0, None
    for _ in range(COUNTED_PAGES_MAX):
        page = await reading.page(wanted, PAGE_MAX, after)
        number, after = number + len(page.sagas), page.after
        if after is None:
            return Counted(number)
    return Counted(number, whole=False)
