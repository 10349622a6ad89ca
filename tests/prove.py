"""`make prove MINUTES=30`: seeds, mutants and kills for as long as that, and tests/PROOF.md.

Half of the time is the simulation's, a third the kills'; the mutants get two fresh seeds a minute
each. Who gives half an hour has the tests that are too costly for `make test`, too, which take what
they need. What failed, and what proved nothing, stands in the report, and is the exit code.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.simulation.mutants import mutants

ROOT = Path(__file__).parents[1]
COSTLY_FROM_MINUTES = 30
# What a release is to show; half an hour on two idle cores has room for it.
SEEDS_WANTED, KILLS_WANTED = 20_000, 300
REPORT = ROOT / "tests" / "PROOF.md"
Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Part:
    """One command, what it left in its result file, and how it ended."""

    command: str
    result: object
    exit_code: int


def run(module: str, *arguments: str) -> Part:
    """`python -m module arguments --result FILE`, its progress on this terminal."""
    command = f"python -m {module} {' '.join(arguments)}".rstrip()
    _say(f"\n{command}")
    with tempfile.TemporaryDirectory(prefix="baton-prove-") as folder:
        file = Path(folder) / "result.json"
        argv = (sys.executable, "-m", module, *arguments, "--result", str(file))
        code = subprocess.run(argv, cwd=ROOT, check=False).returncode
        result = json.loads(file.read_text()) if file.exists() else None
    return Part(command, result, code)


def run_costly() -> Part:
    """The tests that `make test` leaves out or cuts short; how many passed, by pytest's report."""
    argv = ("pytest", "-q", "-n2", "--dist=loadscope", "-m", "costly or searches")
    _say(f"\n{' '.join(argv)}")
    with tempfile.TemporaryDirectory(prefix="baton-prove-") as folder:
        file = Path(folder) / "result.xml"
        code = subprocess.run(
            (sys.executable, "-m", *argv, f"--junitxml={file}"),
            cwd=ROOT,
            env={**os.environ, "BATON_REQUIRE_ALL": "1", "HYPOTHESIS_PROFILE": "prove"},
            check=False,
        ).returncode
        suite = ET.parse(file).getroot().find("testsuite") if file.exists() else None
    counts = ("tests", "failures", "errors", "skipped", "time")
    result = None if suite is None else {name: float(suite.get(name, 0)) for name in counts}
    return Part(" ".join(argv), result, code)


