"""Gauges of sagas, computed by the orchestrator from its store: what console and CLI say, too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from orchestra import Orchestra, orchestra
from prometheus_client.parser import text_string_to_metric_families as parsed
from stage import Hands
from test_stuck import (
    deaf,
    parked,
    past_its_deadline,
    paused,
    sent_often,
    undo_overdue,
    unknown_schema,
)

from orchestrator import gauges
from orchestrator.engine.standing import REASONS
from orchestrator.engine.store import SQL
from orchestrator.meters import SagaMeters
from orchestrator.metrics import SAGAS as CATALOGUE
from orchestrator.operate.database import Database
from orchestrator.operate.filters import Filter
from orchestrator.operate.reading import Reading
from orchestrator.operate.sagas import Views
from orchestrator.saga import Saga
from orchestrator.sagas import SAGAS
from services.chassis.metrics import Meters

Found = dict[tuple[str, ...], float]
Play = Callable[[Orchestra], Awaitable[None]]


@pytest.fixture
async def playing(tmp_path: Path) -> AsyncIterator[Orchestra]:
    async with orchestra(tmp_path / "orchestrator.db") as opened:
        yield opened


class Exported:
    """The orchestrator's metrics, as its scrape shows them."""

    def __init__(self, sagas: tuple[Saga[object], ...] = SAGAS) -> None:
        self._meters, self._counting = Meters(CATALOGUE), SagaMeters(sagas)
        self._counting.begin(self._meters)

    async def look(self, playing: Orchestra) -> None:
        await self._counting.look(playing.store, playing.now_us)

    def every(self, name: str) -> Found:
        labels = self._meters.families[name].labels
        return {
            tuple(sample.labels[label] for label in labels): sample.value
            for family in parsed(self._meters.render()[0].decode())
            for sample in family.samples
            if sample.name == name
        }

    def above_0(self, name: str) -> Found:
        return {labels: value for labels, value in self.every(name).items() if value}


async def test_open_sagas_are_counted_by_state_with_the_age_of_the_oldest(
    playing: Orchestra,
) -> None:
    """Only what is open now: those that ended are no more in any state."""
    exported = Exported()
    await playing.place_order("o-1")
    playing.wait(7)
    await playing.place_order("o-2")
    await playing.decline("o-3")
    await playing.complete("o-4")
    await playing.cancel("o-5")
    playing.wait(3)
    await exported.look(playing)
    assert exported.above_0("saga_instances") == {
        ("fulfilment", "awaiting_stock", "false"): 2,
        ("fulfilment", "undoing_stock", "false"): 1,
    }
    assert exported.above_0("saga_oldest_instance_age_seconds") == {
        ("fulfilment", "awaiting_stock"): 10,
        ("fulfilment", "undoing_stock"): 3,
    }
    await playing.reserve("o-1")
    await exported.look(playing)
    assert exported.above_0("saga_instances") == {
        ("fulfilment", "awaiting_stock", "false"): 1,
        ("fulfilment", "awaiting_payment", "false"): 1,
        ("fulfilment", "undoing_stock", "false"): 1,
    }


