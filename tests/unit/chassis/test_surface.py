"""What a process shows of itself, read from its parts and from its database."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from company import COMMANDS, NOW_US, SECOND_US, DirectStore, HandClock

from services.chassis.items import Applied, Took
from services.chassis.messages import TopicPartition
from services.chassis.positions import Positions
from services.chassis.reading import Lag
from services.chassis.settings import Settings
from services.chassis.surface import Surface, Watched


class Calls:
    """Gateways as the surface sees them."""

    under_way = 3

    def __init__(self) -> None:
        self.unknown, self.unrecorded = 4, 2

    def take_unknown(self) -> int:
        taken, self.unknown = self.unknown, 0
        return taken

    def take_unrecorded(self) -> int:
        taken, self.unrecorded = self.unrecorded, 0
        return taken


class Desk:
    unwritable = ""
    calls_under_way = 3
    in_doubt = 7

    def __init__(self) -> None:
        self.gateways = Calls()


class Post:
    blocked = 1
    failing_since_s: float | None = None

    def take_published(self) -> Mapping[tuple[str, str], int]:
        return {}


class Poller:
    unassigned_since_s: float | None = None
    silent_since_s: float | None = None

    def __init__(self) -> None:
        self.stopped: dict[TopicPartition, str] = {}
        self.looks = 0

    async def lag(self) -> dict[str, Lag]:
        return {COMMANDS: Lag(5, 1.5)}

    async def look_at_topics(self) -> None:
        self.looks += 1


@pytest.fixture
def store() -> DirectStore:
    return DirectStore()


@pytest.fixture
def surface(store: DirectStore) -> Surface:
    settings = Settings(service="billing", kafka_bootstrap_servers="k:1", home=Path())
    made = Surface("billing", settings, HandClock(), None)
    parts = Watched(Poller(), Post(), Desk(), Positions(), store, None)  # type: ignore[arg-type]
    made.watch(parts)
    return made


def value(surface: Surface, name: str, **labels: str) -> float | None:
    return surface.metrics.meters.registry.get_sample_value(name, labels)


async def test_what_gateways_do_not_know_is_counted_once(surface: Surface) -> None:
    """Two looks at the same counts add them once."""
    await surface._measure()
    await surface._measure()
    names = ("unknown_total", "unrecorded_total", "calls")
    found = [value(surface, f"saga_gateway_{name}", service="billing") for name in names]
    assert found == [4, 2, 3]


async def test_topics_are_looked_at_with_each_measure(surface: Surface) -> None:
    await surface._measure()
    assert surface._parts is not None
    assert surface._parts.reading.looks == 1  # type: ignore[attr-defined]


async def test_commits_in_doubt_are_told_as_they_stand(surface: Surface) -> None:
    await surface._measure()
    await surface._measure()
    assert value(surface, "saga_commits_in_doubt_total", service="billing") == 7


async def test_a_program_looks_at_its_own_tables_through_the_reading_connection(
    store: DirectStore,
) -> None:
    """At the moment of the process's clock; a process without any has nothing to look at."""

    class Looking:
        families = ()
        looked: ClassVar[list[tuple[object, int]]] = []

        def begin(self, meters: object) -> None: ...
        def count(self, facts: object) -> None: ...

        async def look(self, read: object, now_us: int) -> None:
            self.looked.append((read, now_us))

    settings = Settings(service="billing", kafka_bootstrap_servers="k:1", home=Path())
    for counting in (Looking(), None):
        made = Surface("billing", settings, HandClock(), counting)
        made.watch(Watched(Poller(), Post(), Desk(), Positions(), store, None))  # type: ignore[arg-type]
        await made._look()
    assert Looking.looked == [(store, NOW_US)]


async def test_a_slow_look_through_tables_rests_and_a_slow_measure_does_not(
    surface: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a slow Kafka would delay the heartbeat until its alert; a look has a minute at most."""
    clock = surface._clock
    rested: list[float] = []

    async def slow() -> None:
        clock.move(5)

    async def rest(seconds: float) -> None:
        rested.append(seconds)
        if len(rested) == 2:
            raise asyncio.CancelledError
        await asyncio.Event().wait()

    monkeypatch.setattr(surface, "_measure", slow)
    monkeypatch.setattr(surface, "_look", slow)
    monkeypatch.setattr("services.chassis.surface.asyncio.sleep", rest)
    with pytest.raises(asyncio.CancelledError):
        await surface.measure_often()
    assert rested == [2, 60]


@pytest.mark.parametrize("judges", [True, False])
def test_only_who_judges_replies_has_what_may_come_of_it(*, judges: bool) -> None:
    """A service neither forges nor starts conflicts; label sets that nobody needs cost the same."""

    class Judging:
        families = ()

        def begin(self, meters: object) -> None: ...
        def count(self, facts: object) -> None: ...
        async def look(self, read: object, now_us: int) -> None: ...

    settings = Settings(service="billing", kafka_bootstrap_servers="k:1", home=Path())
    made = Surface("billing", settings, HandClock(), Judging() if judges else None)
    mine = {"service": "billing", "topic": COMMANDS}
    late = {"event": "baton.billing.VoidPayment", "result": "late"}
    found = [
        value(made, "saga_events_consumed_total", **mine, **late),
        value(made, "saga_dead_letters_total", **mine, reason="wrong_command"),
    ]
    assert found == ([0, 0] if judges else [None, None])
    assert value(made, "saga_dead_letters_total", **mine, reason="undecodable") == 0


def test_each_message_that_was_handled_is_observed(surface: Surface) -> None:
    """With its age at the commit, by the process's clock."""
    took = Took(COMMANDS, "baton.billing.VoidPayment", NOW_US - 3 * SECOND_US, 0.25)
    surface.committed(Applied(took=[took]), 0.1, 1)
    mine = {"service": "billing"}
    assert [
        value(surface, "saga_event_age_seconds_sum", **mine, topic=COMMANDS),
        value(surface, "saga_event_handle_seconds_sum", **mine, event="baton.billing.VoidPayment"),
    ] == [3, 0.25]


async def test_what_waits_is_counted_without_the_writers_connection(
    surface: Surface, store: DirectStore
) -> None:
    """Unsent messages with the oldest's age, open dead letters by topic, parked keys."""
    for seq, sent in ((1, NOW_US), (2, None), (3, None)):
        store.write(
            "INSERT INTO outbox (seq, key, id, attempt, topic, record_key, value, headers,"
            " made_us, sent_us) VALUES (?, 1, ?, 1, 't', 'k', x'', x'', ?, ?)",
            seq,
            str(seq),
            NOW_US - (10 - seq) * SECOND_US,
            sent,
        )
    store.write("INSERT INTO parked_keys VALUES (1, 'r', 'd', 1)")
    store.write("INSERT INTO keys VALUES (1, 'k')")
    runs = store.runs
    await surface._measure()
    mine = {"service": "billing"}
    assert store.runs == runs
    assert [
        value(surface, f"saga_{name}", **mine)
        for name in ("outbox_pending", "outbox_oldest_age_seconds", "parked_keys")
    ] == [2, 8, 1]
