"""Saga metrics: labels come from definitions, ids only as exemplars."""

from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from orchestrator.meters import shape_of
from orchestrator.metrics import SAGAS, SagaMetrics, Shape
from orchestrator.operate.metrics import CONSOLE
from orchestrator.sagas.fulfilment import FULFILMENT
from orchestrator.sagas.onboarding import ONBOARDING
from services.chassis.metrics import CHASSIS, Family, Meters

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def meters() -> Meters:
    return Meters(SAGAS)


def series(meters: Meters) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parsed(meters.render()[0].decode())
        for sample in family.samples
    }


def value(meters: Meters, name: str, **labels: str) -> float:
    return series(meters)[name, frozenset(labels.items())]


def test_sagas_are_counted_by_what_their_definition_names(meters: Meters) -> None:
    """States, commands and targets come from the definition; the saga's id is an exemplar."""
    shape = Shape(
        "fulfilment",
        {"awaiting_stock": False, "completed": True},
        ("stock",),
        {"ReserveStock": "inventory"},
    )
    sagas = SagaMetrics(meters, [shape])
    before = set(series(meters))
    sagas.started("fulfilment")
    sagas.command_sent("fulfilment", "ReserveStock")
    sagas.command_replied("fulfilment", "ReserveStock", "ok", 0.3)
    sagas.finished("fulfilment", "completed", 2.0, "fulfilment:order-1")
    sagas.stayed("fulfilment", "awaiting_stock", 1.0, "fulfilment:order-1")
    sagas.retried("fulfilment", "stock", "no_reply")
    sagas.compensated("fulfilment", "stock", "ok")
    assert set(series(meters)) == before
    sagas.moved("fulfilment", ("awaiting_stock", "completed"), "event")
    moved = {"from_state": "awaiting_stock", "to_state": "completed", "trigger": "event"}
    assert value(meters, "saga_transitions_total", saga="fulfilment", **moved) == 1
    openmetrics = meters.render("application/openmetrics-text")[0].decode()
    marked = [
        line for line in openmetrics.splitlines() if '# {saga_id="fulfilment:order-1"}' in line
    ]
    assert [line.partition("_bucket")[0] for line in marked] == [
        "saga_duration_seconds",
        "saga_state_duration_seconds",
    ]


def test_a_command_ends_only_as_its_contract_and_its_step_allow(meters: Meters) -> None:
    """A pivot is never given up, a retriable step never refused, an undo neither."""
    SagaMetrics(meters, [shape_of(FULFILMENT)])  # type: ignore[arg-type]
    found: dict[str, set[str]] = {}
    for name, labels in series(meters):
        if name == "saga_command_reply_seconds_count":
            of = dict(labels)
            found.setdefault(of["command"], set()).add(of["result"])
    assert found == {
        "ReserveStock": {"ok", "rejected", "timeout"},
        "AuthorisePayment": {"ok", "rejected", "timeout"},
        "BookShipment": {"ok", "rejected", "timeout"},
        "CapturePayment": {"ok", "rejected"},
        "DispatchShipment": {"ok"},
        "ReleaseStock": {"ok"},
        "VoidPayment": {"ok"},
        "CancelShipment": {"ok"},
    }


def test_changes_of_state_are_there_before_the_first(meters: Meters) -> None:
    """Those that the definition implies, by each trigger, also between the steps of a group."""
    SagaMetrics(meters, [shape_of(ONBOARDING)])  # type: ignore[arg-type]
    found = {
        (dict(labels)["from_state"], dict(labels)["to_state"], dict(labels)["trigger"]): n
        for (name, labels), n in series(meters).items()
        if name == "saga_transitions_total"
    }
    forward = [f"awaiting_{name}" for name in ("account", "record", "profile")]
    back = [f"undoing_{name}" for name in ("account", "record", "profile")]
    edges = {
        *((here, there) for group in (forward, back) for here in group for there in group),
        *((here, "completed") for here in forward),
        *((here, there) for here in forward for there in back),
        *((here, there) for here in back for there in ("compensated", "needs_operator")),
        *(("needs_operator", there) for there in ("compensated", *back)),
    }
    expected = {edge for edge in edges if edge[0] != edge[1]}
    assert found == {(*edge, by): 0.0 for edge in expected for by in ("event", "timer", "operator")}


def test_the_catalogue_goes_on_by_the_same_rules() -> None:
    """No name twice over all programs; units and suffixes as Prometheus wants them."""
    catalogue = (*CHASSIS, *SAGAS, *CONSOLE)
    assert len({family.name for family in catalogue}) == len(catalogue)
    assert [family for family in (*SAGAS, *CONSOLE) if not well_named(family)] == []


def well_named(family: Family) -> bool:
    return (
        re.fullmatch(r"saga_[a-z_]+", family.name) is not None
        and family.name.endswith("_total") == (family.kind == "counter")
        and bool(family.buckets) == (family.kind == "histogram")
        and not family.name.endswith(("_ms", "_millis", "_kb"))
        and list(family.buckets) == sorted(family.buckets)
        and bool(family.meaning)
    )
