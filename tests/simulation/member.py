"""One life of one process: the product's own parts over simulated ground, until it is killed.

What `services.chassis.process` does around the parts, this does: start, run the loops, stop
gracefully. A killed life gets no answer to anything any more, then its tasks are cancelled: no
`finally` of it reaches the world, as after SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from schemas.topics import topics_read_by
from services.chassis.assembly import Ground, Parts, Program, assemble
from services.chassis.bus import BusError
from services.chassis.items import Application, Applied, Arrived, Item
from services.chassis.lifecycle import end_cleanly, was_clean
from services.chassis.settings import Settings
from services.chassis.startup import wait_for_store
from services.chassis.store import Plan, StoreError
from services.chassis.timers import Timers
from tests.simulation.bus import Others, Publisher, Reader
from tests.simulation.loop import OWNER, Killed, SimulatedLoop, never, pause
from tests.simulation.outside import Http, Mail
from tests.simulation.store import Database, Handle

if TYPE_CHECKING:
    from tests.simulation.world import World

TELL_S = 2.0
BASE_US = 1_763_900_000_000_000


class Poisoned(Exception):
    """What a handler raises that the seed poisoned."""


class MemberClock:
    def __init__(self, loop: SimulatedLoop, offset_s: float) -> None:
        self._loop = loop
        self.offset_s = offset_s

    def now_us(self) -> int:
        return BASE_US + round((self._loop.now_s + self.offset_s) * 1_000_000)

    def monotonic_s(self) -> float:
        return self._loop.now_s


class Poisonable:
    """An application whose handlers raise for the keys that the world names."""

    def __init__(self, inner: Application[object], raises: Callable[[str], bool]) -> None:
        self._inner, self._raises = inner, raises
        self.load, self.again, self.write = inner.load, inner.again, inner.write

    def apply(self, state: object, item: Item, now_us: int) -> Plan[object]:
        if isinstance(item, Arrived) and self._raises(item.key):
            raise Poisoned(item.key)
        return self._inner.apply(state, item, now_us)


class Member:
    def __init__(
        self,
        world: World,
        program: Program[object],
        settings: Settings,
        database: Database,
        life: int,
    ) -> None:
        self.world, self.name, self.life = world, program.name, life
        self.title = f"{program.name}.{life}"
        self.dead = False
        self.tasks: list[asyncio.Task[object]] = []
        self.stirred = asyncio.Event()  # something was committed
        self.clock = MemberClock(world.loop, world.offsets_s.get(self.name, 0.0))
        self.store = Handle(database, self)
        self.reader = Reader(
            world.broker, self, [topic.name for topic in topics_read_by(self.name)]
        )
        self.parts: Parts[object] | None = None
        self._program = replace(program, application=self._application(program))
        self._settings = settings
        self._context = contextvars.copy_context()
        self._context.run(OWNER.set, self)
        self._spawn(self._live())

    def _application(self, program: Program[object]) -> Callable[..., Application[object]]:
        raises = partial(self.world.raises, self.name)
        return lambda maker, place: Poisonable(program.application(maker, place), raises)

    def kill(self) -> None:
        self.dead = True
        self.reader.leave()
        self.world.trace.append(("killed", self.title))
        for task in self.tasks:
            if not task.done():
                task.cancel()
        self.tasks.clear()

    async def stop(self) -> None:
        """As SIGTERM: what was begun is committed and published, the end is marked as clean."""
        parts = self.parts
        if parts is None:
            return
        for task in self._loops[1:3]:
            task.cancel()
        parts.intake.drop_records()
        if parts.intake.gateways is not None:
            await parts.intake.gateways.close()
        try:
            async with asyncio.timeout(6):
                await parts.intake.settled()
                await parts.relay.drained()
                parts.intake.stop()
                await asyncio.wait({self._loops[0]})
                await parts.keeping.commit()
                await self.store.run(end_cleanly)
        except (TimeoutError, BusError, StoreError):
            self.world.count("stop_cut_off")

    def spawn(self, work: Coroutine[object, object, object]) -> asyncio.Task[object]:
        return self._spawn(work)

    def _spawn(self, work: Coroutine[object, object, object]) -> asyncio.Task[object]:
        return self.world.loop.create_task(work, context=self._context)

    async def _live(self) -> None:
        world = self.world
        clean = await wait_for_store(self.store, was_clean, lambda name, why: None)  # noqa: ARG005
        if self.dead:
            await never()
        ground = Ground(
            store=self.store,
            log_bytes=self.store.log_bytes,
            reader=self.reader,
            publisher=Publisher(world.broker, self),
            others=Others(world.broker, self),
            clock=self.clock,
            codec=world.codec,
            partitions=world.broker.partitions,
            gateway=Mail(self) if self.name == "notifications" else Http(self),
        )
        parts = assemble(self._program, self._settings, ground, self._observe)
        if not clean:
            parts.positions.guard()
        self.parts = parts
        # Participants set no timers; they look all the same.
        tick_s = self._settings.timer_tick_s if self.name == "orchestrator" else 60.0
        loops = {
            "intake": parts.intake.run(),
            "reading": parts.reading.run(),
            "timers": self._tick_often(parts.timers, tick_s),
            "relay": parts.relay.run(),
            "commits": self._tell_often(),
        }
        self._loops = [self._spawn(loop) for loop in loops.values()]
        for name, task in zip(loops, self._loops, strict=True):
            task.add_done_callback(partial(self._ended, name))

    async def _tick_often(self, timers: Timers, every_s: float) -> None:
        """As `Timers.run`, but for the ticks that would find nothing: an idle hour is short."""
        database, seen, next_us, at = self.store.database, -1, 0, -1
        assert self.parts is not None
        positions = self.parts.positions
        while True:
            await pause(every_s)
            if seen != database.commits:
                seen = database.commits
                next_us = database.one("SELECT min(due_us) FROM timers")
            if 0 < next_us <= self.clock.now_us() or timers._ends or database.away:
                await timers.tick()
            elif at != positions.generation or not timers._ears:
                # Deaf after an error or a new assignment, until every partition was heard.
                await timers.tick()
                at = positions.generation if self._hears_all(timers) else -1

    def _hears_all(self, timers: Timers) -> bool:
        assert self.parts is not None
        return all(timers._hears(each) for each in self.parts.positions.partitions)

    async def _tell_often(self) -> None:
        """Until there is nothing to tell any more; then when something was committed again."""
        assert self.parts is not None
        keeping, positions, seen = self.parts.keeping, self.parts.positions, -1
        while True:
            await pause(TELL_S)
            await keeping.commit()
            await keeping.pass_markers()
            told = not positions._committable or not self.world.broker.up
            if told and seen == positions.generation + self.store.database.commits:
                self.stirred.clear()
                await self.stirred.wait()
            seen = positions.generation + self.store.database.commits

    def _ended(self, name: str, task: asyncio.Task[object]) -> None:
        if task.cancelled() or self.dead:
            return
        error = task.exception()
        if error is not None and not isinstance(error, Killed):
            self.world.fail(f"{self.title}: its {name} ended by {error!r}", error)

    def committed(self) -> None:
        self.stirred.set()
        if self.reader.holds:
            self.reader.nudge()

    def _observe(self, applied: Applied, _: float, items: int) -> None:
        del items
        world = self.world
        for (_topic, _kind, result), n in applied.results.items():
            world.results[result] = world.results.get(result, 0) + n
        for key, error in applied.errors:
            if not isinstance(error, Poisoned):
                world.fail(f"{self.title}: a handler raised for {key}: {error!r}", error)


def hook(name: str) -> None:
    """What the product's failpoints call while a simulation runs."""
    member = OWNER.get()
    if member is None:
        return
    assert isinstance(member, Member)
    if member.dead:
        raise Killed
    world = member.world
    world.hits[name] += 1
    if world.armed:
        world.reached(member, name)
