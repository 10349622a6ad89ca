"""`make bench TABS=10`: what so many open tabs of the console cost the company.

Overview, flow and stuck page, each tab a live stream, against the whole company under load. With
and without are measured in turn, each pair beginning with the other one, so that what else the
machine does meanwhile falls on both.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from statistics import mean, median

import httpx
from rich.console import Console

from deploy.local.ports import LOOPBACK, read_ports
from deploy.local.stack import PROCESSES
from tests.bench.machine import cpu_s, pids
from tests.bench.run import Bench, running

VIEWS = ("/live?view=overview", "/live?view=flow&name=fulfilment", "/live?view=stuck")
IN_FLIGHT = 200


@dataclass
class Tabs:
    """`heard`: bytes of each stream."""

    heard: list[int] = field(default_factory=list)

    async def watch(self, http: httpx.AsyncClient, number: int, path: str) -> None:
        async with http.stream("GET", path) as answer:
            answer.raise_for_status()
            async for chunk in answer.aiter_raw():
                self.heard[number] += len(chunk)


@asynccontextmanager
async def opened(bench: Bench, tabs: int) -> AsyncIterator[Tabs]:
    port = read_ports(bench.home.ports)["console_api"]
    headers = {"Authorization": f"Bearer {bench.home.token()}"}
    watching = Tabs([0] * tabs)
    async with httpx.AsyncClient(
        base_url=f"http://{LOOPBACK}:{port}", headers=headers, timeout=None, trust_env=False
    ) as http:
        paths = islice(cycle(VIEWS), tabs)
        tasks = [asyncio.create_task(watching.watch(http, *each)) for each in enumerate(paths)]
        yield watching
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not ended, f"{len(ended)} of {tabs} streams ended by themselves: {ended[0]}"
        assert all(watching.heard), f"a stream said nothing: {watching.heard}"


@dataclass(frozen=True)
class Figure:
    per_s: float
    console_cpu: float


async def measure(bench: Bench, tabs: int, seconds: float) -> Figure:
    processes = pids(bench.home, ("console",))
    async with opened(bench, tabs):
        before = cpu_s(processes)["console"]
        measured = await bench.load.closed_loop(IN_FLIGHT, seconds)
        spent = cpu_s(processes)["console"] - before
        await bench.load.settle()
    return Figure(measured.per_s, spent / seconds)


async def main(tabs: int, pairs: int, seconds: float) -> None:
    console = Console()
    found: dict[int, list[Figure]] = {0: [], tabs: []}
    async with running(PROCESSES, stubbed=False) as bench:
        await bench.load.closed_loop(IN_FLIGHT, seconds)
        for pair in range(pairs):
            for number in (0, tabs) if pair % 2 else (tabs, 0):
                figure = await measure(bench, number, seconds)
                found[number].append(figure)
                console.print(
                    f"{number:3} tabs {figure.per_s:7.1f} sagas/s,"
                    f" console {figure.console_cpu:.2f} of a core"
                )
    slower = [
        100 * (1 - some.per_s / none.per_s)
        for some, none in zip(found[tabs], found[0], strict=True)
    ]
    for number, figures in found.items():
        console.print(
            f"{number:3} tabs: {mean(each.per_s for each in figures):.1f} sagas/s on the average,"
            f" console {mean(each.console_cpu for each in figures):.2f} of a core"
        )
    console.print(
        f"slower with {tabs} tabs: {median(slower):.1f} % in the median of {pairs} pairs"
        f" ({', '.join(f'{each:.1f}' for each in sorted(slower))})"
    )


if __name__ == "__main__":
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--tabs", type=int, default=10)
    given.add_argument("--pairs", type=int, default=5)
    given.add_argument("--seconds", type=float, default=15)
    asked = given.parse_args()
    asyncio.run(main(asked.tabs, asked.pairs, asked.seconds))
