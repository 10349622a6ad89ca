"""The AsyncAPI 3.1 document of the company, for people and tools that do not know Baton.

One channel per topic, one operation per service and direction, the messages with their Avro
payloads and the headers of the envelope. Everything is read off the topics and the contracts;
nothing is told only here. Kafka bindings 0.5.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from schemas.catalogue import Contract, load_catalogue
from schemas.shapes import JSON
from schemas.topics import (
    ANY,
    PARTITIONS_LOCAL,
    TOPICS,
    Topic,
    dead_letter_topic,
    reply_topic,
)

ASYNCAPI = "3.1.0"
BINDING = "0.5.0"
AVRO = "application/vnd.apache.avro;version=1.9.0"
OUTSIDE = "outside"
ENVELOPES = {
    "event": "Envelope",
    "outcome": "Envelope",
    "command": "OperationEnvelope",
    "reply": "OperationEnvelope",
    "operator": "OperatorEnvelope",
}

Object = dict[str, JSON]


def document(*, version: str, partitions: int = PARTITIONS_LOCAL) -> Object:
    """`version` is that of the distribution; `partitions` that of the cluster described."""
    catalogue = load_catalogue()
    return {
        "asyncapi": ASYNCAPI,
        "id": "urn:baton",
        "info": _info(version),
        "defaultContentType": "application/avro",
        "servers": {"kafka": _server()},
        "channels": {topic.name: _channel(topic, partitions) for topic in TOPICS},
        "operations": dict(_operations()),
        "components": {
            "messages": {name: _message(c) for name, c in sorted(catalogue.by_name.items())},
            "schemas": _envelopes(),
        },
    }


def _info(version: str) -> Object:
    return {
        "title": "Baton",
        "version": version,
        "description": (
            "Orders, from placed to fulfilled or cancelled, through topics alone. Values are Avro "
            "in single-object encoding (C3 01 and the CRC-64-AVRO fingerprint of the writer's "
            "schema); Confluent framing is read too. The record key is the business key."
        ),
        "license": {"name": "Apache-2.0"},
    }


def _server() -> Object:
    return {
        "host": "{bootstrap}",
        "protocol": "kafka",
        "variables": {
            "bootstrap": {
                "default": "127.0.0.1:9092",
                "description": "KAFKA_BOOTSTRAP_SERVERS, as host:port.",
            }
        },
        "bindings": {"kafka": {"bindingVersion": BINDING}},
    }


def _channel(topic: Topic, partitions: int) -> Object:
    settings: Object = {
        "cleanup.policy": [topic.settings["cleanup.policy"]],
        "retention.ms": int(topic.settings["retention.ms"]),
        "max.message.bytes": int(topic.settings["max.message.bytes"]),
    }
    return {
        "address": topic.name,
        "description": f"Written by {_names(topic.writers)}; read by {_names(topic.readers)}.",
        "messages": {c.name: _ref("components/messages", c.full_name) for c in topic.contracts},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": partitions,
                "topicConfiguration": settings,
                "bindingVersion": BINDING,
            }
        },
        "x-kind": topic.kind,
        "x-dead-letters": dead_letter_topic(topic.name),
    }


def _names(services: tuple[str, ...]) -> str:
    return "any publisher" if services == ANY else ", ".join(services)


def _operations() -> Iterator[tuple[str, JSON]]:
    for topic in TOPICS:
        for service in (OUTSIDE,) if topic.writers == ANY else topic.writers:
            yield f"{service}.send.{topic.name}", _operation("send", service, topic)
        outside = (OUTSIDE,) if topic.kind == "outcomes" else ()
        for service in (*topic.readers, *outside):
            yield f"{service}.receive.{topic.name}", _operation("receive", service, topic)


def _operation(action: str, service: str, topic: Topic) -> Object:
    operation: Object = {
        "action": action,
        "channel": _ref("channels", topic.name),
        "messages": _messages_of(topic, topic.contracts),
        "tags": [{"name": service}],
    }
    if action == "receive" and service != OUTSIDE:
        group: Object = {"type": "string", "const": f"baton.{service}"}
        operation["bindings"] = {"kafka": {"groupId": group, "bindingVersion": BINDING}}
    if any(c.answers for c in topic.contracts):
        operation["reply"] = _reply(topic)
    return operation


def _reply(topic: Topic) -> Object:
    """What comes back for the commands of a topic, and on which channel."""
    replies = next(t for t in TOPICS if t.name == reply_topic(topic.readers[0]))
    names = {name for c in topic.contracts for name in (*c.answers, *c.refusals)}
    fitting = [c for c in replies.contracts if c.full_name in names]
    return {"channel": _ref("channels", replies.name), "messages": _messages_of(replies, fitting)}


def _messages_of(topic: Topic, contracts: Iterable[Contract]) -> list[JSON]:
    return [_ref(f"channels/{topic.name}/messages", each.name) for each in contracts]


def _message(contract: Contract) -> Object:
    key = next(
        each
        for each in _list(contract.schema["fields"])
        if isinstance(each, dict) and each["name"] == contract.key
    )
    message: Object = {
        "name": contract.full_name,
        "title": contract.name,
        "summary": str(contract.schema["doc"]),
        "contentType": "application/avro",
        "headers": _ref("components/schemas", ENVELOPES[contract.kind]),
        "payload": {"schemaFormat": AVRO, "schema": contract.schema},
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "bindings": {
            "kafka": {
                "key": {
                    "type": "string",
                    "pattern": key["pattern"],
                    "description": f"Equal to {contract.key} in the value.",
                },
                "bindingVersion": BINDING,
            }
        },
        "x-kind": contract.kind,
    }
    for name, value in (("x-undoes", contract.undoes), ("x-undone-by", contract.undone_by)):
        if value:
            message[name] = value
    if contract.answers:
        message["x-answers"] = list(contract.answers)
        message["x-refusals"] = list(contract.refusals)
    return message


def _list(value: JSON) -> list[JSON]:
    assert isinstance(value, list)
    return value


def _envelopes() -> Object:
    """Headers by kind of message: CloudEvents 1.0, Kafka binding, binary mode."""
    every = {
        "ce_specversion": _text("CloudEvents version.", const="1.0"),
        "ce_id": _text("This message. With ce_source it is what duplicates are told by."),
        "ce_source": _text("Who wrote it: the service's name, or an outside publisher's own."),
        "ce_type": _text("Full name of the Avro record in the value."),
        "content-type": _text("Of the value.", const="application/avro"),
    }
    optional = {
        "ce_time": _text("When it was made.", format="date-time"),
        "ce_subject": _text("The business key, as in the record key."),
        "ce_dataschema": _text("Where the writer's schema is described."),
        "ce_correlationid": _text("The business flow it belongs to, for example a saga."),
        "ce_causationid": _text("ce_id of what caused it; of a reply, its command's."),
        "traceparent": _text("W3C Trace Context."),
    }
    operation = {"ce_operationid": _text("The effect asked for or answered, <saga id>/<step>.")}
    expiry = {"ce_expirytime": _text("After this it is not applied.", format="date-time")}
    return {
        "Envelope": _headers(every, optional),
        "OperationEnvelope": _headers(every | operation, optional),
        "OperatorEnvelope": _headers(every | expiry, optional),
    }


def _headers(required: Object, optional: Object) -> Object:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **optional},
    }


def _text(description: str, **more: str) -> JSON:
    return {"type": "string", "description": description, **more}


def _ref(folder: str, name: str) -> Object:
    return {"$ref": f"#/{folder}/{name}"}
