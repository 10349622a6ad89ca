"""What `/learn` does to a running company: places the orders that show things, and breaks things.

Only where `baton up` runs with its sandboxes on this machine: an order of a lesson must never
reach a real payment provider. Each lesson is an order with a test value of the sandboxes; a switch
is the supervisor's stop and start of a process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol, TypeAlias

from orchestrator.operate.machine import RUNNING, Machine
from schemas.common import Item, Line
from schemas.inventory import GoodsReceived
from schemas.orders import OrderPlaced
from services.chassis.clock import Clock

SKU: Final = "lesson"
SANDBOXES: Final = frozenset({"payment", "carrier"})
DELIVERY_FIRST_S: Final = 1.0
CRASH_AFTER_S: Final = 1.0
Pause: TypeAlias = Callable[[float], Awaitable[None]]


class NoLessons(Exception):
    """Why nothing is placed or broken here, and what to type."""


class Says(Protocol):
    """`Telling` is one; raises BusError."""

    async def say(self, event: object, event_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Lesson:
    """`twice`: the order is published twice under one id. `crash`: who is killed meanwhile."""

    name: str
    title: str
    before: str
    watch: str
    payment_method: str = "tok_ok"
    country: str = "France"
    twice: bool = False
    crash: str = ""


LESSONS: Final = (
    Lesson(
        "happy",
        "An order that goes well",
        "The orchestrator asks one service after the other: reserve the goods, hold the money,"
        " book a parcel, take the money, hand the parcel over.",
        "Five commands, five replies, and at the end one outcome: OrderFulfilled.",
    ),
    Lesson(
        "refused",
        "A refusal, and everything is taken back",
        "The carrier does not serve this country. By then goods are reserved and money is held.",
        "After ShipmentRefused the saga turns round: VoidPayment, ReleaseStock, and the one"
        " outcome OrderCancelled. What was done is undone, in the opposite order.",
        country="EIRE",
    ),
    Lesson(
        "silent",
        "Nobody answers",
        "The payment provider holds the money, but its answer is lost.",
        "Silence is neither yes nor no. Billing asks again under the same idempotency key, so"
        " that the money is held once, and the order goes on.",
        payment_method="tok_silent_once",
    ),
    Lesson(
        "twice",
        "The same order twice",
        "The shop publishes its order two times, as happens after a lost acknowledgement.",
        "One saga, one parcel, one payment: the second OrderPlaced is known by its id. The topic"
        " has both, and the orchestrator counts a duplicate.",
        twice=True,
    ),
    Lesson(
        "crash",
        "A crash in the middle",
        "The payment provider takes two seconds, and within them the orchestrator is killed.",
        "The reply waits in Kafka until the orchestrator is back, some seconds: it finds state,"
        " position, timers and unsent commands as they were committed together, and goes on."
        " Nothing is lost and nothing happens twice.",
        payment_method="tok_slow",
        crash="orchestrator",
    ),
)


@dataclass(frozen=True, slots=True)
class Switch:
    """A process that may be switched off, what then happens, and whether it is off now."""

    process: str
    effect: str
    off: bool


SWITCHES: Final[Mapping[str, str]] = {
    "payment": "the payment provider is unreachable: billing asks again until it is back, and an"
    " order that waited two minutes is turned back",
    "carrier": "the carrier is unreachable: shipping asks again until it is back, and an order that"
    " waited two minutes is turned back",
    "billing": "commands wait in Kafka; after two minutes without a reply an order is stuck,"
    " no reply. Nobody is turned back for what billing never read: once it is back, all go on",
    "shipping": "commands wait in Kafka, and orders whose money is held wait with them, as for"
    " billing; after two minutes they are stuck, no reply",
    "orchestrator": "nobody decides: events wait in Kafka and no order goes on",
}


class Lessons:
    def __init__(
        self, says: Says, machine: Machine, clock: Clock, pause: Pause = asyncio.sleep
    ) -> None:
        self._says, self._machine, self._clock, self._pause = says, machine, clock, pause

    def unavailable(self) -> str:
        """Why there are none here; empty where there are."""
        states = self._machine.states()
        if states is None:
            return "Lessons place orders and stop processes, so they run only under `baton up`."
        if SANDBOXES - states.keys():
            return "Lessons need the sandboxes of payment provider and carrier, and none runs here."
        return ""

    def switches(self) -> tuple[Switch, ...]:
        states = self._machine.states() or {}
        return tuple(
            Switch(name, effect, states[name] not in RUNNING)
            for name, effect in SWITCHES.items()
            if name in states
        )

    async def play(self, lesson: Lesson, order_id: str) -> None:
        """Places the order of that lesson. Raises NoLessons, BusError, LocalFault."""
        self._must_be_available()
        at = datetime.fromtimestamp(self._clock.now_us() / 1_000_000, UTC)
        delivered = GoodsReceived(f"{order_id}-delivery", (Item(SKU, 1),), at)
        await self._says.say(delivered, f"{order_id}/delivery")
        # Two topics have no order between them: let the goods arrive before they are asked for.
        await self._pause(DELIVERY_FIRST_S)
        line = Line(SKU, 1, 4_200)
        placed = OrderPlaced(
            order_id, None, "GBP", (line,), lesson.country, at, (), lesson.payment_method
        )
        for _ in range(2 if lesson.twice else 1):
            await self._says.say(placed, f"{order_id}/placed")
        if lesson.crash:
            await self._pause(CRASH_AFTER_S)
            await self._machine.ask("kill", lesson.crash)

    async def turn(self, process: str, *, off: bool) -> None:
        """Of SWITCHES. Raises NoLessons, and LocalFault when the supervisor cannot."""
        self._must_be_available()
        await self._machine.ask("stop" if off else "start", process)

    def _must_be_available(self) -> None:
        if why := self.unavailable():
            raise NoLessons(why)
