"""`python -m tests.simulation.hunt`: each mutant, until something catches it.

A mutant lives in a process of its own, forked before anything of the product is imported. It is
hunted by seeds of the simulation; one that other layers absorb there is hunted by the unit tests.
`killed.json` holds what caught each, so that later runs go there first.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from tests.simulation.mutants import mutants
from tests.simulation.mutation import Mutant, install

RECORD = Path(__file__).with_name("killed.json")
SEEDS_MAX = 400
# Of its own time, however busy the machine is; who only waits is given up by the clock.
HANGS_AFTER_S, WAITS_MAX_S = 120, 1_800
ORDERS = 12
TESTS = (
    *(
        f"tests/unit/chassis/test_{each}.py"
        for each in ("transaction", "guards", "timers", "admission")
    ),
    *(f"tests/unit/chassis/test_{each}.py" for each in ("relay", "reading", "intake", "gateways")),
    "tests/unit/chassis/test_participant.py",
    "tests/unit/chassis/test_redrive.py",
    "tests/unit/orchestrator",
    "tests/unit/services",
    "tests/unit/chassis/test_cancelled_anywhere.py",
)
_PYTEST = ("-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", "not postgres")
# What is imported before the fork has no rewritten asserts: none of it is a test.
_WARNINGS = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
# What is lost, late, doubled and unknown in every second seed, whatever else happens there.
HARSH = {
    "drop": 0.2,
    "delay": 0.3,
    "twice": 0.2,
    "unknown": 0.2,
    "gateway_unheard": 0.3,
    "gateway_slow": 0.2,
}
# What a mutant may break, or what is made of it; all else is imported once, before the forks.
_BREAKABLE = ("services", "orchestrator", "deploy", "tests")
_OURS = ("tests.simulation.mutants", "tests.simulation.mutation", __name__)
DIED = "its process died"
HANGS = f"it did not end within {HANGS_AFTER_S} s of its own time"
HEALTHY = Mutant("healthy", "nothing", "none", "services/chassis/clock.py", ())
T = TypeVar("T")
Forked = multiprocessing.get_context("fork")


class Sick(Exception):
    """What is to tell the broken from the whole fails with the whole."""


@dataclass(frozen=True, slots=True)
class Killed:
    """`seed` is -1 where no seed caught it; `test` is the one that did then."""

    mutant: str
    seed: int = -1
    test: str = ""
    by: str = ""
    seeds: int = 0
    seconds: float = 0.0

    @property
    def survived(self) -> bool:
        return not self.by


def recorded() -> dict[str, Killed]:
    if not RECORD.exists():
        return {}
    return {each["mutant"]: Killed(**each) for each in json.loads(RECORD.read_text())}


def hunt(mutant: Mutant, seeds: Sequence[int], tests: Sequence[str]) -> Killed:
    """What catches it first: one of these seeds, then one of these tests."""
    began_s = time.monotonic()
    killed = _caught(mutant, _run_seeds, seeds) if seeds else Killed(mutant.name)
    if killed.by == DIED and not _caught(HEALTHY, _run_seeds, [killed.seed]).survived:
        raise Sick(f"seed {killed.seed} fails without any mutant, too: mend that first")
    if killed.survived and tests:
        told = _caught(mutant, _run_tests, tests)
        if told.by == DIED and not _caught(HEALTHY, _run_tests, tests).survived:
            raise Sick(f"{tests[0]} and what follows fail without any mutant, too")
        if told.test and not _caught(HEALTHY, _run_tests, [told.test]).survived:
            told = replace(told, by="", test=f"{told.test} fails without any mutant, too")
        killed = replace(told, seeds=len(seeds))
    return replace(killed, seconds=round(time.monotonic() - began_s, 1))


def _caught(
    mutant: Mutant, work: Callable[[Mutant, Sequence[T], Connection], None], what: Sequence[T]
) -> Killed:
    """In a process of its own, which says how far it is, and that it has ended."""
    ours, theirs = Forked.Pipe(duplex=False)
    process = Forked.Process(target=_bounded, args=(work, mutant, what, theirs))
    process.start()
    theirs.close()
    killed = Killed(mutant.name)
    while killed.survived:
        if not ours.poll(WAITS_MAX_S):
            process.kill()
            killed = replace(killed, by=f"it said nothing for {WAITS_MAX_S} s")
            break
        try:
            told = ours.recv()
        except EOFError:
            process.join()
            hung = process.exitcode == -signal.SIGXCPU
            killed = replace(killed, by=HANGS if hung else DIED)
            break
        if told is None:
            break
        killed = told
    process.join()
    return killed if killed.by else replace(killed, seed=-1)


def _bounded(
    work: Callable[[Mutant, Sequence[T], Connection], None],
    mutant: Mutant,
    what: Sequence[T],
    tell: Connection,
) -> None:
    """What it tells gives it the same time again."""
    _more_time()
    work(mutant, what, tell)


def _more_time() -> None:
    """This process may run for so long from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until_s = int(used.ru_utime + used.ru_stime) + HANGS_AFTER_S
    resource.setrlimit(resource.RLIMIT_CPU, (until_s, resource.RLIM_INFINITY))


