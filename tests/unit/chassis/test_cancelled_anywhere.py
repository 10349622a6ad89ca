"""A cancellation at every point of an order's life, each refusal included: only legal ends.

Lost update: an order that was just cancelled is never fulfilled, one that is fulfilled was never
given up. The semantic lock is the saga: where a request is heard says what becomes of it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from order_laws import always, at_end, outcomes, refusals
from order_world import World, cancellation, costly, explore, journal, placed

from orchestrator.sagas import FULFILMENT
from schemas.common import Line, Money
from schemas.orchestrator import OrderCancelled, OrderFulfilled
from schemas.orders import OrderPlaced

ORDER = placed()
DECLINED = placed(payment_method="tok_declined")
UNSERVED = placed(country="EIRE")
EXPIRED = placed(payment_method="tok_expired")
SHORT = placed(lines=(Line("s", 11, 350),))
FULFILLED = OrderFulfilled("o-1", "c-1", "e-0", Money(700, "GBP"), "trk-1")
HASTY = replace(FULFILMENT, steps=[replace(step, tries=1) for step in FULFILMENT.steps])
"""Every timer that fires is a time-out: three tries only make the ways to it longer."""

Ended = tuple[object, list[tuple[str, str]]]


def cancelled(reason: str, detail: str) -> OrderCancelled:
    return OrderCancelled("o-1", "c-1", "e-0", reason, detail)


ASKED = cancelled("cancelled", "changed_mind")
TOO_LATE, FINISHED = [("r-1", "too_late")], [("r-1", "finished")]


def turned_back(reason: str, step: str, *undoing: str) -> dict[str, Ended]:
    """Heard while the order turns back already: the first cause stands, nobody is refused."""
    told = cancelled(reason, step)
    return {f"undoing_{each}": (told, []) for each in undoing} | {"compensated": (told, FINISHED)}


CASES: dict[str, tuple[OrderPlaced, dict[str, Ended]]] = {
    "accepted": (
        ORDER,
        {
            "awaiting_stock": (ASKED, []),
            "awaiting_payment": (ASKED, []),
            "awaiting_shipment": (ASKED, []),
            "awaiting_capture": (FULFILLED, TOO_LATE),
            "awaiting_dispatch": (FULFILLED, TOO_LATE),
            "completed": (FULFILLED, FINISHED),
        },
    ),
    "out of stock": (
        SHORT,
        {
            "awaiting_stock": (ASKED, []),
            "compensated": (cancelled("out_of_stock", "stock"), FINISHED),
        },
    ),
    "declined": (
        DECLINED,
        {"awaiting_stock": (ASKED, []), "awaiting_payment": (ASKED, [])}
        | turned_back("insufficient_funds", "payment", "stock"),
    ),
    "not served": (
        UNSERVED,
        {f"awaiting_{step}": (ASKED, []) for step in ("stock", "payment", "shipment")}
        | turned_back("country_not_served", "shipment", "payment", "stock"),
    ),
    "capture refused": (
        EXPIRED,
        {f"awaiting_{step}": (ASKED, []) for step in ("stock", "payment", "shipment")}
        | {"awaiting_capture": (cancelled("expired", "capture"), [])}
        | turned_back("expired", "capture", "shipment", "payment", "stock"),
    ),
}


def heard_at(world: World) -> list[str]:
    """In which states the orchestrator heard requests to cancel."""
    lines = journal(world, "fulfilment:o-1")
    return [before for _, what, _, before, _ in lines if what == "cancellation"]


@pytest.mark.parametrize("case", CASES)
def test_where_a_cancellation_is_heard_says_what_becomes_of_it(case: str) -> None:
    """Whatever the order's fate, every place in its life is reached, and each has one end."""
    order, expected = CASES[case]
    ended: dict[str, Ended] = {}

    def end(world: World) -> None:
        at_end(world)
        (where,), (told,) = heard_at(world), outcomes(world)
        assert ended.setdefault(where, (told, refusals(world))) == (told, refusals(world))

    explore(World(order, cancellation()), always, end)
    assert ended == expected


