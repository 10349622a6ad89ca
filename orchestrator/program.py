"""The orchestrator as a program of the chassis: which sagas it runs, whose readers it waits for.

Timers wait for the services that its commands go to: while such a service has not read a command,
the time is not the service's.
"""

from __future__ import annotations

from orchestrator.engine import retention
from orchestrator.engine.shell import Shell
from orchestrator.engine.store import MIGRATIONS
from orchestrator.meters import SagaMeters
from orchestrator.saga import Saga
from orchestrator.sagas import SAGAS
from schemas.topics import topic_named
from services.chassis.assembly import Program


def awaited(sagas: tuple[Saga[object], ...]) -> dict[str, str]:
    """Command topic → consumer group of the service that answers it."""
    topics = {ask.topic for saga in sagas for ask in saga.plan.asks.values()}
    return {name: f"baton.{topic_named(name).readers[0]}" for name in sorted(topics)}


PROGRAM = Program(
    name="orchestrator",
    application=lambda maker, place: Shell(SAGAS, maker),  # noqa: ARG005
    migrations={"orchestrator": MIGRATIONS},
    awaited=awaited(SAGAS),
    meters=SagaMeters(SAGAS),
    retention=retention.RULES,
)
