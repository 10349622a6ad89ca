"""The report of `make prove` says what failed, and what proved nothing, as loudly as the rest."""

from __future__ import annotations

from tests.prove import Part, Proof, report

TOLD = {
    "seeds": 120,
    "orders": 12,
    "seconds": 60.0,
    "sagas": 1_440,
    "messages": 20_000,
    "commits": 60_000,
    "simulated_s": 7_200.0,
    "faults": {"crash": 40, "drop": 2},
    "ends": {"completed": 1_000},
    "obeyed": {"verb_pause": 7},
    "kills": {"after_commit": 3},
    "void": [],
    "failed": [],
}
KILLS = {
    "kills": 3,
    "at_failpoints": 2,
    "orders": 90,
    "seconds": 30.0,
    "violations": [],
    "processes": {"billing": 3},
    "faults": {"at a failpoint": 2},
    "failpoints": {"before_commit": 2},
    "outcomes": {"fulfilled": 60},
    "void": ["nobody was killed at after_fold"],
}


COSTLY = {"tests": 9.0, "failures": 1.0, "errors": 0.0, "skipped": 2.0, "time": 70.0}


def lines(simulation: object, hunted: object, kills: object, exit_code: int = 0) -> list[str]:
    proof = Proof(
        Part("simulate", simulation, exit_code),
        Part("hunt", hunted, 0),
        Part("kill", kills, 0),
        Part("test", COSTLY, 0),
    )
    return report(proof, minutes=1, took_s=120).splitlines()


def test_a_green_run_tells_its_figures() -> None:
    caught = {"mutant": "no_inbox", "seed": 3, "by": "I-3 lost | found"}
    said = lines(TOLD, [caught], KILLS)
    assert "- verdict: **no violation**" in said
    goal = "- of a release's 20,000 seeds and 300 kills: not reached (120 seeds, 3 kills)"
    assert goal in said
    assert "| verb_pause | 7 |" in said
    assert "120 seeds of 12 orders in 60 s (120 a minute)," in said
    assert "| crash | 40 |" in said
    assert "1 of 1 caught." in said
    assert (
        "| no_inbox | nobody asks whether a message was applied before | 3 duplicate delivery"
        " | seed 3: I-3 lost \\| found |"
    ) in said
    assert "3 kills, 2 of them at failpoints," in said
    assert "- void: nobody was killed at after_fold" in said
    assert "6 passed, 1 failed, 2 skipped." in said


def test_a_run_that_was_long_enough_says_so() -> None:
    long = {**TOLD, "seeds": 20_000}, [], {**KILLS, "kills": 300}
    goal = "- of a release's 20,000 seeds and 300 kills: reached (20,000 seeds, 300 kills)"
    assert goal in lines(*long)


def test_what_failed_and_what_was_void_is_named() -> None:
    failed = {**TOLD, "void": ["no seed had the fault zombie"], "failed": [_violated(7)]}
    survivor = {"mutant": "no_inbox", "seed": -1, "by": ""}
    said = lines(failed, [survivor], None, exit_code=1)
    assert "- verdict: **failed: simulate; kill**" in said
    assert "- void: no seed had the fault zombie" in said
    assert "- seed 7: I-2 two outcomes" in said
    assert "0 of 1 caught." in said
    assert "It left no result." in said


def _violated(seed: int) -> dict[str, object]:
    return {"seed": seed, "violation": "I-2 two outcomes"}
