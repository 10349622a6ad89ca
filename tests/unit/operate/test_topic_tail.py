"""The newest records of a topic on its page: found, masked, read once for all, let go again."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from kafka_log import KafkaLog
from reading_pages import HOSTILE, Text
from stage import Hands
from website import Website, website

from orchestrator.operate.pages.messages import changes
from orchestrator.operate.pages.tail import gap
from orchestrator.operate.pages.view import Question
from orchestrator.operate.tailing import LAST, READERS_MAX, Look, Tails
from schemas.catalogue import load_catalogue
from schemas.customers import CustomerRegistered
from schemas.releases import Release
from schemas.topics import TOPICS
from services.chassis.messages import Record

CUSTOMERS = "customers.customer.events.v1"
STOCK = "inventory.stock.events.v1"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Website]:
    async with website(tmp_path) as opened:
        yield opened


@pytest.fixture
def now_ms(site: Website) -> int:
    return site.playing.now_us // 1000


def register(site: Website, name: str, at_ms: int, *, partition: int = 0) -> None:
    registered = CustomerRegistered(
        customer_id=name,
        name="Ann Bee",
        email="ann@example.org",
        country="France",
        registered_at=Hands(site.playing).now_us() // 1_000_000,
    )
    site.log.publish(CUSTOMERS, registered, at_ms, partition=partition)


async def test_the_newest_stand_first_and_lead_to_their_sagas(site: Website, now_ms: int) -> None:
    """Of all partitions by time, as many lines as are asked for, and one of them whole."""
    for n in range(25):
        register(site, f"c-{n}", now_ms - 50_000 + 2_000 * n, partition=n % 3)

    html = await site.page(f"/topics/{CUSTOMERS}")
    more = await site.page(f"/topics/{CUSTOMERS}?lines=50")

    rows = re.findall(r'<tr id="r(\d+-\d+)">', html)
    assert rows[:3] == ["0-8", "2-7", "1-7"]
    assert (len(rows), len(re.findall(r'<tr id="r\d', more))) == (20, 25)
    assert '<a href="/sagas/c-24" aria-label="Saga of c-24">c-24</a>' in html
    seen = Text(html).seen
    assert "Last message 2 s ago (usual gap 2 s)" in seen
    assert "20 of 25 records that match, of the newest 25; personal fields are masked." in seen
    assert "The newest of them whole: CustomerRegistered of c-24" in seen


async def test_what_is_personal_is_shown_to_who_may_see_it_and_found_by_nobody_else(
    site: Website, now_ms: int
) -> None:
    """A filter would tell what the page does not."""
    register(site, "c-1", now_ms)

    shown = await site.page(f"/topics/{CUSTOMERS}")
    searched = await site.page(f"/topics/{CUSTOMERS}?text=ann%40example")
    view = site.views["topic"]
    asked = Question((("topic", CUSTOMERS), ("text", "ann@example")), personal=True)
    told = (await view.context(asked))["tail"]

    assert "&#34;email&#34;: &#34;***&#34;" in shown
    assert "ann@example.org" not in shown + searched
    assert "None of the newest 1 matches." in Text(searched).seen
    assert isinstance(told, dict)
    assert (told["found"], told["masked"]) == (1, False)
    assert '"email": "ann@example.org"' in told["rows"][0]["said"]


async def test_key_and_text_find_among_the_newest(site: Website, now_ms: int) -> None:
    """The key whole, the text anywhere in what is shown, whatever its case."""
    register(site, "c-1", now_ms)
    register(site, "c-11", now_ms)

    by_key = await site.page(f"/topics/{CUSTOMERS}?key=c-1")
    by_text = await site.page(f"/topics/{CUSTOMERS}?text=C-11")
    none = await site.page(f"/topics/{CUSTOMERS}?key=c-2")

    assert re.findall(r"Saga of ([\w-]+)", by_key) == ["c-1"]
    assert re.findall(r"Saga of ([\w-]+)", by_text) == ["c-11"]
    assert "None of the newest 2 matches. Older ones: baton topics tail" in Text(none).seen


async def test_no_record_breaks_the_page(site: Website, now_ms: int) -> None:
    """No value, no message, a time that is none, hostile names: each is a line, and is text."""
    hostile = HOSTILE.encode()
    headers = (("ce_type", hostile), ("ce_source", hostile * 100), ("ce_id", b"\xff"))
    site.log.write(CUSTOMERS, None, now_ms)
    site.log.write(CUSTOMERS, hostile, now_ms, key=hostile, headers=headers)
    site.log.write(CUSTOMERS, b"\xc3\x01" + b"?" * 8, 1 << 62, key=b"\xff/..")
    site.log.write(CUSTOMERS, b"\xc3\x01", -(1 << 62))

    html = await site.page(f"/topics/{CUSTOMERS}")
    found = await site.page(f"/topics/{CUSTOMERS}?key=%3Cimg+src%3Dx&text=%22%3E%3Cimg")

    assert len(re.findall(r'<tr id="r\d', html)) == 4
    assert "<img" not in html + found
    seen = Text(html).seen
    assert "✖ cannot be read: neither Avro single-object nor Confluent framing: 3c69" in seen
    fingerprint = (b"?" * 8).hex()
    assert f"✖ cannot be read: schema fingerprint {fingerprint} is not known to this" in seen
    assert HOSTILE in seen
    assert len(html) < 40_000


async def test_only_topics_of_sagas_lead_to_them(site: Website, now_ms: int) -> None:
    """A product is the key of no saga."""
    site.log.write(STOCK, b"?", now_ms, key=b"LAMP")

    html = await site.page(f"/topics/{STOCK}")

    assert "<td>LAMP</td>" in html
    assert "/sagas/LAMP" not in html


async def test_an_empty_topic_and_a_silent_broker_are_said(site: Website, now_ms: int) -> None:
    """What was read last stays, with since when; the rest of the page is whole."""
    path = f"/topics/{CUSTOMERS}"
    assert "No record stands on it now." in Text(await site.page(path)).seen
    site.log.silent = True
    site.playing.wait(2)
    assert "✖ What was read last is shown, as of 2 s ago : Kafka at" in (
        Text(await site.page(path)).seen
    )
    gone = Text(await site.page(f"/topics/{STOCK}")).seen
    site.log.silent = False
    register(site, "c-1", now_ms)
    site.playing.wait(5)

    back = Text(await site.page(path)).seen

    sentence = "✖ No record can be shown: Kafka at 127.0.0.1:9092 gave no answer in 3.0 s;"
    assert sentence in gone
    assert "What may stand on it" in gone
    assert "Last message 7 s ago" in back


async def test_a_topic_lives_by_the_lines_that_came(site: Website, now_ms: int) -> None:
    """What only grows older is not sent again."""
    register(site, "c-1", now_ms)
    view = site.views["topic"]
    asked = Question((("topic", CUSTOMERS),))
    first = await site.live.look(view, asked, {"path": "/x", "query": []})
    site.playing.wait(120)
    later = await site.live.look(view, asked, {"path": "/x", "query": []})
    register(site, "c-2", site.playing.now_us // 1000)
    site.playing.wait(3)
    grown = await site.live.look(view, asked, {"path": "/x", "query": []})

    assert (later["tail"] == first["tail"], later["gap"] == first["gap"]) == (True, False)
    assert "Saga of c-2" in grown["tail"]


@pytest.mark.parametrize(
    ("times_s", "since_s", "told"),
    [
        ([0], 5, (5, None, False)),
        ([0, 2, 4], 3, (3, 2, False)),
        ([0, 2, 4], 59, (59, 2, False)),
        ([0, 2, 4], 720, (720, 2, True)),
        ([0, 100, 200], 900, (900, 100, False)),
        ([0, 100, 200], 1001, (1001, 100, True)),
        ([10, 8], -5, (0, 2, False)),
    ],
)
def test_a_topic_is_quiet_when_ten_usual_gaps_passed(
    times_s: list[int], since_s: int, told: tuple[float, float | None, bool]
) -> None:
    """And a minute, and never before two records told what is usual."""
    now_ms = (max(times_s) + since_s) * 1000

    found = gap([each * 1000 for each in times_s], now_ms)

    assert found == dict(zip(("since_s", "usual_s", "quiet"), told, strict=True))


def test_no_record_tells_no_gap() -> None:
    """Nothing can be said of an empty topic."""
    assert gap([], 5) is None


async def test_one_reader_serves_all_once_a_second_and_goes_when_nobody_looks(
    site: Website, now_ms: int
) -> None:
    """Opened by the first look, closed half a minute after the last one."""
    log = KafkaLog()
    tails = Tails(log.opened, Hands(site.playing))
    log.write(STOCK, b"?", now_ms)

    looks = [await tails.look(STOCK) for _ in range(5)]
    assert (log.opened_times, log.reads, {len(each.kept) for each in looks}) == ([STOCK], 1, {1})
    site.playing.wait(1)
    await tails.look(STOCK)
    assert log.reads == 2
    site.playing.wait(29)
    await tails.sweep()
    assert log.open == [STOCK]
    site.playing.wait(1)
    await tails.sweep()
    assert log.open == []
    assert len((await tails.look(STOCK)).kept) == 1
    await tails.close()
    assert log.open == []


async def test_a_tail_keeps_the_last_of_each_partition_only(site: Website) -> None:
    """By number and by bytes, and never repeats one after a broken connection."""
    log = KafkaLog()
    tails = Tails(log.opened, Hands(site.playing))
    for n in range(LAST + 10):
        log.write(STOCK, b"?", n)
    for n in range(3):
        log.write(STOCK, b"?" * 900_000, n, partition=1)
        log.write(STOCK, b"?", n, partition=2)

    def offsets(look: Look, partition: int) -> list[int]:
        records: list[Record] = [each.record for each in look.kept]
        return [each.offset for each in records if each.partition == partition]

    look = await tails.look(STOCK)
    log.silent = True
    site.playing.wait(2)
    stale = await tails.look(STOCK)
    log.silent = False
    site.playing.wait(6)
    again = await tails.look(STOCK)
    await tails.close()

    assert offsets(look, 0) == list(range(10, LAST + 10))
    assert (offsets(look, 1), offsets(look, 2)) == ([2], [0, 1, 2])
    assert (stale.kept, stale.as_of_us) == (look.kept, look.as_of_us)
    assert stale.fault.startswith("Kafka at 127.0.0.1:9092 gave no answer in 3.0 s")
    assert [each.record for each in again.kept] == [each.record for each in look.kept]


async def test_only_a_few_topics_are_read_at_a_time(site: Website) -> None:
    """The one that was looked at longest ago makes room."""
    log = KafkaLog()
    tails = Tails(log.opened, Hands(site.playing))
    names = [each.name for each in TOPICS[: READERS_MAX + 1]]
    for name in names:
        await tails.look(name)
        site.playing.wait(1)

    assert log.open == names[1:]
    await tails.close()


def test_releases_are_compared_field_by_field() -> None:
    """Each with the next, and the last with today's; what is alike is not told."""
    today = load_catalogue().by_name["baton.customers.CustomerRegistered"].schema
    fields = today["fields"]
    assert isinstance(fields, list)
    first = {**today, "fields": [*fields[:-1], {"name": "fax", "type": "string"}]}
    changed = [{**each, "type": "long"} if each["name"] == "country" else each for each in fields]
    second = {**today, "fields": changed}
    released = [
        Release("0.1.0", "baton.customers.CustomerRegistered", first),
        Release("0.2.0", "baton.customers.CustomerRegistered", second),
    ]

    told = [tuple(each.values()) for each in changes(released, today)]

    last = fields[-1]["name"]
    assert [each[:3] for each in told] == [
        ("0.1.0 → 0.2.0", "country", "changed"),
        ("0.1.0 → 0.2.0", "fax", "removed"),
        ("0.1.0 → 0.2.0", last, "added"),
        ("0.2.0 → today", "country", "changed"),
    ]
    assert told[0][3:] == ("text", "long")
    assert not list(changes([replace(released[0], schema=today)], today))


async def test_differences_stand_on_the_page(
    site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One release that is today's is one version; of more, what they changed."""
    one = Text(await site.page(f"/topics/{CUSTOMERS}")).seen
    today = load_catalogue().by_name["baton.customers.CustomerRegistered"].schema
    fields = today["fields"]
    assert isinstance(fields, list)
    name = "baton.customers.CustomerRegistered"
    old = Release("0.0.9", name, {**today, "fields": fields[:-1]})
    known = {name: [old, Release("0.1.0", name, today)]}
    monkeypatch.setattr("orchestrator.operate.pages.messages._released", lambda: known)

    two = Text(await site.page(f"/topics/{CUSTOMERS}")).seen

    assert "Released: 0.1.0 (as today), one version." in one
    assert "Released: 0.0.9 (another schema than today), 0.1.0 (as today)." in two
    assert re.search(r"How its versions differ .* 0\.0\.9 → 0\.1\.0 \w+ \+ added - ", two)
