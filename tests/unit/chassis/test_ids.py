"""Ids are UUIDv7, rise within a process whatever the clock does, and cannot be guessed."""

from __future__ import annotations

import re
import time
import uuid

import pytest

from services.chassis.ids import IdMaker, new_id, traceparent


def test_an_id_is_a_uuid_of_version_seven_and_says_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(new_id())
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before <= made.int >> 80 <= after + 1


def test_ids_rise_and_never_repeat() -> None:
    """Also many in one millisecond."""
    made = [new_id() for _ in range(20_000)]
    assert made == sorted(set(made))


def test_ids_rise_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    maker = IdMaker()
    now_ns = 1_800_000_000_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: now_ns)
    first = maker.new()
    now_ns -= 3_600_000_000_000
    second = maker.new()
    assert first < second


def test_an_exhausted_millisecond_borrows_from_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    maker = IdMaker()
    monkeypatch.setattr(time, "time_ns", lambda: 1_800_000_000_000_000_000)
    first = maker.new()
    maker._random = (1 << 74) - 1
    second = uuid.UUID(maker.new())
    assert str(second) > first
    assert second.int >> 80 == 1_800_000_000_001


def test_most_bits_are_random() -> None:
    """Two makers in the same millisecond share nothing but the time."""
    tails = {IdMaker().new()[14:] for _ in range(1000)}
    assert len(tails) == 1000


def test_a_traceparent_begins_a_trace_or_goes_on_with_one() -> None:
    parent = traceparent()
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", parent)
    child = traceparent(parent)
    assert child[:36] == parent[:36]
    assert child != parent
    assert traceparent("nonsense")[:36] != parent[:36]
