"""What a process does for itself, out of the message's path: commits for lag tools, retention.

Nothing here is needed for correctness. Retention goes a slice at a time, with a breath between,
so that no sweep ever holds the database for long.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from services.chassis.bus import BusError
from services.chassis.clock import Clock
from services.chassis.messages import TopicPartition
from services.chassis.positions import Positions
from services.chassis.relay import Relay
from services.chassis.retention import Rule, rules
from services.chassis.settings import Settings
from services.chassis.store import Store, StoreError

_COMMIT_S = 0.25
_PASS_EVERY = 20  # commits
_SWEEP_S = 60.0
_BREATH_S = 0.02
_log = logging.getLogger(__name__)


class Commits(Protocol):
    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None: ...
    async def read_through(self, place: TopicPartition) -> int: ...


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
        self._told: dict[TopicPartition, int] = {}  # what Kafka knows of this generation
        self._generation = -1
        self.rules: tuple[Rule, ...] = rules()

    async def commit_often(self) -> None:
        while True:
            for _ in range(_PASS_EVERY):
                await asyncio.sleep(_COMMIT_S)
                await self.commit()
            await self.pass_markers()

    async def commit(self) -> None:
        """Tells Kafka how far this group is, once what it led to is published."""
        generation = self._positions.generation
        offsets = self._positions.committable(self._relay.acked_through)
        if offsets and not await self._tell(offsets, generation):
            self._positions.unheard(offsets, generation)

    async def pass_markers(self) -> None:
        """A log may end in a marker that is no record: nobody shall wait until it is read.

        Only behind what is told: what that led to is published then.
        """
        positions, generation = self._positions, self._positions.generation
        passed: dict[TopicPartition, int] = {}
        try:
            for place, at in list(positions.all.items()):
                through = await self._reader.read_through(place)
                if at <= self._told.get(place, -1) < through and not positions.waits(place):
                    passed[place] = through
        except BusError as error:
            _log.debug("where reading stands is unknown", extra={"reason": str(error)})
            return
        if passed and generation == self._generation == positions.generation:
            await self._tell(passed, generation)

    async def _tell(self, offsets: Mapping[TopicPartition, int], generation: int) -> bool:
        try:
            await self._reader.commit(offsets)
        except BusError as error:
            _log.debug("offsets were not told to Kafka", extra={"reason": str(error)})
            return False
        if generation != self._generation:
            self._told.clear()
            self._generation = generation
        self._told.update(offsets)
        return True

    async def sweep_often(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            try:
                await self.sweep()
            except StoreError as error:
                _log.warning("retention waits", extra={"reason": str(error)})

    async def sweep(self) -> None:
        now_us, settings = self._clock.now_us(), self._settings
        for rule in self.rules:
            more = True
            while more:
                more = await self._store.run(partial(rule, settings, now_us))
                await asyncio.sleep(_BREATH_S)
        await self._trim_log()  # type: ignore[misc]
