"""The world beyond the gateways: a payment provider, a carrier, a mail server, with their moods.

They keep their own books and know nothing of ours; the first answer to an idempotency key is its
answer for ever. A mood decides whether an answer gets through: an effect without an answer, an
answer without an effect, silence. What the product must make of it is `Unknown`, and asking again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.chassis.handlers import Call, Json, Result, Unknown
from services.chassis.keyed_http import REFUSED
from tests.simulation.loop import never, pause

if TYPE_CHECKING:
    from tests.simulation.member import Member

Said = tuple[int, dict[str, Json]]


@dataclass
class Mood:
    """Chances per call. `silent_until_s`: until then nobody answers, and nothing happens."""

    failing: float = 0.0
    unheard: float = 0.0
    slow: float = 0.0
    silent_until_s: float = 0.0

    def calm(self) -> None:
        self.failing = self.unheard = self.slow = self.silent_until_s = 0.0


@dataclass
class Payment:
    method: str = ""
    authorised: int = 0
    captured: int = 0
    voided: int = 0
    refunded: int = 0
    tombstone: bool = False


@dataclass
class Booking:
    booked: int = 0
    cancelled: int = 0
    dispatched: int = 0
    tombstone: bool = False


@dataclass
class Books:
    """What really happened outside, by order; `answers` by idempotency key."""

    payments: dict[str, Payment] = field(default_factory=dict)
    bookings: dict[str, Booking] = field(default_factory=dict)
    letters: dict[str, int] = field(default_factory=dict)
    answers: dict[str, Said] = field(default_factory=dict)
    history: list[tuple[float, str, str]] = field(default_factory=list)

    def answer(self, path: str, body: Mapping[str, Json], key: str, now_s: float) -> Said:
        if key not in self.answers:
            self.answers[key] = self._first(path, body)
            self.history.append((now_s, path, key))
        return self.answers[key]

    def _first(self, path: str, body: Mapping[str, Json]) -> Said:
        what, _, rest = path.strip("/").partition("/")
        order, _, verb = rest.partition("/")
        order = str(body.get("order_id", order.replace("%2E", ".")))
        if what == "authorisations":
            return self._payment(order, verb or "authorise", body)
        return self._booking(order, verb or "book", body)

    def _payment(self, order: str, verb: str, body: Mapping[str, Json]) -> Said:
        payment = self.payments.setdefault(order, Payment())
        amount = body.get("amount_minor", 0)
        assert isinstance(amount, int)
        if verb == "authorise":
            return _authorise(payment, order, amount, str(body["payment_method"]))
        if verb == "void":
            return _void(payment)
        if verb == "capture":
            return _capture(payment, amount)
        if payment.refunded + amount > payment.captured:
            return 409, {"error": "exceeds_capture"}
        payment.refunded += amount
        return 200, {"amount_minor": amount}

    def _booking(self, order: str, verb: str, body: Mapping[str, Json]) -> Said:
        booking = self.bookings.setdefault(order, Booking())
        if verb == "book":
            return _book(booking, order, str(body["country"]))
        if verb == "cancel":
            if booking.dispatched:
                return 409, {"error": "already_dispatched"}
            booking.tombstone |= not booking.booked
            booking.cancelled += booking.booked > booking.cancelled
            return 200, {"cancelled": bool(booking.booked)}
        if booking.booked <= booking.cancelled or booking.dispatched:
            return 409, {"error": "not_booked"}
        booking.dispatched += 1
        return 200, {"tracking": f"trk-{order}"}


def _authorise(payment: Payment, order: str, amount: int, method: str) -> Said:
    if payment.tombstone or payment.authorised:
        return 409, {"error": "already_voided" if payment.voided else "already_authorised"}
    payment.method = method
    if method == "tok_declined":
        return 402, {"error": "insufficient_funds"}
    payment.authorised = amount
    return 201, {"authorisation_id": f"auth-{order}"}


def _void(payment: Payment) -> Said:
    payment.tombstone |= not payment.authorised
    if payment.captured:
        return 200, {"amount_minor": 0}
    left = payment.authorised - payment.voided
    payment.voided += left
    return 200, {"amount_minor": left}


def _capture(payment: Payment, amount: int) -> Said:
    if payment.method == "tok_capture_refused":
        return 409, {"error": "capture_refused"}
    if payment.authorised - payment.voided < amount or payment.captured:
        return 409, {"error": "not_authorised"}
    payment.captured = amount
    return 200, {"amount_minor": amount}


def _book(booking: Booking, order: str, country: str) -> Said:
    if booking.tombstone or booking.booked:
        return 409, {"error": "already_cancelled" if booking.cancelled else "already_booked"}
    if country == "EIRE":
        return 422, {"error": "country_not_served"}
    booking.booked += 1
    return 201, {"tracking": f"trk-{order}"}


async def _through(member: Member) -> bool:
    """The way there and back: whether the answer arrives. Raises where nothing happens."""
    world, roll = member.world, member.world.random.random
    mood = world.mood
    await pause(world.broker.manners.way_s(roll(), world.loop.now_s))
    if member.dead:
        await never()
    if mood.silent_until_s > world.loop.now_s:
        world.count("gateway_silent")
        await pause(5)
        raise Unknown("no answer within 5 s")
    if mood.slow and roll() < mood.slow:
        world.count("gateway_slow")
        await pause(40 * roll())
        if member.dead:
            await never()
    if mood.failing and roll() < mood.failing:
        world.count("gateway_failing")
        raise Unknown("status 503 is neither a yes nor a no")
    if mood.unheard and roll() < mood.unheard:
        world.count("gateway_unheard")
        return False
    return True


class Http:
    """What stands in for a `KeyedHttp`: its words and statuses, without sockets."""

    def __init__(self, member: Member) -> None:
        self._member = member

    async def post(
        self, path: str, body: Mapping[str, Json], key: str, *, yes: int, no: tuple[int, ...] = ()
    ) -> Result:
        world = self._member.world
        heard = await _through(self._member)
        status, said = world.books.answer(path, body, key, world.loop.now_s)
        world.trace.append(("call", path, key, status))
        if not heard:
            await pause(5 * world.random.random())
            raise Unknown("the answer is lost")
        if status == yes:
            return said
        if status in no:
            return {REFUSED: said["error"]}
        raise Unknown(f"status {status} is neither a yes nor a no")


class Mail:
    """What stands in for the `MailServer`."""

    def __init__(self, member: Member) -> None:
        self._member = member

    def message(self, call: Call) -> Call:
        return call

    async def deliver(self, message: Call, to: str) -> None:
        del to
        books = self._member.world.books
        heard = await _through(self._member)
        books.letters[message.id] = books.letters.get(message.id, 0) + 1
        if not heard:
            raise OSError("the answer is lost")
