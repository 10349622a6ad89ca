"""Why a record is not applied: one test a reason, each with its row, its copy and its count."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from company import (
    CATALOGUE,
    CODEC,
    COMMANDS,
    NOW_US,
    ORDERS,
    DirectStore,
    HandClock,
    Kafka,
    Member,
    billing,
    command,
)

from orchestrator.engine.shell import Shell
from orchestrator.engine.store import MIGRATIONS
from orchestrator.sagas import SAGAS
from schemas.common import Line
from schemas.orders import OrderPlaced
from services.chassis.deadletters import VALUE_BYTES_MAX
from services.chassis.envelope import Cause, Maker
from services.chassis.messages import Outgoing, Record

Wrong = Callable[[Outgoing], tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]]


def but(**changes: bytes | None) -> Callable[[Outgoing], list[tuple[str, bytes]]]:
    """The headers with these changed; None takes one away."""

    def headers(out: Outgoing) -> list[tuple[str, bytes]]:
        names = {
            name.replace("_", "-") if name == "content_type" else name: value
            for name, value in changes.items()
        }
        kept = [(name, names.get(name, value)) for name, value in out.headers]
        kept += [(name, value) for name, value in names.items() if name not in dict(kept)]
        return [(name, value) for name, value in kept if value is not None]

    return headers


def headers_but(**changes: bytes | None) -> Wrong:
    return lambda out: (out.key.encode(), out.value, but(**changes)(out))


def value(make: Callable[[bytes], bytes | None]) -> Wrong:
    return lambda out: (out.key.encode(), make(out.value), list(out.headers))


def keyed(key: bytes | None) -> Wrong:
    return lambda out: (key, out.value, list(out.headers))


def replaced(old: bytes, new: bytes) -> Wrong:
    return value(lambda bytes_: _once(bytes_, old, new))


def _once(bytes_: bytes, old: bytes, new: bytes) -> bytes:
    assert bytes_.count(old) == 1
    return bytes_.replace(old, new)


CASES: dict[str, tuple[str, Wrong]] = {
    "no framing": ("undecodable", value(lambda _: b"{}")),
    "empty": ("undecodable", value(lambda _: b"")),
    "tombstone": ("undecodable", value(lambda _: None)),
    "cut": ("undecodable", value(lambda v: v[:-3])),
    "trailing bytes": ("undecodable", value(lambda v: v + b"\x00")),
    "not UTF-8 inside": ("undecodable", replaced(b"tok_ok", b"tok\xff\xfe\xfd")),
    "too large": ("too_large", value(lambda v: v + b"x" * 300_000)),
    "far too large": ("too_large", value(lambda v: v + b"x" * 1_048_576)),
    "no id": ("bad_envelope", headers_but(ce_id=None)),
    "empty id": ("bad_envelope", headers_but(ce_id=b"")),
    "NUL in the id": ("bad_envelope", headers_but(ce_id=b"a\x00b")),
    "NUL in the source": ("bad_envelope", headers_but(ce_source=b"orchestrator\x00")),
    "NUL in the operation": ("bad_envelope", headers_but(ce_operationid=b"\x00")),
    "long id": ("bad_envelope", headers_but(ce_id=b"x" * 257)),
    "long operation": ("bad_envelope", headers_but(ce_operationid=b"x" * 1000)),
    "no operation": ("bad_envelope", headers_but(ce_operationid=None)),
    "id not UTF-8": ("bad_envelope", headers_but(ce_id=b"\xff")),
    "version": ("bad_envelope", headers_but(ce_specversion=b"0.3")),
    "content type": ("bad_envelope", headers_but(content_type=b"application/json")),
    "time without zone": ("bad_envelope", headers_but(ce_time=b"2026-01-01T00:00:00")),
    "time of no calendar": ("bad_envelope", headers_but(ce_time=b"soon")),
    "expiry of no calendar": ("bad_envelope", headers_but(ce_expirytime=b"never")),
    "many headers": (
        "bad_envelope",
        lambda o: (o.key.encode(), o.value, [*o.headers, *[("x", b"")] * 100]),
    ),
    "large headers": ("bad_envelope", headers_but(x=b"y" * 20_000)),
    "no key": ("bad_key", keyed(None)),
    "empty key": ("bad_key", keyed(b"")),
    "NUL in the key": ("bad_key", keyed(b"a\x00b")),
    "key not UTF-8": ("bad_key", keyed(b"\xff\xfe")),
    "long key": ("bad_key", keyed(b"a" * 65)),
    "key with a line end": ("bad_key", keyed(b"a\n")),
    "type": ("wrong_type", headers_but(ce_type=b"baton.billing.VoidPayment")),
    "writer": ("wrong_writer", headers_but(ce_source=b"mallory")),
    "writer of an unknown schema": (
        "wrong_writer",
        lambda o: (
            o.key.encode(),
            o.value[:2] + bytes(8) + o.value[10:],
            but(ce_source=b"mallory")(o),
        ),
    ),
    "writer of nonsense": (
        "wrong_writer",
        lambda o: (o.key.encode(), b"{}", but(ce_source=b"mallory")(o)),
    ),
    "key of another order": ("key_mismatch", keyed(b"b")),
    "out of bounds": ("out_of_bounds", replaced(b"\x06GBP", b"\x06gbp")),
    "unknown currency": ("out_of_bounds", replaced(b"\x06GBP", b"\x06QQQ")),
}


@pytest.mark.parametrize("case", CASES)
def test_a_rejected_record_leaves_a_row_a_copy_and_a_count_and_its_key_goes_on(case: str) -> None:
    """The reason is told, the bytes are kept as they came, and the next record is applied."""
    reason, wrong = CASES[case]
    member = billing()
    key, bytes_, headers = wrong(command("a"))
    bad = member.kafka.append(COMMANDS, key, bytes_, headers, timestamp_ms=77)
    applied = member.take(bad, member.kafka.publish(command("a")))
    assert member.dead(
        "kind, reason, topic, partition, offset, timestamp_ms, record_key, value"
    ) == [("rejected", reason, COMMANDS, 0, 0, 77, key, bytes_)]
    assert member.store.rows("SELECT order_id, done FROM tally") == [("a", 1)]
    assert (applied.dead, member.parked()) == ({(COMMANDS, reason): 1}, [])
    result = "forged" if reason == "wrong_writer" else "rejected"
    assert applied.results[COMMANDS, "", result] == 1
    (took,) = applied.took  # the rejected one was not handled
    assert took[:2] == (COMMANDS, "baton.billing.AuthorisePayment")
    assert took.seconds > 0
    copy = next(out for _, out in applied.out if out.topic == f"{COMMANDS}.dlt")
    assert copy.value == (bytes_ or b"")[:VALUE_BYTES_MAX]
    kept = copy.headers[: len(headers)]
    assert list(kept) == headers
    why = dict(copy.headers[len(headers) :])
    assert (why["dlt-error-class"], why["dlt-original-offset"]) == (reason.encode(), b"0")
    assert member.dead("kind, state") == [("rejected", "rejected")], "nobody waits for it"


def test_what_is_larger_than_a_dead_letter_is_cut_and_says_so() -> None:
    """The copy has the first MiB, the size and the digest of the whole; the row has it all."""
    member = billing()
    whole = b"\xc3\x01" + b"x" * (VALUE_BYTES_MAX + 5)
    applied = member.take(member.kafka.append(COMMANDS, b"a", whole))
    copy = applied.out[0][1]
    why = dict(copy.headers)
    assert (len(copy.value), why["dlt-original-bytes"]) == (VALUE_BYTES_MAX, b"1048583")
    assert member.dead("value") == [(whole,)]


def test_a_type_of_another_topic_has_no_place() -> None:
    """A legal message of the right writer is refused where its type does not belong."""
    kafka = Kafka()
    member = billing(kafka)
    out = command("a")
    bad = kafka.append("billing.account.commands.v1", b"a", out.value, out.headers)
    member.take(bad)
    assert member.dead("reason") == [("type_not_allowed",)]


def shop_order(order: str, **fields: object) -> OrderPlaced:
    given = {
        "order_id": order,
        "customer_id": None,
        "currency": "GBP",
        "lines": (Line("s", 1, 100_000_000),) * 10,
        "country": "UK",
        "placed_at": datetime(2026, 1, 1, tzinfo=UTC),
        **fields,
    }
    return OrderPlaced(**given)  # type: ignore[arg-type]


def orchestrator() -> Member[object]:
    kafka = Kafka()
    store = DirectStore(migrations={"orchestrator": MIGRATIONS})
    shell = Shell(SAGAS, Maker("orchestrator", CODEC, CATALOGUE))
    return Member("orchestrator", shell, kafka, HandClock(), store)  # type: ignore[arg-type]


TOTAL = (
    "OrderPlaced: Value error, total of lines and charges is outside 0..1_000_000_000 minor units"
)
SHOP = Maker("shop", CODEC, CATALOGUE)


def placed(order: OrderPlaced, message_id: str = "m-1") -> Outgoing:
    return SHOP.event(order, message_id, NOW_US, Cause())


def test_a_total_out_of_range_is_out_of_bounds() -> None:
    """A rule of the whole message, not of a field, refuses its record and raises nowhere."""
    member = orchestrator()
    out = placed(shop_order("a"))
    over = out.value.replace(b"\x14", b"\x16", 1)  # the block count: eleven lines for ten
    line = b"\x02s\x02\x80\x84\xaf_\x00"
    assert out.value.count(line) == 10
    over = over.replace(line * 10, line * 11)
    member.take(member.kafka.append(ORDERS, b"a", over, out.headers))
    assert member.dead("kind, reason, detail") == [
        (
            "rejected",
            "out_of_bounds",
            TOTAL,
        )
    ]


def test_a_second_start_with_other_content_is_a_dead_letter_of_its_own_reason() -> None:
    """The first order stands; the conflicting one is rejected and the key goes on."""
    member = orchestrator()
    member.take(member.kafka.publish(placed(shop_order("a"))))
    sagas = member.store.rows("SELECT * FROM sagas")
    other = member.kafka.publish(placed(shop_order("a", country="France"), "m-2"))
    again = member.kafka.publish(placed(shop_order("a"), "m-3"))
    applied = member.take(other, again)
    assert member.dead("kind, reason, offset") == [("rejected", "conflicting_start", 1)]
    assert applied.dead == {(ORDERS, "conflicting_start"): 1}
    assert member.store.rows("SELECT * FROM sagas") == sagas
    assert member.parked() == []


def test_reasons_hold_no_payload() -> None:
    """Neither value nor header of an outsider is repeated in a reason."""
    member = billing()
    secret = b"4111-1111-1111-1111"
    for case, (_, wrong) in CASES.items():
        key, bytes_, headers = wrong(command("a"))
        marked = [(n, v + secret if n == "x" else v) for n, v in headers]
        member.take(member.kafka.append(COMMANDS, key, bytes_, marked))
        assert secret.decode() not in str(member.dead("detail")[-1]), case
    out = command("a", "tok_secret")
    cut = out.value.replace(b"\x06GBP", b"\x06ZZZ")
    member.take(member.kafka.append(COMMANDS, b"a", cut, out.headers))
    assert "ZZZ" not in str(member.dead("detail")[-1])


def test_any_bytes_at_all_are_admitted_or_refused() -> None:
    """Each byte of a record's value, each header and the key, changed alone, raises nowhere."""
    member = billing()
    out = command("a")
    for at in range(len(out.value)):
        for flip in (0x01, 0x80, 0xFF):
            changed = bytes([*out.value[:at], out.value[at] ^ flip, *out.value[at + 1 :]])
            member.admission.admit(Record(COMMANDS, 0, 0, 1, b"a", changed, out.headers))
    for name, _ in out.headers:
        for wrong in (
            b"",
            b"\xff",
            b"\x00",
            "é".encode(),
            b"9" * 300,
            None,
            b"0001-01-01T00:00:00+23:59",
            b"9999-12-31T23:59:59-23:59",
        ):
            changed = tuple((n, wrong if n == name else v) for n, v in out.headers)
            member.admission.admit(Record(COMMANDS, 0, 0, 1, b"a", out.value, changed))  # type: ignore[arg-type]
