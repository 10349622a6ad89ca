"""A real Prometheus over the real company: what is scraped, and that faults raise their alerts.

The shipped rules are read with their windows and waits shortened, nothing else of them changed.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.control import Request, ask_supervisor
from deploy.local.prometheus import RULES, prometheus_yml
from deploy.local.stack import OURS, PROCESSES
from orchestrator.operate.metric_work import CATALOGUE
from tests.conftest import missing
from tests.integration.books import deliver, order, phases, placed
from tests.integration.running_company import Company, Sent, plainly, running_company, until
from tests.monitored import RULES as RECORDING
from tests.monitored import expressions, rules
from tests.promql import known_series, plain, unknown

pytestmark = pytest.mark.stack

SERIES_MAX = 5_000
STUCK = (sys.executable, "-m", "orchestrator.operate.cli", "sagas", "stuck", "-o", "json")
QUICK = {
    r"\[(5m|10m|15m|1h)\]": "[8s]",
    r"for: \w+": "for: 2s",
    r"offset 1h": "offset 8s",
    r"interval: 30s": "interval: 1s",
    r"_seconds\[6h\]\)\) > 90": "_seconds[6h])) > 15",
    r"_interval: \w+": "_interval: 1s",
}
Labels = dict[str, str]


def quickly(text: str) -> str:
    for long, short in QUICK.items():
        text = re.sub(long, short, text)
    return text


class Watching:
    """A Prometheus, asked over its API."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, path: str, **params: str) -> dict[str, object]:
        answer = await self._client.get(f"/api/v1/{path}", params=params)
        found = answer.json()
        assert found["status"] == "success", found
        data: dict[str, object] = found["data"]
        return data

    async def ready(self) -> bool:
        """Every process was scraped and no scrape failed."""
        try:
            targets = (await self.get("targets"))["activeTargets"]
        except (httpx.TransportError, json.JSONDecodeError):
            return False  # it starts, or says in plain text that it does
        assert isinstance(targets, list)
        return len(targets) == len(OURS) and {each["health"] for each in targets} == {"up"}

    async def firing(self) -> set[tuple[str, str]]:
        """(alert, what it is about)."""
        alerts = (await self.get("alerts"))["alerts"]
        assert isinstance(alerts, list)
        return {
            (labels.pop("alertname"), " ".join(labels[each] for each in sorted(labels)))
            for labels in (each["labels"] for each in alerts if each["state"] == "firing")
            if labels.pop("severity")
        }

    async def values(self, expr: str) -> list[tuple[Labels, float]]:
        found = (await self.get("query", query=expr))["result"]
        assert isinstance(found, list)
        return [(each["metric"], float(each["value"][1])) for each in found]


@asynccontextmanager
async def prometheus(company: Company, folder: Path) -> AsyncIterator[Watching]:
    config = prometheus_yml(company.addresses)
    for file in RULES:
        (folder / file.name).write_text(quickly(file.read_text(encoding="utf-8")))
        config = config.replace(str(file), str(folder / file.name))
    (folder / "prometheus.yml").write_text(quickly(config))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "prometheus.log").open("wb") as log:
        running = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
            stdout=log,
            stderr=log,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
            yield Watching(client)
    finally:
        running.terminate()
        await running.wait()


async def scrape(company: Company, process: str, accept: str = "") -> str:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        url = company.addresses[f"{process} metrics"]
        return (await client.get(url, headers={"Accept": accept})).text


async def told_by(*command: str, given: str = "", home: Path | None = None) -> str:
    running = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=plainly(**({} if home is None else {"BATON_HOME": str(home)})),
    )
    out, err = await running.communicate(given.encode())
    assert running.returncode == 0, (out + err).decode()
    return out.decode()


async def check_scrapes(
    company: Company, processes: Sequence[str], calm: str
) -> dict[str, frozenset[str]]:
    """Lint, budget, catalogue and exemplars; returns each sample's name with its labels."""
    found: dict[str, frozenset[str]] = {}
    series = 0
    for process in processes:
        text = await scrape(company, process)
        assert await told_by("promtool", "check", "metrics", given=text) == "", process
        assert "_created" not in text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                series += 1
                labels = frozenset(sample.labels)
                assert found.setdefault(sample.name, labels) == labels, sample.name
    assert series < SERIES_MAX
    families = [each for name in ("every process", *processes) for each in CATALOGUE.get(name, ())]
    known = known_series(families)
    ours = {name: labels for name, labels in found.items() if name.startswith("saga_")}
    # Requests have no label sets until there was one.
    requests = {name for name in known if name.startswith("saga_http_request_seconds")}
    assert {**{name: known[name] for name in requests}, **ours} == known
    openmetrics = await scrape(company, "orchestrator", "application/openmetrics-text")
    assert re.search(
        rf'saga_duration_seconds_bucket.*# \{{saga_id="fulfilment:{calm}-', openmetrics
    )
    return found


