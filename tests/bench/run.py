"""`make bench`: what one machine does, in one run, printed and written to `.baton/bench.json`.

Core: Kafka, orchestrator, inventory, billing, shipping, their gateways answered in the process.
Whole company: every process, real HTTP sandboxes. Broker, services and load share the machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table

from deploy.local.child import ProcessSpec
from deploy.local.home import Home
from deploy.local.stack import CORE, PROCESSES, build_stack
from deploy.local.supervisor import Supervisor
from schemas.topics import TOPICS
from services.chassis.bus_read import Reader
from services.chassis.messages import TopicPartition
from tests.bench.history import add_history
from tests.bench.load import Load, Measured, loading
from tests.bench.machine import bytes_of, cpu_s, pids, rss_mb
from tests.bench.relay import relay_messages_per_s

ROOT = Path(__file__).parents[2]
LEVELS = (50, 500, 2_000)
OPEN_RATE, OPEN_S = 20, 20.0
STUBBED = ("billing", "shipping")
HISTORY_SAGAS = 1_000_000
Say = Callable[[str], None]


@dataclass
class Figures:
    """The keys of bench.json."""

    relay_msgs_per_s: float = 0.0
    closed_loop: list[dict[str, float]] = field(default_factory=list)
    open_loop: dict[str, float] = field(default_factory=dict)
    cpu_s_per_1000: dict[str, float] = field(default_factory=dict)
    rss_mb: dict[str, float] = field(default_factory=dict)
    bytes_per_saga: float = 0.0
    messages_per_saga: float = 0.0
    share_of_relay: float = 0.0
    with_history: dict[str, float] = field(default_factory=dict)
    whole_company: dict[str, object] = field(default_factory=dict)
    seconds_to_ready: float = 0.0
    first_order_s: float = 0.0  # from the start of the whole company to the end of its first order


@dataclass(frozen=True)
class Bench:
    home: Home
    bootstrap: str
    supervisor: Supervisor
    load: Load
    names: tuple[str, ...]
    seconds_to_ready: float
    first_order_s: float


async def _ends(bootstrap: str) -> int:
    """Messages in every topic, those that were sent again included."""
    reader = Reader(
        bootstrap, group="bench.count", topics=[TOPICS[0].name], client_id="bench.count"
    )
    await reader.start()
    try:
        places = [TopicPartition(topic.name, n) for topic in TOPICS for n in range(4)]
        return sum((await reader.end_offsets(places)).values())
    finally:
        await reader.close()


@asynccontextmanager
async def running(only: Collection[str], *, stubbed: bool) -> AsyncIterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as folder:
        home = Home(Path(folder))
        stack = build_stack(home, os.environ, only=only)
        specs = [_stub(spec) if stubbed else spec for spec in stack.specs]
        supervisor = Supervisor(specs, home)
        began_s = perf_counter()
        try:
            await supervisor.start()
            await supervisor.wait_ready()
            ready_s = perf_counter() - began_s
            async with loading(stack.bootstrap) as load:
                await load.stock()
                await load.send(1)
                await load.settle()
                first_s = perf_counter() - began_s
                names = tuple(spec.name for spec in specs)
                yield Bench(home, stack.bootstrap, supervisor, load, names, ready_s, first_s)
        finally:
            await supervisor.stop()


def _stub(spec: ProcessSpec) -> ProcessSpec:
    if spec.name not in STUBBED:
        return spec
    argv = (sys.executable, "-m", "tests.bench.stubbed", spec.name)
    return replace(spec, argv=argv, env={**spec.env, "PYTHONPATH": str(ROOT)})


async def measure_core(figures: Figures, seconds: float, say: Say) -> None:
    async with running(CORE, stubbed=True) as bench:
        figures.seconds_to_ready = round(bench.seconds_to_ready, 1)
        say(f"core ready in {bench.seconds_to_ready:.1f} s; bare relay")
        figures.relay_msgs_per_s = round(
            await relay_messages_per_s(bench.bootstrap, min(seconds / 3, 8))
        )
        processes = pids(bench.home, bench.names)
        for in_flight in LEVELS:
            say(f"closed loop, {in_flight} in flight, {seconds:g} s")
            await _closed(figures, bench, processes, in_flight, seconds)
        say(f"open loop, {OPEN_RATE} a second, {OPEN_S:g} s")
        measured = await bench.load.open_loop(OPEN_RATE, OPEN_S)
        figures.open_loop = {"rate": OPEN_RATE, **_times(measured)}
        figures.rss_mb = rss_mb(processes)
        await _with_history(figures, bench, seconds, say)


async def _closed(
    figures: Figures, bench: Bench, processes: dict[str, int], in_flight: int, seconds: float
) -> None:
    cpu, outcomes = cpu_s(processes), bench.load.outcomes
    held, published = bytes_of(bench.home.data), await _ends(bench.bootstrap)
    measured = await bench.load.closed_loop(in_flight, seconds)
    await bench.load.settle()
    sagas = bench.load.outcomes - outcomes
    figures.closed_loop.append(
        {"in_flight": in_flight, "sagas_per_s": round(measured.per_s, 1), **_times(measured)}
    )
    now = cpu_s(processes)
    figures.cpu_s_per_1000 = {
        name: round(1000 * (now[name] - cpu[name]) / sagas, 3) for name in now
    }
    figures.bytes_per_saga = round((bytes_of(bench.home.data) - held) / sagas)
    figures.messages_per_saga = round((await _ends(bench.bootstrap) - published) / sagas, 2)
    sent_per_s = measured.per_s * figures.messages_per_saga
    figures.share_of_relay = round(sent_per_s / max(figures.relay_msgs_per_s, 1), 3)


async def _with_history(figures: Figures, bench: Bench, seconds: float, say: Say) -> None:
    say(f"adding {HISTORY_SAGAS:,} finished sagas to the store")
    keeper = bench.supervisor.keepers["orchestrator"]
    await keeper.stop()
    database = bench.home.database("orchestrator")
    added = await asyncio.to_thread(add_history, database, HISTORY_SAGAS)
    keeper.begin()
    await bench.supervisor.wait_ready()
    say(f"closed loop, {LEVELS[-1]} in flight, on {added / 1e9:.1f} GB of history")
    measured = await bench.load.closed_loop(LEVELS[-1], seconds)
    await bench.load.settle()
    without = figures.closed_loop[-1]["sagas_per_s"]
    figures.with_history = {
        "finished_sagas": HISTORY_SAGAS,
        "sagas_per_s": round(measured.per_s, 1),
        "slower_percent": round(100 * (1 - measured.per_s / without), 1) if without else 0.0,
        **_times(measured),
    }


async def measure_company(figures: Figures, seconds: float, say: Say) -> None:
    async with running(PROCESSES, stubbed=False) as bench:
        figures.first_order_s = round(bench.first_order_s, 1)
        say(
            f"whole company ready in {bench.seconds_to_ready:.1f} s, its first order ended at"
            f" {bench.first_order_s:.1f} s; closed loop, 500 in flight"
        )
        processes = pids(bench.home, bench.names)
        cpu, outcomes = cpu_s(processes), bench.load.outcomes
        closed = await bench.load.closed_loop(500, seconds)
        await bench.load.settle()
        sagas, now = bench.load.outcomes - outcomes, cpu_s(processes)
        say("whole company, open loop")
        opened = await bench.load.open_loop(OPEN_RATE, OPEN_S / 2)
        figures.whole_company = {
            "seconds_to_ready": round(bench.seconds_to_ready, 1),
            "closed_loop": {
                "in_flight": 500,
                "sagas_per_s": round(closed.per_s, 1),
                **_times(closed),
            },
            "open_loop": {"rate": OPEN_RATE, **_times(opened)},
            "cpu_s_per_1000": {
                name: round(1000 * (now[name] - cpu[name]) / max(sagas, 1), 3) for name in now
            },
            "rss_mb": rss_mb(processes),
        }


def _times(measured: Measured) -> dict[str, float]:
    return {"p50_ms": round(measured.at_ms(0.5), 1), "p99_ms": round(measured.at_ms(0.99), 1)}


def show(figures: Figures, console: Console) -> None:
    table = Table(title="fulfilment sagas, one in ten refused by the carrier and compensated")
    for column in ("", "sagas/s", "p50 ms", "p99 ms"):
        table.add_column(column, justify="right")
    for row in figures.closed_loop:
        table.add_row(f"{row['in_flight']:,} in flight", *_cells(row))
    if figures.with_history:
        table.add_row("2,000, with 1 M finished", *_cells(figures.with_history))
    table.add_row(
        f"open loop, {OPEN_RATE}/s", "", *(str(figures.open_loop[k]) for k in ("p50_ms", "p99_ms"))
    )
    console.print(table)
    console.print(
        f"bare relay: {figures.relay_msgs_per_s:,.0f} messages/s;"
        f" {figures.messages_per_saga} messages and {figures.bytes_per_saga:,.0f} bytes"
        f" a saga; share of the relay {figures.share_of_relay:.0%}"
    )
    console.print(f"CPU-seconds per 1,000 sagas: {figures.cpu_s_per_1000}")
    console.print(f"resident MB: {figures.rss_mb}")
    if figures.whole_company:
        console.print(f"whole company: {json.dumps(figures.whole_company, indent=1)}")


def _cells(row: dict[str, float]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("sagas_per_s", "p50_ms", "p99_ms"))


async def main() -> None:
    seconds = float(os.environ.get("BENCH_S", "30"))
    console = Console()
    say: Say = lambda line: console.print(f"[dim]{line}[/dim]")  # noqa: E731
    figures = Figures()
    await measure_core(figures, seconds, say)
    await measure_company(figures, seconds, say)
    show(figures, console)
    target = Path(os.environ.get("BATON_HOME", ".baton")) / "bench.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(vars(figures), indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {target}")


if __name__ == "__main__":
    asyncio.run(main())
