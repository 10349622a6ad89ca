"""Real SQL in memory: the product's SQLite transactions, driven without a thread.

One `Database` is the file of a service, which outlives its processes; a `Handle` is what one life
of a process holds of it. What is committed is on the disk at once (synchronous=FULL), so the loss
of power loses what is not. A worker migrates each of them once, for all its worlds.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from services.chassis import sqlite
from services.chassis.store import Plan, StoreError, T, Unavailable, Value
from tests.simulation.loop import never, turn

if TYPE_CHECKING:
    from tests.simulation.member import Member

CHASSIS = Path(sqlite.__file__).parent / "migrations"


@cache
def template(owner: str, folder: Path) -> Template:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for name, migrations in {"chassis": CHASSIS, owner: folder}.items():
        sqlite._migrate(name, migrations, connection)
    return Template(connection)


def new(image: bytes) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=400)
    connection.deserialize(image)
    return connection


class Template:
    """A migrated database, and the connections of worlds that have ended.

    Those are emptied and used again, because what costs most of a new one is preparing each
    statement anew.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.image = connection.serialize()
        self._free: list[sqlite3.Connection] = []
        tables = connection.execute(
            # Of sagas before their journal, which else refuses.
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name DESC"
        )
        self._tables = [str(name) for (name,) in tables.fetchall()]
        self._rows = {
            name: rows
            for name in self._tables
            if (rows := connection.execute(f"SELECT * FROM {name}").fetchall())
        }

    def open(self) -> sqlite3.Connection:
        if not self._free:
            return new(self.image)
        connection = self._free.pop()
        connection.execute("BEGIN")
        for name in self._tables:
            connection.execute(f"DELETE FROM {name}")
        for name, rows in self._rows.items():
            connection.executemany(
                f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows
            )
        connection.execute("COMMIT")
        return connection

    def give_back(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        self._free.append(connection)


class Database:
    """`away_until_s`: until then the disk is full."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self.connection = template.open()
        self.away_until_s = 0.0
        self.commits = 0

    def lose_power(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def restore(self, image: bytes) -> None:
        self.connection.close()
        self.connection = new(image)

    @property
    def away(self) -> bool:
        return bool(self.away_until_s) and self.away_until_s > asyncio.get_running_loop().time()

    def close(self) -> None:
        """Nobody looks at it any more."""
        self._template.give_back(self.connection)
        del self.connection

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
        if database.away:
            member.world.count("disk_full")
            raise Unavailable("OperationalError: database or disk is full")
        try:
            result = sqlite._drive(plan, database.connection)
        except StoreError:
            # What it makes of that its reader must see: nobody waits for a poll's end here.
            asyncio.get_running_loop().call_soon(member.reader.nudge)
            raise
        database.commits += 1
        member.committed()
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
        await turn()
        if self._member.dead:
            await never()
