"""Metrics: every known series there with 0, none that somebody outside could add."""

from __future__ import annotations

import re
from itertools import product

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from services.chassis.metrics import CHASSIS, RESULTS, UNREAD, Family, Known, Meters, Metrics

EVENTS, COMMANDS, REPLIES = "orders.events", "billing.commands", "billing.replies"
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def metrics() -> Metrics:
    known = Known(
        read={COMMANDS: ["Authorise", "Void"]},
        written={REPLIES: ["Authorised", "Declined"]},
        reasons=["undecodable"],
    )
    return Metrics("billing", known, version="1.2", commit="abc")


def series(meters: Meters) -> Series:
    text, content_type = meters.render()
    assert content_type.startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parsed(text.decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return series(metrics.meters)[name, frozenset(labels.items())]


def test_every_known_series_begins_with_zero(metrics: Metrics) -> None:
    """Each event of each topic with each result, and `other`, before anything happened."""
    found = {
        (dict(labels)["topic"], dict(labels)["event"], dict(labels)["result"]): n
        for (name, labels), n in series(metrics.meters).items()
        if name == "saga_events_consumed_total"
    }
    expected = {
        *product([COMMANDS], ["Authorise", "Void"], RESULTS),
        *product([COMMANDS, "other"], ["other"], UNREAD),
    }
    assert found == dict.fromkeys(expected, 0.0)
    for name in ("saga_outbox_pending", "saga_outbox_oldest_age_seconds", "saga_parked_keys"):
        assert value(metrics, name, service="billing") == 0


def test_what_is_not_known_counts_as_other(metrics: Metrics) -> None:
    """Type, topic and reason come from outside: they must not become labels."""
    before = len(series(metrics.meters))
    metrics.consumed_many({(COMMANDS, "Void", "applied"): 3, (COMMANDS, "x" * 99, "rejected"): 2})
    metrics.consumed("elsewhere", "Void", "rejected")
    metrics.consumed(COMMANDS, "Void", "conflicting_start")
    metrics.dead_letter(COMMANDS, "undecodable")
    metrics.dead_letter(COMMANDS, "never heard of")
    common = {"service": "billing", "topic": COMMANDS}
    name = "saga_events_consumed_total"
    assert value(metrics, name, **common, event="Void", result="applied") == 3
    assert value(metrics, name, **common, event="other", result="rejected") == 2
    assert value(metrics, name, **common, event="Void", result="ignored") == 1
    elsewhere = {"service": "billing", "topic": "other", "event": "other", "result": "rejected"}
    assert value(metrics, name, **elsewhere) == 1
    assert value(metrics, "saga_dead_letters_total", **common, reason="undecodable") == 1
    assert value(metrics, "saga_dead_letters_total", **common, reason="other") == 1
    assert len(series(metrics.meters)) == before


def test_handling_and_age_are_observed_message_by_message(metrics: Metrics) -> None:
    """By type and by topic, each known one from the start; a clock that is ahead makes no age."""
    handle, age = "saga_event_handle_seconds", "saga_event_age_seconds"
    before = series(metrics.meters)
    assert {dict(labels)["event"] for name, labels in before if name == f"{handle}_count"} == {
        "Authorise",
        "Void",
    }
    now_us = 1_000_000_000
    metrics.handled(
        [
            (COMMANDS, "Void", now_us - 2_000_000, 0.02),
            (COMMANDS, "Void", now_us + 5_000_000, 0.5),
            (COMMANDS, "Authorise", now_us - 400_000, 0.004),
            ("elsewhere", "Void", now_us, 7.0),
            (COMMANDS, "x" * 99, now_us, 7.0),
        ],
        now_us,
    )
    after = series(metrics.meters)
    changed = {
        (name, *sorted(value for label, value in labels if label not in ("service", "le"))): after[
            name, labels
        ]
        for name, labels in after
        if after[name, labels] != before[name, labels] and name.endswith(("_sum", "_count"))
    }
    assert changed == {
        (f"{handle}_count", "Void"): 2,
        (f"{handle}_sum", "Void"): 0.52,
        (f"{handle}_count", "Authorise"): 1,
        (f"{handle}_sum", "Authorise"): 0.004,
        (f"{age}_count", COMMANDS): 3,
        (f"{age}_sum", COMMANDS): 2.4,
    }
    common = {"service": "billing", "event": "Void"}
    bounds = ("0.01", "0.1", "1.0")
    buckets = [value(metrics, f"{handle}_bucket", **common, le=le) for le in bounds]
    assert buckets == [0, 1, 2]
    assert after.keys() == before.keys()


def test_each_call_reaches_its_series(metrics: Metrics) -> None:
    metrics.published(REPLIES, "Declined", 4)
    metrics.outbox(7, 1.5, 1)
    metrics.lag(COMMANDS, 12, 3.5)
    metrics.misplaced(COMMANDS)
    metrics.parked_keys(2)
    metrics.contract_violation("Void", "schema")
    metrics.gateway_calls(5)
    metrics.gateway_unknown()
    metrics.gateway_unrecorded(2)
    metrics.store_operation(0.003)
    metrics.commits_in_doubt(3)
    metrics.store_log(4096)
    metrics.http_request("/orders/{order_id}", "BREW", 418, 0.1)
    mine, topic = {"service": "billing"}, {"service": "billing", "topic": COMMANDS}
    got = {
        name: value(metrics, name, **labels)
        for name, labels in {
            "saga_events_published_total": {**mine, "topic": REPLIES, "event": "Declined"},
            "saga_outbox_pending": mine,
            "saga_outbox_oldest_age_seconds": mine,
            "saga_outbox_blocked_keys": mine,
            "saga_consumer_lag_messages": topic,
            "saga_consumer_lag_seconds": topic,
            "saga_records_misplaced_total": topic,
            "saga_parked_keys": mine,
            "saga_contract_violations_total": {**mine, "event": "Void", "kind": "schema"},
            "saga_gateway_calls": mine,
            "saga_gateway_unknown_total": mine,
            "saga_gateway_unrecorded_total": mine,
            "saga_store_operation_seconds_sum": {"operation": "commit"},
            "saga_commits_in_doubt_total": mine,
            "saga_store_log_bytes": mine,
            "saga_http_request_seconds_count": {
                "route": "/orders/{order_id}",
                "method": "other",
                "code": "418",
            },
            "saga_build_info": {**mine, "version": "1.2", "commit": "abc"},
        }.items()
    }
    assert list(got.values()) == [
        4, 7, 1.5, 1, 12, 3.5, 1, 2, 1, 5, 1, 2, 0.003, 3, 4096, 1, 1,
    ]  # fmt: skip


def test_a_gauge_of_many_forgets_what_is_gone(metrics: Metrics) -> None:
    """A topic without pending dead letters goes back to 0 instead of staying."""
    labels = {"service": "billing", "topic": COMMANDS}
    metrics.dead_letters_pending({COMMANDS: 3})
    assert value(metrics, "saga_dead_letters_pending", **labels) == 3
    metrics.dead_letters_pending({})
    assert value(metrics, "saga_dead_letters_pending", **labels) == 0
    metrics.partitions_stopped({COMMANDS: 1})
    assert value(metrics, "saga_partitions_stopped", **labels) == 1


async def test_the_heartbeat_is_the_time_and_rendering_needs_no_loop(metrics: Metrics) -> None:
    metrics.heartbeat()
    text, _ = await metrics.meters.rendered()
    (beat,) = re.findall(rb'saga_heartbeat_timestamp_seconds{service="billing"} ([\d.e+]+)', text)
    assert float(beat) > 1_700_000_000


def test_there_is_no_created_series_and_no_registry_shared(metrics: Metrics) -> None:
    """Two processes in one interpreter (as in tests) count apart."""
    other = Metrics("billing", Known({COMMANDS: ["Void"]}, {}), version="1")
    other.parked_keys(9)
    assert value(metrics, "saga_parked_keys", service="billing") == 0
    assert not [name for name, _ in series(metrics.meters) if name.endswith("_created")]


def test_the_catalogue_follows_the_naming_rules() -> None:
    """One prefix, base units, `_total` on counters and only there, buckets on histograms."""
    assert len({family.name for family in CHASSIS}) == len(CHASSIS)
    assert [family for family in CHASSIS if not well_named(family)] == []


def well_named(family: Family) -> bool:
    return (
        re.fullmatch(r"saga_[a-z_]+", family.name) is not None
        and family.name.endswith("_total") == (family.kind == "counter")
        and bool(family.buckets) == (family.kind == "histogram")
        and not family.name.endswith(("_ms", "_millis", "_kb"))
        and list(family.buckets) == sorted(family.buckets)
        and bool(family.meaning)
    )
