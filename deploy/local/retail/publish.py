"""Publishes an import straight to the topics, as any outside publisher would.

The opening stock goes first, and nothing else before the caller says that it was taken in: there
is no order between topics. Then the orders in the order they were placed, each customer's
registration just before the first of theirs. Everything is made before anything is sent.
Invariant: ids and bodies come from `messages`, so a broken import is mended by running it again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from deploy.local.retail.messages import (
    SOURCE,
    customer_registered,
    goods_received,
    id_of,
    order_placed,
)
from deploy.local.retail.orders import Order
from deploy.local.retail.stock import deliveries, opening_stock
from schemas.catalogue import Catalogue
from schemas.customers import CustomerRegistered
from schemas.inventory import GoodsReceived
from schemas.orders import OrderPlaced
from services.chassis.bus import BrokerSilent, BusError, ClientLost
from services.chassis.codec import Codec
from services.chassis.envelope import Cause, Maker
from services.chassis.messages import Outgoing

TOGETHER_MAX = 200
"""Orders in one call to Kafka."""

_RETRY_AFTER_S = (0.5, 1.0, 2.0, 5.0, 10.0)


class Sender(Protocol):
    """What is needed of the chassis's publisher."""

    async def publish(self, messages: Sequence[Outgoing]) -> None: ...

    async def rebuild(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Clock:
    """`wall_us` stamps messages, `monotonic_s` and `sleep` keep the pace."""

    wall_us: Callable[[], int] = lambda: time.time_ns() // 1000
    monotonic_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is said together for one order: a registration, perhaps, and the order."""

    placed_at: datetime
    messages: tuple[Outgoing, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that one import will publish, already made."""

    orders: tuple[Order, ...]
    stock: tuple[Outgoing, ...]
    announcements: tuple[Announcement, ...]
    stock_units: int
    products: int
    customers: int


@dataclass(frozen=True, slots=True)
class Pace:
    """At most `rate` orders a second; `speed` replays the shop's own times, that much faster.

    Both None: as fast as Kafka takes them.
    """

    rate: float | None = None
    speed: float | None = None

    def due_s(self, index: int, since_first_s: float) -> float:
        """When order `index` may go out, in seconds after the first."""
        by_rate = index / self.rate if self.rate else 0.0
        by_speed = since_first_s / self.speed if self.speed else 0.0
        return max(by_rate, by_speed)


@dataclass(frozen=True, slots=True)
class Progress:
    """`stage` is stock, waiting or orders; `done` of `total` messages or orders."""

    stage: str
    done: int
    total: int


def plan(orders: Sequence[Order], catalogue: Catalogue, clock: Clock | None = None) -> Plan:
    """Makes every message of an import; sends nothing."""
    maker = Maker(SOURCE, Codec(catalogue), catalogue)
    made_at_us = (clock or Clock()).wall_us()

    def make(body: OrderPlaced | CustomerRegistered | GoodsReceived, flow: str) -> Outgoing:
        return maker.event(body, id_of(body), made_at_us, Cause(correlation_id=flow))

    stock = opening_stock(orders)
    known: set[str] = set()
    announcements = []
    for order in orders:
        said = [make(order_placed(order), order.order_id)]
        customer_id = order.customer_id
        if customer_id is not None and customer_id not in known:
            known.add(customer_id)
            said.insert(0, make(customer_registered(customer_id, order), customer_id))
        announcements.append(Announcement(order.placed_at, tuple(said)))
    return Plan(
        orders=tuple(orders),
        stock=tuple(
            make(goods_received(each, orders[0].placed_at), each.delivery_id)
            for each in deliveries(stock)
        ),
        announcements=tuple(announcements),
        stock_units=sum(stock.values()),
        products=len(stock),
        customers=len(known),
    )


async def publish(
    planned: Plan,
    sender: Sender,
    *,
    pace: Pace,
    await_stock: Callable[[], Awaitable[None]],
    progress: Callable[[Progress], None],
    clock: Clock | None = None,
) -> None:
    """1. The opening stock. 2. `await_stock`, until inventory has it. 3. The orders, paced.

    A silent broker is asked again for some seconds; then BusError, and running it all again is
    safe.
    """
    clock = clock or Clock()
    await _send(sender, planned.stock, clock)
    progress(Progress("stock", len(planned.stock), len(planned.stock)))
    progress(Progress("waiting", 0, 1))
    await await_stock()
    progress(Progress("waiting", 1, 1))
    await _announce(planned.announcements, sender, pace, progress, clock)


async def _announce(
    announcements: Sequence[Announcement],
    sender: Sender,
    pace: Pace,
    progress: Callable[[Progress], None],
    clock: Clock,
) -> None:
    started_s, done = clock.monotonic_s(), 0
    while done < len(announcements):
        elapsed_s = clock.monotonic_s() - started_s
        due = _due(announcements, done, pace, elapsed_s)
        if due == done:
            await clock.sleep(_due_s(announcements, done, pace) - elapsed_s)
            continue
        together = [message for each in announcements[done:due] for message in each.messages]
        await _send(sender, together, clock)
        done = due
        progress(Progress("orders", done, len(announcements)))


def _due(announcements: Sequence[Announcement], done: int, pace: Pace, elapsed_s: float) -> int:
    """How many may be out by now, a bounded number more than are."""
    upto = done
    while (
        upto < min(len(announcements), done + TOGETHER_MAX)
        and _due_s(announcements, upto, pace) <= elapsed_s
    ):
        upto += 1
    return upto


def _due_s(announcements: Sequence[Announcement], index: int, pace: Pace) -> float:
    since_first = announcements[index].placed_at - announcements[0].placed_at
    return pace.due_s(index, since_first.total_seconds())


async def _send(sender: Sender, messages: Sequence[Outgoing], clock: Clock) -> None:
    """Again and again under the same ids while Kafka is away; what did arrive is a duplicate."""
    for wait_s in _RETRY_AFTER_S:
        try:
            return await sender.publish(messages)
        except (BrokerSilent, ClientLost):
            await clock.sleep(wait_s)
            with suppress(BusError):
                await sender.rebuild()
    return await sender.publish(messages)
