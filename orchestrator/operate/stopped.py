"""What verbs of repair stand on: a database whose process does not run, and Kafka beside it.

A database is opened only under its file's lock, or on a server while no session of its program is
there, so never beside its processes. Kafka is the one of
this shell or of the running stack; of a stopped stack it is started alone and stopped again.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Final

from pydantic import SecretStr

from deploy.local.control import Request, ask_supervisor
from deploy.local.faults import ProcessFailed
from deploy.local.home import Home
from deploy.local.running import Telling, running_stack
from deploy.local.stack import KAFKA, OURS, place_of, server_of
from deploy.local.state import read_state
from deploy.local.supervisor import is_running
from orchestrator.engine.store import MIGRATIONS
from orchestrator.operate.cluster import kafka_of_this_shell
from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault
from orchestrator.operate.output import Output
from schemas.topics import Topic, topic_named
from services.chassis.database import Place, is_there, open_alone, shown
from services.chassis.repair import Author
from services.chassis.sqlite import locked
from services.chassis.store import AlreadyRunning, Store, StoreError

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
async def store_of(home: Home, service: str) -> AsyncIterator[Store]:
    """The database of a program of which no process runs."""
    place = database_of(home, service)
    own = {ORCHESTRATOR: MIGRATIONS} if service == ORCHESTRATOR else {}
    with told_of(home, service):
        if not await is_there(place):
            mend = "baton doctor" if isinstance(place, SecretStr) else f"ls {place.parent}"
            raise VerbFault(f"{shown(place)} does not exist", mend=mend, code=Exit.NOT_FOUND)
        async with open_alone(place, own) as store:
            yield store


def database_of(home: Home, service: str) -> Place:
    return place_of(home, service, server_of(home, os.environ))


@contextmanager
def stopped(output: Output, home: Home, service: str) -> Iterator[None]:
    """A running stack's processes of the program are stopped and started again; of others the
    database tells.
    """
    state = read_state(home) if is_running(home) else None
    names = [str(each["name"]) for each in state.processes] if state else []
    own = [name for name in names if name.partition("-")[0] == service]
    try:
        for name in own:
            ask_supervisor(home, Request("stop", name))
        yield
    finally:
        for name in own:
            try:
                ask_supervisor(home, Request("start", name))
            except ProcessFailed:
                output.say(f"{name} is not ready yet; baton doctor says why")


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
    with told_of(home, service), locked(home.database(service)):
        yield


@contextmanager
def told_of(home: Home, service: str) -> Iterator[None]:
    """What a database raises, as a verb's fault."""
    try:
        yield
    except AlreadyRunning as fault:
        raise VerbFault(
            f"{service} runs, and {shown(database_of(home, service))} is its own",
            mend="baton down",
            code=Exit.REFUSED,
        ) from fault
    except StoreError as fault:
        where, said = shown(database_of(home, service)), str(fault)
        raise VerbFault(said if where in said else f"{where}: {said}") from fault
