"""An operator at work: verbs on the real topic, through the real codec, at the seed's moments.

What is asked may come too late or be refused; that is the orchestrator's to say. Two things an
operator of good sense does are done here, too: nothing stays paused, and a step is skipped only
on evidence, which is what the participant's own database says of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.operate.telling import EXPIRES_US
from schemas.orchestrator import OperatorVerb
from services.chassis.envelope import Cause, timestamp
from tests.simulation.member import BASE_US
from tests.simulation.scenario import Fault

if TYPE_CHECKING:
    from tests.simulation.world import World

# Who knows whether a step happened. The others' replies are needed: the saga keeps them.
_PARTICIPANTS = {
    "stock": "inventory",
    "payment": "billing",
    "shipment": "shipping",
    "capture": "billing",
    "dispatch": "shipping",
}
_PROOF = {"sent": "done", "undoing": "undone"}
_AGAIN_S, _TRIES = 1.0, 30
PAUSED_MAX_S = 40.0


def verb(world: World, fault: Fault) -> None:
    """`verb_pause` of an order, and so on; its saga may not even have started."""
    what = fault.kind.removeprefix("verb_")
    if what == "skip":
        _skip(world, fault, _TRIES)
        return
    world.count(fault.kind)
    _tell(world, fault.target, what)
    if what == "pause":
        world.loop.call_later(fault.value * PAUSED_MAX_S, _tell, world, fault.target, "resume")


def resume_all(world: World) -> None:
    """Nothing is left paused by an operator who goes home, whatever became of his verbs."""
    paused = world.databases["orchestrator"].rows(
        "SELECT saga_id FROM sagas"
        " WHERE paused AND phase NOT IN ('completed', 'compensated') ORDER BY id"
    )
    for (saga,) in paused:
        _tell(world, str(saga).partition(":")[2], "resume", expires=False)


def _tell(
    world: World,
    order: str,
    what: str,
    *,
    step: str | None = None,
    version: int | None = None,
    evidence: str = "",
    expires: bool = True,
) -> None:
    now_us = BASE_US + round(world.loop.now_s * 1_000_000)
    at = datetime.fromtimestamp(now_us // 1_000_000, UTC)
    body = OperatorVerb(
        order, f"fulfilment:{order}", what, step, "ann", "look", version, at, evidence
    )
    world.verbs += 1
    out = world.console.event(body, f"{order}/verb/{world.verbs}", now_us, Cause())
    headers = out.headers
    if expires:
        headers = (*headers, ("ce_expirytime", timestamp(now_us + EXPIRES_US).encode()))
    world.broker.append(out.topic, out.key.encode(), out.value, headers)


def _skip(world: World, fault: Fault, tries: int) -> None:
    """Of the step for which there is evidence, as soon as there is one."""
    for order, step, version in _proven(world):
        world.count(fault.kind)
        _tell(world, order, "skip", step=step, version=version, evidence="its own books say so")
        return
    if tries:
        world.loop.call_later(_AGAIN_S, _skip, world, fault, tries - 1)


def _proven(world: World) -> Iterator[tuple[str, str, int]]:
    """What a saga waits for although its participant has done it: order, step, version."""
    waiting = world.databases["orchestrator"].rows(
        "SELECT saga_id, steps, version FROM sagas WHERE saga_id LIKE 'fulfilment:%'"
        " AND phase NOT IN ('completed', 'compensated') ORDER BY id"
    )
    for saga, steps, version in waiting:
        for step in json.loads(str(steps)):
            name, proof = str(step["name"]), _PROOF.get(step["status"])
            known = world.databases[_PARTICIPANTS[name]].rows(
                "SELECT status FROM operations WHERE operation = ?", f"{saga}/{name}"
            )
            if proof and known == [(proof,)]:
                yield str(saga).partition(":")[2], name, int(str(version))
