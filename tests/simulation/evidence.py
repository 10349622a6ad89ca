"""A world at rest as `deploy.verify` takes it: the independent checker judges it, too.

Only of the whole company, because a reader that is not there has read nothing. Two of its
judgements are left out: I-16 needs running processes; I-12 knows nothing of what a seed dropped or
delayed, which `checks` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from deploy.verify.checking import check
from deploy.verify.evidence import Call, Carried, Evidence, Mail, Provided, tables_of
from deploy.verify.verdicts import Ruling
from tests.simulation.member import BASE_US
from tests.simulation.outside import Booking, Books, Payment

if TYPE_CHECKING:
    from tests.simulation.world import World


def judged(world: World) -> Iterator[str]:
    left_out = {"I-16", "I-12" if world.broker.not_in_order else ""}
    for verdict in check(_evidence(world)):
        if verdict.invariant in left_out:
            continue
        if verdict.status is Ruling.VIOLATED:
            yield f"{verdict.invariant} (verify) {verdict.violations[0]}"
        elif verdict.status is Ruling.UNCHECKED:
            yield f"{verdict.invariant} (verify) could not be checked: {verdict.why[0]}"


def _evidence(world: World) -> Evidence:
    logs, books = world.broker.logs, world.books
    calls = [(path, Call(key, books.answers[key][0])) for _, path, key in books.history]
    letters = [(f"<{name}@baton.invalid>", n) for name, n in books.letters.items()]
    tables = {name: tables_of(name, each.connection) for name, each in world.databases.items()}
    tables["payment"] = {
        Provided: [*_provided(books)],
        Call: [call for path, call in calls if path.startswith("/authorisations")],
    }
    tables["carrier"] = {
        Carried: [*_carried(books)],
        Call: [call for path, call in calls if path.startswith("/bookings")],
    }
    tables["mail"] = {Mail: [Mail(name) for name, n in letters for _ in range(n)]}
    return Evidence(
        [record for log in logs.values() for record in log.records],
        tables,
        BASE_US + round(world.loop.now_s * 1_000_000),
        {(place.topic, place.partition): (0, log.needed) for place, log in logs.items()},
    )


def _provided(books: Books) -> Iterator[Provided]:
    for order, paid in books.payments.items():
        if paid.authorised or paid.tombstone:
            name = f"auth-{order}" if paid.authorised else None
            amounts = paid.authorised, paid.captured, paid.voided, paid.refunded
            yield Provided(order, name, "GBP", *amounts, _money_state(paid))


def _money_state(paid: Payment) -> str:
    if paid.tombstone or paid.voided:
        return "voided"
    return "captured" if paid.captured else "authorised"


def _carried(books: Books) -> Iterator[Carried]:
    for order, sent in books.bookings.items():
        if sent.booked or sent.tombstone:
            name = f"trk-{order}" if sent.booked else None
            yield Carried(order, name, 0, _parcel_state(sent))


def _parcel_state(sent: Booking) -> str:
    if sent.dispatched:
        return "dispatched"
    return "cancelled" if sent.cancelled or sent.tombstone else "booked"
