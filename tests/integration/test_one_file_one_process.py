"""What keeps a process from starting, or from reading, says what it is and what to do about it."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest

from deploy.local.lone_broker import lone_broker
from deploy.local.ports import choose_ports
from deploy.local.web_probe import answers_ok
from schemas.topics import all_topics
from services.chassis.bus_admin import Admin, TopicSpec
from tests.companies import fill
from tests.integration.books import check_books, order, placed
from tests.integration.running_company import Company, plainly, until

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

FAILED, UNUSABLE = 1, 2
MODULES = ("orchestrator", "services.crm")
NEVER = "127.0.0.1:1"


async def said_by(module: str, environment: Mapping[str, str], folder: Path) -> tuple[int, str]:
    """Exit code and standard error of a process that ends by itself."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        env=environment,
        cwd=folder,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_a_second_process_on_a_database_ends_and_says_who_has_it(
    company: Company, tmp_path: Path
) -> None:
    """The first one does not notice."""
    spec = company.keeper("inventory").spec
    code, said = await said_by(
        "services.inventory", {**spec.env, "BATON_OPS_PORT": "0", "BATON_API_PORT": "0"}, tmp_path
    )
    database = company.home.database("inventory")
    last = json.loads(said.splitlines()[-1])
    assert code == UNUSABLE
    assert last["event"] == "the database cannot be used"
    assert last["reason"] == (
        f"{database} is in use by another process (it holds {database}.lock). SQLite serves one"
        " process a file: stop the other one, or give this one its own BATON_DATABASE."
    )
    one = order("undisturbed")
    await company.publish(*placed(one))
    assert await check_books(company, [one]) == {"fulfilled": 1}


@pytest.mark.parametrize("module", MODULES)
async def test_every_wrong_setting_is_named_at_once(module: str, tmp_path: Path) -> None:
    """Unknown and out of bounds, with what was probably meant; nothing is started."""
    wrong = plainly(
        KAFKA_BOOTSTRAP_SERVERS=NEVER,
        BATON_HOME=str(tmp_path / "home"),
        BATON_BATCHMAX="7",
        BATON_TIMER_TICK_S="never",
    )
    code, said = await said_by(module, wrong, tmp_path)
    assert code == UNUSABLE
    assert said.splitlines() == [
        "2 of the settings in the environment cannot be used:",
        "  BATON_BATCHMAX: no such setting; did you mean BATON_BATCH_MAX?",
        "  BATON_TIMER_TICK_S=never: allowed is a number above 0 to 10",
        "deploy/REFERENCE.md lists every variable, what it may be and what it means.",
    ]
    assert not (tmp_path / "home").exists()