def unreadable(order_id: str) -> Sent:
    """A reply that a later release of inventory might send: it parks the order's key."""
    headers = {
        "ce_specversion": b"1.0",
        "ce_id": f"later-{order_id}".encode(),
        "ce_source": b"inventory",
        "ce_type": b"baton.inventory.StockReserved",
    }
    value = b"\xc3\x01" + b"\x07" * 8 + b"body"
    return Sent("inventory.replies.v1", order_id.encode(), value, tuple(headers.items()))


async def complete(company: Company, prefix: str) -> None:
    """Three orders, for which all is well."""
    orders = [order(f"{prefix}-{n}") for n in range(3)]
    await company.publish(*placed(*orders))

    def ended() -> bool:
        found = phases(company)
        return {found.get(each.order_id) for each in orders} == {"completed"}

    await until(ended, f"{prefix}: completed")


@pytest.mark.asyncio(loop_scope="session")
async def test_what_a_running_company_exports_is_its_catalogue(company: Company) -> None:
    """Each process: well-formed, no name or label besides, none lacking, few series in all."""
    if shutil.which("promtool") is None:
        missing("no promtool: apt-get install prometheus")
    await complete(company, "exported")
    await check_scrapes(company, [name for name in OURS if name != "console"], "exported")


@pytest.mark.costly
async def test_a_stopped_service_and_a_parked_order_raise_their_alerts(tmp_path: Path) -> None:
    """Nothing fires while all is well; then what fires is what happened, and the CLI agrees."""
    if shutil.which("prometheus") is None:
        missing("no Prometheus: apt-get install prometheus")
    async with running_company(tmp_path / "company", only=PROCESSES) as company:
        await deliver(company)
        async with prometheus(company, tmp_path) as watching:
            await until(watching.ready, "every process is scraped")
            await complete(company, "calm")
            assert json.loads(await told_by(*STUCK, home=company.home.root)) == []
            scraped = await check_scrapes(company, OURS, "calm")
            assert await watching.firing() == set()
            await asyncio.to_thread(ask_supervisor, company.home, Request("stop", "billing"))
            await stop_and_watch(company, watching)
            groups = json.loads(await told_by(*STUCK, home=company.home.root))
            gauge = await watching.values("max by (saga, state, reason) (saga_stuck_instances) > 0")
            await check_questions(watching, scraped)
    assert [(g["definition"], g["state"], g["reason"], g["count"]) for g in groups] == [
        (labels["saga"], labels["state"], labels["reason"], count) for labels, count in gauge
    ]
    assert [g["reason"] for g in groups] == ["contract"]


async def stop_and_watch(company: Company, watching: Watching) -> None:
    expected = {
        ("SagaServiceSilent", "billing"),
        ("SagaHeartbeatMissing", "billing"),
        ("SagaNeedsOperator", "contract fulfilment"),
        ("SagaDeadLetters", "orchestrator inventory.replies.v1"),
    }
    sent = 0

    async def all_fire() -> bool:
        nonlocal sent
        sent += 1
        waiting = order(f"waiting-{sent}")
        await company.publish(*placed(waiting))
        if sent == 3:
            await company.publish(unreadable("waiting-1"))
        return expected <= await watching.firing()

    await until(all_fire, f"firing: {expected}")
    also = {"SagaContractViolation", "SagaStalled", "SagaStuck"}
    assert {name for name, _ in await watching.firing() - expected} <= also


async def check_questions(watching: Watching, scraped: dict[str, frozenset[str]]) -> None:
    """What rules and dashboards ask for is in the scrape, and Prometheus can answer it."""
    known = dict(scraped)
    recorded = {rule["record"] for rule in rules(RECORDING)}
    for name in recorded:
        (labels, _), *_ = await watching.values(name)
        known[name] = frozenset(labels)
    for at, expr in expressions():
        assert list(unknown(expr, known)) == [], at
        await watching.values(plain(expr).replace("5m", "8s"))
