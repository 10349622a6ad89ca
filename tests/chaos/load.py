"""Orders at a steady rate, of every kind that ends in its own way, whatever happens to Kafka.

An outside publisher: it knows nothing of Baton. A record that was not acknowledged is sent again
under the same id, so what is in `orders` has been accepted and must end once, as its kind does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from random import Random
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.common import Line
from schemas.orders import OrderCancellationRequested, OrderPlaced
from tests.integration.books import REFUSED_BY_CARRIER, SOLD_OUT, order, phases, placed
from tests.integration.running_company import Company, Sent, message

EITHER: Final = "either"
KINDS: Final[Mapping[str, tuple[str, dict[str, object]]]] = {
    "plain": ("completed", {}),
    "declined": ("compensated", {"payment_method": "tok_declined"}),
    "again": ("completed", {}),
    "sold_out": ("compensated", {"lines": (Line(SOLD_OUT, 1, 500), Line("cup", 1, 1000))}),
    "slow_bank": ("completed", {"payment_method": "tok_slow"}),
    "not_carried": ("compensated", {"country": REFUSED_BY_CARRIER}),
    "failing_bank": ("completed", {"payment_method": "tok_error"}),
    "cancelled": (EITHER, {}),
    "not_captured": ("compensated", {"payment_method": "tok_capture_refused"}),
    "more": ("completed", {}),
}
CANCELLED_WITHIN_S: Final = 3.0
AGAIN_S: Final = 1.0
SEND_WITHIN_S: Final = 20.0


@dataclass
class Load:
    """`orders` are those that Kafka has acknowledged, `kinds` how each of them was meant."""

    company: Company
    random: Random
    prefix: str
    orders: list[OrderPlaced] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)
    _producer: AIOKafkaProducer | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def running(self, per_s: float) -> AsyncIterator[None]:
        """Ends with everything that was begun acknowledged."""
        stopped = asyncio.Event()
        task = asyncio.create_task(self._run(per_s, stopped))
        try:
            yield
            stopped.set()
            await task
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self._let_go()

    def wrongly_ended(self) -> list[str]:
        """Orders that did not end as their kind must, as `order (kind): phase`."""
        found = phases(self.company)
        return [
            f"{key} ({kind}): {found.get(key)}"
            for key, kind in self.kinds.items()
            if found.get(key) not in _ends(kind)
        ]

    def seen(self) -> Counter[str]:
        return Counter(self.kinds.values())

    async def _run(self, per_s: float, stopped: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for at in self._numbers:
                kind = list(KINDS)[at % len(KINDS)]
                group.create_task(self._one(order_of(self.prefix, at, kind), kind))
                if await set_within(stopped, 1 / per_s):
                    return

    async def _one(self, placing: OrderPlaced, kind: str) -> None:
        await self._send(placed(placing)[0])
        self.orders.append(placing)
        self.kinds[placing.order_id] = kind
        if kind == "cancelled":
            await set_within(asyncio.Event(), self.random.uniform(0, CANCELLED_WITHIN_S))
            await self._send(cancelling(placing.order_id))

    async def _send(self, record: Sent) -> None:
        """Until it is acknowledged; after a fault with a new producer."""
        while True:
            try:
                async with asyncio.timeout(SEND_WITHIN_S):
                    producer = await self._connected()
                    await producer.send_and_wait(
                        record.topic, record.value, record.key, headers=list(record.headers)
                    )
            except (KafkaError, TimeoutError):
                await self._let_go()
                await set_within(asyncio.Event(), AGAIN_S)
            else:
                return

    async def _connected(self) -> AIOKafkaProducer:
        async with self._turn:
            if self._producer is None:
                producer = AIOKafkaProducer(bootstrap_servers=self.company.kafka, acks="all")
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    async def _let_go(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await asyncio.gather(
                asyncio.wait_for(producer.stop(), SEND_WITHIN_S), return_exceptions=True
            )


def order_of(prefix: str, at: int, kind: str) -> OrderPlaced:
    return order(f"{prefix}-{at}", customer_id=f"{prefix}-c{at % 7}", **KINDS[kind][1])


def cancelling(order_id: str) -> Sent:
    body = OrderCancellationRequested(order_id, f"{order_id}-c", "changed_mind", datetime.now(UTC))
    return message(body, f"{order_id}/cancel")


def _ends(kind: str) -> tuple[str, ...]:
    how = KINDS[kind][0]
    return ("completed", "compensated") if how == EITHER else (how,)


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