class Lonely:
    """A service by itself on a broker, its log and its readiness."""

    def __init__(self, folder: Path, kafka: str, **more: str) -> None:
        self._folder = folder
        self._port = choose_ports(folder / "ports.json", ["ops"])["ops"]
        self._log = folder / "crm.log"
        self._environment = plainly(
            KAFKA_BOOTSTRAP_SERVERS=kafka,
            BATON_HOME=str(folder),
            BATON_OPS_PORT=str(self._port),
            **more,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Its log begins anew; stopped at the end, which must be a graceful one."""
        with self._log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.crm"),
                env=self._environment,
                cwd=self._folder,
                stderr=log,
            )
        try:
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            code = await process.wait()
        assert code == 0, self._log.read_text()

    async def ready(self) -> bool:
        return await answers_ok("127.0.0.1", self._port, "/readyz")

    async def unready(self) -> list[dict[str, object]]:
        """What `/readyz` says of it, none before it listens."""
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.get(f"http://127.0.0.1:{self._port}/readyz")
        except httpx.ConnectError:
            return []
        found: list[dict[str, object]] = answer.json()["checks"]
        return found

    def complaints(self, event: str = "waiting for Kafka") -> list[str]:
        lines = (json.loads(line) for line in self._log.read_text().splitlines())
        return [line["reason"] for line in lines if line["event"] == event]


async def test_topics_must_be_there_and_stay_as_they_were(tmp_path: Path) -> None:
    """Missing ones are named with the command that mends it; other partition counts are refused."""
    mine = [t.name for t in all_topics() if "crm" in (*t.readers, *t.writers)]
    async with lone_broker(tmp_path / "broker") as broker, Admin(broker.address) as admin:
        crm = Lonely(tmp_path, broker.address)
        async with crm.running():
            await until(crm.complaints, "it says what it waits for")
            (missing,) = crm.complaints()
            assert await crm.unready() == [{"name": "kafka", "ok": False, "reason": missing}]
            named, _, mend = missing.partition(": ")
            assert named.split(", ") == sorted(mine)
            assert mend == "missing; see `baton topics check`, `baton topics apply`"
            await admin.ensure_topics([TopicSpec(name, 4) for name in mine])
            await until(crm.ready, "it begins by itself once they are there")
        await admin.delete_topics(mine)
        await until(lambda: none_of(admin, mine), "the topics are gone")
        await admin.ensure_topics([TopicSpec(name, 6) for name in mine])
        async with crm.running():
            await until(crm.complaints, "it says what it waits for")
            (changed,) = crm.complaints()
            assert changed == (
                "this database was made with 4 partitions a topic, now there are 6: keys would"
                " move between partitions with work under way. Give the topics their 4 partitions"
                " back (baton topics check shows them), or take a new database"
            )
            assert await crm.unready() == [{"name": "kafka", "ok": False, "reason": changed}]


@pytest.mark.parametrize(
    ("but", "fault"),
    [
        (0, "database or disk is full (SQLITE_FULL)"),
        (2 * 4096, "disk I/O error (SQLITE_IOERR_SHMSIZE)"),
    ],
)
async def test_a_disk_too_full_to_open_a_database_on_is_waited_for(
    tmp_path: Path, small_disk: Path, but: int, fault: str
) -> None:
    """It says so where one looks, and goes on by itself when there is room."""
    filler, database = fill(small_disk, but=but), small_disk / "crm.db"
    crm = Lonely(tmp_path, NEVER, BATON_DATABASE=str(database))
    reason = f"{database} cannot be written: {fault}; df -h {small_disk} shows the room"
    async with crm.running():
        await until(lambda: crm.complaints("waiting for the database"), "it waits for room")
        assert await crm.unready() == [{"name": "database", "ok": False, "reason": reason}]
        assert crm.complaints() == []
        filler.unlink()
        await until(crm.complaints, "it goes on, to wait for Kafka")
        (check,) = await crm.unready()
        assert check["name"] == "kafka"
    assert set(crm.complaints("waiting for the database")) == {reason}
    old = sqlite3.sqlite_version_info < (3, 51, 3)
    assert len(crm.complaints("this Python's SQLite is old")) == int(old)


@pytest.mark.parametrize("module", MODULES)
async def test_a_port_of_somebody_else_is_named(module: str, tmp_path: Path) -> None:
    """Which one, and what shows who listens there."""
    with closing(socket.create_server(("127.0.0.1", 0))) as theirs:
        port = theirs.getsockname()[1]
        own = plainly(
            KAFKA_BOOTSTRAP_SERVERS=NEVER, BATON_HOME=str(tmp_path), BATON_OPS_PORT=str(port)
        )
        code, said = await said_by(module, own, tmp_path)
    (line,) = (json.loads(line) for line in said.splitlines())
    assert (code, line["event"], line["reason"]) == (
        FAILED,
        "cannot serve",
        f"cannot listen on 127.0.0.1:{port}: Address already in use; ss -ltnp shows who does",
    )


@pytest.mark.parametrize("module", MODULES)
async def test_kafka_on_another_machine_is_refused_in_plain(module: str, tmp_path: Path) -> None:
    """Unless a setting says that the network between is trusted; nothing is started."""
    far = plainly(KAFKA_BOOTSTRAP_SERVERS="kafka.example:9092", BATON_HOME=str(tmp_path / "home"))
    code, said = await said_by(module, far, tmp_path)
    assert code == UNUSABLE
    refusal = (
        "KAFKA_BOOTSTRAP_SERVERS: kafka.example is another machine, and Kafka is spoken to without"
        " encryption or passwords; inside a network that you trust, set"
        " BATON_KAFKA_PLAINTEXT_REMOTE=allow"
    )
    assert said.splitlines() == [
        "1 of the settings in the environment cannot be used:",
        f"  {refusal}",
        "deploy/REFERENCE.md lists every variable, what it may be and what it means.",
    ]
    assert not (tmp_path / "home").exists()


async def none_of(admin: Admin, names: list[str]) -> bool:
    return not set(names) & set(await admin.describe_topics())
