"""The whole company as a test has it: started, published to from outside, watched in its files.

Nothing here goes through the product but the starting: records are sent by a producer that knows
nothing of Baton, databases are opened read-only, and what is waited for is waited for in `until`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic, time_ns
from typing import Final, NamedTuple

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.faults import FetchFailed
from deploy.local.home import Home
from deploy.local.keeper import Keeper
from deploy.local.running import running_stack
from deploy.local.stack import PROCESSES
from schemas.catalogue import load_catalogue
from schemas.topics import PARTITIONS_LOCAL, topics_read_by
from services.chassis.codec import Codec
from services.chassis.envelope import Cause, Maker
from services.chassis.messages import Headers
from tests.conftest import missing

CATALOGUE: Final = load_catalogue()
CODEC: Final = Codec(CATALOGUE)
SHOP: Final = "web-shop"
ORDERS: Final = "orders.order.events.v1"
OUTCOMES: Final = "orders.order.outcomes.v1"
OURS: Final = (
    "orchestrator",
    "orders",
    "inventory",
    "billing",
    "shipping",
    "crm",
    "analytics",
    "notifications",
)
WITHOUT_CONSOLE: Final = tuple(name for name in PROCESSES if name != "console")
WITHIN_S: Final = 120.0
LOOK_AGAIN_S: Final = 0.1


async def until(condition: Callable[[], object], what: str, *, within_s: float = WITHIN_S) -> None:
    """Returns when the condition's answer is true; fails the test when it does not become so."""
    if not await comes_true(condition, within_s=within_s):
        pytest.fail(f"not within {within_s:g} s: {what}")


async def comes_true(condition: Callable[[], object], *, within_s: float) -> bool:
    """Whether the condition's answer became true. The one place where these tests wait."""
    deadline = monotonic() + within_s
    never = asyncio.get_running_loop().create_future()
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer or monotonic() > deadline:
            return bool(answer)
        await asyncio.wait([never], timeout=LOOK_AGAIN_S)


