"""A company under load whose processes are killed by plan, and what was found when it healed.

Each process has a lane of its own, so several are dead at once. What is planned is decided by the
seed; where the load meets it is chance. A failpoint that was not reached in its time counts as
missed, and its life is ended from outside.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from random import Random
from typing import Final

from deploy.verify import Ruling, check
from deploy.verify.books import books_in
from deploy.verify.collecting import Installation, collect
from services.chassis.failpoints import NAMES
from tests.chaos.lives import Life, kill_now, may_die_again, next_life
from tests.chaos.load import Load
from tests.integration.books import check_books
from tests.integration.running_company import OURS, Company, until

CALLS: Final = ("gateway_before_call", "gateway_after_call", "gateway_after_record")
CALLERS: Final = ("billing", "shipping")
SPEECH: Final = ("relay_after_send", "relay_after_ack", "relay_after_mark")
SPEAKERS: Final = ("orchestrator", "inventory", *CALLERS)
ONCE_A_LIFE: Final = ("positions_before_seek", "relay_after_select")
ONLY_WITH_TIMERS: Final = "timer_after_take"
SANDBOXES: Final = ("payment", "carrier", "mail")
# A process's start is known to the second, and here one often begins in the second another died.
COUNTERS: Final = "I-16"
COUNT_MAX: Final = 8
UNDER_WAY: Final = "SELECT 1 FROM sagas WHERE phase IN ('running', 'compensating') LIMIT 1"


@dataclass
class Tally:
    """What happened, as it stands in the result file."""

    seed: int
    failpoints: Counter[str] = field(default_factory=Counter)
    later: Counter[str] = field(default_factory=Counter)  # of those, at no first hit
    processes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    orders: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    healings: int = 0
    integrity_checks: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return self.processes.total()

    def as_json(self) -> dict[str, object]:
        """Not by `asdict`, which makes of a Counter one of pairs."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        return {"kills": self.kills, "at_failpoints": self.failpoints.total(), **said}


def possible(process: str) -> tuple[str, ...]:
    """The failpoints that a process of this name comes by under load, whatever it waits for."""
    others = {ONLY_WITH_TIMERS, *(() if process in CALLERS else CALLS)}
    others.update(() if process in SPEAKERS else SPEECH)
    return tuple(name for name in NAMES if name not in others)


def lanes(random: Random) -> dict[str, Iterator[str]]:
    """Of each process where it is to die, again and again: first its share of what must be met.

    Those who call wait longest for what they die of: their share is what they alone can meet.
    """
    shares: dict[str, list[str]] = {process: [] for process in OURS}
    for name in NAMES:
        able = [process for process in OURS if name in possible(process)]
        others = [process for process in able if process not in CALLERS] or able
        for spec in met(name, random) if able else ():
            shares[random.choice(others)].append(spec)
    return {process: _lane(process, share, random) for process, share in shares.items()}


def met(name: str, random: Random) -> tuple[str, ...]:
    """A failpoint at its first hit in a life, and at a later one where there is a later one."""
    once = (f"{name}:1",)
    return once if name in ONCE_A_LIFE else (*once, f"{name}:{random.randint(2, COUNT_MAX)}")


def _lane(process: str, share: list[str], random: Random) -> Iterator[str]:
    while True:
        random.shuffle(share)
        yield from share
        share = [spec for name in possible(process) for spec in met(name, random)]


