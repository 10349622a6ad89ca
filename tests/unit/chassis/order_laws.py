"""What must hold of one order in every state of its world, and what more when all is quiet.

Told by the outside's own books, the shelves and the topics; of the engine only its journal is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Protocol

from company import Member
from order_world import ORDERS, STOCKED, journal
from outside import Deal, Outside

from schemas.orchestrator import OrderCancellationRefused, OrderCancelled, OrderFulfilled
from schemas.orders import OrderCancellationRequested

OUTCOMES = "orders.order.outcomes.v1"
TERMINAL = {"completed", "compensated"}


class World(Protocol):
    """A company that can be looked into."""

    outside: Outside

    @property
    def members(self) -> Mapping[str, Member[object]]: ...
    def rows(self, name: str, sql: str) -> list[tuple[object, ...]]: ...
    def bodies(self, topic: str) -> list[object]: ...


def outcomes(world: World) -> list[object]:
    told = world.bodies(OUTCOMES)
    return [each for each in told if isinstance(each, OrderFulfilled | OrderCancelled)]


def refusals(world: World) -> list[tuple[str, str]]:
    told = world.bodies(OUTCOMES)
    return [
        (each.request_id, each.reason)
        for each in told
        if isinstance(each, OrderCancellationRefused)
    ]


def shelf(world: World) -> tuple[int, int, int]:
    """Of the one product: free, reserved, gone."""
    ((free, reserved, gone),) = world.rows("inventory", "SELECT on_hand, reserved, gone FROM shelf")
    return int(str(free)), int(str(reserved)), int(str(gone))


def always(world: World, order: str = "o-1", price: int = 700) -> None:
    """Nothing leaves unpaid, nothing is paid and given back, goods are freed last of all."""
    deal = world.outside.deal(order)
    assert max(deal.authorisations, deal.captures, deal.voids, deal.bookings, deal.dispatches) <= 1
    assert deal.captured in (0, price)
    assert not (deal.captures and deal.voids)
    if deal.parcel == "dispatched":
        assert deal.captured == price
    free, reserved, gone = shelf(world)
    assert free + reserved + gone == STOCKED
    assert min(free, reserved, gone) >= 0
    status = world.rows("inventory", f"SELECT status FROM reservation WHERE order_id = '{order}'")
    if status == [("released",)]:
        assert deal.state != "held", "goods were freed while their money was still held"
        assert deal.parcel != "booked", "goods were freed while their shipment was still booked"
    assert len(outcomes(world)) <= 1
    lines = journal(world, f"fulfilment:{order}")
    assert all(line[4] == line[3] for line in lines if line[3] in TERMINAL)


def at_end(world: World, order: str = "o-1", units: int = 2, price: int = 700) -> None:
    """One outcome; money, goods and parcel say the same; the journal has no gap."""
    ((phase,),) = world.rows(
        "orchestrator", f"SELECT phase FROM sagas WHERE saga_id = 'fulfilment:{order}'"
    )
    (told,) = outcomes(world)
    assert isinstance(told, OrderFulfilled if phase == "completed" else OrderCancelled)
    _books(world, order, price if phase == "completed" else 0)
    kept = units if phase == "completed" else 0
    assert shelf(world) == (STOCKED - kept, 0, kept)
    assert world.rows("orchestrator", "SELECT * FROM timers") == []
    assert [member.dead() for member in world.members.values()] == [[]] * len(world.members)
    _journal(world, order)
    _requests(world, order, str(phase))


def _books(world: World, order: str, taken: int) -> None:
    deal = world.outside.deal(order)
    assert deal.captured == taken
    assert deal.authorised == deal.captured + deal.voided
    assert (deal.parcel == "dispatched") is bool(taken)
    assert deal.parcel in ("none", "cancelled", "dispatched")
    ours = world.rows(
        "billing",
        "SELECT authorised_minor, captured_minor, voided_minor, refunded_minor FROM payment"
        f" WHERE order_id = '{order}'",
    )
    assert ours in ([(deal.authorised, deal.captured, deal.voided, 0)], _unknown(deal))
    moved = world.rows(
        "billing",
        "SELECT account, sum(minor) FROM (SELECT debit AS account, amount_minor AS minor"
        " FROM posting UNION ALL SELECT credit, -amount_minor FROM posting)"
        " GROUP BY account HAVING sum(minor) <> 0 ORDER BY account",
    )
    assert moved == ([("customer:c-1", -taken), ("merchant", taken)] if taken else [])


def _unknown(deal: Deal) -> list[tuple[object, ...]] | None:
    """Billing has no row of an order of which the bank never held anything."""
    return [] if not deal.authorised else None


def _journal(world: World, order: str) -> None:
    """Versions 1 to n, each change from where the one before led to."""
    lines = journal(world, f"fulfilment:{order}")
    states = ["", *(line[4] for line in lines)]
    assert [line[3] for line in lines] == states[:-1]
    versions = [0, *(line[0] for line in lines)]
    assert all(after - before in (0, 1) for before, after in pairwise(versions))
    ((last,),) = world.rows(
        "orchestrator", f"SELECT version FROM sagas WHERE saga_id = 'fulfilment:{order}'"
    )
    assert versions[-1] == last


def _requests(world: World, order: str, phase: str) -> None:
    """Each request to cancel is answered: by the outcome, or by one refusal that names it."""
    asked = {
        each.request_id
        for each in world.bodies(ORDERS)
        if isinstance(each, OrderCancellationRequested)
    }
    refused = [name for name, _ in refusals(world)]
    assert len(refused) == len(set(refused))
    lines = journal(world, f"fulfilment:{order}")
    new = [line for line in lines if line[1] == "cancellation" and line[2] != "duplicate"]
    assert len(new) == len(asked)
    expected = len(asked) if phase == "completed" else sum(line[3] in TERMINAL for line in new)
    assert len(refused) == expected
