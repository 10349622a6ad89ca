"""`python -m tests.simulation`: runs seeds, or one seed again with its story, or shrinks it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from tests.simulation.run import Totals, many, one, shrink
from tests.simulation.scenario import Scenario

_TAIL = 40


def main(argv: list[str] | None = None) -> int:
    asked = _parser().parse_args(argv)
    if asked.seed is not None:
        return _again(asked)
    began_s = time.monotonic()
    totals = many(
        _seeds(asked, began_s), asked.orders, asked.cores, _Progress(began_s, asked.minutes)
    )
    took_s = time.monotonic() - began_s
    void = totals.void()
    if asked.result:
        said = vars(totals) | {"seconds": took_s, "void": void, "orders": asked.orders}
        Path(asked.result).write_text(json.dumps(said, indent=1, default=vars), encoding="utf-8")
    sys.stderr.write("\n")
    print(summary(totals, took_s))
    for told in totals.failed[:5]:
        print(f"seed {told.seed}: {told.violation}\n  python -m tests.simulation {told.seed}")
    for why in void:
        print(f"void: {why}")
    return 1 if totals.failed or void else 0


def summary(totals: Totals, took_s: float) -> str:
    faults = ", ".join(f"{kind} {n}" for kind, n in sorted(totals.faults.items()))
    ends = ", ".join(f"{end} {n}" for end, n in totals.ends.most_common())
    return (
        f"{totals.seeds} seeds in {took_s:.0f} s, {totals.sagas} sagas ({ends}),"
        f" {totals.messages} messages, {totals.commits} commits,"
        f" {totals.simulated_s / 3600:.0f} simulated hours\n"
        f"{totals.faults.total()} faults: {faults}; {totals.kills.total()} kills at failpoints;"
        f" {totals.obeyed.total()} verbs obeyed\n"
        f"{len(totals.failed)} violations"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int, help="this seed alone, with its story")
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--orders", type=int, default=12)
    parser.add_argument("--minutes", type=float, default=0, help="as many seeds as this takes")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--result", help="file for the totals, as JSON")
    parser.add_argument("--no-shrink", action="store_true")
    for name in ("kinds", "orders", "faults"):
        parser.add_argument(f"--no-{name}", default="", help=f"without these {name}")
    return parser


def _seeds(asked: argparse.Namespace, began_s: float) -> Iterator[int]:
    if not asked.minutes:
        yield from range(asked.first, asked.first + asked.seeds)
        return
    for seed in count(asked.first):
        if time.monotonic() - began_s > asked.minutes * 60:
            return
        yield seed


class _Progress:
    def __init__(self, began_s: float, minutes: float) -> None:
        self._began_s, self._told_s = began_s, 0.0
        self._of = f" of {60 * minutes:.0f}" if minutes else ""
        self._failed = 0

    def __call__(self, totals: Totals) -> None:
        now_s = time.monotonic()
        for told in totals.failed[self._failed :]:
            sys.stderr.write(f"\nseed {told.seed}: {told.violation}\n")
        self._failed = len(totals.failed)
        if now_s - self._told_s < 1:
            return
        self._told_s = now_s
        sys.stderr.write(
            f"\r{now_s - self._began_s:6.0f} s{self._of}  {totals.seeds} seeds"
            f" ({60 * totals.seeds / (now_s - self._began_s):,.0f} a minute)  {totals.sagas} sagas"
            f"  {totals.faults.total()} faults  {totals.simulated_s / 3600:.0f} simulated hours"
            f"  {len(totals.failed)} violations"
        )
        sys.stderr.flush()


def _again(asked: argparse.Namespace) -> int:
    scenario = Scenario.of(asked.seed, asked.orders).without(
        {each for each in asked.no_kinds.split(",") if each},
        {int(each) for each in asked.no_orders.split(",") if each},
        {int(each) for each in asked.no_faults.split(",") if each},
    )
    told, world = one(scenario)
    print(f"seed {told.seed}, trace {told.trace}, {told.simulated_s:.1f} simulated seconds")
    print(f"{scenario.services} on {scenario.partitions} partitions, chances {scenario.rates}")
    for fault in scenario.faults:
        print(f"  {fault}")
    if not told.violation:
        print("no violation")
        return 0
    for line in world.trace[-_TAIL:]:
        print("  ", line)
    print(told.violation)
    if not asked.no_shrink and not (asked.no_kinds or asked.no_orders or asked.no_faults):
        _, options = shrink(scenario, print)
        print(f"python -m tests.simulation {told.seed} {' '.join(options)}")
    return 1
