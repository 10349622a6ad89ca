"""An orchestrator without Kafka: the real shell and its real database, fed by hand.

Every record goes through admission and the one transaction, as in production; only the broker is
left out, and time is moved by hand. `sent` keeps what the outbox would publish.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.engine.shell import Shell
from orchestrator.engine.store import MIGRATIONS
from orchestrator.saga import Saga
from orchestrator.sagas import SAGAS
from schemas.billing import (
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
)
from schemas.catalogue import load_catalogue
from schemas.common import Line, Money
from schemas.inventory import StockReleased, StockReserved
from schemas.orchestrator import OperatorVerb
from schemas.orders import OrderCancellationRequested, OrderPlaced
from schemas.shipping import ShipmentBooked, ShipmentDispatched
from schemas.topics import reply_topic, topics_read_by
from services.chassis import postgres, sqlite
from services.chassis.admission import Admission
from services.chassis.codec import Codec
from services.chassis.envelope import Cause, Maker
from services.chassis.items import arrival
from services.chassis.messages import Outgoing, Record, TopicPartition
from services.chassis.store import Plan, Store, Write
from services.chassis.transaction import SQL, Batch, Setting, Tick, Transaction

CATALOGUE = load_catalogue()
CODEC = Codec(CATALOGUE)
T0 = 1_764_000_000_000_000
SECOND = 1_000_000
AMOUNT = Money(4200, "GBP")


def place(key: str) -> int:
    del key
    return 0


class Orchestra:
    def __init__(self, store: Store, sagas: Sequence[Saga[object]]) -> None:
        self.store = store
        self.now_us = T0
        self.sent: list[Outgoing] = []
        self._shell = Shell(sagas, Maker("orchestrator", CODEC, CATALOGUE))
        admission = Admission(CODEC, CATALOGUE, topics_read_by("orchestrator"))
        self._setting = Setting(place, admission, "orchestrator")
        self._next: dict[str, int] = {}

    def wait(self, seconds: float) -> None:
        self.now_us += round(seconds * SECOND)

    async def begin(self) -> None:
        await self.store.run(_begin)

    async def place_order(self, order_id: str, *, country: str = "UK", minor: int = 4200) -> None:
        placed_at = datetime.fromtimestamp(self.now_us / SECOND, UTC)
        line = Line("sku-1", 1, minor)
        placed = OrderPlaced(order_id, None, "GBP", (line,), country, placed_at)
        maker = Maker("shop", CODEC, CATALOGUE)
        await self.hear(maker.event(placed, f"{order_id}/placed", self.now_us, Cause()))

    async def ask_cancellation(
        self, order_id: str, request_id: str, reason: str = "changed my mind"
    ) -> None:
        asked_at = datetime.fromtimestamp(self.now_us / SECOND, UTC)
        event = OrderCancellationRequested(order_id, request_id, reason, asked_at)
        maker = Maker("shop", CODEC, CATALOGUE)
        await self.hear(maker.event(event, request_id, self.now_us, Cause()))

    async def tell(self, verb: OperatorVerb, message_id: str) -> None:
        maker = Maker("console", CODEC, CATALOGUE)
        await self.hear(maker.event(verb, message_id, self.now_us, Cause()))

    async def reply(self, order_id: str, command: str, body: object) -> None:
        """`command`: <step>/<do or undo>, of the fulfilment of that order."""
        contract = CATALOGUE.by_type[type(body)]
        saga_id = f"fulfilment:{order_id}"
        step = command.partition("/")[0]
        links = Cause(saga_id, f"{saga_id}/{command}", f"{saga_id}/{step}")
        made = Maker(contract.owner, CODEC, CATALOGUE).message(
            reply_topic(contract.owner),
            order_id,
            body,
            f"{saga_id}/{command}/reply",
            self.now_us,
            links,
        )
        await self.hear(made)

    async def reserve(self, order_id: str) -> None:
        await self.reply(order_id, "stock/do", StockReserved(order_id))

    async def authorise(self, order_id: str) -> None:
        await self.reserve(order_id)
        await self.reply(order_id, "payment/do", PaymentAuthorised(order_id, "a-1", AMOUNT))

    async def book(self, order_id: str) -> None:
        await self.authorise(order_id)
        await self.reply(order_id, "shipment/do", ShipmentBooked(order_id, "t-1"))

    async def complete(self, order_id: str) -> None:
        await self.place_order(order_id)
        await self.book(order_id)
        await self.reply(order_id, "capture/do", PaymentCaptured(order_id, "a-1", AMOUNT))
        await self.reply(order_id, "dispatch/do", ShipmentDispatched(order_id, "t-1"))

    async def decline(self, order_id: str) -> None:
        """Stock is reserved, payment declined; the stock's release is on its way."""
        await self.place_order(order_id)
        await self.reserve(order_id)
        await self.reply(order_id, "payment/do", PaymentDeclined(order_id, "insufficient_funds"))

    async def cancel(self, order_id: str) -> None:
        await self.decline(order_id)
        await self.reply(order_id, "stock/undo", StockReleased(order_id))

    async def void(self, order_id: str) -> None:
        await self.reply(order_id, "payment/undo", PaymentVoided(order_id, AMOUNT))

    async def hear(self, message: Outgoing) -> None:
        await self.hear_bytes(message.topic, message.key, message.value, message.headers)

    async def hear_bytes(
        self, topic: str, key: str, value: bytes, headers: tuple[tuple[str, bytes], ...]
    ) -> None:
        offset = self._next.get(topic, 0)
        self._next[topic] = offset + 1
        record = Record(topic, 0, offset, self.now_us // 1000, key.encode(), value, headers)
        verdict = self._setting.admission.admit(record)
        advances = {TopicPartition(topic, 0): (offset, offset + 1)}
        await self._commit(Batch(self.now_us, [arrival(record, verdict)], advances))

    async def fire(self) -> None:
        """The timers that are due by now."""
        await self._commit(Batch(self.now_us, [], {}, ticks=[Tick(0, self.now_us)]))

    async def put_off(self, topic: str) -> None:
        """What `Timers` does while the reader of a command topic is away: its time stands still."""
        row = (self.now_us, 0, topic, self.now_us)
        await self.store.run(lambda: _write("timers.grant_awaiting", row))

    async def _commit(self, batch: Batch) -> None:
        applied = await self.store.run(
            lambda: Transaction(batch, self._shell, self._setting).plan()
        )
        published = [seq for seq, _ in applied.out]
        self.sent += [out for _, out in applied.out]
        if published:
            sent = Batch(self.now_us, sent=published)
            await self.store.run(lambda: Transaction(sent, self._shell, self._setting).plan())


def _write(name: str, row: tuple[int | str, ...]) -> Plan[None]:
    yield Write(SQL[name], [row])


def _begin() -> Plan[None]:
    topics = topics_read_by("orchestrator")
    yield Write(SQL["offsets.begin"], [(topic.name, 0, 0) for topic in topics])


@asynccontextmanager
async def orchestra(
    place: Path | str, sagas: Sequence[Saga[object]] = SAGAS
) -> AsyncIterator[Orchestra]:
    """On a file, or on the PostgreSQL database of a URL."""
    own = {"orchestrator": MIGRATIONS}
    opened: AbstractAsyncContextManager[Store] = (
        sqlite.open_store(place, own, durable=False)
        if isinstance(place, Path)
        else postgres.open_store(place, own)
    )
    async with opened as store:
        playing = Orchestra(store, sagas)
        await playing.begin()
        yield playing
