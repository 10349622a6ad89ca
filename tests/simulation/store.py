"""Real SQL in memory: the product's SQLite transactions, driven without a thread.

One `Database` is the file of a service, which outlives its processes; a `Handle` is what one life
of a process holds of it. What is committed is on the disk at once (synchronous=FULL), so the loss
of power gives back an image of the last commit. Templates are migrated once in a worker.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from services.chassis import sqlite
from services.chassis.store import Plan, T, Unavailable, Value
from tests.simulation.loop import never, pause

if TYPE_CHECKING:
    from tests.simulation.member import Member

CHASSIS = Path(sqlite.__file__).parent / "migrations"


@cache
def template(owner: str, folder: Path) -> bytes:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for name, migrations in {"chassis": CHASSIS, owner: folder}.items():
        sqlite._migrate(name, migrations, connection)
    return connection.serialize()


class Database:
    """`away_until_s`: until then the disk is full."""

    def __init__(self, image: bytes) -> None:
        self._open(image)
        self.away_until_s = 0.0
        self.commits = 0

    def _open(self, image: bytes) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=400)
        self.connection.deserialize(image)

    def lose_power(self) -> None:
        image = self.connection.serialize()
        self.connection.close()
        self._open(image)

    def rows(self, sql: str, *params: object) -> list[tuple[object, ...]]:
        return self.connection.execute(sql, params).fetchall()

    def one(self, sql: str) -> int:
        return int(str(self.rows(sql)[0][0] or 0))


class Handle:
    """A `Store` of the chassis."""

    def __init__(self, database: Database, member: Member) -> None:
        self.database, self._member = database, member

    async def run(self, plan: Callable[[], Plan[T]]) -> T:
        await self._turn()
        member, database = self._member, self.database
        if database.away_until_s > asyncio.get_running_loop().time():
            member.world.count("disk_full")
            raise Unavailable("OperationalError: database or disk is full")
        result = sqlite._drive(plan, database.connection)
        database.commits += 1
        member.world.trace.append(("commit", member.title, database.commits))
        await self._turn()
        return result

    async def read(
        self, sql: str, params: Mapping[str, Value] | Sequence[Value] = ()
    ) -> list[dict[str, Value]]:
        await self._turn()
        return sqlite._rows(sql, params, self.database.connection)

    async def log_bytes(self) -> int:
        return 0

    async def close(self) -> None: ...

    async def _turn(self) -> None:
        await pause(0)
        if self._member.dead:
            await never()
