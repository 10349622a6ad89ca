"""Evidence of an installation: its topics, its databases, and what its processes say.

There is no common moment for them while anything works, so it waits until nothing is under way,
reads logs, then books, and looks whether the logs end where they ended before. If they do not,
the evidence says that it is of no one moment. Reads only; a database is opened for one short
transaction. Nothing is kept that is not in the evidence.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import monotonic, time_ns
from typing import cast

import httpx

from deploy.verify.books import Book, ask, read_books
from deploy.verify.checking import check
from deploy.verify.evidence import Evidence, Place, Surface
from deploy.verify.facts import Facts
from deploy.verify.topics import log_ends, read_logs
from deploy.verify.verdicts import Ruling
from deploy.verify.wiring import OURS, READS

Tell = Callable[[str], None]
LOOK_AGAIN_S = 0.5
TELL_EVERY_S = 1.0
ANSWER_WITHIN_S = 5.0
_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", re.ASCII)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_UNREST = """
SELECT (SELECT count(*) FROM outbox WHERE sent_us IS NULL AND blocked IS NULL)
     + (SELECT count(*) FROM operations WHERE status LIKE '%calling'
        AND key NOT IN (SELECT key FROM parked_keys))
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """Where it is: `databases` by program, `operations` the addresses of running processes."""

    bootstrap: str
    databases: Mapping[str, Book]
    operations: Mapping[str, str] = field(default_factory=dict)


async def collect(
    installation: Installation, *, wait_s: float, tell: Tell, copies: Path | None = None
) -> Evidence:
    """All of it, at rest if it comes to rest within `wait_s`; databases copied where asked for."""
    running = bool(installation.operations)
    restless = await _rest(installation, wait_s if running else 0, tell)
    tell(f"reading the topics of {installation.bootstrap}")
    logs = await read_logs(installation.bootstrap, _progress(tell))
    tell(f"read {len(logs.records)} records; reading the databases")
    tables = await asyncio.to_thread(read_books, installation.databases, copies)
    evidence = Evidence(logs.records, tables, time_ns() // 1000, logs.ends, unread=logs.unread)
    if not running:
        return evidence
    moved = restless or await _moved(installation, evidence)
    evidence = replace(evidence, moved=moved, surfaces=await _surfaces(installation))
    return await _with_true_gauges(installation, evidence, wait_s)


async def _rest(installation: Installation, wait_s: float, tell: Tell) -> str:
    """Empty once nothing is under way; else what was, after so long."""
    until_s, told_s = monotonic() + wait_s, monotonic()
    while True:
        ends = await log_ends(installation.bootstrap)
        busy = await asyncio.to_thread(_busy, installation.databases, ends)
        if not busy or not wait_s:
            return ""
        if monotonic() > until_s:
            return f"work was in flight for {wait_s:g} s: {', '.join(busy)}"
        if monotonic() - told_s > TELL_EVERY_S:
            told_s = monotonic()
            tell(f"waiting until nothing is under way at {', '.join(busy)}")
        await asyncio.sleep(LOOK_AGAIN_S)


async def _moved(installation: Installation, evidence: Evidence) -> str:
    """Why topics and books are not of one moment; empty where they are."""
    if await log_ends(installation.bootstrap) != evidence.ends:
        return "work was in flight: the logs grew while they were read"
    unrest = Facts(replace(evidence, unread=())).unrest
    return f"work was in flight: {unrest[0]}" if unrest else ""


def _busy(databases: Mapping[str, Book], ends: Mapping[Place, tuple[int, int]]) -> list[str]:
    """The processes that have something to read, to say, or to hear from outside."""
    found = []
    for process in OURS:
        answers = ask(databases[process], _UNREST, "SELECT topic, partition, next FROM offsets")
        if answers is None:
            continue
        (((waiting,),), rows) = answers
        at = {(str(row[0]), cast("int", row[1])): cast("int", row[2]) for row in rows}
        unread = any(
            at.get(place, 0) < end and start < end
            for place, (start, end) in ends.items()
            if place[0] in READS[process]
        )
        if waiting or unread:
            found.append(process)
    return found


def _progress(tell: Tell) -> Callable[[int, int], None]:
    """A line a second."""
    told_s = [monotonic()]

    def progress(read: int, of: int) -> None:
        if monotonic() - told_s[0] > TELL_EVERY_S:
            told_s[0] = monotonic()
            tell(f"{read} of about {of} records")

    return progress


async def _surfaces(installation: Installation) -> Mapping[str, Surface]:
    """Of the processes that answer; who does not answer does not run."""
    async with httpx.AsyncClient(trust_env=False, timeout=ANSWER_WITHIN_S) as client:
        ask = partial(_surface, client)
        said = await asyncio.gather(*map(ask, installation.operations.values()))
    return {name: each for name, each in zip(installation.operations, said, strict=True) if each}


async def _surface(client: httpx.AsyncClient, url: str) -> Surface | None:
    try:
        ready = await client.get(f"{url}/readyz")
        metrics = await client.get(f"{url}/metrics")
    except httpx.HTTPError:
        return None
    failing = [each for each in ready.json()["checks"] if not each["ok"]]
    reason = "; ".join(f"{each['name']}: {each['reason']}" for each in failing)
    return Surface(samples_of(metrics.text), ready.status_code == httpx.codes.OK, reason)


def samples_of(text: str) -> Mapping[tuple[str, frozenset[tuple[str, str]]], float]:
    """Prometheus' text format: name, labels, value; comments and exemplars are passed over."""
    found = {}
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        if sample:
            name, labels, value = sample.groups()
            found[name, frozenset(_LABEL.findall(labels or ""))] = float(value)
    return found


async def _with_true_gauges(
    installation: Installation, evidence: Evidence, wait_s: float
) -> Evidence:
    """Gauges are measured every few seconds: one that is behind is looked at again."""
    until_s = monotonic() + min(wait_s, 10 * LOOK_AGAIN_S)
    while not evidence.moved and monotonic() < until_s:
        (verdict,) = check(evidence, only=["I-16"])
        if verdict.status is not Ruling.VIOLATED:
            break
        await asyncio.sleep(LOOK_AGAIN_S)
        surfaces = await _surfaces(installation)
        evidence = replace(evidence, surfaces=surfaces, taken_us=time_ns() // 1000)
    return evidence
