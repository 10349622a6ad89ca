"""The topics as pages: the whole wiring, what may stand on each, and numbers only where told."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from processes import Spoken
from test_pages import Text
from website import Website, website

from orchestrator.operate.pages.messages import type_of
from orchestrator.operate.reading import Reading
from schemas.shapes import read_shape
from schemas.topics import EVERYBODY, TOPICS, all_topics
from services.chassis.store import Unavailable

PAYMENTS = "billing.payment.commands.v1"
OF_BILLING = f'{{service="billing",topic="{PAYMENTS}"}}'


@pytest.fixture
def processes() -> dict[str, Spoken]:
    return {name: Spoken() for name in EVERYBODY}


@pytest.fixture
async def site(tmp_path: Path, processes: dict[str, Spoken]) -> AsyncIterator[Website]:
    async with website(tmp_path, processes) as opened:
        yield opened


async def test_every_topic_is_listed_once_and_leads_to_its_page(site: Website) -> None:
    """Dead letter topics are a column of theirs; each has a page all the same."""
    html = await site.page("/topics")

    named = re.findall(r'<th scope="row"><a href="/topics/([^"]+)">([^<]+)</a></th>', html)
    assert named == [(topic.name, topic.name) for topic in TOPICS]
    assert f"{len(TOPICS)} topics; /s: messages a second that are read;" in Text(html).seen
    for topic in all_topics():
        assert f"<h1>{topic.name}</h1>" in await site.page(f"/topics/{topic.name}")


async def test_rate_lag_and_dead_letters_are_what_the_readers_say(
    site: Website, processes: dict[str, Spoken]
) -> None:
    """In the list and on the topic's page alike; what waits leads to the dead letters of it."""
    taken = f"saga_events_consumed_total{OF_BILLING}"
    told = [
        f"saga_consumer_lag_messages{OF_BILLING} 1200",
        f"saga_consumer_lag_seconds{OF_BILLING} 2.5",
        f"saga_dead_letters_pending{OF_BILLING} 3",
    ]
    processes["billing"].lines = [f"{taken} 100", *told]
    await site.page("/topics")
    site.playing.wait(20)
    processes["billing"].lines = [f"{taken} 170", *told]

    listed = await site.page("/topics")
    seen = Text(await site.page(f"/topics/{PAYMENTS}")).seen

    assert "RefundPayment, VoidPayment 3.5 1 200 3 " in Text(listed).seen.replace("\xa0", " ")
    assert f'<a href="/dead-letters?topic={PAYMENTS}">3</a>' in listed
    assert "Kept 14 days" in seen
    assert "Rate 3.5/s Dead letters 3 waiting In a shell baton topics tail" in seen
    assert "billing ✓ up 1 200 2.5 s " in seen.replace("\xa0", " ")


async def test_a_message_says_what_it_means_and_what_of_it_is_personal(site: Website) -> None:
    """Meaning, key, releases, and each field at any depth, in the words of its schema."""
    html = await site.page("/topics/customers.customer.events.v1")
    ordered = Text(await site.page("/topics/orders.order.events.v1")).seen

    seen = Text(html).seen
    assert "A person became a customer. The first one applied starts the onboarding." in seen
    assert "Event with key customer_id . Released: 0.1.0 (as today), one version." in seen
    assert "name ● personal text How the customer is addressed." in seen
    assert html.count("● personal") == 2
    assert "registered_at timestamp-micros When the customer registered, UTC." in seen
    assert re.search(r" lines list of \w+ .* lines\[\]\.\w+ ", ordered)


async def test_what_the_orchestrator_applied_is_told_of_what_it_reads(site: Website) -> None:
    """Positions come from its database; a topic that others read has none."""
    await site.playing.complete("o-1")
    await site.playing.place_order("o-2")

    placed = Text(await site.page("/topics/orders.order.events.v1")).seen

    told = (
        "Applied the orchestrator has read 1 partition up to positions that add up to 2 In a shell"
    )
    assert told in placed
    assert " Applied " not in Text(await site.page(f"/topics/{PAYMENTS}")).seen


async def test_without_the_orchestrators_database_the_rest_is_shown(
    site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the page says what is missing and why."""

    async def gone(reading: Reading) -> None:
        del reading
        raise Unavailable("no file is there")

    monkeypatch.setattr(Reading, "topics", gone)

    seen = Text(await site.page("/topics/orders.order.events.v1")).seen

    sentence = "⚠ The orchestrator's database cannot be read now: no file is there."
    assert f"Applied {sentence} In a shell" in seen
    assert "crm ✓ up 0 0 " in seen


async def test_a_number_that_nobody_told_is_no_nought(
    site: Website, processes: dict[str, Spoken]
) -> None:
    """A reader that never answered is down, its numbers are unknown, and it is said.

    Nor do those who answer and do not read the topic know its rate.
    """
    processes["billing"].down = True
    await site.page("/topics")
    site.playing.wait(20)

    seen = Text(await site.page(f"/topics/{PAYMENTS}")).seen

    sentence = "✖ billing does not answer; last known numbers are shown, since 20 s ago . Why"
    assert sentence in seen
    assert "Rate ?/s Dead letters ? waiting" in seen
    assert "billing ✖ down ? ? " in seen
    assert "VoidPayment ? ? ? " in Text(await site.page("/topics")).seen


async def test_a_console_that_knows_nobody_says_what_to_do(tmp_path: Path) -> None:
    """The wiring stands all the same."""
    async with website(tmp_path) as site:
        listed = Text(await site.page("/topics")).seen
        one = Text(await site.page(f"/topics/{PAYMENTS}")).seen

    sentence = (
        "This console knows of no process, so there are no numbers. Set BATON_SURFACES ,"
        " or start the company with baton up ."
    )
    assert sentence in listed
    assert sentence in one
    assert "billing ? not known to this console ? ? " in one


async def test_an_unknown_topic_leads_to_those_with_a_name_like_it(site: Website) -> None:
    """And whatever was asked for is text."""
    html = await site.page("/topics/billing.payment.command.v1", 404)
    hostile = await site.page(f"/topics/{quote('<img src=x onerror=alert(1)>')}", 404)

    sentence = "billing.payment.command.v1 is no topic of Baton. Did you mean one of these?"
    assert sentence in Text(html).seen
    assert f'<li><a href="/topics/{PAYMENTS}">{PAYMENTS}</a></li>' in html
    assert "<img" not in hostile
    assert (
        "<img src=x onerror=alert(1)> is no topic of Baton. No topic has a name like it."
        in Text(hostile).seen
    )
    assert '<li><a href="/topics">all topics</a></li>' in hostile


def test_types_are_said_in_words() -> None:
    """Nothing stands last, whatever the schema's order."""
    listed = read_shape({"type": "array", "items": ["null", "string"]})
    chosen = read_shape({"type": "enum", "name": "Side", "symbols": ["LEFT", "RIGHT"]})

    assert type_of(listed) == "list of text or nothing"
    assert type_of(chosen) == "one of LEFT, RIGHT"
