"""What an import says to Kafka: stock first, then orders in their order, the same every time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import pytest

from deploy.local.home import Home
from deploy.local.retail.messages import SOURCE
from deploy.local.retail.orders import Order, OrderCharge, OrderLine, judge_rows, select
from deploy.local.retail.publish import Clock, Pace, Plan, Progress, plan, publish
from deploy.local.retail.reading import SHIPPED_MONTH, read
from deploy.local.retail.rejects import rejects_path, write_rejects
from deploy.local.retail.rules import Rejected
from schemas.catalogue import load_catalogue
from schemas.common import Charge, Item, Line
from schemas.customers import CustomerRegistered
from schemas.inventory import GoodsReceived
from schemas.orders import OrderPlaced
from services.chassis.bus import BrokerSilent, TopicsWrong
from services.chassis.codec import Codec
from services.chassis.messages import Outgoing

CATALOGUE = load_catalogue()
CODEC = Codec(CATALOGUE)
PLACED = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
ORDER = Order(
    order_id="retail-1",
    customer_id="17850",
    country="France",
    placed_at=PLACED,
    day=date(2010, 12, 1),
    lines=(OrderLine("LAMP", "A LAMP", 3, 255), OrderLine("LAMP", "A LAMP", 1, 200)),
    charges=(OrderCharge("POST", 1800),),
    payment_method="tok_slow",
)


@dataclass
class ManualTime:
    """A clock that only sleeping moves."""

    now_s: float = 0.0
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def clock(self) -> Clock:
        return Clock(lambda: 1_600_000_000_000_000, lambda: self.now_s, self.sleep)


@dataclass
class Recorder:
    """A sender that keeps what it was given, and fails as often as it is told to."""

    time: ManualTime
    fails: list[Exception] = field(default_factory=list)
    sent: list[Outgoing] = field(default_factory=list)
    calls: list[tuple[float, int]] = field(default_factory=list)
    rebuilt: int = 0

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        if self.fails:
            raise self.fails.pop()
        self.calls.append((self.time.now_s, len(messages)))
        self.sent += messages

    async def rebuild(self) -> None:
        self.rebuilt += 1


def made(*orders: Order) -> Plan:
    return plan(orders, CATALOGUE, ManualTime().clock())


async def run(
    planned: Plan,
    pace: Pace | None = None,
    fails: Sequence[Exception] = (),
) -> Recorder:
    time = ManualTime()
    sender = Recorder(time, list(fails))

    async def stock_is_in() -> None:
        sender.calls.append((time.now_s, -1))

    await publish(
        planned,
        sender,
        pace=pace or Pace(),
        await_stock=stock_is_in,
        progress=lambda _: None,
        clock=time.clock(),
    )
    return sender


def minutes_apart(count: int, **changed: object) -> list[Order]:
    return [
        replace(
            ORDER,
            order_id=f"retail-{number}",
            placed_at=PLACED + timedelta(minutes=number),
            **changed,  # type: ignore[arg-type]
        )
        for number in range(count)
    ]


async def test_an_import_says_stock_then_customer_then_order() -> None:
    """Whole messages, each on its topic under its key."""
    sent = (await run(made(ORDER))).sent
    delivery_id = sent[0].key
    assert [CODEC.decode(message.value) for message in sent] == [
        GoodsReceived(delivery_id, (Item("LAMP", 4),), PLACED),
        CustomerRegistered(
            "17850", "Customer 17850", "customer-17850@example.invalid", "France", PLACED
        ),
        OrderPlaced(
            "retail-1",
            "17850",
            "GBP",
            (Line("LAMP", 3, 255, "A LAMP"), Line("LAMP", 1, 200, "A LAMP")),
            "France",
            PLACED,
            (Charge("POST", 1800),),
            "tok_slow",
        ),
    ]
    assert [(message.topic, message.key, message.id) for message in sent] == [
        ("inventory.delivery.events.v1", delivery_id, f"{delivery_id}/received"),
        ("customers.customer.events.v1", "17850", "customer-17850/registered"),
        ("orders.order.events.v1", "retail-1", "retail-1/placed"),
    ]


async def test_messages_carry_the_envelope_of_an_outside_publisher() -> None:
    """CloudEvents 1.0 in binary mode, from a source of its own."""
    order = (await run(made(ORDER))).sent[-1]
    headers = {name: value.decode() for name, value in order.headers}
    assert headers == {
        "ce_specversion": "1.0",
        "ce_id": "retail-1/placed",
        "ce_source": SOURCE,
        "ce_type": "baton.orders.OrderPlaced",
        "ce_time": "2020-09-13T12:26:40.000000Z",
        "ce_subject": "retail-1",
        "ce_dataschema": headers["ce_dataschema"],
        "ce_correlationid": "retail-1",
        "content-type": "application/avro",
    }


def test_the_same_import_again_says_the_same() -> None:
    """Ids and bytes are equal whenever and however often it is planned."""
    orders = minutes_apart(3)
    later = Clock(wall_us=lambda: 1_700_000_000_000_000)
    first, second = plan(orders, CATALOGUE), plan(orders, CATALOGUE, later)
    assert [(each.id, each.value) for each in everything(first)] == [
        (each.id, each.value) for each in everything(second)
    ]


def everything(planned: Plan) -> list[Outgoing]:
    said = [message for each in planned.announcements for message in each.messages]
    return [*planned.stock, *said]


def test_a_customer_is_registered_once_at_the_first_order_and_a_guest_never() -> None:
    """Just before the order, with its country and its time."""
    guest, again = minutes_apart(2)
    planned = made(ORDER, again, replace(guest, customer_id=None))
    assert [[m.topic for m in each.messages] for each in planned.announcements] == [
        ["customers.customer.events.v1", "orders.order.events.v1"],
        ["orders.order.events.v1"],
        ["orders.order.events.v1"],
    ]
    assert planned.customers == 1


async def test_orders_wait_until_the_stock_was_taken_in() -> None:
    """Nothing but deliveries goes out before the caller says so."""
    sender = await run(made(*minutes_apart(2)))
    assert sender.calls == [(0.0, 1), (0.0, -1), (0.0, 3)]


async def test_a_rate_is_kept() -> None:
    """Five a second, evenly, the first at once."""
    sender = await run(made(*minutes_apart(4, customer_id=None)), Pace(rate=5))
    assert sender.calls[2:] == [(pytest.approx(0.2 * number), 1) for number in range(4)]


async def test_the_shops_own_times_are_replayed_faster() -> None:
    """Orders a minute apart, sixty times faster, go out a second apart."""
    sender = await run(made(*minutes_apart(3, customer_id=None)), Pace(speed=60))
    assert sender.calls[2:] == [(0.0, 1), (1.0, 1), (2.0, 1)]


async def test_the_slower_of_rate_and_speed_wins() -> None:
    """A replay never exceeds the rate."""
    orders = minutes_apart(3, customer_id=None)
    sender = await run(made(*orders), Pace(speed=60, rate=0.5))
    assert sender.calls[2:] == [(0.0, 1), (2.0, 1), (4.0, 1)]


async def test_without_a_pace_orders_go_out_in_large_pieces() -> None:
    """At most 200 in one call, in the order they were placed."""
    orders = minutes_apart(450, customer_id=None)
    sender = await run(made(*orders))
    assert sender.calls[2:] == [(0.0, 200), (0.0, 200), (0.0, 50)]
    assert [each.key for each in sender.sent[1:]] == [order.order_id for order in orders]


async def test_progress_tells_each_stage() -> None:
    """Deliveries, waiting, then orders up to the last."""
    seen: list[Progress] = []
    time = ManualTime()

    async def stock_is_in() -> None:
        seen.append(Progress("asked", 0, 0))

    await publish(
        made(*minutes_apart(201)),
        Recorder(time),
        pace=Pace(),
        await_stock=stock_is_in,
        progress=seen.append,
        clock=time.clock(),
    )
    assert seen == [
        Progress("stock", 1, 1),
        Progress("waiting", 0, 1),
        Progress("asked", 0, 0),
        Progress("waiting", 1, 1),
        Progress("orders", 200, 201),
        Progress("orders", 201, 201),
    ]


async def test_a_silent_broker_is_asked_again_under_the_same_ids() -> None:
    """A new producer, the same messages, after a growing wait."""
    silent = BrokerSilent("127.0.0.1:9092", 10)
    sender = await run(made(ORDER), fails=[silent, silent])
    assert sender.rebuilt == 2
    assert sender.time.slept[:2] == [0.5, 1.0]
    assert len(sender.sent) == 3


async def test_a_broker_that_stays_silent_ends_the_import() -> None:
    """After half a minute the fault is the caller's to tell."""
    with pytest.raises(BrokerSilent):
        await run(made(ORDER), fails=[BrokerSilent("127.0.0.1:9092", 10)] * 6)


