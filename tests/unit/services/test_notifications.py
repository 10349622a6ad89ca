"""Customers are told each thing once, in whatever order it is learnt, and never what is not so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from desk import Desk, every_order
from hypothesis import example, given
from hypothesis import strategies as st
from reads import reading

from deploy.local.sandboxes import mail
from deploy.local.sandboxes.serving import Place
from schemas.common import Line, Money
from schemas.customers import CustomerRegistered
from schemas.orchestrator import CustomerOnboarded, CustomerRefused, OrderCancelled, OrderFulfilled
from schemas.orders import OrderPlaced
from schemas.shipping import ShipmentDispatched
from services.chassis.handlers import Call, Change, Unknown, changed
from services.chassis.settings import SettingsError
from services.notifications import gateway, handlers
from services.notifications.api import routes
from services.notifications.domain import Customer, OrderMail
from services.notifications.handlers import HANDLERS
from services.notifications.store import MIGRATIONS, TABLES

NOON = datetime(2010, 12, 1, 12, tzinfo=UTC)
ADDRESS = "customer-17850@example.invalid"


def placed_by(customer_id: str | None) -> OrderPlaced:
    lines = (Line("85123A", 6, 255), Line("71053", 1, 339))
    return OrderPlaced("order-1", customer_id, "GBP", lines, "France", NOON)


PLACED = placed_by("17850")
REGISTERED = CustomerRegistered("17850", "Ada {0} Lovelace", ADDRESS, "France", NOON)
DISPATCHED = ShipmentDispatched("order-1", "trk-1")
FULFILLED = OrderFulfilled("order-1", "17850", "event-1", Money(1869, "GBP"), "trk-1")
CANCELLED = OrderCancelled("order-1", "17850", "event-1", "out_of_stock")
ONBOARDED = CustomerOnboarded("17850")
REFUSED = CustomerRefused("17850", "refused_test_customer")
RANKS = {"received": 1, "dispatched": 2, "fulfilled": 3, "cancelled": 3}


def letter(kind: str, subject: str, text: str, *, name: str = "order_mail") -> Call:
    about = "order-1" if name == "order_mail" else "17850"
    body = {
        "about": about, "kind": kind, "to": ADDRESS, "subject": subject,
        "text": f"Dear Ada {{0}} Lovelace,\n\n{text}\n",
    }  # fmt: skip
    return Call(name, body, id=f"{about}/{kind}")


RECEIVED_MAIL = letter(
    "received", "Order order-1: received", "we have your order order-1: 7 pieces."
)
FULFILLED_MAIL = letter(
    "fulfilled", "Order order-1: complete",
    "your order order-1 is complete. Its tracking number is trk-1.",
)  # fmt: skip
CANCELLED_MAIL = letter(
    "cancelled", "Order order-1: cancelled",
    "your order order-1 was cancelled (out_of_stock). You were not charged.",
)  # fmt: skip
KNOWN = Customer("17850", "Ada {0} Lovelace", ADDRESS)


class Post(Desk):
    """A desk whose letters lie in a tray until they are delivered."""

    def __init__(self) -> None:
        super().__init__([each for each in HANDLERS if isinstance(each.message, type)], TABLES)
        self._sends = {each.message: each for each in HANDLERS if isinstance(each.message, str)}
        self.tray = list[Call]()
        self.sent = list[str]()

    def hear(self, event: object) -> None:
        change = self.tell(event)
        assert isinstance(change, Change)
        self.tray += change.calls

    def deliver(self, refusal: str = "") -> None:
        """The oldest letter reaches the mail server, and its word is recorded."""
        call = self.tray.pop(0)
        loads = self._sends[call.name].loads
        assert loads.table is not None
        assert loads.by is not None
        given = [self._load(loads.table, loads.by(call))]
        if loads.then is not None and loads.whose is not None:
            given.append(self._load(loads.then, loads.whose(call, *given)))
        record = self._sends[call.name].record
        assert record is not None
        change = record(call, *given, {"refused": refusal} if refusal else {})
        assert isinstance(change, Change)
        self._write(change.rows, given)
        self.sent.append(call.id)
        self.tray += change.calls

    def deliver_all(self) -> None:
        while self.tray:
            self.deliver()

    def letters(self, order_id: str = "order-1") -> dict[str, str]:
        order = self.rows[OrderMail][order_id]
        assert isinstance(order, OrderMail)
        return order.letters


def test_an_order_is_confirmed_once_its_address_is_known() -> None:
    """With a registered customer the letter goes out at once, and its fact is kept."""
    order = OrderMail("order-1", "17850", {"received": "7"}, {"received": "sending"})
    answer = handlers.order_placed(PLACED, {}, {"17850": KNOWN})
    assert answer == changed(order, calls=[RECEIVED_MAIL])


def test_an_order_waits_for_its_customer() -> None:
    """Nothing is sent, and the customer's row says who waits; hearing more waits no second time."""
    post = Post()
    waits = Customer("17850", waiting=["order-1"])
    order = OrderMail("order-1", "17850", {"received": "7"})
    assert handlers.order_placed(PLACED, {}, {}) == changed(order, waits)
    post.hear(PLACED)
    post.hear(DISPATCHED)
    assert post.tray == []
    assert post.all(Customer) == [waits]


