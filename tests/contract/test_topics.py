"""The table of topics is the promised one and agrees with the contracts."""

from __future__ import annotations

import pytest

from schemas.catalogue import load_catalogue
from schemas.rules import TOPIC_KINDS
from schemas.topics import (
    ANY,
    DAY_MS,
    RECORD_BYTES_MAX,
    TOPICS,
    Topic,
    all_topics,
    dead_letter_topic,
    reply_topic,
    topic_named,
    topics_read_by,
)

TABLE = """
orders.order.events.v1 | * | orchestrator orders crm analytics notifications | OrderCancellationRequested OrderPlaced
orders.order.outcomes.v1 | orchestrator | orders crm analytics notifications | OrderCancellationRefused OrderCancelled OrderFulfilled OrderNeedsAttention
inventory.stock.commands.v1 | orchestrator | inventory | ReleaseStock ReserveStock
billing.payment.commands.v1 | orchestrator | billing | AuthorisePayment CapturePayment RefundPayment VoidPayment
billing.account.commands.v1 | orchestrator | billing | CloseAccount OpenAccount
shipping.shipment.commands.v1 | orchestrator | shipping | BookShipment CancelShipment DispatchShipment
crm.customer.commands.v1 | orchestrator | crm | CloseCustomerRecord OpenCustomerRecord
analytics.profile.commands.v1 | orchestrator | analytics | EraseProfile StartProfile
inventory.replies.v1 | inventory | orchestrator | OutOfStock Overtaken StockReleased StockReserved
billing.replies.v1 | billing | orchestrator | AccountClosed AccountOpened AccountRefused CaptureRefused Overtaken PaymentAuthorised PaymentCaptured PaymentDeclined PaymentRefunded PaymentVoided
shipping.replies.v1 | shipping | orchestrator | Overtaken ShipmentBooked ShipmentCancelled ShipmentDispatched ShipmentRefused
crm.replies.v1 | crm | orchestrator | CustomerRecordClosed CustomerRecordOpened Overtaken
analytics.replies.v1 | analytics | orchestrator | Overtaken ProfileErased ProfileStarted
inventory.stock.events.v1 | inventory | crm analytics notifications | StockLow
billing.payment.events.v1 | billing | crm analytics notifications | PaymentCaptured PaymentRefunded PaymentVoided
shipping.shipment.events.v1 | shipping | inventory crm analytics notifications | ShipmentDispatched
inventory.delivery.events.v1 | * | inventory analytics | GoodsReceived
customers.customer.events.v1 | * | orchestrator notifications | CustomerRegistered
customers.customer.outcomes.v1 | orchestrator | notifications analytics | CustomerNeedsAttention CustomerOnboarded CustomerRefused
orchestrator.operator.commands.v1 | console | orchestrator orders inventory billing shipping crm analytics notifications | OperatorVerb
"""  # noqa: E501


def row(topic: Topic) -> str:
    types = sorted(name.rpartition(".")[2] for name in topic.types)
    columns = (topic.name, *map(" ".join, (topic.writers, topic.readers, types)))
    return " | ".join(columns)


def test_the_table_is_the_promised_one() -> None:
    """Who writes, who reads and what may stand on each topic, row by row."""
    assert [row(topic) for topic in TOPICS] == TABLE.strip().splitlines()


def test_every_message_has_a_topic() -> None:
    """Nothing can be sent that has no place, and no topic is named that is not in the table."""
    catalogue = load_catalogue()
    placed = {name for topic in TOPICS for name in topic.types}

    assert placed == set(catalogue.by_name)
    assert {each.topic for each in catalogue.by_name.values()} - {None} <= {t.name for t in TOPICS}


def test_a_topic_s_kind_is_said_by_its_name() -> None:
    """Retention follows the kind, so a name that lies would lose records early."""
    for topic in TOPICS:
        assert topic.kind == topic.name.split(".")[-2]
        own = [c for c in topic.contracts if c.topic == topic.name]
        assert {TOPIC_KINDS[each.kind] for each in own} <= {topic.kind}


def test_only_the_orchestrator_reads_replies_and_writes_commands() -> None:
    """The reply topic proves who spoke; an operator's commands come from the console."""
    for topic in TOPICS:
        if topic.kind == "replies":
            assert (topic.name, topic.readers) == (
                reply_topic(topic.writers[0]),
                ("orchestrator",),
            )
        if topic.kind == "commands":
            assert topic.writers == (
                ("console",) if "operator" in topic.name else ("orchestrator",)
            )


def test_what_a_service_reads() -> None:
    """A group subscribes to exactly the rows that name it."""
    assert [topic.name for topic in topics_read_by("inventory")] == [
        "inventory.stock.commands.v1",
        "shipping.shipment.events.v1",
        "inventory.delivery.events.v1",
        "orchestrator.operator.commands.v1",
    ]
    assert topics_read_by("console") == ()


@pytest.mark.parametrize(
    ("topic", "source", "allowed"),
    [
        ("billing.replies.v1", "billing", True),
        ("billing.replies.v1", "shipping", False),
        ("orders.order.events.v1", "web-shop.example", True),
        ("orchestrator.operator.commands.v1", "orchestrator", False),
    ],
)
def test_who_may_write(topic: str, source: str, allowed: bool) -> None:  # noqa: FBT001
    """A named writer and nobody else, or anybody where outside publishers are welcome."""
    assert topic_named(topic).may_write(source) is allowed


def test_every_topic_has_one_for_its_dead_letters() -> None:
    """What a reader refuses is kept, whoever wrote it."""
    dead = all_topics()[len(TOPICS) :]

    assert [topic.name for topic in dead] == [dead_letter_topic(topic.name) for topic in TOPICS]
    assert [topic.writers for topic in dead] == [topic.readers for topic in TOPICS]
    assert ANY not in {topic.writers for topic in dead}
    assert dead[0].types == TOPICS[0].types


@pytest.mark.parametrize(
    ("name", "days", "size"),
    [
        ("orders.order.events.v1", 30, 1_048_576),
        ("orders.order.outcomes.v1", 30, 1_048_576),
        ("billing.payment.commands.v1", 14, 1_048_576),
        ("billing.replies.v1", 14, 1_048_576),
        ("billing.replies.v1.dlt", 30, 1_572_864),
    ],
)
def test_settings_by_kind(name: str, days: int, size: int) -> None:
    """Records are kept for days, deleted not compacted; the broker lets through what is refused."""
    assert topic_named(name).settings == {
        "cleanup.policy": "delete",
        "retention.ms": str(days * DAY_MS),
        "max.message.bytes": str(size),
    }
    assert size > RECORD_BYTES_MAX


def test_an_unknown_topic_is_named() -> None:
    """The error says where the known ones are listed."""
    with pytest.raises(KeyError, match=r"orders is no topic of Baton\. `baton topics list`"):
        topic_named("orders")
