"""The company under faults, and one database is replaced by an older copy of itself on the way.

What its process had said since is read from its own topics, as `baton restore` reads it. The
outside world, the logs and the others go on from where they were. Then all the books must agree
as if nothing had been: no order needs a person.
"""

from __future__ import annotations

import sqlite3

import pytest
from company import CATALOGUE, CODEC, Member
from test_company import BILLING, SHIPPING, Company, check

from orchestrator.engine.restore import remind
from orchestrator.engine.shell import Shell
from orchestrator.operate.restore_work import _says
from orchestrator.sagas.fulfilment import FULFILMENT
from schemas.topics import TOPICS
from services.chassis.envelope import Maker
from services.chassis.participant import Participant
from services.chassis.reading import _calling
from services.chassis.spoken import remember, spoken_keys
from services.inventory.handlers import HANDLERS as INVENTORY
from services.inventory.store import TABLES as INVENTORY_TABLES

NAMES = ("orchestrator", "billing", "shipping", "inventory")


class Restored(Company):
    """A company of which one database goes back in time."""

    def copy_of(self, name: str) -> sqlite3.Connection:
        copy = sqlite3.connect(":memory:", isolation_level=None)
        self.named(name).store.connection.backup(copy)
        return copy

    def named(self, name: str) -> Member[object]:
        return next(each for each in self.members if each.name == name)

    def put_back(self, name: str, copy: sqlite3.Connection, *, told: bool = True) -> int:
        """A new process on the old copy; how many sagas were told something."""
        member, now_us = self.named(name), self.clock.now_us()
        member.store.connection.close()
        member.store.connection = copy
        member.application = self.application(name)  # type: ignore[assignment]
        sagas = 0
        if told:
            topics = [topic.name for topic in TOPICS if _says(name, topic)]
            records = [record for topic in topics for record in self.kafka.all(topic)]
            member.store.drive(lambda: remember(records, name, now_us))
        if told and name == "orchestrator":
            shell = Shell([FULFILMENT], Maker(name, CODEC, CATALOGUE))  # type: ignore[list-item]
            keys = member.store.drive(spoken_keys)
            sagas = member.store.drive(lambda: remind(keys, shell.definition, CODEC, now_us))
        member.start()
        places = list(range(self.kafka.partitions))
        self.calls = self.billing.store.drive(lambda: _calling(places, CODEC.decode))
        return sagas

    def application(self, name: str) -> object:
        maker = Maker(name, CODEC, CATALOGUE)
        if name == "orchestrator":
            return Shell([FULFILMENT], maker)  # type: ignore[list-item]
        handlers = {"billing": BILLING, "shipping": SHIPPING, "inventory": INVENTORY}[name]
        tables = INVENTORY_TABLES if name == "inventory" else ()
        return Participant(maker, self.kafka.place, handlers, tables)


def lived(name: str, seed: int, *, told: bool = True) -> tuple[Restored, int]:
    """Faults, a copy, more faults, the copy in place, faults again, and calm in the end."""
    company = Restored(seed)
    for _ in range(40 + 20 * (seed % 5)):
        company.step()
    copy = company.copy_of(name)
    for _ in range(150):
        company.step()
    sagas = company.put_back(name, copy, told=told)
    company.run(faulty_steps=60)
    return company, sagas


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", NAMES)
def test_a_database_that_went_back_in_time_changes_nothing_in_the_end(name: str, seed: int) -> None:
    """One outcome an order, never two; money and goods moved for the fulfilled and no other."""
    company, _ = lived(name, seed)
    check(company)


def test_sagas_are_really_told_something() -> None:
    """Vacuity: there was a future to be forgotten."""
    assert sum(lived("orchestrator", seed)[1] for seed in range(4)) > 10


def test_untold_sagas_do_not_all_end() -> None:
    """What `baton restore` is for: without it some need an operator."""
    stopped = 0
    for seed in range(4):
        try:
            lived("orchestrator", seed, told=False)
        except AssertionError as left:
            stopped += "needs_operator" in str(left)
    assert stopped
