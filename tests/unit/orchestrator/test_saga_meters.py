"""What is counted of a decision, whichever version of its saga made it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from saga_cases import ORDER

from orchestrator.engine.decide import decide
from orchestrator.engine.instance import Started
from orchestrator.engine.machine import Phase
from orchestrator.engine.shell import Moved
from orchestrator.meters import SagaMeters
from orchestrator.metrics import SAGAS
from orchestrator.sagas.fulfilment import FULFILMENT
from orchestrator.sagas.onboarding import ONBOARDING
from schemas.common import Money
from services.chassis.metrics import Meters

LATER = replace(ONBOARDING, name=FULFILMENT.name, version=FULFILMENT.version + 1)


def started(version: int) -> Moved:
    """The start of a fulfilment, made by that version."""
    decision = decide(FULFILMENT, None, Started(ORDER, "m", "d"), 1)
    after = decision.instance
    assert after is not None
    return Moved(None, after._replace(definition_version=version), decision, "event", 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("order", [(FULFILMENT, LATER), (LATER, FULFILMENT)])
def test_each_version_is_counted_by_its_own_definition(order: tuple[object, ...]) -> None:
    """Two versions under one name: the labels are those of both, the steps are each one's own."""
    meters, counting = Meters(SAGAS), SagaMeters(order)  # type: ignore[arg-type]
    counting.begin(meters)
    counting.count([started(FULFILMENT.version)])
    sent = {"saga": "fulfilment", "command": "ReserveStock", "target": "inventory"}
    assert meters.registry.get_sample_value("saga_commands_sent_total", sent) == 1
    assert meters.registry.get_sample_value("saga_started_total", {"saga": "fulfilment"}) == 1


def test_a_version_that_this_release_does_not_know_is_passed_over() -> None:
    """Nothing raises after a commit; what cannot be told by its definition is not counted."""
    meters, counting = Meters(SAGAS), SagaMeters((FULFILMENT,))  # type: ignore[arg-type]
    counting.begin(meters)
    counting.count([started(99)])
    assert meters.registry.get_sample_value("saga_started_total", {"saga": "fulfilment"}) == 0


@pytest.mark.parametrize(("currency", "told"), [("GBP", "GBP"), ("THB", "other")])
def test_what_an_ended_saga_was_worth_is_counted_once_by_its_end(currency: str, told: str) -> None:
    """By the amount in its data; touched again after its end, and while it is open, it is not."""
    meters, counting = Meters(SAGAS), SagaMeters((FULFILMENT, ONBOARDING))  # type: ignore[arg-type]
    counting.begin(meters)
    opened = started(FULFILMENT.version)
    assert opened.after is not None
    worth = replace(opened.after.data, amount=Money(4200, currency))  # type: ignore[type-var]
    ended = opened.after._replace(phase=Phase.COMPENSATED, data=worth)
    counting.count([opened])
    counting.count([replace(opened, before=opened.after, after=ended)])
    counting.count([replace(opened, before=ended, after=ended)])

    values = {
        outcome: meters.registry.get_sample_value(
            "saga_value_minor_units_total",
            {"saga": "fulfilment", "outcome": outcome, "currency": told},
        )
        for outcome in ("completed", "compensated")
    }
    assert values["compensated"] == 4200
    assert not values["completed"]
