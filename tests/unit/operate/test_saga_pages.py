"""The pages of sagas: the list by its filter; one saga, why it waits, and its story."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import orjson
import pytest
from processes import Spoken
from test_pages import HOSTILE, Text
from website import Website, website

from orchestrator.operate.flowing import differences
from orchestrator.operate.pages.terms import chips, narrowed, said, widened
from orchestrator.saga import seconds
from orchestrator.sagas import SAGAS


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Website]:
    async with website(tmp_path) as opened:
        yield opened


def seen(html: str) -> str:
    return Text(html).seen


async def several(site: Website) -> None:
    await site.playing.complete("o-1")
    await site.playing.cancel("o-2")
    await site.playing.place_order("o-3")


async def test_the_list_tells_each_saga_and_how_many_match(site: Website) -> None:
    """Newest first, with what is waited for, its deadline, and of how many."""
    await several(site)
    site.playing.wait(4)

    html = await site.page("/sagas")

    assert "3 of 3 sagas match" in seen(html)
    assert (
        "o-3 fulfilment ▶ awaiting stock 4 s ago in 26 s inventory 1 1"
        " o-2 fulfilment ✓ compensated 4 s ago - 0 4 o-1 fulfilment ✓ completed 4 s ago - 0 6"
    ) in seen(html)


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("phase=open", ["o-3"]),
        ("phase=compensated", ["o-2"]),
        ("reason=insufficient_funds", ["o-2"]),
        ("service=inventory", ["o-3"]),
        ("stuck=any", ["o-3"]),
        ("stuck=no_reply", []),
        ("stuck=late_timer", ["o-3"]),
        ("version=1 phase=finished", ["o-2", "o-1"]),
        ("version=2", []),
        ("started<50s", []),
        ("started>50s", ["o-3", "o-2", "o-1"]),
        ("started=2025-11-24", ["o-3", "o-2", "o-1"]),
        ("started=2025-11-23", []),
        ("age>50s", ["o-3"]),
    ],
)
async def test_a_filter_is_asked_of_the_server(site: Website, query: str, keys: list[str]) -> None:
    """The rows are those that match, and the sentence counts them."""
    await several(site)
    site.playing.wait(60)

    html = await site.page(f"/sagas?query={query.replace(' ', '+').replace('<', '%3C')}")

    assert [key for key in ("o-3", "o-2", "o-1") if f'aria-label="Choose {key}"' in html] == keys
    assert f"{len(keys)} of 3 sagas match {query}" in unescape(seen(html))


async def test_nothing_matches_and_each_term_can_be_dropped(site: Website) -> None:
    """The empty list says of how many none match, with a way to drop each term."""
    await several(site)

    html = await site.page("/sagas?query=state%3Dawaiting_capture+service%3Dbilling")

    assert "0 of 3 match. Drop a term: state=awaiting_capture ✕ service=billing ✕" in seen(html)
    assert 'href="/sagas?query=service%3Dbilling">state=awaiting_capture ✕' in html


async def test_no_saga_yet(site: Website) -> None:
    """An empty store says how to start one."""
    assert "No saga yet. Start one: baton order place --help" in seen(await site.page("/sagas"))


async def test_older_ones_stand_on_the_next_page(site: Website) -> None:
    """Fifty rows a page; what comes later moves none of them."""
    for n in range(51):
        await site.playing.place_order(f"n-{n:02}")
    first = await site.page("/sagas?query=phase%3Dopen")
    older = unescape(first).split('rel="next" href="')[1].split('"')[0]
    await site.playing.place_order("n-51")

    second = await site.page(older)

    assert ("Choose n-50" in first, "Choose n-00" in first) == (True, False)
    assert ("Choose n-01" in second, "Choose n-00" in second) == (False, True)


async def test_only_how_many_are_new_is_live(site: Website) -> None:
    """A stream tells of two newcomers that match, and sends no row."""
    await site.playing.place_order("o-1")
    html = await site.page("/sagas?query=phase%3Dopen")
    live = unescape(html).split('data-live="')[1].split('"')[0]
    await site.playing.place_order("o-2")
    await site.playing.place_order("o-3")
    await site.playing.complete("o-4")

    told = await site.page(f"{live}&once=1")

    assert seen(told) == "2 new · show"
    assert 'href="/sagas?query=phase%3Dopen"' in told


async def test_facets_count_what_they_lead_to(site: Website) -> None:
    """Each value stands with its number, and its link asks for it."""
    await several(site)

    html = await site.page("/sagas")

    assert "Outcome open 1 completed 1 compensated 1" in seen(html)
    assert "Waiting on inventory 1" in seen(html)
    assert 'href="/sagas?query=service%3Dinventory"' in html


async def test_columns_are_chosen_in_the_address(site: Website) -> None:
    """Two columns asked for, two shown; an unknown one is no column."""
    await site.playing.place_order("o-1")

    html = await site.page("/sagas?column=state&column=waiting_on&column=nonsense")

    head = html.split("<thead>")[1].split("</thead>")[0]
    assert seen(head) == "Choose Business key State Waiting on"


async def test_a_page_that_does_not_begin_anywhere(site: Website) -> None:
    """404 with the way to the first page."""
    html = await site.page("/sagas?after=nowhere", 404)

    assert "follow `Older` from the first one" in seen(html)


async def test_why_a_saga_waits(site: Website) -> None:
    """One sentence: for what, since when, until when, which attempt."""
    await site.playing.place_order("o-1")
    await site.playing.reserve("o-1")
    site.playing.wait(41)
    await site.playing.fire()

    html = await site.page("/sagas/o-1")

    assert (
        "waiting for billing.PaymentAuthorised since 16:00:00, deadline 16:02:01, attempt 2/3"
        in seen(html)
    )
    assert "Next timer payment/do in 40 s" in seen(html)


async def test_a_code_is_said_in_words(site: Website) -> None:
    """In sentences; the raw tab keeps it."""
    await site.playing.cancel("o-1")

    assert "because of insufficient funds (payment)" in seen(await site.page("/sagas/o-1"))
    assert '"reason": "insufficient_funds"' in seen(await site.page("/sagas/o-1?tab=raw"))


async def test_why_a_saga_waits_whose_service_is_away(site: Website) -> None:
    """What was promised, how late it is, and to when its time was put off."""
    await site.playing.place_order("o-1")
    site.playing.wait(36)
    await site.playing.put_off("inventory.stock.commands.v1")

    html = await site.page("/sagas/o-1")

    assert (
        "waiting for inventory.StockReserved since 16:00:00,"
        " deadline 16:00:30 (6 s late), put off to 16:01:06: the command was not read,"
        " attempt 1/3" in seen(html)
    )


async def test_an_open_saga_takes_every_verb(site: Website) -> None:
    """Each leads to its form with the version that was seen; a finished one takes none."""
    await site.playing.place_order("o-1")
    await site.playing.complete("o-2")

    html = await site.page("/sagas/o-1")

    assert "Retry Compensate Pause Resume Skip Assign Unassign Note" in seen(html)
    assert 'href="/act?verb=retry&amp;saga=fulfilment%3Ao-1&amp;version=1"' in html
    assert "/act?" not in await site.page("/sagas/o-2")


async def test_the_story_of_a_saga(site: Website) -> None:
    """What came, what changed, what went out; a timer leads to the line with which it ended."""
    await site.playing.place_order("o-1")
    site.playing.wait(10)
    await site.playing.fire()
    await site.playing.reserve("o-1")

    html = await site.page("/sagas/o-1")

    assert (
        "e1 16:00:00.000 ← orders.OrderPlaced from shop awaiting stock stock: sent"
        " → ReserveStock to inventory ◷ stock/do due 16:00:10.000, fired e2"
        " e2 16:00:10.000 ◷ timer stock/do awaiting stock, unchanged"
        " → ReserveStock again (2.) to inventory ◷ stock/do due 16:00:20.000, not needed e3"
        " e3 16:00:10.000 ← inventory.StockReserved from inventory awaiting stock →"
        " awaiting payment stock: sent → done payment: sent"
        " → AuthorisePayment to billing ◷ payment/do due 16:00:50.000, running"
    ) in seen(html)
    assert '<tr id="e3">' in html


async def test_a_refused_line_says_why(site: Website) -> None:
    """What was not applied is in the story, with its reason."""
    await site.playing.complete("o-1")
    await site.playing.ask_cancellation("o-1", "r-1")

    html = await site.page("/sagas/o-1")

    assert "← orders.OrderCancellationRequested from shop ✖ finished" in seen(html)


async def test_an_unknown_saga_has_neighbours(site: Website) -> None:
    """404 with keys that begin alike and how long what ended is kept."""
    await site.playing.place_order("ord-17")

    html = await site.page("/sagas/ord-18", 404)

    assert (
        "No saga ord-18 is known here. Older than retention? What has ended is forgotten after"
        " BATON_JOURNAL_DAYS, 365 days unless set. Keys that begin alike: ord-17" in seen(html)
    )


async def test_older_lines_stand_on_their_own_page(site: Website) -> None:
    """A hundred lines a page and none is cut."""
    await site.playing.place_order("o-1")
    for n in range(100):
        await site.playing.ask_cancellation("o-1", f"r-{n}")

    newest = await site.page("/sagas/o-1")
    older = unescape(newest).split("&before=")[1].split('"')[0]
    oldest = await site.page(f"/sagas/o-1?before={older}")
    told = Text(await site.page(f"/sagas/o-1?tab=timeline&before={older}"))

    assert newest.count('<tr id="e') == 100
    assert oldest.count('<tr id="e') == 1
    longer = Text(await site.page("/sagas/o-1?tab=sequence"))

    assert f"/sagas/fulfilment%3Ao-1?tab=sequence&before={older}" in longer.links
    assert "← orders.OrderPlaced" in seen(oldest)
    assert "Lines e2 to e101 of this saga. Older lines" in seen(newest)
    assert "Lines e1 to e1 of this saga. Newest lines" in told.seen
    assert "/sagas/fulfilment%3Ao-1?tab=timeline" in told.links


async def test_what_customers_wrote_is_shown_as_text(site: Website) -> None:
    """A hostile cancellation comes back escaped, on every tab."""
    await site.playing.place_order("o-1")
    await site.playing.ask_cancellation("o-1", "r-1", HOSTILE)

    for tab in ("story", "timeline", "sequence", "state", "raw"):
        html = await site.page(f"/sagas/o-1?tab={tab}")
        assert HOSTILE not in html
        assert HOSTILE in unescape(html)


def test_terms_of_a_filter() -> None:
    """Dropped, narrowed and widened by name, the others kept."""
    text = "phase=open state=a,b age>10m"

    assert chips(text)[0].rest == "state=a,b age>10m"
    assert narrowed(text, "state", "c") == "phase=open age>10m state=c"
    assert widened(text, "state") == "phase=open age>10m"
    assert said(text, "state") == {"a", "b"}


async def test_the_list_leaves_as_a_file(site: Website) -> None:
    """CSV and JSON lines of what matches, as attachments."""
    await several(site)

    sheet = await site.http.get("/export/sagas?form=csv&query=phase%3Dfinished")
    lines = await site.http.get("/export/sagas?form=jsonl&query=phase%3Dopen")

    assert sheet.headers["content-disposition"] == 'attachment; filename="sagas.csv"'
    assert [row.split(",")[1] for row in sheet.text.splitlines()] == ["key", "o-2", "o-1"]
    assert [orjson.loads(each)["saga_id"] for each in lines.text.splitlines()] == ["fulfilment:o-3"]


async def test_a_spreadsheet_meets_no_formula(site: Website) -> None:
    """A key that begins like one is quoted."""
    await site.playing.place_order("-2")

    sheet = await site.http.get("/export/sagas?form=csv")

    assert ",'-2,fulfilment," in sheet.text


async def test_a_bundle_has_the_whole_history(site: Website) -> None:
    """The saga, every line, and where to look for logs."""
    await site.playing.place_order("o-1")
    await site.playing.reserve("o-1")

    bundle = (await site.http.get("/export/saga/o-1")).json()

    assert bundle["saga"]["state"] == "awaiting_payment"
    assert [line["what"] for line in bundle["history"]] == ["started", "answered"]
    assert bundle["logs"] == ["baton logs billing", "baton logs orchestrator"]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/chosen/sagas?verb=retry&query=phase%3Dopen&which=all", "verb=retry&query=phase%3Dopen"),
        ("/chosen/sagas?verb=note&saga=o-1&saga=o-2", "verb=note&saga=o-1&saga=o-2"),
    ],
)
async def test_a_choice_leads_to_the_form_of_a_verb(site: Website, path: str, query: str) -> None:
    """Over all that match, or over those that were ticked."""
    answer = await site.http.get(path)

    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"/act?{query}",
    )


async def test_nothing_chosen_is_said(site: Website) -> None:
    """422 with the way back to the same list."""
    html = await site.page("/chosen/sagas?query=phase%3Dopen&which=chosen", 422)

    assert "Tick the sagas to act on, or act on all that match." in seen(html)
    assert 'href="/sagas?query=phase%3Dopen"' in html


async def test_the_flow_counts_what_stands_where(site: Website) -> None:
    """Nodes with their numbers, edges with what went there, in both shapes."""
    await several(site)
    await site.playing.place_order("o-4")
    await site.playing.reserve("o-4")

    html = await site.page("/flow/fulfilment")

    assert html.count('aria-label="payment: 1 saga, 0 stuck"') == 2
    assert html.count("<title>stock to payment: 3</title>") == 2
    assert html.count("<title>started to stock: 4</title>") == 2
    assert 'href="/export/flow/fulfilment?form=svg&amp;version=1"' in html


async def test_the_flow_says_how_long_sagas_stay_and_where_it_is_hot(tmp_path: Path) -> None:
    """p95 out of what the orchestrator counted, a bar in each box, and a window that is chosen."""
    name = 'saga_state_duration_seconds_{}{{saga="fulfilment",state="awaiting_payment"{}}} {}'
    counted = [("5.0", 90), ("10.0", 96), ("+Inf", 100)]
    lines = [name.format("bucket", f',le="{le}"', n) for le, n in counted]
    spoken = Spoken([*lines, name.format("count", "", 100)])
    async with website(tmp_path, {"orchestrator": spoken}) as site:
        await several(site)
        await site.playing.place_order("o-4")
        await site.playing.reserve("o-4")
        html = await site.page("/flow/fulfilment?window=15m&heat=failures")
        site.playing.wait(901)
        later = await site.page("/flow/fulfilment?window=15m")

    assert html.count('aria-label="payment: 1 saga, 0 stuck, p95 10 s"') == 2
    assert ">1 saga · p95 10 s</text>" in html
    assert html.count('class="heat"') == 2
    assert "The bar in a box: how often it turns back, the longest is the most." in seen(html)
    assert "<title>stock to payment</title>" in later
    assert 'class="heat"' not in later


def test_what_a_version_changed() -> None:
    """Part by part, as it was and as it is."""
    (older,) = [saga for saga in SAGAS if saga.name == "fulfilment"]
    slower = replace(older.steps[0], within=seconds(45))  # type: ignore[type-var]
    newer = replace(older, version=2, steps=[slower, *older.steps[1:-1]])

    assert differences(older, older) == []
    assert differences(older, newer) == [
        (
            "steps",
            "stock, payment, shipment, capture, dispatch",
            "stock, payment, shipment, capture",
        ),
        (
            "step stock",
            "compensatable: ReserveStock within 30 s, sent 3 times, undone by ReleaseStock",
            "compensatable: ReserveStock within 45 s, sent 3 times, undone by ReleaseStock",
        ),
        (
            "step dispatch",
            "retriable: DispatchShipment within 1 h 00 min, sent 3 times",
            "not there",
        ),
    ]


async def test_an_unknown_definition_or_version(site: Website) -> None:
    """404 that names it."""
    assert "No saga is called nonsense in this release." in seen(
        await site.page("/flow/nonsense", 404)
    )
    assert "No saga is called fulfilment v9 in this release." in seen(
        await site.page("/flow/fulfilment?version=9", 404)
    )


async def test_definitions_are_listed_with_what_is_open(site: Website) -> None:
    """Each with its versions, and numbers that lead to lists."""
    await several(site)

    assert "fulfilment v1 1 0 onboarding v1 0 0" in seen(await site.page("/flow"))


async def test_two_sagas_are_compared(site: Website) -> None:
    """Command by command, how long it took and how it ended."""
    await site.playing.complete("o-1")
    await site.playing.cancel("o-2")

    html = await site.page("/sagas/o-2?with=o-1")

    assert (
        "Command o-2 o-1 stock/do answered after 0 s, sent 1 times"
        " answered after 0 s, sent 1 times payment/do refused after 0 s, sent 1 times"
        " answered after 0 s, sent 1 times stock/undo answered after 0 s, sent 1 times not sent"
    ) in seen(html)


async def test_where_a_saga_stands_in_its_flow(site: Website) -> None:
    """The present place is said in words, the steps stand beside it as a table."""
    await site.playing.place_order("o-1")

    html = await site.page("/sagas/o-1?tab=state")

    assert "<title>stock: it stands here</title>" in html
    assert "stock compensatable sent 1 0 0 s ago" in seen(html)
