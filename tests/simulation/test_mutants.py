"""The tests are tested: how mutants are made, kept, and told from what is whole."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.simulation import store
from tests.simulation.hunt import HARSH, recorded
from tests.simulation.mutants import mutants
from tests.simulation.mutation import Mutant, NotThere, install
from tests.simulation.run import one
from tests.simulation.scenario import Scenario
from tests.simulation.store import Database


def test_every_mutant_is_recorded_with_what_caught_it() -> None:
    assert recorded().keys() == mutants().keys()
    assert [each.mutant for each in recorded().values() if each.survived] == []


def test_an_edit_that_does_not_fit_its_file_is_an_error() -> None:
    """Else a mutant that changes nothing would pass for one that was caught."""
    mutant = Mutant("gone", "", "", "services/chassis/clock.py", (("no such text", ""),))
    said = (
        "gone: 'no such text' stands 0 times in services/chassis/clock.py;"
        " bring the mutant up to date"
    )
    with pytest.raises(NotThere, match=f"^{re.escape(said)}$"):
        mutant.text()


def test_a_mutant_comes_before_its_module_or_not_at_all() -> None:
    known = mutants()["no_inbox"]
    said = "services.chassis.transaction is imported already: no_inbox comes too late"
    __import__(known.module)
    with pytest.raises(RuntimeError, match=f"^{re.escape(said)}$"):
        install(known)


def test_a_disk_that_lies_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was committed last is lost with the power, as with synchronous=NORMAL."""
    images: dict[int, bytes] = {}
    run = store.Handle.run

    async def noted(self: store.Handle, plan: object) -> object:
        database = self.database
        if database.commits % 10 == 0:
            images[id(database)] = database.connection.serialize()
        return await run(self, plan)  # type: ignore[arg-type]

    def lose(self: Database) -> None:
        if id(self) in images:
            self.restore(images[id(self)])

    monkeypatch.setattr(store.Handle, "run", noted)
    monkeypatch.setattr(Database, "lose_power", lose)
    scenarios = (replace(Scenario.of(seed), rates=HARSH) for seed in range(60))
    assert any(one(scenario)[0].violation for scenario in scenarios)
