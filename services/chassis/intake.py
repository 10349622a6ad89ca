"""The one writer of a process: takes what is waiting, commits it at once, tells who waits.

Pollers, HTTP submissions, timers, gateway results and redrives put items in; nobody waits in a
poll for the writer. `believed` offsets are those last committed here: a compare-and-set that
misses means that somebody else owns the partition, and then everything in memory is worthless.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic

from services.chassis import failpoints
from services.chassis.admission import Refused
from services.chassis.bus import PartitionStopped
from services.chassis.clock import Clock
from services.chassis.gateways import Gateways
from services.chassis.items import (
    Application,
    Applied,
    Item,
    Request,
    Returned,
    S,
    Submitted,
    TurnedAway,
    arrival,
)
from services.chassis.messages import Record, TopicPartition
from services.chassis.positions import Positions
from services.chassis.redriving import Redriving
from services.chassis.relay import Relay
from services.chassis.replay import instead_of, is_single, singles
from services.chassis.store import Conflict, InDoubt, Plan, Store, StoreError, T, Unavailable
from services.chassis.transaction import Batch, Setting, Tick, Transaction

_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 0.05, 5.0
_MARK_WITHIN_S = 0.2
_SUBMIT_WITHIN_S = 10.0
SUBMITTED_MAX = 1_000
_ADMIT_WITHIN_S, _ADMIT_LOOK = 0.05, 8  # of the event loop's time, looked at every so many records
_log = logging.getLogger(__name__)
Observer = Callable[[Applied, float, int], None]


@dataclass(slots=True)
class _Waiting:
    item: Item
    future: asyncio.Future[object]


class Intake(Generic[S]):
    """The queue and its writer. `observe(applied, seconds, records)` is told of each commit."""

    def __init__(
        self,
        store: Store,
        application: Application[S],
        setting: Setting,
        positions: Positions,
        clock: Clock,
        *,
        batch_max: int,
        observe: Observer,
    ) -> None:
        self._store, self._application, self._setting = store, application, setting
        self._positions, self._clock = positions, clock
        self._batch_max, self._observe = batch_max, observe
        self._records: deque[Record] = deque()
        self._inside: deque[_Waiting] = deque()
        self._ticks: dict[int, Tick] = {}
        self._redrives = Redriving()
        self._sent: list[int] = []
        self._sent_at_s = 0.0
        self._submitted = 0
        self._wake = asyncio.Event()
        self._at_rest = asyncio.Event()
        self._busy = self._stopping = self._observed_badly = False
        self.in_doubt = self._read_again = 0  # commits whose answer was lost; of those, settled
        self.unwritable = ""
        self.relay: Relay | None = None
        self.gateways: Gateways | None = None

    @property
    def backlog(self) -> int:
        return len(self._records)

    @property
    def full(self) -> bool:
        """Then the reader holds its partitions, and goes on polling."""
        return len(self._records) >= 4 * self._batch_max or (
            self.gateways is not None and self.gateways.full
        )

    @property
    def calls_under_way(self) -> int:
        return 0 if self.gateways is None else self.gateways.under_way

    def put_records(self, records: Sequence[Record]) -> None:
        if records:
            last = {(each.topic, each.partition): each for each in records}
            for record in last.values():
                self._positions.handed(record)
            self._records.extend(records)
            self._wake.set()

    def put_tick(self, tick: Tick) -> None:
        self._ticks[tick.partition] = tick
        self._wake.set()

    def put_returned(self, returned: Returned) -> asyncio.Future[object]:
        return self._put(returned)

    async def submit(self, request: Request) -> object:
        """The handler's response, after it is committed; raises what the handler raised.

        Unavailable: not now. Only when it waited in vain may it be committed all the same.
        """
        if self.unwritable:
            raise Unavailable(self.unwritable)
        if self._submitted >= SUBMITTED_MAX:
            raise Unavailable(f"{self._submitted} submissions wait already; send it again later")
        self._submitted += 1
        try:
            async with asyncio.timeout(_SUBMIT_WITHIN_S):
                return await self._put(Submitted(request))
        except TimeoutError as error:
            raise Unavailable(
                f"not committed within {_SUBMIT_WITHIN_S:g} s; send it again under the same id"
            ) from error
        finally:
            self._submitted -= 1

    def redrive(self, key: str) -> asyncio.Future[object]:
        """Done when all that waited is applied, or one of it failed again; Conflict: elsewhere."""
        self._wake.set()
        return self._redrives.ask(key)

    def sent(self, numbers: Iterable[int]) -> None:
        """Outbox rows to be marked with the next transaction, or after a fifth of a second."""
        if not self._sent:
            self._sent_at_s = self._clock.monotonic_s()
        self._sent.extend(numbers)
        self._wake.set()

    def drop_records(self) -> None:
        """What was read of partitions that are, or may be, another owner's."""
        self._records.clear()
        self._ticks.clear()

    async def settled(self) -> None:
        """Until everything that was queued is committed; what is only to be marked may wait."""
        while self._busy or self._records or self._inside or self._ticks or self._redrivable:
            self._at_rest.clear()
            await self._at_rest.wait()

    def stop(self) -> None:
        """What is queued is still committed; then `run` returns."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        while True:
            if not self._something():
                self._at_rest.set()
                if self._stopping:
                    return
                await self._sleep()
                continue
            self._busy = True
            await self._commit_some()
            self._busy = False

    def _put(self, item: Item) -> asyncio.Future[object]:
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._inside.append(_Waiting(item, future))
        self._wake.set()
        return future

    def _something(self) -> bool:
        late = self._clock.monotonic_s() - self._sent_at_s >= _MARK_WITHIN_S or self._stopping
        waiting = self._records or self._inside or self._ticks or self._redrivable
        return bool(waiting or (self._sent and late))

    @property
    def _redrivable(self) -> bool:
        """After a lost race positions are waited for."""
        return bool(self._redrives) and not self._positions.distrusted

    async def _sleep(self) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(_MARK_WITHIN_S if self._sent or self._redrives else None):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _commit_some(self) -> None:
        if self._redrivable:
            await self._redrive_some(self._redrives.next)
            if not (self._records or self._inside or self._ticks):
                return  # else a batch of what waits, before the next slice
        if self._records and self._positions.guarded(self._records[0]):
            await self._commit_guarded(self._records.popleft())
            if not self._inside and not self._ticks:
                return  # else one batch of what waits inside, before the next record
        batch, waiting = await self._take()
        await self._commit(batch, waiting)

    async def _redrive_some(self, key: str) -> None:
        """One slice, fenced like a tick: only the owner of the key's partition may write it."""
        held = self._positions.of(self._setting.place(key))
        if not held:
            self._redrives.failed(key, Conflict(f"{key} is another process's now"))
            return
        advances = {place: (at, at) for place, at in held.items()}
        await self._commit(Batch(self._clock.now_us(), advances=advances, redrive=key), [])

    async def _take(self) -> tuple[Batch, list[_Waiting]]:
        batch = Batch(self._clock.now_us())
        seen: dict[TopicPartition, tuple[int, int]] = {}
        heard: dict[tuple[str, int], int] = {}
        until_s = self._clock.monotonic_s() + _ADMIT_WITHIN_S
        while self._records and len(batch.items) < self._batch_max:
            if not len(batch.items) % _ADMIT_LOOK and self._clock.monotonic_s() > until_s:
                break
            record = self._records[0]
            if self._positions.guarded(record):
                break
            self._records.popleft()
            if self._positions.advance(record, seen):
                heard[record.topic, record.partition] = record.timestamp_ms
                batch.items.append(arrival(record, self._setting.admission.admit(record)))
        batch.advances = seen
        for place, timestamp_ms in heard.items():
            self._positions.heard(TopicPartition(*place), timestamp_ms)
        waiting = [self._inside.popleft() for _ in range(min(len(self._inside), self._batch_max))]
        waiting = [each for each in waiting if not _given_up(each)]
        batch.items.extend(each.item for each in waiting)
        batch.ticks, self._ticks = list(self._ticks.values()), {}
        for tick in batch.ticks:
            for place, at in self._positions.of(tick.partition).items():
                seen.setdefault(place, (at, at))
        batch.sent, self._sent = self._sent, []
        return batch, waiting

    async def _commit(self, batch: Batch, waiting: list[_Waiting]) -> None:
        backoff_s = _BACKOFF_FIRST_S
        generation = self._positions.generation
        while True:
            started_s = self._clock.monotonic_s()
            batch.now_us = self._clock.now_us()  # it may have waited an hour for the disk
            try:
                applied = await self._store.run(
                    lambda: Transaction(batch, self._application, self._setting).plan()
                )
            except Conflict as error:
                self._lost(batch, waiting, error)
                return
            except Unavailable as error:
                # Nobody's fault: the batch stays whole, and is tried until the store can write.
                self.unwritable = str(error)
                self.in_doubt += isinstance(error, InDoubt)
                _log.error("the database cannot write; trying again", extra={"reason": str(error)})
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, _BACKOFF_MAX_S)
                if self._positions.generation != generation:
                    self._lost(batch, waiting, error)
                    return
            except Exception as error:  # noqa: BLE001 - a rule of the schema, or of a column
                if self._positions.generation != generation:
                    self._lost(batch, waiting, error)
                    return
                await self._one_by_one(batch, waiting, error)
                return
            else:
                self.unwritable = ""
                self._committed(batch, waiting, applied, started_s)
                if self.in_doubt > self._read_again:
                    self._read_again = self.in_doubt  # an earlier try: what it said and began
                    self._forget()
                return

    def _committed(
        self, batch: Batch, waiting: list[_Waiting], applied: Applied, started_s: float
    ) -> None:
        assert self.relay is not None
        for place, (_, new) in batch.advances.items():
            self._positions.committed(place, new)
        self.relay.marked(batch.sent)
        if applied.out:
            self.relay.offer(applied.out, applied.behind)
            self._positions.said_through(applied.out[-1][0])
        else:
            self._positions.said_through(None)
        if applied.calls and self.gateways is not None:
            self.gateways.begin(applied.calls)
        for each, response in zip(waiting, applied.responses, strict=True):
            _settle(each.future, response)
        for key, error in applied.errors:
            _log.error("a handler raised", exc_info=error, extra={"key": key})
        self._tell(applied, self._clock.monotonic_s() - started_s, len(batch.items))
        self._redrives.committed(batch.redrive, applied)
        for tick in batch.ticks:
            if applied.more and tick.fires_max == 1:
                self._ticks.setdefault(tick.partition, Tick(tick.partition, tick.until_us, 1))

    def _tell(self, applied: Applied, seconds: float, records: int) -> None:
        try:
            self._observe(applied, seconds, records)
        except Exception:  # noqa: BLE001 - what is committed is committed
            if not self._observed_badly:
                self._observed_badly = True
                _log.exception("an observer of commits raised; what it counts is not complete")

    def _lost(self, batch: Batch, waiting: list[_Waiting], error: Exception) -> None:
        """Memory is not what the database says: reload positions, drop what was read."""
        _log.warning("a write lost its race; reading positions again", extra={"reason": str(error)})
        self._inside.extendleft(reversed(waiting))
        self._sent = [*batch.sent, *self._sent]
        self._forget()

    def _forget(self) -> None:
        assert self.relay is not None
        self._positions.distrust()
        self.drop_records()
        self.relay.reload()

    async def _one_by_one(self, batch: Batch, waiting: list[_Waiting], error: Exception) -> None:
        """It cannot be written: each item has its own transaction, the one at fault is parked."""
        self._sent, batch.sent = [*batch.sent, *self._sent], ()
        if is_single(batch):
            await self._instead(batch, waiting, error)
            return
        generation = self._positions.generation
        left = {id(each.item): each for each in waiting}
        for single in singles(batch, self._positions):
            own = [left.pop(id(item)) for item in single.items if id(item) in left]
            await self._commit(single, own)
            if self._positions.generation != generation:
                break
        self._inside.extend(left.values())

    async def _instead(self, batch: Batch, waiting: list[_Waiting], error: Exception) -> None:
        instead = instead_of(batch, error)
        if instead is not None:
            await self._commit(instead, waiting)
            return
        _log.error("an item cannot be written, whatever is tried", exc_info=error)
        if batch.redrive:
            self._redrives.failed(batch.redrive, error)
        if batch.items and isinstance(batch.items[0], TurnedAway):
            # Not even its dead letter: its log stands still here, and all else goes on.
            for place, (at, _) in batch.advances.items():
                stopped = PartitionStopped(place, at, f"a dead letter cannot be written: {error}")
                self._positions.stop(place, str(stopped))
        for each in waiting:
            _settle(each.future, error)

    async def _commit_guarded(self, record: Record) -> None:
        """After an unclean end: the attempt is written down before the record is looked at."""
        seen: dict[TopicPartition, tuple[int, int]] = {}
        if not self._positions.advance(record, seen):
            return
        tries = await self._surely(lambda: self._positions.begin_attempt(record))
        failpoints.reached("after_attempt")
        if tries > 3:
            refused = Refused("killed_process", f"{tries - 1} attempts ended the process", "decode")
            item = arrival(record, refused)
        else:
            item = arrival(record, self._setting.admission.admit(record))
        sent, self._sent = self._sent, []
        await self._commit(Batch(self._clock.now_us(), [item], seen, sent), [])

    async def _surely(self, plan: Callable[[], Plan[T]]) -> T:
        """As often as it takes: the store may be away for a while."""
        while True:
            try:
                return await self._store.run(plan)
            except StoreError as error:
                self.unwritable = str(error)
                await asyncio.sleep(_BACKOFF_MAX_S)


def _given_up(waiting: _Waiting) -> bool:
    """A submitter who does not wait any more was told so: nothing is begun for him."""
    return waiting.future.cancelled() and isinstance(waiting.item, Submitted)


def _settle(future: asyncio.Future[object], response: object) -> None:
    if future.done():
        return
    if isinstance(response, Exception):
        future.set_exception(response)
    else:
        future.set_result(response)
