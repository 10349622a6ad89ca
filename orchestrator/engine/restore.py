"""Reminding a restored database: what `spoken` says of each saga becomes marks on its steps.

Runs once, on a stopped process, after the chassis read the orchestrator's own topics. Sagas that
have no row yet are reminded when they are started again, by the shell. Invariant: a saga is
written at the version it was loaded with, with a line in its journal, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.engine.instance import Entry, Instance
from orchestrator.engine.plan import annotation_of
from orchestrator.engine.reminder import COMPLETED, reminder
from orchestrator.engine.store import Definition, Sagas
from orchestrator.saga import Saga
from services.chassis.codec import Codec
from services.chassis.spoken import By, spoken_of, type_of
from services.chassis.store import Plan, Row

KEYS_A_SLICE = 500


def suffixes(saga: Saga[object], saga_id: str, spoken: By) -> frozenset[str]:
    """What was spoken of one saga, as `reminded` reads it."""
    if not spoken:
        return frozenset()
    start = f"{saga_id}/"
    found = {each.removeprefix(start) for each in spoken if each.startswith(start)}
    outcome = spoken.get(f"{start}outcome")
    completed = annotation_of(saga.name, None, saga.completed, "return")
    if outcome is not None and type_of(outcome) == getattr(completed, "avro_name", ""):
        found.add(COMPLETED)
    return frozenset(found)


def remind(keys: Sequence[int], definition: Definition, codec: Codec, now_us: int) -> Plan[int]:
    """The sagas of these keys; how many were told something that they did not know."""
    spoken = yield from spoken_of(keys)
    sagas = Sagas(definition, codec.encode, codec.decode, {})
    yield from sagas.load(keys)
    told = 0
    for held in sagas.loaded():
        instance = held.instance
        saga = definition(instance.definition, instance.definition_version)
        found = reminder(instance, suffixes(saga, instance.saga_id, spoken), now_us)
        if found is not None:
            after, entry = found
            sagas.put(held.key, after)
            sagas.note(instance.saga_id, _line(after, entry, now_us))
            told += 1
    yield from sagas.write()
    return told


def _line(after: Instance[object], entry: Entry, now_us: int) -> Row:
    states = (entry.from_state, entry.to_state)
    unsaid = ("", "", "", "", "", "")  # actor, evidence, cause and what was sent: there is none
    return (
        after.version,
        now_us,
        entry.what,
        entry.result.value,
        *states,
        "",
        entry.detail,
        *unsaid,
    )
