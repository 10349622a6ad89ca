"""Load from outside: publishes orders, follows outcomes, and knows how long each took.

Everything goes through Kafka as an outside publisher's would; ids are random and of our own
making, so that no index is favoured. Every tenth order goes where the carrier refuses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from schemas.catalogue import load_catalogue
from schemas.common import Item, Line
from schemas.inventory import GoodsReceived
from schemas.orders import OrderPlaced
from services.chassis.bus_admin import Tail
from services.chassis.bus_publish import Publisher
from services.chassis.codec import Codec
from services.chassis.envelope import Cause, Maker
from services.chassis.ids import new_id
from services.chassis.messages import Outgoing

ORDERS = "orders.order.events.v1"
OUTCOMES = "orders.order.outcomes.v1"
PRODUCTS = 500
UNITS = 100_000_000
_TOP_UP_S = 0.005
_WARM_UP_SLICE_S, _WARM_UP_MAX_S = 0.25, 20.0


@dataclass(slots=True)
class Load:
    """`took_s` gathers the time of each saga from publishing to its outcome being read."""

    publisher: Publisher
    maker: Maker
    flying: dict[str, float] = field(default_factory=dict)
    took_s: list[float] = field(default_factory=list)
    landed: asyncio.Event = field(default_factory=asyncio.Event)
    outcomes: int = 0
    made: int = 0

    def order(self) -> Outgoing:
        self.made += 1
        number, order_id = self.made, new_id()
        lines = (
            Line(f"sku-{number % PRODUCTS}", 1, 1250),
            Line(f"sku-{(number * 7 + 1) % PRODUCTS}", 2, 300),
        )
        country = "EIRE" if number % 10 == 0 else "United Kingdom"
        body = OrderPlaced(order_id, f"c-{number % 997}", "GBP", lines, country, datetime.now(UTC))
        return self.maker.event(body, f"{order_id}/placed", time.time_ns() // 1000, Cause())

    async def send(self, n: int) -> None:
        orders = [self.order() for _ in range(n)]
        now_s = time.perf_counter()
        self.flying.update((order.key, now_s) for order in orders)
        await self.publisher.publish(orders)

    async def stock(self) -> None:
        for first in range(0, PRODUCTS, 100):
            items = tuple(Item(f"sku-{n}", UNITS) for n in range(first, first + 100))
            delivery = GoodsReceived(new_id(), items, datetime.now(UTC))
            made = self.maker.event(delivery, new_id(), time.time_ns() // 1000, Cause())
            await self.publisher.publish([made])

    async def follow(self, tail: Tail) -> None:
        async for record in tail.records():
            began_s = self.flying.pop((record.key or b"").decode(), None)
            if began_s is not None:
                self.took_s.append(time.perf_counter() - began_s)
                self.outcomes += 1
                if not self.flying:
                    self.landed.set()

    async def closed_loop(self, in_flight: int, seconds: float) -> Measured:
        """As many as `in_flight` at any time; measuring begins when as many have come back."""
        await self.settle()
        enough, end_s = self.outcomes + in_flight, time.perf_counter() + _WARM_UP_MAX_S
        while self.outcomes < enough and time.perf_counter() < end_s:
            await self._fill(in_flight, _WARM_UP_SLICE_S)
        self.took_s.clear()
        before, began_s = self.outcomes, time.perf_counter()
        await self._fill(in_flight, seconds)
        elapsed_s = time.perf_counter() - began_s
        return Measured((self.outcomes - before) / elapsed_s, sorted(self.took_s))

    async def open_loop(self, rate: int, seconds: float, warm_up_s: float = 5.0) -> Measured:
        """`rate` a second, whatever comes back."""
        await self.settle()
        await self._paced(rate, warm_up_s)
        self.took_s.clear()
        await self._paced(rate, seconds)
        await self.settle()
        return Measured(rate, sorted(self.took_s))

    async def _fill(self, in_flight: int, seconds: float) -> None:
        end_s = time.perf_counter() + seconds
        while time.perf_counter() < end_s:
            room = in_flight - len(self.flying)
            if room > 0:
                await self.send(room)
            await asyncio.sleep(_TOP_UP_S)

    async def _paced(self, rate: int, seconds: float) -> None:
        began_s = time.perf_counter()
        for n in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began_s + n / rate - time.perf_counter()))
            await self.send(1)

    async def settle(self, within_s: float = 60.0) -> None:
        """Until every order has its outcome."""
        self.landed.clear()
        if self.flying:
            async with asyncio.timeout(within_s):
                await self.landed.wait()


@dataclass(frozen=True, slots=True)
class Measured:
    per_s: float
    took_s: list[float]

    def at_ms(self, share: float) -> float:
        """The time that this share of the sagas took at the most, in milliseconds."""
        if not self.took_s:
            return float("nan")
        return 1000 * self.took_s[min(len(self.took_s) - 1, int(share * len(self.took_s)))]


@asynccontextmanager
async def loading(bootstrap: str) -> AsyncIterator[Load]:
    catalogue = load_catalogue()
    publisher = Publisher(bootstrap, client_id="bench")
    await publisher.start([ORDERS])
    load = Load(publisher, Maker("bench", Codec(catalogue), catalogue))
    async with Tail(bootstrap, [OUTCOMES]) as tail:
        following = asyncio.create_task(load.follow(tail))
        try:
            yield load
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await publisher.close()
