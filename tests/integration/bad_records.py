"""The bad records: each with one thing wrong with it, and the reason that must be found for it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from schemas.billing import PaymentAuthorised
from schemas.common import Item, Line, Money
from schemas.inventory import GoodsReceived, ReserveStock, StockReserved
from schemas.orchestrator import OrderFulfilled
from schemas.topics import topic_named
from services.chassis.envelope import Cause
from tests.integration.books import order, placed
from tests.integration.running_company import CODEC, ORDERS, Sent, message

REPLIES: Final = "billing.replies.v1"
HEAD_BYTES: Final = 10  # marker and fingerprint of the single-object encoding
GBP: Final = Money(2250, "GBP")


@dataclass(frozen=True)
class Bad:
    """One record and what must become of it. `says` is part of the reason's detail."""

    name: str
    sent: Sent
    reason: str
    says: str
    stage: str = "decode"
    kind: str = "rejected"
    readers: tuple[str, ...] = ()

    @property
    def seen_by(self) -> tuple[str, ...]:
        return self.readers or topic_named(self.sent.topic).readers


def well(name: str) -> Sent:
    """An order with nothing wrong yet, under the name of its case."""
    (sent,) = placed(order(f"bad-{name}"))
    return sent


def with_value(name: str, value: bytes | None) -> Sent:
    return well(name)._replace(value=value)


def with_headers(name: str, **headers: bytes | None) -> Sent:
    """`None` leaves a header out."""
    sent = well(name)
    changed = {**dict(sent.headers), **headers}
    kept = tuple((key, value) for key, value in changed.items() if value is not None)
    return sent._replace(headers=kept)


def breaking(name: str, **fields: object) -> Sent:
    """Bytes of an order that no constructor would make: the fields are put in behind its back."""
    body = copy.copy(order(f"bad-{name}"))
    vars(body).update(fields)
    return well(name)._replace(value=CODEC.encode(body))


def line(**fields: object) -> tuple[Line, ...]:
    """One line with these values, unchecked."""
    made = copy.copy(Line("cup", 1, 100))
    vars(made).update(fields)
    return (made,)


def bytes_of(name: str) -> bytes:
    value = well(name).value
    assert value is not None
    return value


def bomb(lines: bytes) -> bytes:
    """An order with these bytes where its lines should be."""
    value = CODEC.encode(order("bomb", lines=(Line("cup", 1, 100),)))
    said = varint(1) + b"\x06cup" + varint(1) + varint(100) + b"\0\0"
    assert value.count(said) == 1
    return value.replace(said, lines)


def varint(number: int) -> bytes:
    """Avro's zigzag encoding of a long."""
    left, out = (number << 1) ^ (number >> 63), bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*out, left])


def reply(body: object, source: str, saga_id: str, step: str, topic: str = REPLIES) -> Sent:
    operation = f"{saga_id}/{step}"
    cause = Cause(saga_id, f"{operation}/do", operation)
    return message(body, f"{operation}/do/reply", source=source, topic=topic, cause=cause)


def authorised(order_id: str) -> PaymentAuthorised:
    return PaymentAuthorised(order_id, "auth-forged", GBP)


def _empty_delivery() -> Sent:
    body = GoodsReceived("bad-delivery", (Item("cup", 1),), datetime.now(UTC))
    sent = message(body, "bad-delivery/1")
    vars(body.items[0])["quantity"] = 0
    return sent._replace(value=CODEC.encode(body))


def _other_body() -> Sent:
    """The order that `scene` places first, told again with another country."""
    return message(order("bad-conflict", country="Spain"), "bad-conflict/placed-again")


