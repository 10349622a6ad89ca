"""Each rule that a seed saw broken before is broken again, and that seed must see it again.

`python -m tests.simulation.hunt --fresh` looks for new ones; `--record` writes them down. Those of
the tests are a module of their own, so that both cores have work.
"""

from __future__ import annotations

from tests.simulation.hunt import recorded, replayed


def test_what_a_seed_caught_before_it_catches_again() -> None:
    names = [name for name, each in recorded().items() if each.seed >= 0]
    assert names
    assert replayed(names) == f"{len(names)} of {len(names)} mutants caught\n"
