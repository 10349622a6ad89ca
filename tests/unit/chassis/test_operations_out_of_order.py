"""Commands of every service in every order, up to four of them with repeats: one effect each.

An undo may come before its do, a do after its undo, each twice; a gateway's answer may come
between any two. What the outside did, what our rows say and what was replied must agree, and
they depend on which commands came, not on how often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import pytest
from company import CATALOGUE, CODEC, NOW_US, HandClock, Kafka, Member
from order_laws import STOCKED
from order_world import SERVICES, SHOP, WHEN, service
from outside import Deal, Outside

from schemas.analytics import EraseProfile, ProfileErased, ProfileStarted, StartProfile
from schemas.billing import (
    AccountClosed,
    AccountOpened,
    AuthorisePayment,
    CapturePayment,
    CloseAccount,
    OpenAccount,
    PaymentAuthorised,
    PaymentVoided,
    RefundPayment,
    VoidPayment,
)
from schemas.common import Item, Money, Overtaken
from schemas.crm import (
    CloseCustomerRecord,
    CustomerRecordClosed,
    CustomerRecordOpened,
    OpenCustomerRecord,
)
from schemas.inventory import (
    GoodsReceived,
    ReleaseStock,
    ReserveStock,
    StockReleased,
    StockReserved,
)
from schemas.shipping import (
    BookShipment,
    CancelShipment,
    DispatchShipment,
    ShipmentBooked,
    ShipmentCancelled,
)
from services.chassis.envelope import Cause, Maker
from services.chassis.items import Applied, Begun, Returned
from services.chassis.messages import Record
from services.shipping.domain import Impossible

ENGINE = Maker("orchestrator", CODEC, CATALOGUE)
PAID = Money(700, "GBP")
ONE = (Item("s", 1),)
Make = Callable[[str], object]


@dataclass(frozen=True)
class Pair:
    """A command and its undo; `stands` reads whether the do's effect is there, row and outside."""

    service: str
    do: Make
    undo: Make
    yes: type
    undone: type
    row: str
    stands: tuple[str, ...]
    outside: Callable[[Deal], bool] = lambda deal: deal == Deal()


PAIRS = {
    "stock": Pair(
        "inventory",
        lambda key: ReserveStock(key, ONE),
        ReleaseStock,
        StockReserved,
        StockReleased,
        "SELECT order_id, status FROM reservation",
        ("reserved",),
    ),
    "payment": Pair(
        "billing",
        lambda key: AuthorisePayment(key, "c-1", PAID, "tok_ok"),
        lambda key: VoidPayment(key, PAID),
        PaymentAuthorised,
        PaymentVoided,
        "SELECT order_id, status FROM payment",
        ("authorised",),
        lambda deal: deal.state == "held",
    ),
    "shipment": Pair(
        "shipping",
        lambda key: BookShipment(key, "France", ONE),
        CancelShipment,
        ShipmentBooked,
        ShipmentCancelled,
        "SELECT order_id, status FROM shipment",
        ("booked",),
        lambda deal: deal.parcel == "booked",
    ),
    "account": Pair(
        "billing",
        lambda key: OpenAccount(key, "France"),
        CloseAccount,
        AccountOpened,
        AccountClosed,
        "SELECT customer_id, status FROM account",
        ("open",),
    ),
    "record": Pair(
        "crm",
        lambda key: OpenCustomerRecord(key, "France", "Ada"),
        CloseCustomerRecord,
        CustomerRecordOpened,
        CustomerRecordClosed,
        "SELECT customer_id, record FROM customer",
        ("open",),
    ),
    "profile": Pair(
        "analytics",
        lambda key: StartProfile(key, "France"),
        EraseProfile,
        ProfileStarted,
        ProfileErased,
        "SELECT customer_id, state FROM profile",
        ("started",),
    ),
}


