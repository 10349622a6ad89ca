"""How many sagas finished, by definition, phase and reason: counted once each, never recounted.

A finished saga changes its phase no more, so what was counted stays true and a question costs
only what finished since the last one. A saga may be touched again after its end (a refused
cancellation), so each is remembered by one bit. The invariant: the sum is the number of finished
rows that were committed when it was asked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from orchestrator.operate.database import SQL, Database

PAGE: Final = 10_000
# A clock that is set back by less than this hides nothing.
OVERLAP_US: Final = 2_000_000

Counts = Counter[tuple[str, str, str]]


class Tally:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Lock()
        self._generation = 0
        self._counts: Counts = Counter()
        self._seen = bytearray()
        self._upto_us = 0

    async def counts(self) -> Counts:
        """(definition, phase, reason) → finished sagas. The caller may change what it is given."""
        async with self._turn:
            await self._catch_up()
            return self._counts.copy()

    async def _catch_up(self) -> None:
        us, row = self._upto_us - OVERLAP_US - self._database.late_us, 0
        while True:
            params = {"us": us, "id": row, "limit": PAGE}
            found = await self._database.read(SQL["counts.finished_since"], params)
            if self._database.generation != self._generation:
                self._forget(self._database.generation)
                us, row = 0, 0
                continue
            for each in found:
                us, row = int(each["updated_us"] or 0), int(each["id"] or 0)
                if self._is_new(row):
                    kind = (str(each["definition"]), str(each["phase"]), str(each["reason"]))
                    self._counts[kind] += 1
            self._upto_us = max(self._upto_us, us)
            if len(found) < PAGE:
                return

    def _is_new(self, row: int) -> bool:
        place, bit = row >> 3, 1 << (row & 7)
        if place >= len(self._seen):
            self._seen.extend(bytes(place + 1 - len(self._seen) + len(self._seen) // 2))
        if self._seen[place] & bit:
            return False
        self._seen[place] |= bit
        return True

    def _forget(self, generation: int) -> None:
        self._generation = generation
        self._counts = Counter()
        self._seen = bytearray()
        self._upto_us = 0