def test_a_registration_sends_what_waited_and_only_the_latest() -> None:
    """Of an order that ended meanwhile only the end is told."""
    post = Post()
    for event in (PLACED, DISPATCHED, FULFILLED, REGISTERED):
        post.hear(event)
    assert post.tray == [FULFILLED_MAIL]
    assert post.all(Customer) == [KNOWN]
    post.deliver_all()
    assert post.letters() == {
        "received": "suppressed", "dispatched": "suppressed", "fulfilled": "sent",
    }  # fmt: skip


def test_one_letter_of_an_order_is_under_way_at_a_time() -> None:
    """What is learnt while a letter is being sent is told after it, so none overtakes another."""
    post = Post()
    for event in (REGISTERED, PLACED, CANCELLED):
        post.hear(event)
    assert post.tray == [RECEIVED_MAIL]
    post.deliver()
    assert post.tray == [CANCELLED_MAIL]
    post.deliver()
    assert post.sent == ["order-1/received", "order-1/cancelled"]
    assert post.letters() == {"received": "sent", "cancelled": "sent"}


def test_what_is_late_is_not_told() -> None:
    """A confirmation after the end would contradict it."""
    post = Post()
    for event in (REGISTERED, FULFILLED):
        post.hear(event)
    post.deliver_all()
    post.hear(PLACED)
    assert post.tray == []
    assert post.letters() == {"fulfilled": "sent", "received": "suppressed"}


def test_a_letter_that_is_refused_for_good_is_not_tried_again() -> None:
    """It is settled as undeliverable, and a later kind still gets its own chance."""
    post = Post()
    for event in (REGISTERED, PLACED):
        post.hear(event)
    post.deliver(refusal="smtp_550")
    post.hear(FULFILLED)
    assert post.tray == [FULFILLED_MAIL]
    assert post.letters() == {"received": "undeliverable", "fulfilled": "sending"}


def test_a_guest_gets_no_mail() -> None:
    """Facts are kept, letters are not begun, and no customer's row comes to be."""
    post = Post()
    guest = OrderFulfilled("order-1", None, "event-1", Money(1869, "GBP"), "trk-1")
    for event in (REGISTERED, placed_by(None), DISPATCHED, guest):
        post.hear(event)
    assert post.tray == []
    assert post.all(Customer) == [KNOWN]


@pytest.mark.parametrize("accepted", ["18000", None])
def test_the_outcome_says_whose_order_it_was(accepted: str | None) -> None:
    """Where two bodies were published for one order, the refused one's customer hears no end."""
    ended = OrderFulfilled("order-1", accepted, "event-1", Money(1869, "GBP"), "trk-1")
    for events in every_order((PLACED, ""), (ended, ""), (REGISTERED, "")):
        post = Post()
        for event, _ in events:
            post.hear(event)
        post.deliver_all()
        assert "order-1/fulfilled" not in post.sent
        order = post.rows[OrderMail]["order-1"]
        assert isinstance(order, OrderMail)
        assert order.customer_id == accepted


def test_the_first_of_each_fact_stands() -> None:
    """Neither another body of the order nor another end of the onboarding changes a letter."""
    post = Post()
    more = replace(PLACED, lines=(Line("85123A", 100, 255),))
    for event in (PLACED, more, REFUSED, ONBOARDED, REGISTERED):
        post.hear(event)
    assert [call.id for call in post.tray] == ["17850/declined", "order-1/received"]
    assert post.tray[1] == RECEIVED_MAIL


