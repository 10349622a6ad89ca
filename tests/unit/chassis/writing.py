"""An intake over a member of the company, and what it was seen to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from company import (
    COMMANDS,
    HANDLERS,
    Broken,
    Member,
    Tally,
)

from services.chassis.handlers import Response, accepted, declined, requests
from services.chassis.intake import Intake
from services.chassis.items import Applied
from services.chassis.messages import Outgoing, Record
from services.chassis.positions import Positions


@dataclass(frozen=True)
class Ask:
    key: str
    id: str
    say: str


def asked(request: Ask, rows: Mapping[str, Tally]) -> Response:
    if request.say == "raise":
        raise Broken(request.key)
    if request.say == "no":
        return declined("no")
    before = rows.get(request.key) or Tally(request.key)
    return accepted(f"{before.done}", replace(before, done=before.done + 1, note=request.say))


SERVED = (*HANDLERS, requests(Ask, asked, loads=Tally, by=lambda request: (request.key,)))


class Desk:
    """The relay as the intake sees it; keeps what it was told."""

    def __init__(self) -> None:
        self.offered: list[tuple[int, Outgoing]] = []
        self.marks: list[int] = []
        self.reloads = 0

    def offer(self, messages: Sequence[tuple[int, Outgoing]], behind: Sequence[int] = ()) -> None:
        assert not behind, "SQLite has one writer"
        self.offered += messages

    def marked(self, numbers: Sequence[int]) -> None:
        self.marks += numbers

    def reload(self) -> None:
        self.reloads += 1


class Writer:
    """An intake over a member's database, and what it was seen to do."""

    def __init__(self, member: Member[object], batch_max: int = 1000) -> None:
        self.member = member
        self.positions = Positions()
        self.seen: list[tuple[Applied, int]] = []
        self.relay = Desk()
        self.intake: Intake[object] = Intake(
            member.store,
            member.application,
            member.setting,
            self.positions,
            member.clock,
            batch_max=batch_max,
            observe=lambda applied, _, records: self.seen.append((applied, records)),
        )
        self.intake.relay = self.relay  # type: ignore[assignment]
        self.load()

    def load(self) -> None:
        starts = dict.fromkeys(self.member.places, 0)
        self.positions.loaded(self.member.store.drive(lambda: self.positions.load(starts)))

    def put(self, *messages: Outgoing) -> list[Record]:
        records = [self.member.kafka.publish(each) for each in messages]
        self.intake.put_records(records)
        return records

    def tallies(self) -> list[tuple[object, ...]]:
        return self.member.store.rows("SELECT order_id, done FROM tally ORDER BY order_id")

    def next(self) -> int:
        ((found,),) = self.member.store.rows(
            "SELECT next FROM offsets WHERE topic = ? AND partition = 0", COMMANDS
        )
        assert isinstance(found, int)
        return found


@asynccontextmanager
async def working(writer: Writer) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(writer.intake.run())
    try:
        yield task
    finally:
        writer.intake.stop()
        async with asyncio.timeout(2):
            await task


async def until(true: Callable[[], object]) -> None:
    """Turns of the loop until it is so; fails rather than wait for ever."""
    async with asyncio.timeout(2):
        while not true():  # noqa: ASYNC110 - the product's tasks take turns, no time passes
            await asyncio.sleep(0)
