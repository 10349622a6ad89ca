"""A bank and a carrier in memory, as billing and shipping may meet them: the independent books.

What they do is done once for an idempotency key and said again for it. They know nothing of sagas
or messages, so what they did to an order is evidence against everybody else's accounts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.chassis.handlers import Result
from services.chassis.items import Begun

REFUSED_METHODS = {"tok_declined": "insufficient_funds"}
REFUSED_CAPTURES = {"tok_expired": "expired"}
NOT_SERVED = "EIRE"


@dataclass(frozen=True)
class Deal:
    """What the outside did for one order. `state`: none, held, captured, voided."""

    state: str = "none"
    method: str = ""
    authorised: int = 0
    captured: int = 0
    voided: int = 0
    refunded: int = 0
    parcel: str = "none"  # booked, dispatched, cancelled
    authorisations: int = 0
    captures: int = 0
    voids: int = 0
    bookings: int = 0
    dispatches: int = 0


class Outside:
    def __init__(self) -> None:
        self.deals: dict[str, Deal] = {}
        self.results: dict[str, Result] = {}

    def deal(self, order: str) -> Deal:
        return self.deals.get(order, Deal())

    def call(self, begun: Begun) -> Result:
        key = begun.idempotency_key
        if key not in self.results:
            deal, body = self.deal(begun.key), begun.call.body
            amount = body.get("amount_minor", 0)
            assert isinstance(amount, int)
            method = str(body.get("payment_method", ""))
            done, self.results[key] = _WAYS[begun.call.name](deal, amount, method or _country(body))
            self.deals[begun.key] = done
        return self.results[key]


def _country(body: Result) -> str:
    return str(body.get("country", ""))


def _authorise(deal: Deal, amount: int, method: str) -> tuple[Deal, Result]:
    if deal.state != "none":
        return deal, {"refused": f"already_{deal.state}"}
    if method in REFUSED_METHODS:
        return deal, {"refused": REFUSED_METHODS[method]}
    made = deal.authorisations + 1
    held = replace(deal, state="held", method=method, authorised=amount, authorisations=made)
    return held, {"authorisation_id": "auth-1"}


def _void(deal: Deal, _amount: int, _method: str) -> tuple[Deal, Result]:
    if deal.state == "none":
        return replace(deal, state="voided"), {"amount_minor": 0}
    if deal.state != "held":
        return deal, {"amount_minor": 0}
    gone = replace(deal, state="voided", voided=deal.authorised, voids=deal.voids + 1)
    return gone, {"amount_minor": deal.authorised}


def _capture(deal: Deal, amount: int, _method: str) -> tuple[Deal, Result]:
    if deal.state != "held" or amount > deal.authorised:
        return deal, {"refused": f"already_{deal.state}"}
    if deal.method in REFUSED_CAPTURES:
        return deal, {"refused": REFUSED_CAPTURES[deal.method]}
    left = deal.authorised - amount
    taken = replace(
        deal, state="captured", captured=amount, voided=left, captures=deal.captures + 1
    )
    return taken, {"amount_minor": amount}


def _refund(deal: Deal, amount: int, _method: str) -> tuple[Deal, Result]:
    if deal.state != "captured" or amount > deal.captured - deal.refunded:
        return deal, {"refused": "exceeds_capture"}
    return replace(deal, refunded=deal.refunded + amount), {"amount_minor": amount}


def _book(deal: Deal, _amount: int, country: str) -> tuple[Deal, Result]:
    if deal.parcel != "none":
        return deal, {"refused": f"already_{deal.parcel}"}
    if country == NOT_SERVED:
        return deal, {"refused": "country_not_served"}
    return replace(deal, parcel="booked", bookings=deal.bookings + 1), {"tracking": "trk-1"}


def _cancel(deal: Deal, _amount: int, _country: str) -> tuple[Deal, Result]:
    if deal.parcel == "dispatched":
        return deal, {"refused": "already_dispatched"}
    return replace(deal, parcel="cancelled"), {"cancelled": deal.parcel == "booked"}


def _dispatch(deal: Deal, _amount: int, _country: str) -> tuple[Deal, Result]:
    if deal.parcel != "booked":
        return deal, {"refused": f"already_{deal.parcel}"}
    return replace(deal, parcel="dispatched", dispatches=deal.dispatches + 1), {"tracking": "trk-1"}


_WAYS = {
    "authorise": _authorise,
    "void": _void,
    "capture": _capture,
    "refund": _refund,
    "book": _book,
    "cancel": _cancel,
    "dispatch": _dispatch,
}