async def test_every_open_saga_is_counted_however_many_there_are(
    playing: Orchestra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, also where several began in the same microsecond."""
    monkeypatch.setattr(gauges, "PAGE", 2)
    exported = Exported()
    for n in range(7):
        await playing.place_order(f"o-{n}")
    await exported.look(playing)
    assert exported.above_0("saga_instances") == {("fulfilment", "awaiting_stock", "false"): 7}


@pytest.mark.parametrize(
    ("play", "state", "reason"),
    [
        (undo_overdue, "needs_operator", "compensation_failed"),
        (parked, "awaiting_stock", "contract"),
        (paused, "awaiting_stock", "paused"),
        (sent_often, "awaiting_capture", "retries_exhausted"),
        (past_its_deadline, "awaiting_capture", "no_reply"),
        (deaf, "awaiting_stock", "late_timer"),
    ],
)
async def test_what_the_gauge_calls_stuck_the_console_calls_stuck(
    playing: Orchestra, tmp_path: Path, play: Play, state: str, reason: str
) -> None:
    """One saga, one reason, in the gauge and in the console's groups; before that none."""
    exported = Exported()
    await exported.look(playing)
    assert exported.above_0("saga_stuck_instances") == {}
    await play(playing)
    await exported.look(playing)
    async with Database(tmp_path / "orchestrator.db") as database:
        told = await Reading(database, Views(SAGAS), Hands(playing)).stuck(Filter())
    groups = {(g.definition, g.state, g.reason): len(g.members) for g in told.groups}
    assert exported.above_0("saga_stuck_instances") == groups
    assert groups == {("fulfilment", state, reason): 1}


async def test_the_oldest_stuck_is_told_by_reason_until_it_moves(playing: Orchestra) -> None:
    """Since it started; of each saga and reason the oldest, and nothing when none is stuck."""
    exported = Exported()
    await playing.place_order("o-1")
    playing.wait(5)
    await playing.place_order("o-2")
    await playing.place_order("o-3")
    await playing.reserve("o-3")
    playing.wait(45)
    await exported.look(playing)
    told = exported.above_0("saga_oldest_stuck_age_seconds")
    await playing.reserve("o-1")
    await exported.look(playing)
    second = exported.above_0("saga_oldest_stuck_age_seconds")
    await playing.reserve("o-2")
    await exported.look(playing)

    (reason,) = {reason for _, reason in told}
    assert told == {("fulfilment", reason): 50}
    assert second == {("fulfilment", reason): 45}
    assert exported.above_0("saga_oldest_stuck_age_seconds") == {}


async def test_a_parked_key_without_a_saga_is_in_the_gauge(playing: Orchestra) -> None:
    """It belongs to no definition and to no state."""
    exported = Exported()
    await playing.hear_bytes("orders.order.events.v1", "o-9", *unknown_schema())
    await exported.look(playing)
    assert exported.above_0("saga_stuck_instances") == {("other", "not_open", "contract"): 1}


async def test_a_saga_of_a_release_that_is_gone_is_an_orphan_in_the_gauge(
    playing: Orchestra,
) -> None:
    """By its name where that is known; a definition nobody knows makes no label."""
    await playing.place_order("o-1")
    newer = Exported(tuple(replace(saga, version=2) for saga in SAGAS))
    without = Exported(tuple(saga for saga in SAGAS if saga.name != "fulfilment"))
    for exported in (newer, without):
        await exported.look(playing)
    assert newer.above_0("saga_stuck_instances") == {
        ("fulfilment", "awaiting_stock", "orphan_version"): 1
    }
    assert without.above_0("saga_stuck_instances") == {("other", "other", "orphan_version"): 1}
    assert without.above_0("saga_instances") == {("other", "other", "false"): 1}


async def test_the_lateness_of_the_oldest_timer_is_told(playing: Orchestra) -> None:
    """Stock is asked every ten seconds: after 25 the first timer is 15 late; fired, none is."""
    exported = Exported()
    await playing.place_order("o-1")
    playing.wait(4)
    await playing.place_order("o-2")
    await exported.look(playing)
    assert exported.above_0("saga_timer_oldest_due_seconds") == {}
    playing.wait(21)
    await exported.look(playing)
    assert exported.above_0("saga_timer_oldest_due_seconds") == {("fulfilment",): 15}
    await playing.fire()
    await exported.look(playing)
    assert exported.above_0("saga_timer_oldest_due_seconds") == {}


async def test_a_look_adds_no_label_set_that_the_definitions_imply(playing: Orchestra) -> None:
    """Each state with each of the seven reasons is there with 0 before anything happened."""
    exported = Exported()
    names = [family.name for family in CATALOGUE if family.kind == "gauge"]
    before = [set(exported.every(name)) for name in names]
    await undo_overdue(playing)
    await exported.look(playing)
    assert [set(exported.every(name)) for name in names] == before
    found = exported.every("saga_stuck_instances")
    states = {state for saga, state, _ in found if saga == "fulfilment"}
    assert states == {
        *(f"awaiting_{name}" for name in ("stock", "payment", "shipment", "capture", "dispatch")),
        *(f"undoing_{name}" for name in ("stock", "payment", "shipment")),
        "needs_operator",
        "cancelled_early",
    }
    assert {("fulfilment", state, reason) for state in states for reason in REASONS} <= set(found)


async def test_a_look_goes_by_the_index_of_what_is_open(playing: Orchestra) -> None:
    """However many sagas have ended: no scan of the table, no sort."""
    rows = await playing.store.read(
        f"EXPLAIN QUERY PLAN {SQL['sagas.open'].sql}", {"us": -1, "id": -1, "limit": 9}
    )
    assert [str(row["detail"]).partition(" (")[0] for row in rows] == [
        "SEARCH sagas USING INDEX sagas_open",
        "SEARCH parked_keys USING INTEGER PRIMARY KEY",
        "CORRELATED SCALAR SUBQUERY 1",
        "SEARCH timers USING PRIMARY KEY",
    ]
