"""The simulation would see it: with one layer of the product broken, some seed fails soon.

Each mutant breaks one thing that must not be broken; a mutant that lives through its seeds means
that the faults or the checks are blind to it (I-20). That invariants are violated by a mutant,
and by nothing else, is shown by the same seeds without it, in `test_simulation`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from services.chassis import inbox, items, participant, reading, transaction
from services.chassis.items import NOTHING, Effect
from services.chassis.operations import Operations, Status
from services.chassis.relay import Relay
from services.chassis.store import Plan, Statement
from services.chassis.timers import Timers
from tests.simulation import store
from tests.simulation.run import one
from tests.simulation.scenario import Scenario
from tests.simulation.store import Database

Patch = pytest.MonkeyPatch
SEEDS = 60
RATES = {
    "drop": 0.2,
    "delay": 0.3,
    "twice": 0.2,
    "unknown": 0.2,
    "gateway_unheard": 0.3,
    "gateway_slow": 0.2,
}


def no_compare_and_set(patch: Patch) -> None:
    """A former owner's batch is applied as if nobody else had been there."""
    blind = "UPDATE offsets SET next = ?1 WHERE topic = ?2 AND partition = ?3 AND ?4 >= 0"
    patch.setitem(transaction.SQL, "offsets.advance", Statement("blind", blind))
    patch.setattr(inbox.Inbox, "knows", lambda *_: False)


def no_memory_of_operations(patch: Patch) -> None:
    """A duplicate command is done again."""
    patch.setattr(inbox.Inbox, "knows", lambda *_: False)
    patch.setattr(inbox.Inbox, "add", lambda *_: None)
    patch.setattr(participant.Participant, "_known", lambda *_, **__: False)


def silent_duplicates(patch: Patch) -> None:
    """A duplicate is recognised, and nobody is told."""
    patch.setattr(participant.Participant, "_said_before", lambda *_, **__: Effect("duplicate"))


def no_tombstones(patch: Patch) -> None:
    """An undo that comes before its do leaves nothing behind."""
    put = Operations.put

    def forgetful(self: Operations, operation: object) -> None:
        if operation.status is not Status.UNDONE or operation.reply is not None:  # type: ignore[attr-defined]
            put(self, operation)  # type: ignore[arg-type]

    patch.setattr(Operations, "put", forgetful)


def no_timers(patch: Patch) -> None:
    async def deaf(_: Timers) -> None:
        return

    patch.setattr(Timers, "tick", deaf)


def marked_before_sent(patch: Patch) -> None:
    """The outbox forgets a message that the broker may not have."""
    publish = Relay._publish

    async def hasty(self: Relay, batch: list[tuple[int, object]]) -> None:
        self._acked([seq for seq, _ in batch])
        await publish(self, batch)  # type: ignore[arg-type]

    patch.setattr(Relay, "_publish", hasty)


def memory_is_the_outbox(patch: Patch) -> None:
    """What an earlier life left unsent is never read again."""

    async def nothing(self: Relay) -> list[object]:
        self._from_store = False
        return []

    patch.setattr(Relay, "_load", nothing)


def calls_are_forgotten(patch: Patch) -> None:
    """A process that died during a call does not make it again."""
    patch.setattr(reading, "_calling", lambda *_: _no_rows())


def _no_rows() -> Plan[list[object]]:
    yield from ()
    return []


def fresh_idempotency_keys(patch: Patch) -> None:
    """Each try of a call is another operation to the provider."""
    numbers = count()

    def fresh(self: items.Begun) -> str:
        return f"{self.operation}/{self.what}/{next(numbers)}"

    patch.setattr(items.Begun, "idempotency_key", property(fresh))


def deaf_to_events(patch: Patch) -> None:
    """Reactors drop every seventh event."""
    numbers, reacted = count(), participant.Participant._reacted

    def forgetful(self: object, *args: object) -> object:
        if next(numbers) % 7:
            return reacted(self, *args)  # type: ignore[arg-type]
        return _ignored()

    patch.setattr(participant.Participant, "_reacted", forgetful)


def _ignored() -> Plan[Effect]:
    yield from ()
    return NOTHING


def disk_that_lies(patch: Patch) -> None:
    """What was committed last is lost with the power, as with synchronous=NORMAL."""
    images: dict[int, bytes] = {}
    run = store.Handle.run

    async def noted(self: store.Handle, plan: object) -> object:
        database = self.database
        if database.commits % 10 == 0:
            images[id(database)] = database.connection.serialize()
        return await run(self, plan)  # type: ignore[arg-type]

    def lose(self: Database) -> None:
        image = images.get(id(self)) or self.connection.serialize()
        self.connection.close()
        self._open(image)

    patch.setattr(store.Handle, "run", noted)
    patch.setattr(Database, "lose_power", lose)


MUTANTS: tuple[Callable[[Patch], None], ...] = (
    no_compare_and_set,
    no_memory_of_operations,
    silent_duplicates,
    no_tombstones,
    no_timers,
    marked_before_sent,
    memory_is_the_outbox,
    calls_are_forgotten,
    fresh_idempotency_keys,
    deaf_to_events,
    disk_that_lies,
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_broken_layer_is_seen(mutant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """Within a few seeds that have the faults it needs."""
    mutant(monkeypatch)
    for seed in range(SEEDS):
        scenario = replace(Scenario.of(seed), rates=RATES)
        if one(scenario)[0].violation:
            return
    pytest.fail(f"{SEEDS} seeds did not see it")
