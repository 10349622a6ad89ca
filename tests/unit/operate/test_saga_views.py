"""What is made of a saga's row is made once, and anew when anything of the row changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from orchestra import T0, Orchestra, orchestra
from stage import Hands

from orchestrator.operate import sagas
from orchestrator.operate.database import Database
from orchestrator.operate.filters import Filter
from orchestrator.operate.reading import Reading
from orchestrator.operate.sagas import SagaView, Views
from orchestrator.sagas import SAGAS
from schemas.orchestrator import OperatorVerb

T0_TIME = datetime.fromtimestamp(T0 / 1_000_000, UTC)


class Stand:
    def __init__(self, playing: Orchestra, reading: Reading) -> None:
        self.playing, self.reading = playing, reading

    async def open(self) -> list[SagaView]:
        return [each async for each in self.reading.every_open(Filter())]


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    path = tmp_path / "orchestrator.db"
    async with orchestra(path) as playing, Database(path) as database:
        yield Stand(playing, Reading(database, Views(SAGAS), Hands(playing)))


async def test_a_row_that_stays_is_read_once(stand: Stand) -> None:
    """The same object for who asks again."""
    await stand.playing.place_order("o-1")

    (first,), (again,) = await stand.open(), await stand.open()

    assert again is first


async def test_whatever_changes_is_seen(stand: Stand) -> None:
    """A timer that fired, a step, and an owner."""
    await stand.playing.place_order("o-1")
    (placed,) = await stand.open()
    stand.playing.wait(11)
    await stand.playing.fire()
    (fired,) = await stand.open()
    await stand.playing.reserve("o-1")
    (reserved,) = await stand.open()
    verb = OperatorVerb(
        "o-1", "fulfilment:o-1", "assign", None, "ann", "mine", None, T0_TIME, "", assignee="ann"
    )
    await stand.playing.tell(verb, "v-1")
    (owned,) = await stand.open()

    assert placed.timers != fired.timers
    assert (placed.state, reserved.state) == ("awaiting_stock", "awaiting_payment")
    assert (reserved.assignee, owned.assignee) == ("", "ann")


async def test_only_so_many_are_kept(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond that they are made again, and are right."""
    monkeypatch.setattr(sagas, "KEPT_MAX", 1)
    for name in ("o-1", "o-2", "o-3"):
        await stand.playing.place_order(name)

    before, after = await stand.open(), await stand.open()

    assert [each.key for each in after] == ["o-3", "o-2", "o-1"]
    assert before == after
