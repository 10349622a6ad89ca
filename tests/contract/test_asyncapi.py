"""The AsyncAPI document is valid, complete, and says what the topics and the contracts say."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import cast

import pytest
from jsonschema import Draft7Validator

from schemas.asyncapi import document
from schemas.catalogue import load_catalogue
from schemas.shapes import JSON
from schemas.topics import TOPICS

# Published by the AsyncAPI Initiative under the Apache License 2.0, see asyncapi-3.1.0.NOTICE.
SPECIFICATION = Path(__file__).with_name("asyncapi-3.1.0.json")

Object = dict[str, JSON]


@cache
def validator() -> Draft7Validator:
    return Draft7Validator(json.loads(SPECIFICATION.read_text(encoding="utf-8")))


def today() -> Object:
    return document(version="0.1.0")


def at(tree: JSON, *path: str) -> Object:
    for step in path:
        tree = cast(Object, tree)[step]
    return cast(Object, tree)


def references(tree: JSON) -> Iterator[str]:
    if isinstance(tree, dict):
        if isinstance(target := tree.get("$ref"), str):
            yield target
        for each in tree.values():
            yield from references(each)
    if isinstance(tree, list):
        for each in tree:
            yield from references(each)


def test_the_document_is_valid() -> None:
    """The specification's own schema has nothing to say against it."""
    assert [error.message for error in validator().iter_errors(today())] == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.pop("info"),
        lambda d: at(d, "channels", "billing.replies.v1", "bindings", "kafka").update(partitions=0),
        lambda d: at(d, "operations", "billing.send.billing.replies.v1").update(action="shout"),
        lambda d: at(
            d, "components", "messages", "baton.common.Overtaken", "payload", "schema"
        ).update(type="recrod"),
    ],
    ids=["no info", "no partitions", "unknown action", "no Avro schema"],
)
def test_the_check_finds_what_is_wrong(spoil: Callable[[Object], object]) -> None:
    """A validator that passes everything would prove nothing."""
    spoiled = copy.deepcopy(today())
    spoil(spoiled)

    assert list(validator().iter_errors(spoiled)) != []


def test_every_reference_leads_somewhere() -> None:
    """The schema does not follow references, so they are followed here."""
    whole = today()

    for target in set(references(whole)):
        assert at(whole, *target.removeprefix("#/").split("/")), target


def test_there_is_a_channel_for_every_topic_and_a_message_for_every_contract() -> None:
    """Nothing that travels is missing from the document."""
    whole = today()

    assert list(at(whole, "channels")) == [topic.name for topic in TOPICS]
    assert set(at(whole, "components", "messages")) == set(load_catalogue().by_name)


def test_an_operation_is_described_whole() -> None:
    """A service written elsewhere finds its topic, its group, and where which replies go."""
    whole, topic = today(), "inventory.stock.commands.v1"

    assert at(whole, "operations", f"inventory.receive.{topic}") == {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{topic}"},
        "messages": [
            {"$ref": f"#/channels/{topic}/messages/ReleaseStock"},
            {"$ref": f"#/channels/{topic}/messages/ReserveStock"},
        ],
        "tags": [{"name": "inventory"}],
        "bindings": {
            "kafka": {
                "groupId": {"type": "string", "const": "baton.inventory"},
                "bindingVersion": "0.5.0",
            }
        },
        "reply": {
            "channel": {"$ref": "#/channels/inventory.replies.v1"},
            "messages": [
                {"$ref": "#/channels/inventory.replies.v1/messages/Overtaken"},
                {"$ref": "#/channels/inventory.replies.v1/messages/OutOfStock"},
                {"$ref": "#/channels/inventory.replies.v1/messages/StockReleased"},
                {"$ref": "#/channels/inventory.replies.v1/messages/StockReserved"},
            ],
        },
    }


def test_a_command_is_described_whole() -> None:
    """A service written elsewhere finds key, headers, payload, undo, answers and refusals."""
    message = "baton.inventory.ReserveStock"

    assert at(today(), "components", "messages", message) == {
        "name": message,
        "title": "ReserveStock",
        "summary": "Set the goods of an order aside: all of them, or none.",
        "contentType": "application/avro",
        "headers": {"$ref": "#/components/schemas/OperationEnvelope"},
        "payload": {
            "schemaFormat": "application/vnd.apache.avro;version=1.9.0",
            "schema": load_catalogue().by_name[message].schema,
        },
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "bindings": {
            "kafka": {
                "key": {
                    "type": "string",
                    "pattern": "^[A-Za-z0-9._-]{1,64}$",
                    "description": "Equal to order_id in the value.",
                },
                "bindingVersion": "0.5.0",
            }
        },
        "x-kind": "command",
        "x-undone-by": "baton.inventory.ReleaseStock",
        "x-answers": ["baton.inventory.StockReserved"],
        "x-refusals": ["baton.inventory.OutOfStock", "baton.common.Overtaken"],
    }


def test_outsiders_find_what_they_may_write_and_read() -> None:
    """Publishers and consumers that are not Baton's have operations of their own."""
    outside = [name for name in at(today(), "operations") if name.startswith("outside.")]

    assert outside == [
        "outside.send.orders.order.events.v1",
        "outside.receive.orders.order.outcomes.v1",
        "outside.send.inventory.delivery.events.v1",
        "outside.send.customers.customer.events.v1",
        "outside.receive.customers.customer.outcomes.v1",
    ]
