"""Where the checker looks on this machine: the stack that runs, or one that stands still.

A stack that stands still has no Kafka to read from, so its broker alone is started and stopped
again; the stack's lock is held meanwhile, so that no `baton up` begins in between. With
`KAFKA_BOOTSTRAP_SERVERS` that cluster is read instead.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from deploy.verify.collecting import Installation
from deploy.verify.evidence import TABLES

from .faults import StackStopped
from .home import Home
from .lone_broker import start, stop
from .ports import choose_ports
from .running import Telling
from .stack import embedded_broker, place_of, server_of
from .state import read_state
from .supervisor import is_running, take_lock

METRICS: Final = " metrics"


@asynccontextmanager
async def installation(
    home: Home, environment: Mapping[str, str], telling: Telling
) -> AsyncIterator[Installation]:
    """Raises StackStopped where nothing was ever started, HomeUnusable without its server."""
    given = environment.get("KAFKA_BOOTSTRAP_SERVERS", "")
    server = server_of(home, environment)
    books = {process: place_of(home, process, server) for process in TABLES}
    state = read_state(home) if is_running(home) else None
    if state is not None:
        operations = {
            name.removesuffix(METRICS): url.removesuffix("/metrics")
            for name, url in state.addresses.items()
            if name.endswith(METRICS)
        }
        telling.line(f"checking the stack that runs in {home.root}")
        yield Installation(given or state.bootstrap, books, operations)
    elif given:
        telling.line(f"checking the databases of {home.root}, and the topics of {given}")
        yield Installation(given, books)
    elif not (home.kafka / "log").is_dir():
        raise StackStopped(
            f"nothing was ever started in {home.root}",
            mend="baton up; or name an export: baton verify --from DIR",
        )
    else:
        with take_lock(home):
            telling.line(f"nothing runs in {home.root}: starting its Kafka alone")
            ports = choose_ports(home.ports, ("kafka", "kafka_controller"))
            broker = embedded_broker(home, ports)
            process = await start(broker, home.log("kafka"))
            try:
                yield Installation(broker.address, books)
            finally:
                telling.line("stopping its Kafka")
                await stop(process)