def commit() -> str:
    said = subprocess.run(
        ("git", "describe", "--always", "--dirty", "--abbrev=12"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "no git"


@dataclass(frozen=True, slots=True)
class Proof:
    """What was run, in its order."""

    simulation: Part
    hunted: Part
    kills: Part
    costly: Part

    @property
    def failed(self) -> list[str]:
        parts = (self.simulation, self.hunted, self.kills, self.costly)
        return [part.command for part in parts if part.exit_code or part.result is None]

    @property
    def reached(self) -> str:
        seeds, kills = _figure(self.simulation, "seeds"), _figure(self.kills, "kills")
        enough = seeds >= SEEDS_WANTED and kills >= KILLS_WANTED
        return f"{'reached' if enough else 'not reached'} ({seeds:,} seeds, {kills} kills)"

    @property
    def verdict(self) -> str:
        return f"failed: {'; '.join(self.failed)}" if self.failed else "no violation"


def _figure(part: Part, name: str) -> int:
    return int(part.result[name]) if isinstance(part.result, dict) else 0


def report(proof: Proof, minutes: float, took_s: float) -> str:
    """The whole of PROOF.md."""
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    ran = f"{took_s / 60:.0f} minutes of `make prove MINUTES={minutes:g}`"
    parts = [
        "# Proof",
        "",
        "Written by `make prove`; the commands repeat it.",
        "",
        f"- commit `{commit()}`, {datetime.now(UTC):%Y-%m-%d}, {machine}, {ran}",
        f"- verdict: **{proof.verdict}**",
        f"- of a release's {SEEDS_WANTED:,} seeds and {KILLS_WANTED} kills: {proof.reached}",
        "",
        *_simulation(proof.simulation),
        *_mutants(proof.hunted),
        *_kills(proof.kills),
        *_costly(proof.costly),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _simulation(part: Part) -> list[str]:
    lines = ["## Simulation", "", f"`{part.command}`", ""]
    if not isinstance(part.result, dict):
        return [*lines, "It left no result.", ""]
    told = part.result
    speed = f"{60 * told['seeds'] / max(told['seconds'], 1):,.0f} a minute"
    lines += [
        f"{told['seeds']:,} seeds of {told['orders']} orders in {told['seconds']:.0f} s ({speed}),",
        f"{told['sagas']:,} sagas, {told['messages']:,} messages, {told['commits']:,} commits,",
        f"{told['simulated_s'] / 3600:,.0f} simulated hours,",
        f"{sum(told['faults'].values()):,} faults,",
        f"**{len(told['failed'])} violations**.",
        "",
        "Void is a run in which fewer than a fifth of the orders completed, or of those that",
        "turned back fewer than a fifth were refused by stock, by payment or by shipment; in which",
        "a kind of fault, a failpoint, a death at it, a verb obeyed, a late or a doubled message",
        "is missing.",
        "",
        *_counts("fault", told["faults"]),
        *_counts("order ended by", told["ends"]),
        *_counts("verb obeyed", told["obeyed"]),
        *_counts("killed at failpoint", told["kills"]),
        *[f"- void: {why}" for why in told["void"]],
        *[f"- seed {each['seed']}: {each['violation']}" for each in told["failed"]],
        "",
    ]
    return lines


def _mutants(part: Part) -> list[str]:
    lines = ["## Mutants", "", f"`{part.command}`", ""]
    if not isinstance(part.result, list):
        return [*lines, "It left no result.", ""]
    known = mutants()
    caught = [each for each in part.result if each["by"]]
    lines += [
        f"{len(caught)} of {len(part.result)} caught.",
        "",
        "| mutant | what it breaks | failure | caught by |",
        "|---|---|---|---|",
    ]
    for each in sorted(part.result, key=lambda one: str(one["mutant"])):
        mutant = known[each["mutant"]]
        seed = f"seed {each['seed']}: " if each["seed"] >= 0 else ""
        by = seed + _cell(str(each["by"])) if each["by"] else "**survived**"
        lines.append(f"| {mutant.name} | {mutant.breaks} | {mutant.failure} | {by} |")
    return [*lines, ""]


def _kills(part: Part) -> list[str]:
    lines = ["## Kills of real processes", "", f"`{part.command}`", ""]
    if not isinstance(part.result, dict):
        return [*lines, "It left no result.", ""]
    told = part.result
    lines += [
        f"{told['kills']} kills, {told['at_failpoints']} of them at failpoints,",
        f"{told['orders']:,} orders in {told['seconds']:.0f} s,",
        f"**{len(told['violations'])} violations**.",
        "",
        *_counts("killed", told["processes"]),
        *_counts("how", told["faults"]),
        *_counts("at failpoint", told["failpoints"]),
        *_counts("order", told["outcomes"]),
        *[f"- void: {each}" for each in told["void"]],
        *[f"- {each}" for each in told["violations"]],
        "",
    ]
    return lines


def _costly(part: Part) -> list[str]:
    lines = ["## Tests that take their time", "", f"`{part.command}`", ""]
    if not isinstance(part.result, dict):
        return [*lines, "It left no result.", ""]
    told = part.result
    if not told:
        return [*lines, f"Left out: they are run from MINUTES={COSTLY_FROM_MINUTES} on.", ""]
    bad = told["failures"] + told["errors"]
    passed = told["tests"] - bad - told["skipped"]
    return [*lines, f"{passed:.0f} passed, {bad:.0f} failed, {told['skipped']:.0f} skipped.", ""]


def _counts(title: str, counts: Mapping[str, int]) -> list[str]:
    rows = [f"| {name} | {n:,} |" for name, n in sorted(counts.items(), key=lambda one: -one[1])]
    return [f"| {title} | times |", "|---|---:|", *rows, ""]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _cell(text: str) -> str:
    short = text if len(text) <= 90 else text[:87] + "…"
    return short.replace("|", "\\|").replace("\n", " ")


def main(argv: Sequence[str]) -> int:
    minutes = float(argv[0]) if argv else 30.0
    began_s = time.monotonic()
    fresh = int(datetime.now(UTC).timestamp())
    simulation = run(
        "tests.simulation", "--minutes", f"{minutes / 2:g}", "--from", str(fresh), "--no-shrink"
    )
    seeds = str(max(1, round(2 * minutes)))
    hunted = run("tests.simulation.hunt", "--fresh", "--from", str(fresh), "--seeds", seeds)
    kills = run("tests.chaos", "--kills", str(KILLS_WANTED), "--minutes", f"{minutes / 3:g}")
    costly = run_costly() if minutes >= COSTLY_FROM_MINUTES else Part("make prove", {}, 0)
    proof = Proof(simulation, hunted, kills, costly)
    REPORT.write_text(report(proof, minutes, time.monotonic() - began_s), encoding="utf-8")
    _say(f"\nwritten to {REPORT.relative_to(ROOT)}")
    return int(bool(proof.failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
