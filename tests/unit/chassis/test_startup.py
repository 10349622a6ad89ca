"""A start waits for a disk that is full, and says so, instead of ending."""

from __future__ import annotations

from pathlib import Path

import pytest
from company import DirectStore, HandClock

from schemas.topics import all_topics
from services.chassis import startup
from services.chassis.bus import BrokerSilent
from services.chassis.health import Check
from services.chassis.lifecycle import was_clean
from services.chassis.settings import Settings
from services.chassis.startup import wait_for_store
from services.chassis.store import Conflict, Unavailable
from services.chassis.surface import Surface


@pytest.fixture
def surface(monkeypatch: pytest.MonkeyPatch) -> Surface:
    monkeypatch.setattr(startup, "_AGAIN_S", 0.0)
    settings = Settings(service="billing", kafka_bootstrap_servers="k:1", home=Path())
    return Surface("billing", settings, HandClock(), None)


async def test_a_start_with_a_full_disk_waits_until_it_can_write(surface: Surface) -> None:
    """Unready with the reason meanwhile, and then as if nothing had been."""
    store = DirectStore()
    store.faults = [Unavailable("disk full"), Unavailable("disk full")]
    seen = list[tuple[Check, ...]]()

    def waits(name: str, reason: str) -> None:
        surface.waits_for(name, reason)
        seen.append(tuple(surface.checks()))

    assert await wait_for_store(store, was_clean, waits)
    assert seen == [(Check("database", ok=False, reason="disk full"),)] * 2
    assert store.rows("SELECT value FROM meta WHERE name = 'clean'") == [("0",)]


async def test_a_start_says_what_it_waits_for_now(
    surface: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka, then the disk, then Kafka again, and for the same reason as before."""
    store, seen = DirectStore(), list[Check]()
    answers = [BrokerSilent("k:1", 5), {topic.name: 4 for topic in all_topics()}]
    store.faults = [Unavailable("disk full"), BrokerSilent("k:1", 5)]

    async def describe(_: str) -> dict[str, int]:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, dict):
            return answer
        raise answer

    def waits(name: str, reason: str) -> None:
        surface.waits_for(name, reason)
        seen.extend(surface.checks())

    monkeypatch.setattr(startup, "describe_topics", describe)
    assert await startup.wait_for_topics("k:1", "billing", store, waits) == 4
    silent = Check("kafka", ok=False, reason=str(BrokerSilent("k:1", 5)))
    assert seen == [silent, Check("database", ok=False, reason="disk full"), silent]


async def test_a_start_does_not_wait_for_what_does_not_pass(surface: Surface) -> None:
    """Only what is nobody's fault is tried again."""
    store = DirectStore()
    store.faults = [Conflict("moved")]
    with pytest.raises(Conflict):
        await wait_for_store(store, was_clean, surface.waits_for)


def test_before_all_a_process_waits_for_kafka(surface: Surface) -> None:
    """Not ready, and why."""
    waiting = Check("kafka", ok=False, reason="waiting for Kafka and its topics")
    assert surface.checks() == [waiting]
