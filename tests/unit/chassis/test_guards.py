"""What is saved says which version it was read at: who moved it meanwhile is not overwritten.

A batch reads and writes in one transaction, so the guard is a second wall behind the store's
lock; here the lock is taken away, and reading and writing are transactions of their own.
"""

from __future__ import annotations

import re

import pytest
from company import DirectStore, billing, command

from orchestrator.engine.store import MIGRATIONS, SQL
from services.chassis.operations import Operations
from services.chassis.store import Conflict, Plan, Write

OPERATION = "fulfilment:a/pay"


def test_an_operation_that_moved_meanwhile_is_not_overwritten() -> None:
    member = billing()
    sent = member.kafka.publish(command("a"))
    member.take(sent)
    stale = Operations({"a": 1}, member.kafka.place)
    stale.want("a", "orchestrator", OPERATION)
    member.store.drive(stale.load)
    operation = stale.find("a", "orchestrator", OPERATION)
    assert operation is not None
    member.take(member.kafka.publish(command("a", at=2)))  # its stored reply is said again
    stale.put(operation._replace(said=7))
    with pytest.raises(Conflict, match=re.escape("operations.save hit 0 of 1 rows")):
        member.store.drive(stale.write)
    assert member.store.rows("SELECT said FROM operations") == [(2,)]


def test_a_saga_that_moved_meanwhile_is_not_overwritten() -> None:
    store = DirectStore(":memory:", {"orchestrator": MIGRATIONS})
    store.write(
        "INSERT INTO sagas (phase, paused, steps, version, start_id, start_digest, cancellations,"
        " reason, detail, attention, attentions, started_us, updated_us, id, key, saga_id,"
        " definition, definition_version)"
        " VALUES ('running', 0, '[]', 4, '', '', '[]', '', '', '', 0, 1, 1, 1, 1, 's:a', 's', 1)"
    )
    changing = ("running", 1, "[]", 4, "", "", "[]", "", "", "", 0, 1, 2)

    def save(version: int) -> Plan[None]:
        yield Write(SQL["sagas.save"], [(*changing, 1, version)], expect=1)

    with pytest.raises(Conflict, match=re.escape("sagas.save hit 0 of 1 rows")):
        store.drive(lambda: save(3))
    store.drive(lambda: save(4))
    assert store.rows("SELECT paused FROM sagas") == [(1,)]
