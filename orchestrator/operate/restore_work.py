"""What `baton backup` and `baton restore` do: copies, and what a copy forgot read from Kafka.

The process's own topics say what it said after the copy was made. What that means for a saga is
`orchestrator.engine.restore`'s business, what it means for a participant the chassis's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from deploy.local import copies
from deploy.local.home import Home
from deploy.local.stack import COPIED, server_of
from orchestrator.engine import restore as engine
from orchestrator.engine.shell import Shell
from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault
from orchestrator.operate.output import Output
from orchestrator.operate.stopped import (
    ORCHESTRATOR,
    author,
    database_of,
    home_of_this_shell,
    kafka_for,
    known_process,
    lock_of,
    moment_us,
    store_of,
    time_text,
)
from orchestrator.sagas import SAGAS
from schemas.catalogue import load_catalogue
from schemas.releases import releases
from schemas.topics import TOPICS, Topic
from services.chassis import repair
from services.chassis.bus_admin import Admin, Tail
from services.chassis.codec import Codec
from services.chassis.database import shown
from services.chassis.envelope import Maker
from services.chassis.messages import Record
from services.chassis.repair import Author
from services.chassis.spoken import remember, spoken_keys
from services.chassis.startup import stand_back
from services.chassis.store import Plan, Store

# Clocks of several machines, and how late a message is published after it was made.
MARGIN_US = 3_600_000_000
RECORDS_A_SLICE = 1_000
CONSOLE = "console"
BACKUP_COLUMNS = ("database", "at", "outbox")
RESTORE_COLUMNS = ("service", "since", "spoken", "sagas_reminded")


def backup(output: Output, folder: Path) -> None:
    home = home_of_this_shell()
    if server_of(home, os.environ):
        raise VerbFault(
            "the databases lie on a server, whose own tool copies each at one moment;"
            " the console's is a file",
            mend=f"mkdir {folder}; for each in {' '.join(COPIED)}; do pg_dump --format=custom"
            f' --file={folder}/$each.dump "$BATON_POSTGRES/$each"; done;'
            f' sqlite3 {home.database(CONSOLE)} ".backup {folder}/{CONSOLE}.db"',
            code=Exit.REFUSED,
        )
    rows = copies.backup(home, folder)
    output.rows(BACKUP_COLUMNS, rows)
    output.say(f"{len(rows)} databases copied to {folder}")


def restore(output: Output, service: str, folder: Path | None, since: str, reason: str) -> None:
    home, by = home_of_this_shell(), author(reason)
    known_process(service)
    since_us = moment_us(since)
    place = database_of(home, service)
    if folder is not None and not isinstance(place, Path):
        raise VerbFault(
            f"{shown(place)} lies on a server, whose own tool puts a copy in place",
            mend=f'pg_restore --clean --if-exists --dbname="$BATON_POSTGRES/{service}"'
            f" {folder}/{service}.dump && baton restore --service {service} --reason WHY",
            code=Exit.REFUSED,
        )
    if folder is not None:
        with lock_of(home, service):
            aside = copies.put_back(home, service, folder.expanduser(), datetime.now(tz=UTC))
        if aside is not None:
            output.say(f"what was there before is now {aside}")
    if service == CONSOLE:
        asyncio.run(_noted(home, by))
        output.say("the console says nothing in Kafka that it could have forgotten; next: baton up")
        return
    row = asyncio.run(_restore(output, home, service, since_us, by))
    output.rows(RESTORE_COLUMNS, [row])
    output.say("next: baton up")


async def _noted(home: Home, author: Author) -> None:
    async with store_of(home, CONSOLE) as store:
        await store.run(lambda: repair.record("restore", "audit and operations", author))


async def _restore(
    output: Output, home: Home, service: str, since_us: int, author: Author
) -> dict[str, object]:
    topics = [each.name for each in TOPICS if _says(service, each)]
    said = told = 0
    async with store_of(home, service) as store, kafka_for(output, home) as bootstrap:
        since_us = since_us or max(0, await store.run(repair.last_said_us) - MARGIN_US)
        async with Admin(bootstrap) as admin:
            positions = await admin.committed(f"baton.{service}")
        slices = _read(bootstrap, topics, since_us) if topics else _nothing()
        async with aclosing(slices):
            async for records in slices:
                said += await store.run(partial(remember, records, service, author.at_us))
        if service == ORCHESTRATOR:
            told = await _remind(store, author.at_us)
        detail = f"since {time_text(since_us)}: {said} said, {told} sagas reminded"

        def settle() -> Plan[None]:
            yield from stand_back(positions)
            yield from repair.record("restore", detail, author)

        await store.run(settle)
    return {
        "service": service,
        "since": time_text(since_us),
        "spoken": said,
        "sagas_reminded": told,
    }


def _says(service: str, topic: Topic) -> bool:
    """Where its word is given and must stand. Events are only repeated, under the same ids."""
    return topic.kind in ("commands", "replies", "outcomes") and service in topic.writers


async def _read(
    bootstrap: str, topics: list[str], since_us: int
) -> AsyncGenerator[list[Record], None]:
    tail = Tail(bootstrap, topics, from_beginning=True, until_end=True, since_ms=since_us // 1_000)
    async with tail, aclosing(tail.records()) as found:
        records: list[Record] = []
        async for each in found:
            records.append(each)
            if len(records) == RECORDS_A_SLICE:
                yield records
                records = []
        yield records


async def _nothing() -> AsyncGenerator[list[Record], None]:
    return
    yield


async def _remind(store: Store, now_us: int) -> int:
    codec = Codec(load_catalogue(), [each.schema for each in releases()])
    shell = Shell(SAGAS, Maker(ORCHESTRATOR, codec, load_catalogue()))
    keys = await store.run(spoken_keys)
    told = 0
    for at in range(0, len(keys), engine.KEYS_A_SLICE):
        some = keys[at : at + engine.KEYS_A_SLICE]
        told += await store.run(partial(engine.remind, some, shell.definition, codec, now_us))
    return told
