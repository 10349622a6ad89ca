"""The topics: who may write each, who reads it, which messages may stand on it, how long.

This table is the company's wiring and the only place that holds it; access rules, subscriptions,
`baton topics` and the AsyncAPI document are read off it. Which types a topic carries is derived
from the contracts, so a message says once where it is published. Knows no Kafka client.
Invariant: the record key of every topic is a business key, and all topics have equally many
partitions, so that one order's records meet in one partition number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from schemas.catalogue import Contract, load_catalogue

TopicKind = Literal["events", "commands", "replies", "outcomes", "dead_letters"]

ANY = ("*",)  # whoever the broker lets in: outside publishers are welcome
ORCHESTRATOR = ("orchestrator",)
CONSOLE = ("console",)
OPERATOR_TOPIC = "orchestrator.operator.commands.v1"
# Whoever keeps keys: each takes the verbs that name it.
EVERYBODY = (
    "orchestrator",
    "orders",
    "inventory",
    "billing",
    "shipping",
    "crm",
    "analytics",
    "notifications",
)
DEAD_LETTER_SUFFIX = ".dlt"

PARTITIONS_LOCAL = 4
PARTITIONS_CLUSTER = 12

DAY_MS = 24 * 60 * 60 * 1000
RETENTION_MS: dict[TopicKind, int] = {
    "events": 30 * DAY_MS,
    "outcomes": 30 * DAY_MS,
    "commands": 14 * DAY_MS,
    "replies": 14 * DAY_MS,
    "dead_letters": 30 * DAY_MS,
}
# A record of more than RECORD_BYTES_MAX is refused by its reader with a reason, where an operator
# sees it; so the broker lets it through up to its own limit. A dead letter adds its headers.
RECORD_BYTES_MAX = 256 * 1024
MESSAGE_BYTES_MAX = 1024 * 1024
DEAD_LETTER_BYTES_MAX = MESSAGE_BYTES_MAX + MESSAGE_BYTES_MAX // 2


@dataclass(frozen=True, slots=True)
class Topic:
    """`writers` and `readers` are names of services; outside consumers need no entry."""

    name: str
    kind: TopicKind
    writers: tuple[str, ...]
    readers: tuple[str, ...]

    @property
    def contracts(self) -> tuple[Contract, ...]:
        return _contracts_on(self)

    @property
    def types(self) -> tuple[str, ...]:
        """Full names of what may stand here; a dead letter may also be no message at all."""
        return tuple(contract.full_name for contract in self.contracts)

    @property
    def max_message_bytes(self) -> int:
        return DEAD_LETTER_BYTES_MAX if self.kind == "dead_letters" else MESSAGE_BYTES_MAX

    @property
    def settings(self) -> dict[str, str]:
        """The topic's configuration as Kafka names it."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(RETENTION_MS[self.kind]),
            "max.message.bytes": str(self.max_message_bytes),
        }

    def may_write(self, source: str) -> bool:
        return self.writers == ANY or source in self.writers


@cache
def _contracts_on(topic: Topic) -> tuple[Contract, ...]:
    catalogue = load_catalogue()
    if topic.kind == "replies":
        return catalogue.replies_of(topic.writers[0])
    if topic.kind == "dead_letters":
        return topic_named(topic.name.removesuffix(DEAD_LETTER_SUFFIX)).contracts
    return catalogue.published_on(topic.name)


def reply_topic(service: str) -> str:
    return f"{service}.replies.v1"


def dead_letter_topic(name: str) -> str:
    return f"{name}{DEAD_LETTER_SUFFIX}"


def _commands(name: str, service: str) -> Topic:
    return Topic(name, "commands", ORCHESTRATOR, (service,))


def _replies(service: str) -> Topic:
    return Topic(reply_topic(service), "replies", (service,), ORCHESTRATOR)


TOPICS: tuple[Topic, ...] = (
    Topic(
        "orders.order.events.v1",
        "events",
        ANY,
        ("orchestrator", "orders", "crm", "analytics", "notifications"),
    ),
    Topic(
        "orders.order.outcomes.v1",
        "outcomes",
        ORCHESTRATOR,
        ("orders", "crm", "analytics", "notifications"),
    ),
    _commands("inventory.stock.commands.v1", "inventory"),
    _commands("billing.payment.commands.v1", "billing"),
    _commands("billing.account.commands.v1", "billing"),
    _commands("shipping.shipment.commands.v1", "shipping"),
    _commands("crm.customer.commands.v1", "crm"),
    _commands("analytics.profile.commands.v1", "analytics"),
    _replies("inventory"),
    _replies("billing"),
    _replies("shipping"),
    _replies("crm"),
    _replies("analytics"),
    Topic(
        "inventory.stock.events.v1",
        "events",
        ("inventory",),
        ("crm", "analytics", "notifications"),
    ),
    Topic(
        "billing.payment.events.v1",
        "events",
        ("billing",),
        ("crm", "analytics", "notifications"),
    ),
    Topic(
        "shipping.shipment.events.v1",
        "events",
        ("shipping",),
        ("inventory", "crm", "analytics", "notifications"),
    ),
    Topic("inventory.delivery.events.v1", "events", ANY, ("inventory", "analytics")),
    Topic("customers.customer.events.v1", "events", ANY, ("orchestrator", "notifications")),
    Topic(
        "customers.customer.outcomes.v1",
        "outcomes",
        ORCHESTRATOR,
        ("notifications", "analytics"),
    ),
    Topic(OPERATOR_TOPIC, "commands", CONSOLE, EVERYBODY),
)


def topics_read_by(service: str) -> tuple[Topic, ...]:
    return tuple(topic for topic in TOPICS if service in topic.readers)


def topic_named(name: str) -> Topic:
    """Raises KeyError for a topic that Baton does not know."""
    found = next((topic for topic in all_topics() if topic.name == name), None)
    if found is None:
        raise KeyError(f"{name} is no topic of Baton. `baton topics list` names them all.")
    return found


@cache
def all_topics() -> tuple[Topic, ...]:
    """Every topic that must exist: the table and one for the dead letters of each."""
    return (*TOPICS, *(_dead_letters(topic) for topic in TOPICS if topic.readers))


def _dead_letters(topic: Topic) -> Topic:
    """Written by whoever reads the topic; read by people."""
    return Topic(dead_letter_topic(topic.name), "dead_letters", topic.readers, ())
