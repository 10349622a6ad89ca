"""What verbs of repair stand on: a database whose process does not run, and Kafka beside it.

A database is opened only under its file's lock, so never beside its process. Kafka is the one of
this shell or of the running stack; of a stopped stack it is started alone and stopped again.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Final

from deploy.local.control import Request, ask_supervisor
from deploy.local.faults import ProcessFailed
from deploy.local.home import Home
from deploy.local.running import Telling, running_stack
from deploy.local.stack import KAFKA, OURS
from deploy.local.supervisor import is_running
from orchestrator.engine.store import MIGRATIONS
from orchestrator.operate.cluster import kafka_of_this_shell
from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault
from orchestrator.operate.output import Output
from schemas.topics import Topic, topic_named
from services.chassis.repair import Author
from services.chassis.sqlite import AlreadyRunning, SqliteStore, locked, open_store
from services.chassis.store import StoreError

ORCHESTRATOR: Final = "orchestrator"


@asynccontextmanager
async def kafka_for(output: Output, home: Home) -> AsyncIterator[str]:
    """The cluster of this shell or of the running stack; else a stopped stack's Kafka alone."""
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or is_running(home):
        yield kafka_of_this_shell()
        return
    output.say("starting Kafka alone")
    async with running_stack(home, only=(KAFKA,), telling=Telling(line=output.say)) as running:
        yield running.stack.bootstrap


@asynccontextmanager
async def store_of(home: Home, service: str) -> AsyncIterator[SqliteStore]:
    """The database of a process that does not run."""
    file = home.database(service)
    if not file.exists():
        raise VerbFault(f"{file} does not exist", mend=f"ls {file.parent}", code=Exit.NOT_FOUND)
    own = {ORCHESTRATOR: MIGRATIONS} if service == ORCHESTRATOR else {}
    with _told_who_runs(home, service):
        async with open_store(file, own) as store:
            yield store


@contextmanager
def stopped(output: Output, home: Home, service: str) -> Iterator[None]:
    """A running stack's process is stopped and started again; elsewhere the file's lock tells."""
    if not is_running(home):
        yield
        return
    ask_supervisor(home, Request("stop", service))
    try:
        yield
    finally:
        try:
            ask_supervisor(home, Request("start", service))
        except ProcessFailed:
            output.say(f"{service} is not ready yet; baton doctor says why")


def home_of_this_shell() -> Home:
    return Home.from_environment(os.environ)


def known_process(service: str) -> None:
    if service not in OURS:
        raise VerbFault(
            f"no process is called {service}",
            mend=f"choose of: {' '.join(OURS)}",
            code=Exit.NOT_FOUND,
        )


def known_topic(name: str) -> Topic:
    try:
        return topic_named(name)
    except KeyError as fault:
        raise VerbFault(str(fault.args[0]), code=Exit.NOT_FOUND) from fault


def author(reason: str) -> Author:
    if not reason.strip():
        raise VerbFault("the reason is empty", mend="--reason WHY", code=Exit.USAGE)
    now = datetime.now(tz=UTC)
    return Author(getpass.getuser(), reason, round(now.timestamp() * 1_000_000))


def moment_us(text: str) -> int:
    """0 where none is given. A time without a zone is UTC."""
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as fault:
        raise VerbFault(
            f"{text!r} is no time", mend="--since 2026-11-23T14:00:00Z", code=Exit.USAGE
        ) from fault
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000_000)


def time_text(us: int) -> str:
    return datetime.fromtimestamp(us / 1_000_000, UTC).isoformat() if us else "the beginning"


@contextmanager
def lock_of(home: Home, service: str) -> Iterator[None]:
    """The database's file may be exchanged: nobody has it open."""
    home.prepare()
    with _told_who_runs(home, service), locked(home.database(service)):
        yield


@contextmanager
def _told_who_runs(home: Home, service: str) -> Iterator[None]:
    try:
        yield
    except AlreadyRunning as fault:
        raise VerbFault(
            f"{service} runs, and {home.database(service)} is its own",
            mend="baton down",
            code=Exit.REFUSED,
        ) from fault
    except StoreError as fault:
        raise VerbFault(str(fault)) from fault
