"""What a program is, and how its parts are put together over the ground they stand on.

The ground is everything that a simulation replaces: store, clock, the clients of Kafka, the way to
the outside world. What is built on it is the same in production, in tests and in the simulation.
Nothing runs here: who assembles starts the loops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Generic, Protocol

from starlette.routing import BaseRoute

from schemas.catalogue import load_catalogue
from schemas.topics import topics_read_by
from services.chassis.admission import Admission
from services.chassis.api import ApiPort
from services.chassis.bus_publish import partition_of
from services.chassis.clock import Clock
from services.chassis.codec import Codec
from services.chassis.envelope import Maker
from services.chassis.gateways import Gateways
from services.chassis.handlers import Handler
from services.chassis.housekeeping import Commits, Housekeeping
from services.chassis.intake import Intake, Observer
from services.chassis.items import Application, S
from services.chassis.letters import Letters
from services.chassis.positions import Positions
from services.chassis.reading import Polls, Reading
from services.chassis.relay import Publishes, Relay
from services.chassis.retention import Rule
from services.chassis.settings import Settings
from services.chassis.store import Store
from services.chassis.surface import Counting
from services.chassis.timers import OtherReaders, Timers, Watermarks
from services.chassis.transaction import Setting

Place = Callable[[str], int]


@dataclass(frozen=True)
class Program(Generic[S]):
    """What makes one process different from another.

    `application` is made from the maker of its messages and the function that places a key.
    `awaited`: topic → group of the readers that its timers wait for. `meters` counts what the
    application committed. `retention`: rules for tables of its own that grow.
    """

    name: str
    application: Callable[[Maker, Place], Application[S]]
    migrations: Mapping[str, Path] = field(default_factory=dict)
    queries: Path | None = None
    handlers: Sequence[Handler] = ()
    gateway: Callable[[Settings], AbstractAsyncContextManager[object]] | None = None
    routes: Callable[[ApiPort], Sequence[BaseRoute]] | None = None
    awaited: Mapping[str, str] = field(default_factory=dict)
    meters: Counting | None = None
    retention: Sequence[Rule] = ()
    settings: type[Settings] = Settings


class Closes(Protocol):
    async def close(self) -> None: ...


class Reads(Polls, Watermarks, Commits, Closes, Protocol):
    """A member of a group; `services.chassis.bus_read.Reader` is one."""


class Sends(Publishes, Closes, Protocol):
    """`services.chassis.bus_publish.Publisher` is one."""


class Looks(OtherReaders, Closes, Protocol):
    """`services.chassis.bus_admin.Admin` is one."""


@dataclass(frozen=True)
class Ground:
    """What the parts of one process stand on. `log_bytes` trims the store's log and measures it."""

    store: Store
    log_bytes: Callable[[], object]
    reader: Reads
    publisher: Sends
    others: Looks
    clock: Clock
    codec: Codec
    partitions: int
    gateway: object = None


@dataclass(frozen=True)
class Parts(Generic[S]):
    """What works together in one process, built once and then only used."""

    positions: Positions
    intake: Intake[S]
    relay: Relay
    reading: Reading
    timers: Timers
    keeping: Housekeeping
    letters: Letters[S]


def assemble(
    program: Program[S], settings: Settings, ground: Ground, observe: Observer
) -> Parts[S]:
    store, reader, clock, codec = ground.store, ground.reader, ground.clock, ground.codec
    catalogue, positions = load_catalogue(), Positions()
    place = partial(partition_of, partitions=ground.partitions)
    admission = Admission(codec, catalogue, topics_read_by(program.name))
    application = program.application(Maker(program.name, codec, catalogue), place)
    setting = Setting(place, admission, program.name, _release())
    intake: Intake[S] = Intake(
        store,
        application,
        setting,
        positions,
        clock,
        batch_max=settings.batch_max,
        observe=observe,
    )
    relay = intake.relay = Relay(store, ground.publisher, clock, intake.sent)
    if program.gateway is not None:
        intake.gateways = Gateways(
            ground.gateway, program.handlers, intake.put_returned, settings.gateway_calls_max
        )
    reading = Reading(
        store,
        reader,
        positions,
        intake,
        relay,
        intake.gateways,
        clock,
        batch_max=settings.batch_max,
        decode=codec.decode,
    )
    timers = Timers(
        store,
        positions,
        reader,
        ground.others,
        clock,
        awaited=program.awaited,
        fire=intake.put_tick,
    )
    keeping = Housekeeping(store, reader, positions, relay, settings, clock, ground.log_bytes)
    keeping.rules += tuple(program.retention)
    letters = Letters(store, application, setting, clock)
    return Parts(positions, intake, relay, reading, timers, keeping, letters)


@cache
def _release() -> str:
    return version("baton-saga")
