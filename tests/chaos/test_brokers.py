"""Three brokers, three copies of everything, two of them needed: any one of them may be lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local import lone_broker
from deploy.local.faults import FetchFailed
from deploy.local.kafka import Broker, new_cluster_id
from deploy.local.ports import choose_ports
from tests.chaos.load import Load
from tests.conftest import missing
from tests.integration.books import check_books, deliver, phases
from tests.integration.running_company import WITHOUT_CONSOLE, Company, running_company, until

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

NODES = (1, 2, 3)
ORDERS_A_SECOND = 2
ENDED_MEANWHILE = 5
ROLES = ("broker", "controller")


def brokers_in(folder: Path) -> tuple[Broker, ...]:
    """One cluster: each is a controller too, so that a majority outlives any of them."""
    ports = choose_ports(folder / "ports.json", [f"{role}{n}" for n in NODES for role in ROLES])
    voters, cluster = {n: ports[f"controller{n}"] for n in NODES}, new_cluster_id()
    return tuple(
        Broker(folder / str(n), ports[f"broker{n}"], voters[n], n, voters, cluster) for n in NODES
    )


class Cluster:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._brokers = brokers_in(folder)
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self.bootstrap = ",".join(each.address for each in self._brokers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        try:
            await asyncio.gather(*(self.start(n) for n in NODES))
            yield
        finally:
            await asyncio.gather(*(lone_broker.stop(each) for each in self._processes.values()))

    async def start(self, node: int) -> None:
        broker = self._brokers[node - 1]
        log = self._folder / f"{node}.log"
        self._processes[node] = await lone_broker.start(broker, log)

    async def kill(self, node: int) -> None:
        self._processes[node].kill()
        await self._processes[node].wait()

    async def copies(self) -> set[tuple[int, int]]:
        """Of every partition: how many copies it has, and how many of them are in step."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            topics = await admin.describe_topics()
        finally:
            await admin.close()
        partitions = [each for topic in topics for each in topic["partitions"]]
        return {(len(each["replicas"]), len(each["isr"])) for each in partitions}

    async def is_whole(self) -> bool:
        return await self.copies() == {(len(NODES), len(NODES))}


@pytest.mark.costly
async def test_any_broker_of_three_may_be_lost_while_orders_go_on(tmp_path: Path) -> None:
    """Each in turn killed and started again; orders placed while it is away end while it is."""
    cluster = Cluster(tmp_path / "kafka")
    try:
        async with (
            cluster.running(),
            running_company(
                tmp_path / "home", only=WITHOUT_CONSOLE[1:], kafka=cluster.bootstrap
            ) as company,
        ):
            await deliver(company)
            load = Load(company, Random(1), "brokers")
            async with load.running(ORDERS_A_SECOND):
                for node in NODES:
                    await until(cluster.is_whole, "every copy is in step")
                    await cluster.kill(node)
                    await orders_end_meanwhile(company, load)
                    await cluster.start(node)
            assert (await check_books(company, load.orders)).total() == len(load.orders)
            assert load.wrongly_ended() == []
            assert {name: each.status().restarts for name, each in company.keepers.items()} == (
                dict.fromkeys(company.keepers, 0)
            )
    except FetchFailed as fault:
        missing(f"{fault.what}; {fault.mend}")


async def orders_end_meanwhile(company: Company, load: Load) -> None:
    before = len(load.orders)

    def ended() -> Sequence[str]:
        found = phases(company)
        keys = [each.order_id for each in load.orders[before:]]
        return [key for key in keys if found.get(key) in ("completed", "compensated")]

    await until(lambda: len(ended()) >= ENDED_MEANWHILE, "orders placed meanwhile have ended")