@dataclass
class Campaign:
    company: Company
    random: Random
    load: Load
    tally: Tally
    reached_within_s: float = 30.0

    async def kill_along(
        self, lanes: Mapping[str, Iterable[str]], *, enough: Callable[[], bool] = lambda: False
    ) -> None:
        """Each lane to its end; between two deaths by plan there may be one at any moment.

        No lane waits for another: while one process dies, others are dead or come back.
        """
        async with asyncio.TaskGroup() as group:
            for process, specs in lanes.items():
                group.create_task(self._lane(process, specs, enough))
        await self.healed()

    async def all_at_once(self, processes: Sequence[str]) -> None:
        for each in set(processes) & set(OURS):
            await self._may_die(each)
        await self._under_load()
        assert await kill_now(self.company, *processes) == len(processes)
        for each in processes:
            self._killed(each, "all at once")
        await self.healed()

    async def while_stopped(self, process: str, spec: str) -> None:
        """The orchestrator dies of a timer of those who wait for a process that stands still.

        SIGSTOP for as long as that takes, longer than its session, then SIGCONT.
        """
        pid = self.company.keeper(process).status().pid
        assert pid is not None
        await self._may_die("orchestrator")
        os.kill(pid, signal.SIGSTOP)
        try:
            life = await next_life(self.company, "orchestrator", spec)
            self._killed("orchestrator", "at any moment")
            await self._meet(life)
        finally:
            os.kill(pid, signal.SIGCONT)
        self.tally.faults["stopped and continued"] += 1
        await self.healed()

    async def healed(self) -> None:
        for keeper in self.company.keepers.values():
            keeper.begin()
        await self.company.ready(*self.company.keepers)
        self.tally.healings += 1

    async def judge(self) -> None:
        """Everything has ended, and everybody's books agree; raises where they do not."""
        orders = list(self.load.orders)
        self.tally.orders = len(orders)
        self.tally.kinds = self.load.seen()
        self.tally.outcomes = await check_books(self.company, orders)
        assert not (wrong := self.load.wrongly_ended()), wrong
        for process in (*OURS, *SANDBOXES):
            assert self.company.rows(process, "PRAGMA integrity_check") == [("ok",)], process
            self.tally.integrity_checks += 1
        wrong = await not_verified(self.company)
        assert not wrong, "\n".join(wrong)

    async def _lane(self, process: str, specs: Iterable[str], enough: Callable[[], bool]) -> None:
        for spec in specs:
            if enough():
                return
            await self._may_die(process)
            if self.company.keeper(process).status().pid is not None:
                await self._under_load()
                self._killed(process, "at any moment")
            life = await next_life(self.company, process, spec)
            await self._meet(life)

    async def _meet(self, life: Life) -> None:
        if await life.ends_there(within_s=self.reached_within_s):
            self._killed(life.process, "at a failpoint")
            name, _, hit = life.failpoint.partition(":")
            self.tally.failpoints[name] += 1
            self.tally.later[name] += hit != "1"
            return
        self.tally.missed.append(f"{life.process} {life.failpoint}")
        await kill_now(self.company, life.process)
        self._killed(life.process, "at any moment")

    async def _under_load(self) -> None:
        """A kill from outside that meets nothing under way would prove nothing."""
        await until(lambda: self.company.rows("orchestrator", UNDER_WAY), "sagas are under way")

    async def _may_die(self, process: str) -> None:
        if not await may_die_again(self.company, process):
            raise AssertionError(f"{process} did not get past a record when it was left alone")

    def _killed(self, process: str, how: str) -> None:
        self.tally.processes[process] += 1
        self.tally.faults[how] += 1


async def not_verified(company: Company) -> list[str]:
    """What `baton verify` would find wrong, or could not tell; but for counters of processes."""
    operations = {
        name: company.addresses[f"{name} metrics"].removesuffix("/metrics") for name in OURS
    }
    there = Installation(company.kafka, books_in(company.home.data), operations)
    evidence = await collect(there, wait_s=60, tell=lambda _line: None)
    return [
        f"{verdict.invariant} {verdict.status}: {'; '.join(map(str, verdict.violations[:3]))}"
        f"{'; '.join(verdict.why)}"
        for verdict in await asyncio.to_thread(check, evidence)
        if verdict.status not in (Ruling.OK, Ruling.NOTHING) and verdict.invariant != COUNTERS
    ]
