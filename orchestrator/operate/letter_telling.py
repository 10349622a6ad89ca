"""Verbs for keys and dead letters: listed, rehearsed, told, looked after. One way for all.

The JSON API and the pages use this; it knows no HTTP of ours. A verb has a name, and telling it
twice is telling it once. What is not said by a process is named, never left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from orchestrator.operate.auditing import NOT_TAKEN, Act, Audit, Via
from orchestrator.operate.surfaces import (
    Json,
    NotAnswered,
    NotKnown,
    NotUnderstood,
    Surfaces,
    segment,
)
from orchestrator.operate.telling import Telling
from schemas.orchestrator import OperatorVerb
from services.chassis.admission import KEY
from services.chassis.parked import Result, Verb

PATH: Final = "/deadletters"


@dataclass(frozen=True, slots=True)
class LetterOrder:
    """`record`: one rejected record, or the first that waits. `force`: though it failed before."""

    verb: Verb
    reason: str
    actor: str
    via: Via
    record: int | None = None
    force: bool = False


class LetterTelling:
    def __init__(self, surfaces: Surfaces, telling: Telling, audit: Audit) -> None:
        self._surfaces, self._telling, self._audit = surfaces, telling, audit

    @property
    def services(self) -> tuple[str, ...]:
        return self._surfaces.services

    async def entries(self, wanted: Mapping[str, str]) -> tuple[list[Json], dict[str, str]]:
        """Parked keys and rejected records; and who did not answer, and why. Raises NotKnown."""
        if "service" in wanted:
            self._surfaces.address(wanted["service"])
        return await self._surfaces.every(PATH, wanted, "entries")

    async def shown(self, service: str, key: str) -> Json:
        return await self._surfaces.one(service, f"{PATH}/{segment(key)}", {})

    async def rehearsed(self, service: str, key: str, given: Mapping[str, str]) -> Json:
        """`given`: verb, record, force. Raises NotUnderstood."""
        _tellable(key)
        return await self._surfaces.one(service, f"{PATH}/{segment(key)}/rehearsal", given)

    async def verb(self, service: str, name: str) -> Json:
        return await self._surfaces.one(service, "/verbs", {"id": _id(name)})

    async def tell(self, service: str, key: str, order: LetterOrder, name: str) -> Json | None:
        """What became of it by now; None: it was not taken.

        Raises NotKnown, NotUnderstood, NotKept, BusError.
        """
        self._surfaces.address(service)
        _tellable(key)
        verb = _verb(service, key, order)
        act = Act(order.actor, order.via, verb.verb, f"{service} {key}", order.reason, name)
        async with self._audit.acting(act) as became:
            await self._telling.tell(verb, _id(name))
            became.result = NOT_TAKEN
            told = await self._telling.result(lambda: self.taken(service, name))
            if told is not None:
                became.result = str(told["result"])
        return told

    async def taken(self, service: str, name: str) -> Json | None:
        try:
            return await self.verb(service, name)
        except (NotKnown, NotAnswered):
            return None


def going_on(told: Json | None) -> bool:
    return told is None or told["result"] == Result.GOING_ON


def _tellable(key: str) -> None:
    """A verb travels under its key: what was rejected because its key is no id cannot be told."""
    if not KEY.fullmatch(key):
        told = f"the key {key!r} can only be read: verbs travel under ids of {KEY.pattern}"
        raise NotUnderstood(f"{told}; publish the record anew under a valid key")


def _verb(service: str, key: str, order: LetterOrder) -> OperatorVerb:
    return OperatorVerb(
        business_key=key,
        saga_id=key,
        verb=order.verb.value,
        step=None,
        actor=order.actor,
        reason=order.reason,
        version_seen=None,
        requested_at=datetime.now(UTC),
        service=service,
        record=order.record,
        force=order.force,
    )


def _id(name: str) -> str:
    return f"console/{name}"
