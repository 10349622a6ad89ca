"""What the console counts of people's work and of the streams that they watch."""

from __future__ import annotations

from itertools import product

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from orchestrator.operate.metrics import ACTIONS, CONSOLE, PAGES, RESULTS, VIA, ConsoleMetrics
from services.chassis.metrics import Meters


@pytest.fixture
def meters() -> Meters:
    return Meters(CONSOLE)


@pytest.fixture
def counted(meters: Meters) -> ConsoleMetrics:
    return ConsoleMetrics(meters)


def samples(meters: Meters, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels[label] for label in meters.families[name].labels): sample.value
        for family in parsed(meters.render()[0].decode())
        for sample in family.samples
        if sample.name == name
    }


def test_actions_are_counted_by_what_who_and_how_it_ended(
    meters: Meters, counted: ConsoleMetrics
) -> None:
    """Every verb is there with 0 from the start; one that is not known becomes no label."""
    expected = dict.fromkeys(product((*ACTIONS, "other"), VIA, RESULTS), 0.0)
    assert samples(meters, "saga_operator_actions_total") == expected
    counted.acted("retry", "cli", "ok", 38)
    counted.acted("retry", "cli", "ok")
    counted.acted("skip", "console", "refused")
    counted.acted("drop table", "api", "failed")
    expected["retry", "cli", "ok"] = 39
    expected["skip", "console", "refused"] = expected["other", "api", "failed"] = 1
    assert samples(meters, "saga_operator_actions_total") == expected


def test_a_stream_is_counted_while_it_is_open(meters: Meters, counted: ConsoleMetrics) -> None:
    """Two of a page are 2, one that breaks is closed, a page nobody knows is `other`."""
    none = dict.fromkeys([(page,) for page in (*PAGES, "other")], 0.0)
    assert samples(meters, "saga_console_streams") == none
    with counted.streaming("flow"), counted.streaming("flow"), counted.streaming("/etc"):
        held = {**none, ("flow",): 2, ("other",): 1}
        assert samples(meters, "saga_console_streams") == held
    with pytest.raises(ConnectionError), counted.streaming("stuck"):
        raise ConnectionError
    assert samples(meters, "saga_console_streams") == none