async def test_a_missing_topic_is_told_at_once() -> None:
    """Waiting creates no topic."""
    with pytest.raises(TopicsWrong):
        await run(made(ORDER), fails=[TopicsWrong(["t"], "does not exist")])


def test_the_whole_month_can_be_said() -> None:
    """Every order passes its contract's bounds, decodes to itself and fits into a record."""
    month = judge_rows(read(SHIPPED_MONTH))
    planned = made(*month.orders)
    messages = everything(planned)
    assert Counter(message.topic for message in messages) == Counter(
        {
            "orders.order.events.v1": 1_550,
            "customers.customer.events.v1": 884,
            "inventory.delivery.events.v1": 14,
        }
    )
    assert len({message.id for message in messages}) == len(messages)
    assert max(len(message.value) for message in messages) < 64 * 1024
    bodies = [CODEC.decode(each.messages[-1].value) for each in planned.announcements]
    assert sum(body.total_minor for body in bodies if isinstance(body, OrderPlaced)) == 80_740_737


def test_an_order_says_the_same_whatever_is_selected_with_it() -> None:
    """A day imported before its month conflicts with nothing."""
    month = judge_rows(read(SHIPPED_MONTH))
    day = select(month.orders, day=date(2010, 12, 2), limit=20)
    of_month = {each.id: each.value for each in everything(made(*month.orders))}
    orders = [each for each in everything(made(*day)) if each.topic == "orders.order.events.v1"]
    assert all(of_month[each.id] == each.value for each in orders)


def test_nothing_selected_is_nothing_said() -> None:
    """An empty day is an empty import."""
    planned = made()
    assert everything(planned) == []
    assert (planned.stock_units, planned.products, planned.customers) == (0, 0, 0)


def test_the_rejects_file_lists_each_row(tmp_path: object) -> None:
    """One line a row, replaced as a whole by the next import of the same file."""
    home = Home(tmp_path)  # type: ignore[arg-type]
    path = rejects_path(home, SHIPPED_MONTH)
    assert path == home.data / "imports" / "online-retail-2010-12.rejects.csv"
    write_rejects(path, [Rejected(2, "no_price", "old")])
    write_rejects(path, [Rejected(7, "bad_number", "Quantity 'a,\"b' is not a whole number")])
    assert path.read_text() == (
        'line,reason,detail\n7,bad_number,"Quantity \'a,""b\' is not a whole number"\n'
    )
