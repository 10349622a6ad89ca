"""The whole company in memory under faults: whatever happens, the books agree in the end.

Processes die before and after any commit, publish part of their outbox or publish it twice, the
outside world's answers are lost, records come twice and in any order between partitions. Then the
faults stop, time passes, and every order has one outcome that all three sets of books tell.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime

import pytest
from company import (
    CATALOGUE,
    CODEC,
    NOW_US,
    DirectStore,
    HandClock,
    Kafka,
    Killed,
    Member,
)

from orchestrator.engine.shell import Shell
from orchestrator.engine.store import MIGRATIONS
from orchestrator.sagas.fulfilment import FULFILMENT
from schemas.billing import (
    AuthorisePayment,
    CapturePayment,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
    VoidPayment,
)
from schemas.common import Item, Line
from schemas.inventory import GoodsReceived
from schemas.orders import OrderPlaced
from schemas.shipping import (
    BookShipment,
    CancelShipment,
    DispatchShipment,
    ShipmentBooked,
    ShipmentCancelled,
    ShipmentDispatched,
    ShipmentRefused,
)
from services.chassis.envelope import Cause, Maker
from services.chassis.handlers import Call, Handler, Result, answers, asks, done, refused
from services.chassis.items import Begun, Returned
from services.chassis.participant import Participant
from services.chassis.reading import _calling
from services.inventory.handlers import HANDLERS as INVENTORY
from services.inventory.store import MIGRATIONS as SHELVES
from services.inventory.store import TABLES as INVENTORY_TABLES

SHOP = Maker("shop", CODEC, CATALOGUE)
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


async def never(gateway: object, call: Call, key: str) -> Result:
    raise AssertionError((gateway, call, key))


def _call(command: AuthorisePayment | VoidPayment | CapturePayment) -> Call:
    return Call(type(command).__name__, {"order_id": command.order_id})


def _authorised(command: AuthorisePayment, result: Result) -> object:
    if result["refused"]:
        return refused(PaymentDeclined(command.order_id, "insufficient_funds"))
    return done(PaymentAuthorised(command.order_id, "n", command.amount))


BILLING = (
    asks(AuthorisePayment, ask=_call, call=never, record=_authorised),
    asks(
        VoidPayment,
        ask=_call,
        call=never,
        record=lambda cmd, result: done(
            PaymentVoided(cmd.order_id, cmd.amount), *()[: len(result)]
        ),
        undoes=AuthorisePayment,
    ),
    asks(
        CapturePayment,
        ask=_call,
        call=never,
        record=lambda cmd, result: done(
            PaymentCaptured(cmd.order_id, cmd.authorisation_id, cmd.amount), *()[: len(result)]
        ),
    ),
)
SHIPPING = (
    answers(
        BookShipment,
        lambda cmd: (
            refused(ShipmentRefused(cmd.order_id, "country_not_served"))
            if cmd.country == "EIRE"
            else done(ShipmentBooked(cmd.order_id, "t"))
        ),
    ),
    answers(CancelShipment, lambda cmd: done(ShipmentCancelled(cmd.order_id)), undoes=BookShipment),
    answers(
        DispatchShipment,
        lambda cmd: done(
            ShipmentDispatched(cmd.order_id, "t"), emits=(ShipmentDispatched(cmd.order_id, "t"),)
        ),
    ),
)


class Provider:
    """The outside world: effects by idempotency key, so that calling again changes nothing."""

    def __init__(self) -> None:
        self.effects: dict[str, tuple[str, str]] = {}
        self.results: dict[str, Result] = {}

    def call(self, begun: Begun) -> Result:
        key, order = begun.idempotency_key, begun.key
        if key not in self.results:
            no = begun.call.name == "AuthorisePayment" and order.endswith("no")
            if not no:
                self.effects[key] = (order, begun.call.name)
            self.results[key] = {"refused": no}
        return self.results[key]


class Company:
    def __init__(self, seed: int, orders: int = 12) -> None:
        self.random = random.Random(seed)
        self.kafka, self.clock, self.provider = Kafka(3), HandClock(), Provider()
        self.calls: list[Begun] = []
        shell = Shell([FULFILMENT], Maker("orchestrator", CODEC, CATALOGUE))  # type: ignore[list-item]
        self.orchestrator = self.member("orchestrator", shell, {"orchestrator": MIGRATIONS})
        self.billing = self.participant("billing", BILLING)
        self.members = [
            self.orchestrator,
            self.billing,
            self.participant("shipping", SHIPPING),
            self.participant("inventory", INVENTORY),
        ]
        goods = GoodsReceived("d-1", (Item("s", 60),), WHEN)
        self.kafka.publish(SHOP.event(goods, "d-1", NOW_US, Cause()))
        self.members[3].consume()
        kinds = ("UK", "EIRE", "no", "UK")
        self.orders = [f"o{each}{kinds[each % 4].lower()}" for each in range(orders)]
        for each in self.orders:
            country = "EIRE" if each.endswith("eire") else "UK"
            placed = OrderPlaced(each, "c", "GBP", (Line("s", 4, 5),), country, WHEN)
            self.kafka.publish(SHOP.event(placed, f"{each}/placed", NOW_US, Cause()))

    def member(
        self, name: str, application: object, migrations: dict[str, object]
    ) -> Member[object]:
        store = DirectStore(migrations=migrations)  # type: ignore[arg-type]
        return Member(name, application, self.kafka, self.clock, store)  # type: ignore[arg-type]

    def participant(self, name: str, handlers: tuple[Handler, ...]) -> Member[object]:
        mine = name == "inventory"
        maker = Maker(name, CODEC, CATALOGUE)
        tables = INVENTORY_TABLES if mine else ()
        application = Participant(maker, self.kafka.place, handlers, tables)
        return self.member(name, application, {name: SHELVES} if mine else {})

    def step(self) -> None:
        roll = self.random
        member = roll.choice(self.members)
        if roll.random() < 0.1:
            member.store.kill = roll.choice(["before", "after"])
        ways = (self.consume, self.consume, self.relay, self.relay, self.outside, self.tick)
        try:
            roll.choice(ways)(member, faulty=True)
        except Killed:
            self.restart()
        member.store.kill = ""

    def restart(self) -> None:
        """Whoever died begins again; to the others it makes no difference."""
        for member in self.members:
            member.store.kill = ""
            member.start()
        places = list(range(self.kafka.partitions))
        self.calls = self.billing.store.drive(lambda: _calling(places, CODEC.decode))

    def consume(self, member: Member[object], *, faulty: bool) -> None:
        places = list(member.next)
        self.random.shuffle(places)
        chosen = places if not faulty else places[: self.random.randint(1, len(places))]
        records = []
        for place in chosen:
            at = member.next[place]
            limit = self.random.randint(1, 5) if faulty else 1000
            records += self.kafka.logs.get(place, [])[at : at + limit]
        applied = member.take(*records)
        assert applied.errors == []
        self.calls += applied.calls

    def relay(self, member: Member[object], *, faulty: bool) -> None:
        """Some of the outbox, perhaps without writing down that it was sent; perhaps lost."""
        if not faulty:
            member.relay()
            return
        count = self.random.randint(0, len(member.unsent))
        for _, out in member.unsent[:count]:
            for _ in range(self.random.choice([0, 1, 1, 1, 1, 2])):  # the log may lose, or double
                self.kafka.publish(out)
        numbers = [seq for seq, _ in member.unsent[:count]]
        if self.random.random() < 0.8:
            member.unsent = member.unsent[count:]
            batch = member.batch()
            batch.sent = numbers
            member.apply(batch)

    def outside(self, member: Member[object], *, faulty: bool) -> None:
        del member
        if not self.calls:
            return
        begun = self.random.choice(self.calls)
        result = self.provider.call(begun)
        if faulty and self.random.random() < 0.3:
            return  # unknown: it was done, and nobody heard
        self.calls.remove(begun)
        applied = self.billing.give(Returned(begun, result))
        assert applied.errors == []
        self.calls += applied.calls

    def tick(self, member: Member[object], *, faulty: bool) -> None:
        """As the product's timers: only partitions of which everything was consumed."""
        del member
        self.clock.move(self.random.choice([1, 20, 60] if faulty else [30]))
        heard = [
            each
            for each in range(self.kafka.partitions)
            if all(
                at >= self.kafka.end(place)
                for place, at in self.orchestrator.next.items()
                if place.partition == each
            )
        ]
        if heard:
            applied = self.orchestrator.tick(*heard)
            assert applied.errors == []

    def run(self, faulty_steps: int = 250) -> None:
        for _ in range(faulty_steps):
            self.step()
        for member in self.members:
            member.store.kill = ""
        for _ in range(400):
            if self.ended():
                return
            for member in self.members:
                self.consume(member, faulty=False)
                member.relay()
            while self.calls:
                self.outside(self.billing, faulty=False)
            self.tick(self.orchestrator, faulty=False)
        raise AssertionError(self.sagas())

    def sagas(self) -> dict[str, str]:
        rows = self.orchestrator.store.rows(
            "SELECT definition || ':' || name, phase FROM sagas JOIN keys ON keys.id = sagas.key"
        )
        return {str(saga): str(phase) for saga, phase in rows}

    def ended(self) -> bool:
        rows = self.orchestrator.store.rows("SELECT phase FROM sagas")
        quiet = not any(member.unsent or member.waiting() for member in self.members)
        over = all(phase in ("completed", "compensated") for (phase,) in rows)
        return over and quiet and not self.calls and len(rows) == len(self.orders)

    def outcomes(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for record in self.kafka.all("orders.order.outcomes.v1"):
            kind = dict(record.headers)["ce_type"].decode().rpartition(".")[2]
            if kind in ("OrderFulfilled", "OrderCancelled"):
                found.setdefault((record.key or b"").decode(), set()).add(kind)
        return found


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_the_books_agree_in_the_end(seed: int) -> None:
    """One outcome an order; money and goods moved for the fulfilled ones and for no other."""
    company = Company(seed)
    company.run()
    check(company)


def check(company: Company) -> None:
    """All books, against the phases of the sagas."""
    saga = company.sagas()
    told = {f"fulfilment:{key}": kinds for key, kinds in company.outcomes().items()}
    expected = {"completed": {"OrderFulfilled"}, "compensated": {"OrderCancelled"}}
    lost = {name for name in saga if name not in told}
    assert {name: expected[str(phase)] for name, phase in saga.items() if name not in lost} == told
    money = Counter((order, name) for order, name in company.provider.effects.values())
    for order in company.orders:
        captured = int(saga[f"fulfilment:{order}"] == "completed")
        authorised = money[order, "AuthorisePayment"]
        assert money[order, "CapturePayment"] == captured
        assert authorised <= 1
        assert captured <= authorised
        assert not (captured and money[order, "VoidPayment"])
        if authorised and not captured:
            assert money[order, "VoidPayment"] == 1
    fulfilled = sum(phase == "completed" for phase in saga.values())
    rows = company.members[3].store.rows("SELECT on_hand, reserved, gone FROM shelf")
    on_hand, reserved, gone = (int(str(each)) for each in rows[0])
    assert on_hand + reserved + gone == 60
    assert reserved + gone == 4 * fulfilled
    assert [member.parked() for member in company.members] == [[]] * 4


def test_a_run_without_faults_tells_each_outcome_once() -> None:
    """Calm, the orders that can be fulfilled are, and the others end without money or goods."""
    company = Company(0)
    company.run(faulty_steps=0)
    wanted = {
        f"fulfilment:{each}": "completed" if each.endswith("uk") else "compensated"
        for each in company.orders
    }
    assert company.sagas() == wanted
    assert sorted(company.outcomes()) == sorted(company.orders)
