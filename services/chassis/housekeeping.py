"""What a process does for itself, out of the message's path: commits for lag tools, retention.

Nothing here is needed for correctness. Every table that grows has its rule here: a slice at a
time, so that no sweep ever holds the database for long.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from services.chassis.bus import BusError
from services.chassis.clock import Clock
from services.chassis.messages import TopicPartition
from services.chassis.positions import Positions
from services.chassis.relay import Relay
from services.chassis.settings import Settings
from services.chassis.store import Plan, Select, Store, StoreError, Write, statements

SQL = statements(Path(__file__).parent / "chassis.sql")
_COMMIT_S = 0.25
_SWEEP_S = 60.0
_KEYS_A_SWEEP = 20_000
_DAY_US = 86_400_000_000
_log = logging.getLogger(__name__)


class Commits(Protocol):
    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None: ...


class Housekeeping:
    def __init__(
        self,
        store: Store,
        reader: Commits,
        positions: Positions,
        relay: Relay,
        settings: Settings,
        clock: Clock,
        trim_log: Callable[[], object],
    ) -> None:
        self._store, self._reader, self._positions = store, reader, positions
        self._relay, self._settings, self._clock = relay, settings, clock
        self._trim_log = trim_log
        self._swept_to = 0

    async def commit_often(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_S)
            await self.commit()

    async def commit(self) -> None:
        """Tells Kafka how far this group is, once what it led to is published."""
        generation = self._positions.generation
        offsets = self._positions.committable(self._relay.acked_through)
        if not offsets:
            return
        try:
            await self._reader.commit(offsets)
        except BusError as error:
            self._positions.unheard(offsets, generation)
            _log.debug("offsets were not told to Kafka", extra={"reason": str(error)})

    async def sweep_often(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            try:
                await self.sweep()
            except StoreError as error:
                _log.warning("retention waits", extra={"reason": str(error)})

    async def sweep(self) -> None:
        now_us = self._clock.now_us()
        inbox_us = now_us - self._settings.inbox_days * _DAY_US
        outbox_us = now_us - self._settings.outbox_days * _DAY_US
        start = self._swept_to
        last = await self._store.run(lambda: _sweep(start, inbox_us, outbox_us))
        self._swept_to = 0 if start + _KEYS_A_SWEEP > last else start + _KEYS_A_SWEEP
        await self._trim_log()  # type: ignore[misc]


def _sweep(start: int, inbox_us: int, outbox_us: int) -> Plan[int]:
    yield Write(SQL["inbox.sweep"], [(inbox_us, start, start + _KEYS_A_SWEEP)])
    sent = yield Select(SQL["outbox.last"])
    yield Write(SQL["outbox.sweep"], [(int(sent[0][0] or 0), outbox_us)])
    rows = yield Select(SQL["keys.last"])
    return int(rows[0][0] or 0)