SMALL_LINE: Final = b"\x02a\x02\x02\x00"
MANY_LINES: Final = varint(50_000) + SMALL_LINE * 50_000 + b"\x00"
OUTCOME: Final = OrderFulfilled("bad-outcome", None, "bad-outcome/placed", GBP, "trk-1")
NOBODY: Final = "fulfilment:bad-nobody"
# Each has a key of its own, so that none stands in another's way.
CASES: Final = (
    Bad("json", with_value("json", b'{"order_id": "bad-json"}'), "undecodable", "7b22"),
    Bad("cut", with_value("cut", bytes_of("cut")[:-4]), "undecodable", "OrderPlaced"),
    Bad("empty", with_value("empty", b""), "undecodable", "framing"),
    Bad("tombstone", with_value("tombstone", None), "undecodable", "no value"),
    Bad("trailing", with_value("trailing", bytes_of("trailing") + b"\0\0"), "undecodable",
        "2 bytes behind"),
    Bad("fingerprint", with_value("fingerprint", b"\xc3\x01" + b"\x07" * 8 + b"\0"),
        "unknown_schema", "0707070707070707", kind="parked"),
    Bad("registry", with_value("registry", b"\0\0\0\0\x2a" + bytes_of("x")[HEAD_BYTES:]),
        "unknown_schema", "schema id 42", kind="parked"),
    Bad("large", with_value("large", bytes_of("large") + b"\0" * 300_000), "too_large",
        "at most 262144"),
    Bad("bomb-array", with_value("bomb-array", bomb(varint(2**40))), "undecodable",
        "OrderPlaced"),
    Bad("bomb-string", with_value("bomb-string", bomb(varint(1) + varint(2**60))),
        "undecodable", "OrderPlaced"),
    Bad("bomb-lines", with_value("bomb-lines", bomb(MANY_LINES)), "out_of_bounds", "lines: ",
        "validate"),
    Bad("no-id", with_headers("no-id", ce_id=None), "bad_envelope", "ce_id"),
    Bad("old-spec", with_headers("old-spec", ce_specversion=b"0.3"), "bad_envelope",
        "ce_specversion"),
    Bad("latin", with_headers("latin", ce_source=b"caf\xe9"), "bad_envelope", "ce_source"),
    Bad("when", with_headers("when", ce_time=b"yesterday"), "bad_envelope", "ce_time"),
    Bad("no-key", well("no-key")._replace(key=None), "bad_key", "record key", "validate"),
    Bad("odd-key", well("odd-key")._replace(key=b"\xff odd"), "bad_key", "record key",
        "validate"),
    Bad("other-key", well("other-key")._replace(key=b"bad-elsewhere"), "key_mismatch",
        "order_id", "validate"),
    Bad("outcome", message(OUTCOME, "bad-outcome/1", topic=ORDERS), "type_not_allowed",
        ORDERS, "validate"),
    Bad("liar", with_headers("liar", ce_type=b"baton.orders.OrderCancellationRequested"),
        "wrong_type", "baton.orders.OrderPlaced", "validate"),
    Bad("none", breaking("none", lines=line(quantity=0)), "out_of_bounds",
        "lines.0.quantity", "validate"),
    Bad("too-many", breaking("too-many", lines=line(quantity=100_001)), "out_of_bounds",
        "lines.0.quantity", "validate"),
    Bad("too-dear", breaking("too-dear", lines=line(unit_price_minor=100_000_001)),
        "out_of_bounds", "lines.0.unit_price_minor", "validate"),
    Bad("owed", breaking("owed", lines=line(unit_price_minor=-1)), "out_of_bounds",
        "lines.0.unit_price_minor", "validate"),
    Bad("sum", breaking("sum", lines=line(unit_price_minor=100_000_000) * 11),
        "out_of_bounds", "total", "validate"),
    Bad("money", breaking("money", currency="XYZ"), "out_of_bounds", "currency", "validate"),
    Bad("no-lines", breaking("no-lines", lines=()), "out_of_bounds", "lines", "validate"),
    Bad("nowhere", breaking("nowhere", country=""), "out_of_bounds", "country", "validate"),
    Bad("delivery", _empty_delivery(), "out_of_bounds", "items.0.quantity", "validate"),
    Bad("command", message(ReserveStock("bad-command", (Item("cup", 1),)), "x/do"),
        "wrong_writer", "orchestrator", "validate"),
    Bad("unasked", message(ReserveStock("bad-unasked", (Item("cup", 1),)), "x/do",
        source="orchestrator"), "bad_envelope", "ce_operationid", "validate"),
    Bad("forged", reply(authorised("bad-forged"), "shipping", NOBODY, "payment"),
        "wrong_writer", "billing", "validate"),
    Bad("misdirected", reply(StockReserved("bad-nobody"), "billing", NOBODY, "stock"),
        "type_not_allowed", REPLIES, "validate"),
    Bad("nobody", reply(authorised("bad-nobody"), "billing", NOBODY, "payment"),
        "unknown_saga", NOBODY, "handle"),
    Bad("no-saga", reply(authorised("bad-no-saga"), "billing", "returns:bad-no-saga", "x"),
        "wrong_command", "no command of any saga", "handle"),
    Bad("conflict", _other_body(), "conflicting_start", "other content", "handle",
        readers=("orchestrator",)),
)  # fmt: skip