def test_only_the_first_registration_counts() -> None:
    """A second one redirects nothing."""
    elsewhere = CustomerRegistered("17850", "Eve", "eve@example.invalid", "France", NOON)
    assert handlers.customer_registered(elsewhere, {"17850": KNOWN}, {}) == changed()


@pytest.mark.parametrize(
    ("event", "call"),
    [
        (ONBOARDED, letter("welcome", "Welcome", "your account is open.", name="customer_mail")),
        (
            REFUSED,
            letter(
                "declined", "Your account",
                "we could not open an account for you (refused_test_customer).",
                name="customer_mail",
            ),
        ),
    ],
)  # fmt: skip
def test_a_customer_is_told_how_the_onboarding_ended(event: object, call: Call) -> None:
    """Once, whichever came first: the end or the address."""
    for events in every_order((REGISTERED, ""), (event, ""), (event, "")):
        post = Post()
        for each, _ in events:
            post.hear(each)
        assert post.tray == [call]
        post.deliver_all()
        (customer,) = post.all(Customer)
        assert isinstance(customer, Customer)
        assert customer.letters == {str(call.body["kind"]): "sent"}


def test_nothing_personal_shows_when_rows_are_printed() -> None:
    """Logs and errors print rows; names and addresses stay out of them."""
    _, told = handlers.domain.next_letter(OrderMail("order-1", "17850", {"received": "7"}), KNOWN)
    assert told is not None
    for shown in (repr(KNOWN), repr(told)):
        assert "Ada" not in shown
        assert "example.invalid" not in shown


STORIES = st.sampled_from([(PLACED, DISPATCHED, FULFILLED), (PLACED, CANCELLED), (PLACED,)])


@pytest.mark.searches
@given(STORIES.flatmap(lambda story: st.permutations([*story, REGISTERED, None, None])))
@example([PLACED, REGISTERED, FULFILLED, None, DISPATCHED, None])
def test_any_order_of_events_ends_with_the_same_letters(events: Sequence[object]) -> None:
    """None is the moment at which a letter is delivered. Each kind is settled once, the latest is
    sent, those that were sent rise in rank, and no order is told two ends."""
    post = Post()
    for event in events:
        if event is not None:
            post.hear(event)
        elif post.tray:
            post.deliver()
        assert len(post.tray) <= 1
    post.deliver_all()
    kinds = [name.partition("/")[2] for name in post.sent]
    names = {OrderPlaced: "received", ShipmentDispatched: "dispatched"}
    names |= {OrderFulfilled: "fulfilled", OrderCancelled: "cancelled"}
    facts = {names[type(each)] for each in events if type(each) in names}
    assert set(post.letters()) == facts
    assert kinds[-1] == max(facts, key=lambda kind: RANKS[kind])
    ranks = [RANKS[kind] for kind in kinds]
    assert ranks == sorted(set(ranks))
    states = {kind: "sent" if kind in kinds else "suppressed" for kind in facts}
    assert post.letters() == states


def settings_of(**environment: str) -> gateway.GatewaySettings:
    kafka = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092"}
    return gateway.GatewaySettings.read({**kafka, **environment}, service="notifications")


def test_notifications_does_not_start_without_a_mail_server() -> None:
    """The address is asked for at the start, not at the first letter."""
    with pytest.raises(SettingsError, match="BATON_SMTP_HOST: missing: the mail server"):
        settings_of()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[gateway.MailServer]:
    environment = {"BATON_SMTP_HOST": "127.0.0.1", "BATON_SMTP_PORT": str(port)}
    async with gateway.open_gateway(settings_of(**environment)) as server:
        yield server


async def test_letters_reach_a_real_mail_server(tmp_path: Path) -> None:
    """Subject, text and Message-ID arrive; sent again it is the same mail; connections are kept."""
    app = mail.build(Place(tmp_path / "mail.db", 0))
    async with app.router.lifespan_context(app):
        sandbox = app.state.sandbox
        async with connected(sandbox.ports["smtp"]) as server:
            for call in (RECEIVED_MAIL, RECEIVED_MAIL, FULFILLED_MAIL):
                assert await gateway.deliver(server, call, "key") == {}
            assert len(server._idle) == 1
            many = [gateway.deliver(server, FULFILLED_MAIL, "key") for _ in range(10)]
            assert await asyncio.gather(*many) == [{}] * 10
        rows = await sandbox.store.run(
            lambda db: db.execute("SELECT * FROM mail ORDER BY message_id").fetchall()
        )
    assert [(row["message_id"], row["recipients"], row["count"]) for row in rows] == [
        ("<order-1/fulfilled@baton.invalid>", ADDRESS, 11),
        ("<order-1/received@baton.invalid>", ADDRESS, 2),
    ]
    parsed = message_from_bytes(rows[1]["content"], policy=policy.default)
    assert parsed["to"] == ADDRESS
    assert parsed["from"] == "shop@baton.invalid"
    assert parsed.get_content().replace("\r\n", "\n") == RECEIVED_MAIL.body["text"]


