"""What is wrong gets a reason, a number and a place where people find it; the rest goes on.

One table of bad records, published at once beside good orders. Each is then looked for in the
database of every reader of its topic, on the topic's dead letters, and in the metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

import pytest
import pytest_asyncio

from schemas.orders import OrderPlaced
from schemas.topics import PARTITIONS_LOCAL, dead_letter_topic, topic_named
from services.chassis.bus_admin import read_all
from services.chassis.bus_publish import partition_of
from services.chassis.messages import Headers, Record, unpack
from tests.integration.bad_records import CASES, REPLIES, Bad, authorised, reply
from tests.integration.books import check_books, many_orders, order, outcomes_of, phases, placed
from tests.integration.running_company import (
    ORDERS,
    OURS,
    Company,
    Place,
    message,
    until,
)

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

NAMES: Final = [case.name for case in CASES]
Counts = Counter[tuple[str, str]]


@dataclass(frozen=True)
class Scene:
    """All was published, and nothing is under way any more."""

    lies: Mapping[str, Place]
    counted: Mapping[str, Counts]
    letters: Mapping[Place, list[Record]]
    beside: list[OrderPlaced]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(company: Company) -> AsyncIterator[Scene]:
    beside = many_orders("beside", 20)
    before = {name: await dead_letters(company, name) for name in OURS}
    good = placed(*beside)
    await company.publish(*good[:10], *placed(order("bad-conflict")))
    lies = await company.publish(*(case.sent for case in CASES))
    await company.publish(*good[10:])
    await until(company.drained, "nothing is under way")
    after = {name: await dead_letters(company, name) for name in OURS}
    topics = sorted({dead_letter_topic(case.sent.topic) for case in CASES})
    letters: dict[Place, list[Record]] = {}
    for record in await read_all(company.kafka, topics):
        letters.setdefault(origin(record), []).append(record)
    yield Scene(
        dict(zip(NAMES, lies, strict=True)),
        {name: after[name] - before[name] for name in OURS},
        letters,
        beside,
    )


async def dead_letters(company: Company, process: str) -> Counts:
    """By topic and reason, as the process counts them."""
    found: Counts = Counter()
    for (name, labels), value in (await company.metrics(process)).items():
        if name == "saga_dead_letters_total":
            told = dict(labels)
            found[told["topic"], told["reason"]] += int(value)
    return found


def origin(record: Record) -> Place:
    said = {name: value.decode() for name, value in record.headers if name.startswith("dlt-")}
    return Place(
        said["dlt-original-topic"],
        int(said["dlt-original-partition"]),
        int(said["dlt-original-offset"]),
    )


@pytest.mark.parametrize("case", CASES, ids=NAMES)
async def test_it_is_kept_by_every_reader_with_its_reason(
    company: Company, scene: Scene, case: Bad
) -> None:
    """Key, value and headers as they came, byte for byte, and what is wrong with them."""
    query = (
        "SELECT kind, reason, stage, state, record_key, value, headers, detail FROM dead_letters"
        " WHERE topic = ? AND partition = ? AND offset = ?"
    )
    found = {name: company.rows(name, query, *scene.lies[case.name]) for name in OURS}
    assert {name for name, rows in found.items() if rows} == set(case.seen_by)
    for name in case.seen_by:
        ((*kept, headers, detail),) = found[name]
        state, sent = "rejected" if case.kind == "rejected" else "open", case.sent
        assert kept == [case.kind, case.reason, case.stage, state, sent.key, sent.value]
        assert isinstance(headers, bytes)
        assert unpack(headers) == sent.headers
        assert case.says in str(detail)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
async def test_its_copy_lies_on_the_dead_letter_topic(scene: Scene, case: Bad) -> None:
    """One copy of each reader: the record itself, then headers that say why and from where."""
    place = scene.lies[case.name]
    copies = scene.letters[place]
    assert len(copies) == len(case.seen_by)
    for record in copies:
        ours = len(case.sent.headers)
        assert record.value == (case.sent.value or b"")
        assert record.headers[:ours] == case.sent.headers
        said = texts(record.headers[ours:])
        assert said.pop("dlt-original-key-hex", "") in ("", (record.key or b"").decode())
        assert case.says in said.pop("dlt-error-message")
        assert said.keys() - {"dlt-failed-at", "dlt-original-timestamp"} == {
            "dlt-original-topic",
            "dlt-original-partition",
            "dlt-original-offset",
            "dlt-kind",
            "dlt-error-class",
            "dlt-stage",
        }
        assert said["dlt-error-class"] == case.reason
        assert (said["dlt-kind"], said["dlt-stage"]) == (case.kind, case.stage)
        key = case.sent.key or b""
        assert record.key == (key.hex().encode() if case.name == "odd-key" else key)


def texts(headers: Headers) -> dict[str, str]:
    return {name: value.decode() for name, value in headers}


async def test_each_is_counted_once_by_every_reader(scene: Scene) -> None:
    """The metrics grew by what the table says and by nothing else."""
    expected: dict[str, Counts] = {name: Counter() for name in OURS}
    for case in CASES:
        for name in case.seen_by:
            expected[name][case.sent.topic, case.reason] += 1
    assert scene.counted == expected


async def test_the_orders_beside_them_go_on(company: Company, scene: Scene) -> None:
    """And of the order that was told twice, the first telling is the order."""
    assert await check_books(company, scene.beside) == {"fulfilled": 14, "cancelled": 6}
    first = order("bad-conflict")
    assert await check_books(company, [first]) == {"fulfilled": 1}
    (said,) = (await outcomes_of(company, ["bad-conflict"])).values()
    assert said.placed_event_id == "bad-conflict/placed"
    for process, table in (("orders", "placed_order"), ("crm", "customer_order")):
        query = f"SELECT accepted FROM {table} WHERE order_id = 'bad-conflict'"
        assert company.rows(process, query) == [("bad-conflict/placed",)]
    started = {key for key in phases(company) if key.startswith("bad-")}
    assert started == {"bad-conflict"}


async def test_what_comes_after_an_unreadable_record_waits_behind_it(
    company: Company, scene: Scene
) -> None:
    """Only of its own key: nobody knows whether the unreadable one had to come first."""
    key = "bad-fingerprint"
    (lies,) = await company.publish(*placed(order(key)))
    await until(company.drained, "nothing is under way")
    query = (
        "SELECT kind, reason FROM dead_letters"
        " WHERE topic = ? AND partition = ? AND offset = ? AND state = 'open'"
    )
    parked = (
        "SELECT parked_keys.reason FROM parked_keys JOIN keys ON keys.id = parked_keys.key"
        " WHERE keys.name = ?"
    )
    for name in topic_named(ORDERS).readers:
        assert company.rows(name, query, *lies) == [("follower", "follower")]
        assert company.rows(name, parked, key) == [("unknown_schema",)]
    assert key not in phases(company)
    del scene


async def test_an_order_told_twice_the_same_is_one_order(company: Company) -> None:
    """Once under its own id and once under another: duplicates, counted, nothing refused."""
    one = order("again")
    first, other = message(one, "again/placed"), message(one, "again/placed-once-more")
    before = await results(company, ORDERS)
    await company.publish(first, first, other)
    assert await check_books(company, [one]) == {"fulfilled": 1}
    grown = await results(company, ORDERS) - before
    assert grown == {"applied": 1, "duplicate": 2}


async def results(company: Company, topic: str) -> Counter[str]:
    """What became of the orchestrator's messages of one topic."""
    found: Counter[str] = Counter()
    for (name, labels), value in (await company.metrics("orchestrator")).items():
        told = dict(labels)
        if name == "saga_events_consumed_total" and told["topic"] == topic:
            found[told["result"]] += int(value)
    return found


