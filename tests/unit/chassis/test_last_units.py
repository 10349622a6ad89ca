"""Two hundred orders want the last ten units: what was stocked is sold once, and no more.

Lost update on stock: commands come in batches of any size, are repeated, undone before, between
and after; a small model that takes one order at a time must agree with every shelf and reply.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from company import CATALOGUE, CODEC, NOW_US, HandClock, Kafka, Member
from order_world import FULFILLING, SHOP, World, placed, service

from schemas.common import Item, Line, Overtaken
from schemas.inventory import GoodsReceived, OutOfStock, ReleaseStock, ReserveStock, StockReserved
from services.chassis.envelope import Cause, Maker
from services.chassis.messages import Outgoing

ORDERS = 200
SEEDS = range(8)
ENGINE = Maker("orchestrator", CODEC, CATALOGUE)
TOPIC = "inventory.stock.commands.v1"
Need = tuple[tuple[str, int], ...]


def command(order: str, need: Need, *, undo: bool = False) -> Outgoing:
    operation = f"fulfilment:{order}/stock"
    items = tuple(Item(sku, units) for sku, units in need)
    body: object = ReleaseStock(order) if undo else ReserveStock(order, items)
    name = f"{operation}/{'undo' if undo else 'do'}"
    return ENGINE.message(TOPIC, order, body, name, NOW_US, Cause("f", "c", operation))


@dataclass
class Shelves:
    """What one clerk with a book would do, one order after the other."""

    free: Counter[str]
    held: dict[str, Need] = field(default_factory=dict)
    said: dict[str, object] = field(default_factory=dict)
    undone: set[str] = field(default_factory=set)

    def reserve(self, order: str, need: Need) -> None:
        if order in self.said:
            return
        short = tuple(sorted(sku for sku, units in need if self.free[sku] < units))
        if order in self.undone:
            self.said[order] = Overtaken(order)
        elif short:
            self.said[order] = OutOfStock(order, short)
        else:
            self.free.subtract(dict(need))
            self.held[order] = need
            self.said[order] = StockReserved(order)

    def release(self, order: str) -> None:
        self.undone.add(order)
        self.free.update(dict(self.held.pop(order, ())))


def stocked(units: dict[str, int]) -> Member[object]:
    member = service("inventory", Kafka(), HandClock())
    items = tuple(Item(sku, count) for sku, count in units.items())
    goods = GoodsReceived("d-1", items, datetime(2026, 1, 1, tzinfo=UTC))
    member.kafka.publish(SHOP.event(goods, "d-1", NOW_US, Cause()))
    member.consume()
    return member


def in_batches(member: Member[object], chance: random.Random) -> None:
    while waiting := member.waiting():
        applied = member.take(*waiting[: chance.choice([1, 2, 7, 60, 1000])])
        assert applied.errors == []
        member.relay()
        rows = member.store.rows("SELECT min(on_hand), min(reserved) FROM shelf")
        assert min(int(str(each)) for each in rows[0]) >= 0


def shelves(member: Member[object]) -> dict[str, tuple[int, int]]:
    rows = member.store.rows("SELECT sku, on_hand, reserved FROM shelf")
    return {str(sku): (int(str(free)), int(str(held))) for sku, free, held in rows}


def replies(member: Member[object]) -> dict[str, list[object]]:
    """To the reservations only, by order."""
    found: dict[str, list[object]] = {}
    for record in member.kafka.all("inventory.replies.v1"):
        if dict(record.headers)["ce_id"].endswith(b"/do/reply"):
            body = CODEC.decode(record.value or b"")
            found.setdefault((record.key or b"").decode(), []).append(body)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_the_last_ten_units_are_reserved_by_ten_orders(seed: int) -> None:
    """Exactly 10 reserved, 190 refused, nothing below zero, however the commands are batched."""
    chance, member = random.Random(seed), stocked({"s": 10})
    for at in chance.sample(range(ORDERS), ORDERS):
        member.kafka.publish(command(f"o-{at}", (("s", 1),)))
    in_batches(member, chance)
    assert shelves(member) == {"s": (0, 10)}
    said = Counter(type(body) for told in replies(member).values() for body in told)
    assert said == {StockReserved: 10, OutOfStock: 190}
    held = member.store.rows("SELECT count(*) FROM reservation WHERE status = 'reserved'")
    assert held == [(10,)]


@pytest.mark.parametrize("seed", SEEDS)
def test_orders_of_several_products_are_served_whole_or_not_at_all(seed: int) -> None:
    """With repeats, and undos before, between and after: as the model, unit for unit."""
    chance = random.Random(seed)
    skus = ["a", "b", "c", "d"]
    model = Shelves(Counter(dict.fromkeys(skus, 10)))
    member = stocked(dict.fromkeys(skus, 10))
    needs: dict[str, Need] = {
        f"o-{at}": tuple(
            (sku, chance.randint(1, 4)) for sku in chance.sample(skus, chance.randint(1, 4))
        )
        for at in range(ORDERS)
    }
    told = [(order, False) for order in needs for _ in range(chance.choice([1, 1, 2]))]
    told += [(order, True) for order in needs for _ in range(chance.choice([0, 1, 1, 2]))]
    chance.shuffle(told)
    for order, undo in told:
        member.kafka.publish(command(order, needs[order], undo=undo))
        if undo:
            model.release(order)
        else:
            model.reserve(order, needs[order])
    in_batches(member, chance)
    held: Counter[str] = Counter()
    for need in model.held.values():
        held.update(dict(need))
    assert shelves(member) == {sku: (model.free[sku], held[sku]) for sku in skus}
    assert all(len(set(map(repr, bodies))) == 1 for bodies in replies(member).values())
    assert {order: bodies[0] for order, bodies in replies(member).items()} == model.said
    kinds = Counter(type(body) for body in model.said.values())
    assert min(kinds[each] for each in (StockReserved, OutOfStock, Overtaken)) >= 10
    rows = member.store.rows("SELECT order_id FROM reservation WHERE status = 'reserved'")
    assert {str(order) for (order,) in rows} == set(model.held)


def ends(world: World) -> Counter[str]:
    told = world.bodies("orders.order.outcomes.v1")
    return Counter(getattr(each, "reason", "fulfilled") for each in told)


def sell(world: World, names: Sequence[str], chance: random.Random, method: str) -> None:
    """Everybody works in batches of any size until nobody has anything to do."""
    for order in names:
        event = placed(order, lines=(Line("s", 1, 350),), payment_method=method)
        world.publish(f"{order}/placed", event)
    while any(member.waiting() for member in world.members.values()) or world.calls:
        for name in chance.sample(sorted(world.members), len(world.members)):
            waiting = world.members[name].waiting()[: chance.choice([5, 30, 200])]
            world.hear(name, waiting, world.calls_of(name))


@pytest.mark.parametrize("seed", [0, 1])
def test_two_hundred_sagas_sell_ten_units_ten_times(seed: int) -> None:
    """Through the whole company; a first ten could not pay, and gave back what they held."""
    chance, world = random.Random(seed), World(members=FULFILLING)
    sell(world, [f"poor-{at}" for at in range(10)], chance, "tok_declined")
    assert ends(world) == {"insufficient_funds": 10}
    assert world.rows("inventory", "SELECT on_hand, reserved, gone FROM shelf") == [(10, 0, 0)]
    sell(world, [f"o-{at}" for at in range(ORDERS)], chance, "tok_ok")
    assert ends(world) == {"insufficient_funds": 10, "fulfilled": 10, "out_of_stock": 190}
    assert world.rows("inventory", "SELECT on_hand, reserved, gone FROM shelf") == [(0, 0, 10)]
    done = Counter((deal.captured, deal.parcel) for deal in world.outside.deals.values())
    assert done == {(350, "dispatched"): 10, (0, "none"): 10}