class Stage:
    """A real service and the outside; each word is lived through under a key of its own."""

    def __init__(self, name: str, make: Callable[[str, str], tuple[object, str]]) -> None:
        self.member: Member[object] = service(name, Kafka(), HandClock())
        self.outside, self.make = Outside(), make
        self.calls: dict[str, list[Begun]] = {}
        self.made: list[str] = []
        self.faults = list[Exception]()
        if name == "inventory":
            goods = GoodsReceived("d-1", (Item("s", 1000 * STOCKED),), WHEN)
            self.member.kafka.publish(SHOP.event(goods, "d-1", NOW_US, Cause()))
            self.member.consume()

    def record(self, key: str, letter: str) -> Record:
        body, operation = self.make(key, letter)
        topic = CATALOGUE.by_type[type(body)].topic
        assert topic is not None
        saga = f"fulfilment:{key}"
        links = Cause(saga, f"{saga}/cause", f"{saga}/{operation.rpartition('/')[0]}")
        made = ENGINE.message(topic, key, body, f"{saga}/{operation}", NOW_US, links)
        return self.member.kafka.publish(made)

    def happen(self, letters: Sequence[tuple[str, str]]) -> None:
        """One batch: to each key its letters; `r` is the oldest answer of its gateway."""
        records = [self.record(key, letter) for key, letter in letters if letter != "r"]
        keys = [key for key, letter in letters if letter == "r" and self.calls.get(key)]
        begun = [self.calls[key].pop(0) for key in keys]
        items = [Returned(each, self.outside.call(each)) for each in begun]
        self.keep(self.member.apply(self.member.batch(records, items)))

    def keep(self, applied: Applied) -> None:
        self.faults += [error for _, error in applied.errors]
        for call in applied.calls:
            self.calls.setdefault(call.key, []).append(call)
            self.made.append(call.idempotency_key)
        self.member.relay()

    def live(self, words: Sequence[str]) -> None:
        """Letter by letter, one batch for all keys; then every answer that is still owed."""
        for at in range(max(map(len, words))):
            self.happen([(key_of(word), word[at]) for word in words if len(word) > at])
        self.settle()

    def live_at_once(self, words: Sequence[str]) -> None:
        """All letters of all keys in one batch."""
        self.happen([(key_of(word), letter) for word in words for letter in word if letter != "r"])
        self.settle()

    def settle(self) -> None:
        while open_ := [(key, "r") for key, calls in self.calls.items() if calls]:
            self.happen(open_)

    def replies(self, key: str, message_id: str) -> list[object]:
        topic = f"{self.member.name}.replies.v1"
        wanted = f"fulfilment:{key}/{message_id}/reply".encode()
        return [
            CODEC.decode(record.value or b"")
            for record in self.member.kafka.all(topic)
            if dict(record.headers)["ce_id"] == wanted
        ]


def key_of(word: str) -> str:
    return f"k-{word}"


def words_of(letters: str) -> list[str]:
    return ["".join(each) for n in range(1, 5) for each in product(letters, repeat=n)]


def staged(name: str) -> tuple[Pair, Stage]:
    pair = PAIRS[name]

    def make(key: str, letter: str) -> tuple[object, str]:
        return (pair.do(key), "step/do") if letter == "d" else (pair.undo(key), "step/undo")

    return pair, Stage(pair.service, make)


@pytest.mark.parametrize("way", [Stage.live, Stage.live_at_once], ids=["one by one", "at once"])
@pytest.mark.parametrize("name", PAIRS)
def test_a_do_and_its_undo_in_every_order_end_as_one_of_each(
    name: str, way: Callable[[Stage, Sequence[str]], None]
) -> None:
    """The effect stands exactly if it was asked for and never taken back; every command is told."""
    pair, stage = staged(name)
    words = words_of("dur")
    way(stage, words)
    assert stage.faults == []
    assert max(Counter(stage.made).values(), default=1) == 1
    rows = {str(key): str(status) for key, status in stage.member.store.rows(pair.row)}
    for word in words:
        key, told = key_of(word), word.replace("r", "")
        stands = told != "" and "u" not in told
        assert (rows.get(key) in pair.stands) is stands, word
        assert pair.outside(stage.outside.deal(key)) is (stands or pair.outside(Deal())), word
        first = Overtaken if told.startswith("u") else pair.yes
        for letter, name_, kind in (("d", "do", first), ("u", "undo", pair.undone)):
            said = stage.replies(key, f"step/{name_}")
            assert bool(said) is (letter in told), word
            assert {type(each) for each in said} <= {kind}, word
            assert len({repr(each) for each in said}) <= 1, word


