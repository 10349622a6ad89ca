"""Each illegal agreement between messages is refused, by a message that names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from planted import Schemas, a_legal_catalogue, complaints, field, message, order_id

from schemas.shapes import JSON

Spoil = Callable[[Schemas], object]

KINDS = "['command', 'event', 'operator', 'outcome', 'reply']"
RESERVE = "baton.shop.Reserve"
RESERVED = "baton.shop.Reserved"
RELEASE = "baton.shop.Release"
SOLD_OUT = "baton.shop.SoldOut"

CASES: list[tuple[str, Spoil, list[str]]] = [
    (
        "a key that is no field",
        lambda s: s["Reserved"].update(key="id"),
        [
            f"{RESERVE}: {RESERVED} has another key field than its command. Use one key.",
            f"{RESERVED}: key 'id' is not one of its fields. Name the field of the business key.",
        ],
    ),
    (
        "a key that may be null",
        lambda s: field(s, "Reserved", 0).update(type=["null", "string"]),
        [f"{RESERVED}: key field order_id must be a string with a pattern."],
    ),
    (
        "a key that does not come first",
        lambda s: cast(list[JSON], s["Reserve"]["fields"]).reverse(),
        [f"{RESERVE}: key field order_id must come first."],
    ),
    (
        "a kind nobody knows",
        lambda s: s["Release"].update(kind="query"),
        [
            f"{RELEASE}: kind 'query' is not one of {KINDS}.",
            f"{RELEASE}: only a command has answers, refusals or undoes. Remove them.",
        ],
    ),
    (
        "a topic of another form",
        lambda s: s["Reserve"].update(topic="shop-commands"),
        [
            f"{RELEASE}: undoes {RESERVE} from another topic; they would overtake one another.",
            f"{RESERVE}: topic 'shop-commands' is not <domain>.<entity>.<kind>.v<N>.",
        ],
    ),
    (
        "an event on a topic of commands",
        lambda s: s.update(Sold=message("Sold", "event", topic="shop.stock.commands.v1")),
        [
            "baton.shop.Sold: kind event on shop.stock.commands.v1; it belongs on one of events.",
        ],
    ),
    (
        "a command without answers",
        lambda s: s["Reserve"].update(answers=[], refusals=["baton.shop.SoldOut"]),
        [
            f"{RESERVE}: a command without answers. Name the reply that means done.",
            f"{RESERVED}: a reply that no command names. Add it to answers or refusals of one.",
        ],
    ),
    (
        "an answer that is not there",
        lambda s: s["Reserve"].update(refusals=["baton.shop.SoldOut", "baton.shop.Gone"]),
        [f"{RESERVE}: baton.shop.Gone is no reply of this catalogue. Write it or correct it."],
    ),
    (
        "an answer that is a refusal too",
        lambda s: s["Reserve"].update(answers=["baton.shop.Reserved", "baton.shop.SoldOut"]),
        [f"{RESERVE}: {SOLD_OUT} is both answer and refusal. Decide."],
    ),
    (
        "an answer of another owner",
        lambda s: s["Reserve"].update(answers=["baton.shop.Reserved", "baton.common.Overtaken"]),
        [f"{RESERVE}: baton.common.Overtaken belongs to another owner; who answers owns both."],
    ),
    (
        "a reply with answers",
        lambda s: s["Reserved"].update(answers=["baton.shop.Released"]),
        [f"{RESERVED}: only a command has answers, refusals or undoes. Remove them."],
    ),
    (
        "an undo that may be refused",
        lambda s: s["Release"].update(refusals=["baton.shop.SoldOut"]),
        [f"{RELEASE}: undoes {RESERVE} and so may not be refused. Remove its refusals."],
    ),
    (
        "an undo of what is no command",
        lambda s: s["Release"].update(undoes="baton.shop.Reserved"),
        [f"{RELEASE}: undoes {RESERVED}, which is no other command. Correct the name."],
    ),
    (
        "an undo of an undo",
        lambda s: s.update(
            Again=message(
                "Again",
                "command",
                topic="shop.stock.commands.v1",
                answers=["baton.shop.Reserved"],
                undoes="baton.shop.Release",
            )
        ),
        [f"baton.shop.Again: undoes {RELEASE}, itself an undo. An undo is final."],
    ),
    (
        "two undos of one command",
        lambda s: s.update(
            Zap=message(
                "Zap",
                "command",
                topic="shop.stock.commands.v1",
                answers=["baton.shop.Released"],
                undoes="baton.shop.Reserve",
            )
        ),
        [f"baton.shop.Zap: undoes {RESERVE}, which has an undo already. Keep one."],
    ),
    (
        "an undo with another key",
        lambda s: s.update(
            Release=s["Release"] | {"key": "shelf", "fields": [order_id() | {"name": "shelf"}]},
            Released=s["Released"] | {"key": "shelf", "fields": [order_id() | {"name": "shelf"}]},
        ),
        [f"{RELEASE}: undoes {RESERVE}, which has another key field. Use one key."],
    ),
    (
        "undos without Overtaken",
        lambda s: s.pop("Overtaken"),
        ["baton.common.Overtaken: missing, though there are undos. Write it."],
    ),
    (
        "a total of what has no lines",
        lambda s: s["Reserve"].update(total_minor={"minimum": 0, "maximum": 9}),
        [f"{RESERVE}: total_minor needs lines of baton.common.Line and charges of …Charge."],
    ),
]


@pytest.mark.parametrize(
    ("spoil", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_an_illegal_message_is_refused_by_name(
    tmp_path: Path, spoil: Spoil, expected: list[str]
) -> None:
    """The refusal names the schema, the place in it and what to do, and nothing else."""
    schemas = a_legal_catalogue()
    spoil(schemas)

    assert complaints(schemas, tmp_path) == expected
