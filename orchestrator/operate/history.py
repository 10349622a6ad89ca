"""What the overview's numbers were: sampled every EVERY_S, a day of it, kept over restarts.

The numbers are those of the API, asked of `Reading` by the same questions. Kept in a ring in the
console's own database, read once at the start; nothing here grows with the sagas' history. A
sample that cannot be taken or kept is a gap, and the log says why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Final

from orchestrator.engine.machine import Phase
from orchestrator.operate.filters import Filter
from orchestrator.operate.reading import Reading
from orchestrator.operate.trends import Sample
from services.chassis.store import Plan, Store, StoreError, Write, statements

SQL = statements(Path(__file__).parent / "history.sql")
EVERY_S: Final = 15
SLOTS: Final = 25 * 3600 // EVERY_S
SEVERE: Final = frozenset({"compensation_failed", "contract", "orphan_version"})
_EVERY_US: Final = EVERY_S * 1_000_000
_log = logging.getLogger(__name__)


async def numbers(reading: Reading) -> Sample:
    """As they are now."""
    now_us, stuck = reading.now_us(), await reading.stuck(Filter())
    opened, finished = await reading.open_counts(), await reading.finished_counts()
    ended = {
        phase: sum(n for kind, n in finished.items() if kind[1] == phase)
        for phase in (Phase.COMPLETED, Phase.COMPENSATED)
    }
    opened_us = min((each.oldest_us for each in opened), default=now_us)
    stuck_us = min((group.since_us for group in stuck.groups), default=now_us)
    severe = [group for group in stuck.groups if group.reason in SEVERE]
    is_open = sum(each.count for each in opened)
    return Sample(
        at_us=now_us,
        open=is_open,
        started=is_open + sum(ended.values()),
        completed=ended[Phase.COMPLETED],
        compensated=ended[Phase.COMPENSATED],
        stuck=sum(len(group.members) for group in stuck.groups),
        severe=sum(len(group.members) for group in severe),
        oldest_open_s=(now_us - opened_us) // 1_000_000,
        oldest_stuck_s=(now_us - stuck_us) // 1_000_000,
    )


class History:
    def __init__(self, store: Store, reading: Reading) -> None:
        self._store, self._reading = store, reading
        self._kept: list[Sample] | None = None

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self.take()
            except StoreError as fault:
                _log.warning("the overview's history has a gap", extra={"reason": str(fault)})
            await asyncio.sleep(EVERY_S)

    async def samples(self) -> Sequence[Sample]:
        """Oldest first, of different moments. Raises StoreError."""
        return await self._loaded()

    async def take(self) -> None:
        """Raises StoreError."""
        now, kept = await numbers(self._reading), await self._loaded()
        while kept and kept[-1].at_us >= now.at_us:  # a clock was set back
            kept.pop()
        kept.append(now)
        del kept[:-SLOTS]
        await self._store.run(lambda: _keep(now))

    async def _loaded(self) -> list[Sample]:
        if self._kept is None:
            now_us = self._reading.now_us()
            span = {"since": now_us - SLOTS * _EVERY_US, "upto": now_us}
            rows = await self._store.read(SQL["samples.kept"], span)
            loaded = [Sample(**{name: int(n or 0) for name, n in row.items()}) for row in rows]
            self._kept = loaded if self._kept is None else self._kept
        return self._kept


def _keep(sample: Sample) -> Plan[None]:
    slot = sample.at_us // _EVERY_US % SLOTS
    yield Write(SQL["samples.keep"], [(slot, *astuple(sample))], expect=1)