class Grumpy:
    """A mail server that says to each recipient or content what it is told to say."""

    def __init__(self, recipient: str, content: str) -> None:
        self._recipient, self._content = recipient, content

    async def handle_RCPT(  # noqa: N802
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self._recipient

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, _envelope: Envelope
    ) -> str:
        return self._content


@asynccontextmanager
async def grumpy(recipient: str, content: str) -> AsyncIterator[gateway.MailServer]:
    loop, says = asyncio.get_running_loop(), Grumpy(recipient, content)
    server = await loop.create_server(lambda: SMTP(says, loop=loop), "127.0.0.1", 0)
    async with connected(server.sockets[0].getsockname()[1]) as mail_server:
        yield mail_server
    server.close()


@pytest.mark.parametrize(
    ("recipient", "content", "result"),
    [
        ("550 no such person", "250 taken", {"refused": "smtp_550"}),
        ("250 known", "554 not this", {"refused": "smtp_554"}),
        ("450 later", "250 taken", None),
        ("250 known", "451 later", None),
    ],
)
async def test_only_a_refusal_for_good_is_a_refusal(
    recipient: str, content: str, result: dict[str, str] | None
) -> None:
    """A 5xx about recipient or content settles the letter; a 4xx is asked again."""
    async with grumpy(recipient, content) as server:
        if result is not None:
            assert await gateway.deliver(server, RECEIVED_MAIL, "key") == result
            return
        with pytest.raises(Unknown, match="mail order-1/received: ") as fault:
            await gateway.deliver(server, RECEIVED_MAIL, "key")
    assert ADDRESS not in str(fault.value)
    assert (fault.value.__cause__, fault.value.__suppress_context__) == (None, True)


async def test_a_mail_server_that_is_away_is_unknown() -> None:
    """Nobody listens: asked again later, and nothing personal is in the error."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with connected(port) as away:
        with pytest.raises(Unknown, match=r"^mail order-1/received: SMTPConnectError$"):
            await gateway.deliver(away, RECEIVED_MAIL, "key")


@pytest.mark.parametrize(
    "to", ["a,b@c", "<a@b>", "=>[@=<", '"a b"@c', "ä@example.invalid", "a@b\n"]
)
async def test_an_address_that_no_letter_can_carry_is_refused(to: str) -> None:
    """It never reaches the header, whose parser it might break, nor a second recipient."""
    call = Call("order_mail", {**RECEIVED_MAIL.body, "to": to}, id="order-1/received")
    async with connected(1) as server:
        assert await gateway.deliver(server, call, "key") == {"refused": "address_unusable"}


async def test_people_can_read_what_was_told(tmp_path: Path) -> None:
    """Facts and letters of an order, totals by kind and state, and no address anywhere."""
    letters = {"received": "suppressed", "fulfilled": "sent"}
    order = OrderMail("order-1", "17850", {"received": "7", "fulfilled": "trk-1"}, letters)
    customer = Customer("17850", "Ada", ADDRESS, "welcome", "", {"welcome": "sent"}, [])
    rows = [order, customer]
    async with reading(tmp_path, TABLES, routes, rows, migrations=MIGRATIONS) as client:
        one = await client.get("/letters/order-1")
        totals = await client.get("/letters")
        none = await client.get("/letters/order-9")
    assert one.json() == {
        "order_id": "order-1", "customer_id": "17850", "letters": letters,
        "facts": {"received": "7", "fulfilled": "trk-1"},
    }  # fmt: skip
    assert totals.json() == {
        "fulfilled": {"sent": 1}, "received": {"suppressed": 1}, "welcome": {"sent": 1},
    }  # fmt: skip
    assert none.status_code == 404
    assert ADDRESS not in one.text + totals.text