def _run_seeds(mutant: Mutant, seeds: Sequence[int], tell: Connection) -> None:
    """One after the other, until one is violated."""
    install(mutant)
    from tests.simulation.run import tell as told_by  # noqa: PLC0415 - the product, now that it is broken
    from tests.simulation.scenario import Scenario  # noqa: PLC0415

    for tried, seed in enumerate(seeds, 1):
        _more_time()
        tell.send(Killed(mutant.name, seed, seeds=tried))
        scenario = Scenario.of(seed, ORDERS)
        if seed % 2:
            scenario = replace(scenario, rates=HARSH)
        violation = told_by(scenario).violation
        if violation:
            tell.send(Killed(mutant.name, seed, by=violation[:300], seeds=tried))
            return
    tell.send(None)


def _run_tests(mutant: Mutant, tests: Sequence[str], tell: Connection) -> None:
    """Until the first failure."""
    install(mutant)
    import pytest  # noqa: PLC0415

    class Watch:
        failed = ""

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            _more_time()
            tell.send(Killed(mutant.name))  # it lives
            if report.failed and not self.failed:
                self.failed = report.nodeid

    watch = Watch()
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        ended = pytest.main([*_PYTEST, *_WARNINGS, *tests], [watch])
    if watch.failed:
        tell.send(Killed(mutant.name, test=watch.failed, by=watch.failed))
    elif ended != pytest.ExitCode.OK:
        tell.send(Killed(mutant.name, test=f"the tests did not run: {ended!r}"))
    tell.send(None)


def hunt_all(
    wanted: Iterable[Mutant],
    where: Callable[[Mutant], tuple[Sequence[int], Sequence[str]]],
    cores: int,
    tell: Callable[[Killed], None],
) -> list[Killed]:
    found: list[Killed] = []
    with ThreadPoolExecutor(cores) as pool:
        for done in as_completed([pool.submit(hunt, each, *where(each)) for each in wanted]):
            found.append(done.result())
            tell(found[-1])
    return found


def again(before: Killed) -> tuple[Sequence[int], Sequence[str]]:
    """Only what caught it before."""
    return ([before.seed], ()) if before.seed >= 0 else ((), [before.test])


def warm_up() -> None:
    """Everything is imported and read, and what may be broken is forgotten again."""
    for name in ("pytest", "hypothesis", "pytest_asyncio", "tests.simulation.run"):
        import_module(name)
    import_module("schemas.catalogue").load_catalogue().by_type  # noqa: B018 - imports every type
    for name in list(sys.modules):
        if name.partition(".")[0] in _BREAKABLE and name not in _OURS:
            del sys.modules[name]


def replayed(names: Sequence[str]) -> str:
    """What a process of its own says in the end: here the whole product is imported already."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.simulation.hunt", "--cores", "1", *names],
        cwd=RECORD.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = ended.stdout.splitlines(keepends=True)
    return "".join(each for each in lines if not each.startswith("✔")) + ended.stderr


def main(argv: list[str] | None = None) -> int:
    asked = _parser().parse_args(argv)
    known, everybody = recorded(), mutants()
    wanted = [everybody[name] for name in asked.mutants or everybody]

    def where(mutant: Mutant) -> tuple[Sequence[int], Sequence[str]]:
        before = known.get(mutant.name)
        if before is not None and not asked.fresh:
            return again(before)
        tests = [before.test] if before and before.test else TESTS
        return range(asked.first, asked.first + asked.seeds), tests

    def tell(killed: Killed) -> None:
        how = f"seed {killed.seed}: {killed.by}" if killed.seed >= 0 else killed.by or killed.test
        mark = "✖ SURVIVED" if killed.survived else "✔ caught"
        _say(f"{mark} {killed.mutant} ({killed.seconds:.0f} s) {how[:110]}")

    warm_up()
    found = hunt_all(wanted, where, asked.cores, tell)
    survived = sorted(each.mutant for each in found if each.survived)
    _say(f"{len(found) - len(survived)} of {len(found)} mutants caught")
    if asked.record:
        known.update({each.mutant: each for each in found if not each.survived})
        lines = [json.dumps(asdict(known[name])) for name in sorted(known) if name in everybody]
        RECORD.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    if asked.result:
        told = [asdict(each) for each in found]
        Path(asked.result).write_text(json.dumps(told, indent=1), encoding="utf-8")
    for name in survived:
        _say(f"✖ {name} survived: {everybody[name].breaks}")
    return 1 if survived else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.hunt", description=__doc__)
    parser.add_argument("mutants", nargs="*", help="these alone")
    parser.add_argument(
        "--fresh", action="store_true", help="not the seeds that caught them before"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX, help="of each, at most")
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--record", action="store_true", help="write killed.json")
    parser.add_argument("--result", help="file for what caught each, as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