@pytest.mark.parametrize("case", CASES)
def test_two_requests_at_any_two_points_are_both_answered(case: str) -> None:
    """Neither is answered for the other; the order ends as with the first one alone."""
    order, expected = CASES[case]
    seen = set[tuple[str, str]]()

    def end(world: World) -> None:
        at_end(world)
        first, second = heard_at(world)
        seen.add((first, second))
        assert outcomes(world) == [expected[first][0]]

    explore(World(order, cancellation(), cancellation(request="r-2")), always, end)
    assert {first for first, _ in seen} == set(expected)
    assert ("compensated", "compensated") in seen or ("completed", "completed") in seen


@pytest.mark.parametrize("case", CASES)
def test_a_request_said_twice_is_one_request(case: str) -> None:
    """The same request under another event's id, at any later point, changes nothing."""
    order, expected = CASES[case]

    def end(world: World) -> None:
        at_end(world)
        first, _ = heard_at(world)
        assert (outcomes(world)[0], refusals(world)) == expected[first]

    explore(World(order, cancellation(), cancellation()), always, end)


@pytest.mark.parametrize("case", CASES)
def test_a_cancellation_before_its_order_ends_it_at_once(case: str) -> None:
    """Nothing is asked of anybody; a second request may come at any point."""
    order, _ = CASES[case]
    ends = list[World]()

    def end(world: World) -> None:
        at_end(world)
        assert outcomes(world) == [OrderCancelled("o-1", "c-1", "e-1", "cancelled", "changed_mind")]
        assert world.bodies("inventory.stock.commands.v1") == []
        ends.append(world)

    explore(World(cancellation(), order, cancellation(request="r-2")), always, end)
    assert len(ends) == 1


@pytest.mark.parametrize("case", ["accepted", costly("capture refused")])
def test_a_cancellation_beside_a_timeout_has_only_legal_ends(case: str) -> None:
    """One reply is too late for its step, anywhere: what is in doubt is taken back too."""
    order, _ = CASES[case]
    doubted, reasons = set[str](), set[str]()

    def end(world: World) -> None:
        at_end(world)
        lines = journal(world, "fulfilment:o-1")
        doubted.update(before for _, what, _, before, _ in lines if what == "timed_out")
        (told,) = outcomes(world)
        reasons.add(told.reason if isinstance(told, OrderCancelled) else "")

    explore(World(order, cancellation(), sagas=[HASTY], fires=1), always, end)  # type: ignore[list-item]
    assert doubted == {"awaiting_stock", "awaiting_payment", "awaiting_shipment"}
    assert reasons == {"cancelled", "no_reply", "expired" if case == "capture refused" else ""}


@pytest.mark.parametrize(
    "case",
    ["out of stock", "declined", *map(costly, ("accepted", "not served", "capture refused"))],
)
def test_a_cancellation_beside_a_repeated_record_has_only_legal_ends(case: str) -> None:
    """Any command or reply comes once more, at any later point."""
    order, expected = CASES[case]
    ended = dict[str, set[str]]()

    def end(world: World) -> None:
        at_end(world)
        (where,), (told,) = heard_at(world), outcomes(world)
        ended.setdefault(where, set()).add(repr((told, refusals(world))))

    explore(World(order, cancellation(), repeats=1), always, end)
    assert ended == {where: {repr(each)} for where, each in expected.items()}


@pytest.mark.parametrize("last", ["stock", "payment"])
def test_the_laws_are_broken_by_an_order_that_frees_its_goods_first(last: str) -> None:
    """Sensitivity: with stock reserved last, a cancellation frees goods that are still paid for."""
    stock, payment, *rest = FULFILMENT.steps
    steps = [stock, payment, *rest] if last == "payment" else [payment, stock, *rest]
    saga = replace(FULFILMENT, steps=steps)
    world = World(ORDER, cancellation(), sagas=[saga])  # type: ignore[list-item]
    if last == "payment":
        explore(world, always, at_end)
        return
    with pytest.raises(AssertionError, match="goods were freed while their money was still held"):
        explore(world, always, at_end)