class Sent(NamedTuple):
    """A record as an outside publisher sends it; without a partition its key finds one."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int | None = None


class Place(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int


def message(
    body: object,
    message_id: str,
    *,
    source: str = SHOP,
    topic: str = "",
    cause: Cause | None = None,
) -> Sent:
    """A well-formed record; what is to be wrong with it is replaced afterwards."""
    contract = CATALOGUE.by_type[type(body)]
    place, key = topic or contract.topic, str(getattr(body, contract.key))
    assert place is not None, "a reply has no topic of its own"
    maker = Maker(source, CODEC, CATALOGUE)
    made = maker.message(place, key, body, message_id, time_ns() // 1000, cause or Cause())
    return Sent(made.topic, made.key.encode(), made.value, made.headers)


@dataclass(frozen=True, slots=True)
class Company:
    """`keepers` are the supervisor's, empty where it is another process."""

    home: Home
    kafka: str
    addresses: Mapping[str, str]
    keepers: Mapping[str, Keeper] = field(default_factory=dict)

    def keeper(self, name: str) -> Keeper:
        return self.keepers[name]

    def rows(self, process: str, sql: str, *given: object) -> list[tuple[object, ...]]:
        """Of the process's database, in a read-only transaction of its own."""
        uri = f"{self.home.database(process).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=10)) as database:
            return database.execute(sql, given).fetchall()

    async def publish(self, *records: Sent) -> list[Place]:
        """Returns when Kafka has them all: where each lies."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.kafka, acks="all", max_request_size=2 * 1024 * 1024
        ) as shop:
            acknowledged = [
                await shop.send(r.topic, r.value, r.key, r.partition, headers=list(r.headers))
                for r in records
            ]
            lie = await asyncio.gather(*acknowledged)
        return [Place(each.topic, each.partition, each.offset) for each in lie]

    async def metrics(self, process: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample of the process by its name and its labels without the service."""
        answer = await _get(self.addresses[f"{process} metrics"])
        return {
            (each.name, frozenset(each.labels.items() - {("service", process)})): each.value
            for family in text_string_to_metric_families(answer.text)
            for each in family.samples
        }

    async def sandbox(self, name: str, path: str) -> dict[str, object]:
        """What a sandbox says of itself."""
        said = await _get(f"{self.addresses[name]}{path}")
        found: dict[str, object] = said.raise_for_status().json()
        return found

    async def begin(self, name: str, **environment: str) -> None:
        """Starts a process that was stopped, with more in its environment from now on."""
        keeper = self.keeper(name)
        keeper.spec = replace(keeper.spec, env={**keeper.spec.env, **environment})
        keeper.begin()
        await self.ready(name)

    async def ready(self, *names: str) -> None:
        def waiting() -> list[str]:
            return [name for name in names if not self.keeper(name).status().is_ready]

        await until(lambda: not waiting(), f"ready: {', '.join(names)}")

    async def kill(self, name: str) -> None:
        """SIGKILL for the process and all it started; returns when it is known to be dead."""
        before = self.keeper(name).status()
        assert before.pid is not None, f"{name} does not run"
        os.killpg(before.pid, signal.SIGKILL)
        await until(lambda: self.keeper(name).status().pid != before.pid, f"{name} is dead")

    async def drained(self) -> bool:
        """Nothing is under way: every log is read to its end, everything said is published.

        The ends are asked for twice: what was said in between would make them differ.
        """
        if self._busy():
            return False
        ends = await self._ends()
        read = all(self._has_read(name, ends) for name in OURS)
        return read and not self._busy() and await self._ends() == ends

    def _busy(self) -> bool:
        waiting = (
            "SELECT 1 FROM outbox WHERE sent_us IS NULL LIMIT 1",
            "SELECT 1 FROM operations WHERE status LIKE '%calling' LIMIT 1",
        )
        return any(self.rows(name, query) for name in OURS for query in waiting)

    def _has_read(self, name: str, ends: Mapping[tuple[str, int], int]) -> bool:
        rows = self.rows(name, "SELECT topic, partition, next FROM offsets")
        at = {(topic, partition): following for topic, partition, following in rows}
        read = {topic.name for topic in topics_read_by(name)}
        return all(at.get(place) == end for place, end in ends.items() if place[0] in read)

    async def _ends(self) -> dict[tuple[str, int], int]:
        topics = {topic.name for name in OURS for topic in topics_read_by(name)}
        places = [TopicPartition(t, p) for t in sorted(topics) for p in range(PARTITIONS_LOCAL)]
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka)
        await consumer.start()
        consumer.assign(places)  # unassigned, each new topic waits for the next round of metadata
        try:
            found = await consumer.end_offsets(places)
        finally:
            await consumer.stop()
        return {(place.topic, place.partition): end for place, end in found.items()}


@asynccontextmanager
async def running_company(
    root: Path,
    *,
    only: Sequence[str] = WITHOUT_CONSOLE,
    extra: Mapping[str, Mapping[str, str]] | None = None,
    kafka: str = "",
    company: type[Company] | None = None,
    **environment: str,
) -> AsyncIterator[Company]:
    """On a Kafka of its own or on `kafka`, whatever this shell says; stopped at the end."""
    home, cluster = Home(root), {"KAFKA_BOOTSTRAP_SERVERS": kafka} if kafka else {}
    given = plainly(**environment, **cluster)
    try:
        async with running_stack(home, only=only, extra=extra, environment=given) as running:
            stack, keepers = running.stack, running.supervisor.keepers
            yield (company or Company)(home, stack.bootstrap, stack.addresses, keepers)
    except FetchFailed as fault:
        missing(f"{fault.what}; {fault.mend}")


def plainly(**more: str) -> dict[str, str]:
    """This shell's environment without what it says of Kafka, of Baton, and of a make around us."""
    ours = ("KAFKA_BOOTSTRAP_SERVERS", "BATON_", "MAKE", "MFLAGS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, **more}


async def baton(company: Company, *words: str, code: int = 0) -> object:
    """What the command line says in JSON; fails where it ends with another code."""
    said = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "orchestrator.operate.cli", *words, "-o", "json"],
        env=plainly(BATON_HOME=str(company.home.root)),
        capture_output=True, text=True, timeout=400, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert said.returncode == code, said
    return json.loads(said.stdout or "null")


def opened(column: object) -> object:
    """A JSON column."""
    return json.loads(str(column))


def by_first(rows: Iterable[tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    return {str(key): tuple(rest) for key, *rest in rows}


async def _get(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        return await client.get(url)