def test_every_pair_of_every_service_is_here() -> None:
    """A command that gets an undo must be added above; the others have their own test below."""
    commands = [each for each in CATALOGUE.by_name.values() if each.kind == "command"]
    pairs = {(each.name, each.owner) for each in commands if each.undone_by}
    told = {(type(pair.do("k")).__name__, pair.service) for pair in PAIRS.values()}
    assert told == pairs
    assert {each.owner for each in commands} == set(SERVICES)
    alone = {each.name for each in commands if not each.undone_by and not each.undoes}
    assert alone == {"CapturePayment", "RefundPayment", "DispatchShipment"}


def payment(key: str, letter: str) -> tuple[object, str]:
    made: dict[str, tuple[object, str]] = {
        "a": (AuthorisePayment(key, "c-1", PAID, "tok_ok"), "payment/do"),
        "v": (VoidPayment(key, PAID), "payment/undo"),
        "c": (CapturePayment(key, PAID, "auth-1"), "capture/do"),
        "f": (RefundPayment(key, PAID, "returned"), "refund/do"),
    }
    return made[letter]


def _money(word: str) -> tuple[int, int, int, int]:
    """Authorised, captured, voided, refunded: each operation once, when it first comes."""
    authorised = captured = voided = refunded = 0
    for letter in dict.fromkeys(word):
        if letter == "a" and "v" not in word[: word.index("a")]:
            authorised = 700
        elif letter == "v" and not captured:
            voided = authorised
        elif letter == "c" and authorised and not voided:
            captured = 700
        elif letter == "f":
            refunded = captured
    return authorised, captured, voided, refunded


def test_all_of_a_payments_commands_in_every_order_keep_the_books() -> None:
    """Authorise, void, capture, refund, up to four with repeats: bank, rows and ledger agree."""
    stage, words = Stage("billing", payment), words_of("avcf")
    for at in range(4):
        stage.happen([(key_of(word), word[at]) for word in words if len(word) > at])
        stage.settle()
    assert stage.faults == []
    rows = stage.member.store.rows(
        "SELECT order_id, authorised_minor, captured_minor, voided_minor, refunded_minor"
        " FROM payment"
    )
    ours = {str(row[0]): row[1:] for row in rows}
    for word in words:
        deal = stage.outside.deal(key_of(word))
        bank = (deal.authorised, deal.captured, deal.voided, deal.refunded)
        assert bank == _money(word), word
        assert ours.get(key_of(word), (0, 0, 0, 0)) == bank, word
    taken = sum(each[1] - each[3] for each in map(_money, words))
    held = sum(each[0] - each[1] - each[2] for each in map(_money, words))
    assert stage.member.store.rows(
        "SELECT account, sum(amount_minor) FROM entry GROUP BY account ORDER BY account"
    ) == [("customer:c-1", -taken - held), ("held", held), ("merchant", taken)]


def parcel(key: str, letter: str) -> tuple[object, str]:
    made: dict[str, tuple[object, str]] = {
        "b": (BookShipment(key, "France", ONE), "shipment/do"),
        "x": (CancelShipment(key), "shipment/undo"),
        "s": (DispatchShipment(key, "trk-1"), "dispatch/do"),
    }
    return made[letter]


def test_all_of_a_shipments_commands_in_every_order_are_honest() -> None:
    """What has no honest reply parks its key; nothing leaves that was cancelled or not booked."""
    stage, words = Stage("shipping", parcel), words_of("bxs")
    for at in range(4):
        stage.happen([(key_of(word), word[at]) for word in words if len(word) > at])
        stage.settle()
    parked = set(stage.member.parked())
    assert {type(fault) for fault in stage.faults} == {Impossible}
    ended = dict.fromkeys(words, "")
    for word in words:
        state, stuck = "none", False
        for letter in dict.fromkeys(word):
            stuck = state != "booked" if letter == "s" else (letter, state) == ("x", "dispatched")
            if stuck:
                break
            after = {
                "b": "booked" if state == "none" else state,
                "x": "cancelled",
                "s": "dispatched",
            }
            state = after[letter]
        ended[word] = state
        assert (key_of(word) in parked) is stuck, word
    assert {word: stage.outside.deal(key_of(word)).parcel for word in words} == ended
    rows = stage.member.store.rows("SELECT order_id, status FROM shipment")
    ours = {str(key): str(status) for key, status in rows}
    unbooked = {"none", "cancelled"}
    for word, state in ended.items():
        booked = "b" in word and state not in unbooked
        assert ours.get(key_of(word), "none") == state or (not booked and state in unbooked), word
