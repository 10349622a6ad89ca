"""Operators' verbs on their way: published on their topic, then waited for where they are taken.

A verb is an id, so telling the same twice is telling it once. It expires, so that one which waited
for an outage to end does not surprise anybody. Kafka unreachable: nothing is queued here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from orchestrator.operate.surfaces import Json
from schemas.orchestrator import OperatorVerb
from services.chassis.bus import BusError
from services.chassis.clock import Clock
from services.chassis.envelope import Cause, Maker, timestamp
from services.chassis.messages import Outgoing
from services.chassis.parked import Result

EXPIRES_US: Final = 300_000_000
WAIT_S: Final = 2.0
TOLD_WITHIN_S: Final = 6.0  # whoever waits behind others that Kafka does not answer, too
_LOOK_S = 0.05
SOURCE = "console"


class Publishes(Protocol):
    """`services.chassis.bus_publish.Publisher` is one; raises BusError."""

    @property
    def alive(self) -> bool: ...
    async def rebuild(self) -> None: ...
    async def publish(self, messages: Sequence[Outgoing]) -> None: ...


class Telling:
    def __init__(self, publisher: Publishes, maker: Maker, clock: Clock) -> None:
        self._publisher, self._maker, self._clock = publisher, maker, clock
        self._turn = asyncio.Lock()

    async def tell(self, verb: OperatorVerb, verb_id: str) -> None:
        """Returns when the broker has it; raises BusError where it has not."""
        await self.tell_many([(verb, verb_id)])

    async def tell_many(self, verbs: Sequence[tuple[OperatorVerb, str]]) -> None:
        """As `tell`, all at once; after a BusError some may be told, and may be told again."""
        now_us = self._clock.now_us()
        await self._publish([self._made(verb, verb_id, now_us) for verb, verb_id in verbs])

    async def say(self, event: object, event_id: str) -> None:
        """An event, as any publisher outside would tell it. Raises BusError."""
        await self._publish([self._maker.event(event, event_id, self._clock.now_us(), Cause())])

    async def _publish(self, out: Sequence[Outgoing]) -> None:
        try:
            async with asyncio.timeout(TOLD_WITHIN_S), self._turn:
                if not self._publisher.alive:
                    await self._publisher.rebuild()
                await self._publisher.publish(out)
        except TimeoutError as fault:
            raise BusError(f"Kafka did not take it within {TOLD_WITHIN_S:.0f} s") from fault

    def _made(self, verb: OperatorVerb, verb_id: str, now_us: int) -> Outgoing:
        made = self._maker.event(verb, verb_id, now_us, Cause())
        expiry = ("ce_expirytime", timestamp(now_us + EXPIRES_US).encode())
        return made._replace(headers=(*made.headers, expiry), packed=b"")

    async def result(self, ask: Callable[[], Awaitable[Json | None]]) -> Json | None:
        """What became of a verb by then; None: it was not taken yet."""
        until_s = self._clock.monotonic_s() + WAIT_S
        while True:
            told = await ask()
            if told is not None and told["result"] != Result.GOING_ON:
                return told
            if self._clock.monotonic_s() >= until_s:
                return told
            await asyncio.sleep(_LOOK_S)