async def test_a_record_on_the_wrong_partition_is_applied_and_counted(company: Company) -> None:
    one = order("astray")
    (sent,) = placed(one)
    partition = (partition_of("astray", PARTITIONS_LOCAL) + 1) % PARTITIONS_LOCAL
    before = {name: await misplaced(company, name) for name in topic_named(ORDERS).readers}
    await company.publish(sent._replace(partition=partition))
    assert await check_books(company, [one]) == {"fulfilled": 1}
    for name, count in before.items():
        assert await misplaced(company, name) == count + 1, name


async def misplaced(company: Company, process: str) -> float:
    labels = frozenset({("topic", ORDERS)})
    return (await company.metrics(process))["saga_records_misplaced_total", labels]


async def test_a_reply_to_a_finished_saga_changes_nothing(company: Company) -> None:
    """It stands in the saga's journal with the reason, and is counted."""
    one = order("over")
    await company.publish(*placed(one))
    assert await check_books(company, [one]) == {"fulfilled": 1}
    before = await results(company, REPLIES)
    late = reply(authorised("over"), "billing", "fulfilment:over", "payment")
    await company.publish(late._replace(headers=renamed(late.headers, b"late-reply")))
    await until(company.drained, "nothing is under way")
    assert await results(company, REPLIES) - before == {"ignored": 1}
    assert journal(company, "fulfilment:over")[-1] == ("answered", "finished", "payment")
    assert await check_books(company, [one]) == {"fulfilled": 1}


async def test_a_reply_to_another_services_command_is_a_forgery(company: Company) -> None:
    """Billing may write its topic, and yet not answer for inventory."""
    one = order("impostor", payment_method="tok_slow")
    await company.publish(*placed(one))
    await until(lambda: "impostor" in phases(company), "its saga is there")
    before = await results(company, REPLIES)
    forged = reply(authorised("impostor"), "billing", "fulfilment:impostor", "stock")
    await company.publish(forged._replace(headers=renamed(forged.headers, b"forged-reply")))
    assert await check_books(company, [one]) == {"fulfilled": 1}
    grown = await results(company, REPLIES) - before
    assert grown["forged"] == 1
    lines = journal(company, "fulfilment:impostor")
    assert ("replied", "wrong_source", "") in lines


def renamed(headers: Headers, ce_id: bytes) -> Headers:
    return tuple((name, ce_id if name == "ce_id" else value) for name, value in headers)


def journal(company: Company, saga_id: str) -> list[tuple[object, ...]]:
    query = (
        "SELECT what, result, step FROM journal JOIN sagas ON sagas.id = journal.saga"
        " WHERE saga_id = ? ORDER BY seq"
    )
    return company.rows("orchestrator", query, saga_id)
