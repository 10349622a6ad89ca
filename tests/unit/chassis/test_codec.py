"""Bytes to messages and back: every type, both framings, and what hostile bytes may cost."""

from __future__ import annotations

import copy
import time

import pytest
from company import CATALOGUE, CODEC, command
from contract_samples import body_of

from schemas.billing import AuthorisePayment
from schemas.fingerprint import fingerprint
from services.chassis.codec import Codec, CodecError, OutOfBounds, Undecodable, UnknownSchema

TYPES = sorted(CATALOGUE.by_name)
QUICK_S = 0.25


@pytest.mark.parametrize("name", TYPES)
def test_every_type_comes_back_as_it_went(name: str) -> None:
    """Encoded in our framing, and read in both, each message of the catalogue is itself."""
    codec = Codec(CATALOGUE, confluent_ids={7: name})
    body = body_of(name)
    value = codec.encode(body)
    assert (value[:2], codec.decode(value)) == (b"\xc3\x01", body)
    assert codec.decode(b"\x00" + (7).to_bytes(4, "big") + value[10:]) == body


@pytest.mark.parametrize("name", TYPES)
def test_any_cut_or_longer_message_is_refused(name: str) -> None:
    """No prefix of a message, and nothing behind one, is taken for it."""
    value = CODEC.encode(body_of(name))
    for wrong in [*(value[:at] for at in range(len(value))), value + b"\x00", value * 2]:
        with pytest.raises(CodecError):
            CODEC.decode(wrong)


def test_a_confluent_id_that_was_not_told_is_unknown() -> None:
    """It may be told later: the record waits, and the message names the setting."""
    said = "Confluent schema id 9 is not in BATON_CONFLUENT_SCHEMA_IDS"
    with pytest.raises(UnknownSchema, match=said):
        CODEC.decode(b"\x00" + (9).to_bytes(4, "big") + b"rest")


def test_a_fingerprint_that_is_not_known_is_unknown() -> None:
    """An unknown schema is no error of the bytes."""
    with pytest.raises(UnknownSchema, match="schema fingerprint 0000000000000000 is not known"):
        CODEC.decode(b"\xc3\x01" + bytes(8))


ORDER = CODEC.encode(body_of("baton.inventory.ReserveStock"))
COUNT = ORDER[:10] + b"\x02a"  # order id "a"; the block count of the items comes next
VARINTS = {
    "a billion items": b"\x80\xa8\xd6\xb9\x07",
    "2**62 items": b"\xff" * 8 + b"\x7f",
    "-2**63 items": b"\xff" * 9 + b"\x01",
    "-1 items": b"\x01",
    "a number without end": b"\xff" * 200_000,
    "a number of 11 bytes": b"\x80" * 10 + b"\x01",
}
BOMBS = {
    **{f"{name}": COUNT + number for name, number in VARINTS.items()},
    **{
        f"{name}, then some": COUNT + number + b"\x02s\x02" * 50 for name, number in VARINTS.items()
    },
    **{f"a text of {name}": ORDER[:10] + number + b"abc" for name, number in VARINTS.items()},
    "ten thousand empty blocks": COUNT + b"\x02\x02s\x02" * 10_000 + b"\x00",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_quickly(name: str) -> None:
    """What claims more than it holds, or holds more than is allowed, costs next to nothing."""
    began = time.perf_counter()
    with pytest.raises((Undecodable, OutOfBounds)):
        CODEC.decode(BOMBS[name])
    assert time.perf_counter() - began < QUICK_S


def test_bounds_name_the_field_and_not_the_value() -> None:
    """What is out of bounds says where, in the words of the contract."""
    value = command("a").value.replace(b"\x06GBP", b"\x06gbp")
    with pytest.raises(OutOfBounds, match=r"^amount\.currency: ") as caught:
        CODEC.decode(value)
    assert "gbp" not in str(caught.value)


def test_a_released_schema_is_read_into_todays_type() -> None:
    """Bytes of an older writer, which had one field more, are understood as today's message."""
    now = CATALOGUE.by_name["baton.billing.AuthorisePayment"]
    old = copy.deepcopy(now.schema)
    fields = old["fields"]
    assert isinstance(fields, list)
    fields.insert(1, {"name": "channel", "type": "string", "doc": "Gone since."})
    reader = Codec(CATALOGUE, released=[old])
    value = as_written_then(old, "web")
    assert reader.decode(value) == AuthorisePayment(**vars(body_of(now.full_name)))
    with pytest.raises(UnknownSchema):
        CODEC.decode(value)


def as_written_then(schema: dict[str, object], channel: str) -> bytes:
    """The planted writer: the sample of today with one field more behind the key."""
    body = body_of("baton.billing.AuthorisePayment")
    whole = CODEC.encode(body)[10:]
    own = key_bytes(body.order_id)  # type: ignore[attr-defined]
    assert whole.startswith(own)
    return b"\xc3\x01" + fingerprint(schema) + own + key_bytes(channel) + whole[len(own) :]  # type: ignore[arg-type]


def key_bytes(text: str) -> bytes:
    return bytes([len(text) * 2]) + text.encode()
