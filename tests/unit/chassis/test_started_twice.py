"""Two starts of one order, and one key in two sagas: each saga goes its way as if it were alone.

Fuzzy read: what the order said when it was accepted is what is reserved, charged and shipped,
whatever is published about it later. Commands carry those values; nobody looks them up again.
"""

from __future__ import annotations

import random
from itertools import permutations

import pytest
from order_laws import always, at_end, outcomes, refusals
from order_world import (
    PROVING,
    World,
    cancellation,
    explore,
    journal,
    placed,
    registered,
    run_through,
)

from schemas.common import Line, Money
from schemas.customers import CustomerRegistered
from schemas.orchestrator import CustomerOnboarded, CustomerRefused, OrderCancelled, OrderFulfilled
from schemas.orders import OrderPlaced

COMMANDS = (
    "inventory.stock.commands.v1",
    "billing.payment.commands.v1",
    "shipping.shipment.commands.v1",
)
ORDER = placed()
DEARER = placed(lines=(Line("s", 2, 999),))
ELSEWHERE = placed(country="EIRE")
OTHERS = {
    "dearer": DEARER,
    "more of it": placed(lines=(Line("s", 3, 350),)),
    "another's": placed(customer_id="c-2"),
    "elsewhere": ELSEWHERE,
}
EVERYBODY = ("inventory", "billing", "shipping", "crm", "analytics")


def commands(world: World) -> list[list[object]]:
    return [world.bodies(topic) for topic in COMMANDS]


def alone(*events: OrderPlaced) -> World:
    world = World(*events)
    run_through(world)
    return world


@pytest.mark.parametrize("other", OTHERS)
def test_charged_is_what_was_quoted(other: str) -> None:
    """The price, the goods, the customer or the address change at any point: nothing does."""
    quiet = alone(ORDER)
    heard = set[str]()

    def end(world: World) -> None:
        assert world.orchestrator.dead("kind, reason") == [("rejected", "conflicting_start")]
        world.orchestrator.store.write("DELETE FROM dead_letters")
        at_end(world)
        assert commands(world) == commands(quiet)
        assert outcomes(world) == outcomes(quiet)
        lines = journal(world, "fulfilment:o-1")
        heard.update(where for _, _, why, where, _ in lines if why == "conflicting_start")

    explore(World(ORDER, OTHERS[other]), always, end)
    steps = ("stock", "payment", "shipment", "capture", "dispatch")
    assert heard == {*(f"awaiting_{step}" for step in steps), "completed"}


@pytest.mark.parametrize("order", [ORDER, ELSEWHERE], ids=["accepted", "not served"])
def test_the_same_start_again_is_a_duplicate(order: OrderPlaced) -> None:
    """Under another event's id, at any point: nothing changes, and it is no dead letter."""
    quiet = alone(order)

    def end(world: World) -> None:
        at_end(world)
        assert commands(world) == commands(quiet)
        assert outcomes(world) == outcomes(quiet)
        results = [line[2] for line in journal(world, "fulfilment:o-1") if line[1] == "started"]
        assert results == ["applied", "duplicate"]

    explore(World(order, order), always, end)


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_the_first_start_wins_whatever_comes_around_it(order: tuple[int, ...]) -> None:
    """Two starts and a cancellation in every order: the outcome names the start that counted."""
    events = (ORDER, DEARER, cancellation())
    first = min(order.index(0), order.index(1))
    charged = (700, 1998)[order[first]]
    early = order[0] == 2
    seen = list[object]()

    def end(world: World) -> None:
        assert world.orchestrator.dead("kind, reason") == [("rejected", "conflicting_start")]
        world.orchestrator.store.write("DELETE FROM dead_letters")
        at_end(world, price=charged)
        (told,) = outcomes(world)
        assert isinstance(told, OrderFulfilled | OrderCancelled)
        assert told.placed_event_id == f"e-{first}"
        if isinstance(told, OrderFulfilled):
            assert told.amount == Money(charged, "GBP")
            assert len(refusals(world)) == 1
        seen.append(told)

    explore(
        World(*(events[each] for each in order)), lambda world: always(world, price=charged), end
    )
    assert {type(each) for each in seen} == (
        {OrderCancelled} if early else {OrderCancelled, OrderFulfilled}
    )


def customer_ends(world: World) -> list[object]:
    return world.bodies("customers.customer.outcomes.v1")


def both(name: str, fires: int = 0) -> World:
    """An order and a customer of one name; what is heard for one never concerns the other."""
    return World(placed(name), registered(name), members=EVERYBODY, eager=EVERYBODY, fires=fires)


def as_if_alone(world: World, name: str) -> None:
    at_end(world, name)
    assert customer_ends(world) == [
        CustomerRefused(name, "refused_test_customer")
        if name == "13747"
        else CustomerOnboarded(name)
    ]
    rows = world.rows("orchestrator", "SELECT saga_id, phase FROM sagas ORDER BY saga_id")
    onboarded = "compensated" if name == "13747" else "completed"
    assert rows == [(f"fulfilment:{name}", "completed"), (f"onboarding:{name}", onboarded)]
    results = {line[2] for saga, _ in rows for line in journal(world, str(saga))}
    assert not results & {"unknown_step", "wrong_command", "wrong_type", "not_started", "restored"}
    taken = name != "13747"
    assert world.rows("billing", "SELECT status FROM account") == [("open",)][: int(taken)]
    record = "open" if taken else "closed"
    assert world.rows("crm", f"SELECT record FROM customer WHERE customer_id = '{name}'") == [
        (record,)
    ]


@pytest.mark.searches
@pytest.mark.parametrize("name", ["x-1", "13747"])
def test_one_key_in_two_sagas_is_two_affairs(name: str) -> None:
    """An order named as a customer: neither saga hears, times or undoes what is the other's."""
    if PROVING:
        explore(
            both(name), lambda world: always(world, name), lambda world: as_if_alone(world, name)
        )
        return
    for seed in range(25):
        chance, world = random.Random(seed), both(name, fires=2)
        while steps := world.steps():
            world.take(chance.choice(steps))
            always(world, name)
        as_if_alone(world, name)


def test_a_customer_registered_twice_is_onboarded_once() -> None:
    """With other content it is a dead letter, with the same a duplicate; the saga goes on."""
    other = CustomerRegistered(
        "x-1", "Eve", "eve@example.invalid", "France", registered("x-1").registered_at
    )
    for again, dead in ((registered("x-1"), []), (other, [("rejected", "conflicting_start")])):
        world = World(registered("x-1"), again, members=EVERYBODY, eager=EVERYBODY)
        ends = list[int]()

        def end(world: World, dead: list[object] = dead, ends: list[int] = ends) -> None:
            assert customer_ends(world) == [CustomerOnboarded("x-1")]
            assert world.orchestrator.dead("kind, reason") == dead
            (name,) = world.rows("crm", "SELECT name FROM customer")
            assert name == ("Ada",)
            ends.append(1)

        explore(world, lambda _: None, end)
        assert len(ends) > 1
