"""The rows that one batch works on, taken back to where they were."""

from __future__ import annotations

from company import HANDLERS, TALLY, TALLY_SQL, DirectStore, Tally

from schemas.billing import VoidPayment
from schemas.common import Money
from services.chassis.handlers import Rows
from services.chassis.store import Plan
from services.chassis.working import Working


def rows_of(working: Working, order: str) -> Plan[tuple[Rows, ...]]:
    return working.rows_of(HANDLERS[1].loads, VoidPayment(order, Money(1, "GBP")))


def test_a_row_fetched_after_the_mark_is_fetched_again_after_going_back() -> None:
    """Going back forgets a change, not that the row stands in the database."""
    store = DirectStore()
    store.write(TALLY_SQL)
    for order in "ab":
        store.write("INSERT INTO tally VALUES (?, 1, 0, 'x', 7)", order)

    def plan() -> Plan[tuple[Rows, ...]]:
        working = Working((TALLY,))
        yield from rows_of(working, "a")
        mark = working.mark()
        yield from rows_of(working, "b")
        working.put([Tally("b", 9), Tally("new", 1)])
        working.back_to(mark)
        found = yield from rows_of(working, "b")
        working.put([Tally("b", 2, 0, "y")])
        yield from working.write()
        return found

    assert store.drive(plan) == ({"b": Tally("b", 1, 0, "x")},)
    assert store.rows("SELECT * FROM tally ORDER BY 1") == [
        ("a", 1, 0, "x", 7),
        ("b", 2, 0, "y", 8),
    ]
