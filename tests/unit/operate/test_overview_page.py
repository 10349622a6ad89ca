"""The first page: what is open, how it ended, what is stuck, who runs, what happened last."""

from __future__ import annotations

from pathlib import Path

from processes import Spoken
from reading_pages import HOSTILE, Text
from website import LOOKS, Bench, website

from orchestrator.operate.auditing import MIGRATIONS
from orchestrator.operate.history import EVERY_S, SLOTS, History
from orchestrator.operate.reading import Reading
from tests.unit.chassis.company import DirectStore

RUNS = dict.fromkeys(("orchestrator", "billing", "payment", "carrier"), "ready")


async def test_before_the_first_saga_it_says_how_to_start_one(tmp_path: Path) -> None:
    """No share of nothing; where no company runs here, a command."""
    async with website(tmp_path) as site:
        page = Text(await site.page("/"))

    assert (
        "No saga yet Start one at a terminal: baton order place teapot:2:1250 Lessons place orders"
        " and stop processes, so they run only under `baton up`." in page.seen
    )
    assert "Completed none none ended yet" in page.seen
    assert "Stuck ✓ 0 " in page.seen
    assert "Oldest stuck ✓ none" in page.seen
    assert not [form for form in page.forms if "lesson" in form]


async def test_the_first_order_is_a_button(tmp_path: Path) -> None:
    """Where the company runs, it places the order of the first lesson and leads to it."""
    async with website(tmp_path, machine=Bench(running=RUNS)) as site:
        html = await site.page("/")
        viewer = await site.page("/", token=LOOKS)
        where = await site.send("/learn/play", [("lesson", "happy")])
        refused = await site.http.post("/learn/play", headers={"Authorization": f"Bearer {LOOKS}"})

    assert '<button class="main" name="lesson" value="happy">Start demo order</button>' in html
    assert "Start demo order" not in viewer
    assert where.startswith("/learn?lesson=happy&order=lesson-happy-")
    assert refused.status_code == 403
    assert [dict(out.headers)["ce_type"].decode() for out in site.wire.sent] == [
        "baton.inventory.GoodsReceived",
        "baton.orders.OrderPlaced",
    ]


async def test_every_number_leads_to_its_list(tmp_path: Path) -> None:
    """Counts, shares, stuck, processes with their dead letters, and the last of note."""
    lines = ["saga_consumer_lag_seconds 2.5", "saga_dead_letters_pending 3"]
    spoken = {"billing": Spoken(lines), "crm": Spoken(down=True)}
    async with website(tmp_path, spoken) as site:
        await site.playing.complete("o-1")
        await site.playing.complete("o-2")
        await site.playing.cancel("o-3")
        await site.playing.place_order("o-4")
        site.playing.wait(600)
        page = Text(await site.page("/act?verb=note&saga=o-4"))
        form = {**page.form_with("key"), "reason": HOSTILE}
        await site.send("/act", list(form.items()))
        html = await site.page("/")

    page = Text(html)
    for told in (
        "Open 1 oldest 10 min open 1 now, always 1 since",
        "Started / min ? 4 in all started: nothing was sampled in this range",
        "Completed 66.7 % of all 3 ended",
        "Compensated 33.3 % of all 3 ended",
        "Stuck … 1 … 1 late stuck 1 now",
        "Oldest stuck 10 min",
        "UTC only, so its lines do not fill 1 h yet.",
        "billing ✓ up lag 2.5 s 3 dead letters",
        "crm ✖ down lag ? dead letters ?",
        f"o-4 note by token:local: {HOSTILE}",
        "o-3 ✓ compensated : insufficient funds",
        "Open sagas of fulfilment , by state",
        "Beside it: onboarding 0 open",
    ):
        assert told in page.seen
    assert "<img" not in html
    assert {
        "/stuck",
        "/sagas?query=phase%3Dopen",
        "/sagas?query=phase%3Dcompleted",
        "/sagas?query=started%3C1h",
        "/dead-letters?service=billing",
        "/sagas?query=definition%3Dfulfilment+state%3Dawaiting_stock",
    } <= set(page.links)
    assert 'aria-label="stock: 1 saga, 1 stuck"' in html


async def test_the_range_is_part_of_the_address(tmp_path: Path) -> None:
    """What the samples reach back to is told for that range; another one is refused with those."""
    async with website(tmp_path) as site:
        await site.playing.complete("o-1")
        await site.history.take()
        for number in range(5):
            site.playing.wait(200)
            await site.playing.complete(f"n-{number}")
            await site.history.take()
        long, short = Text(await site.page("/")), Text(await site.page("/?range=15m"))
        bad = Text(await site.page("/?range=9y", 422))

    assert "Started / min 0.3 6 in all" in long.seen
    assert "Started / min 0 " not in short.seen
    assert "5 in 15 min" in short.seen
    assert "Completed 100 % of 5 ended in 15 min" in short.seen
    assert "do not fill" not in short.seen
    assert "/sagas?query=started%3C15m" in short.links
    assert "There are no lines over 9y; choose one of these. 15m 1h 24h" in bad.seen


async def test_what_was_sampled_is_there_after_a_restart(tmp_path: Path) -> None:
    """In the console's own database, as a ring that grows no more."""
    async with website(tmp_path) as site:
        store = DirectStore(migrations={"console": MIGRATIONS})
        history = History(store, _reading(site))  # type: ignore[arg-type]
        await site.playing.place_order("o-1")
        await history.take()
        site.playing.wait(EVERY_S * SLOTS)
        await site.playing.place_order("o-2")
        await history.take()
        again = History(store, _reading(site))  # type: ignore[arg-type]

        assert [each.open for each in await again.samples()] == [2]
        assert store.rows("SELECT count(*) FROM samples") == [(1,)]
        site.playing.wait(EVERY_S)
        await again.take()

        kept = [(each.open, each.stuck, each.severe) for each in await again.samples()]
    assert kept == [(2, 1, 0), (2, 1, 0)]


async def test_a_clock_set_back_leaves_the_samples_in_order(tmp_path: Path) -> None:
    """What was of the future is forgotten."""
    async with website(tmp_path) as site:
        for step in (0, 30, -20):
            site.playing.now_us += step * 1_000_000
            await site.history.take()

        times = [each.at_us for each in await site.history.samples()]
    assert [us - times[0] for us in times] == [0, 10_000_000]


def _reading(site: object) -> Reading:
    return site.history._reading  # type: ignore[attr-defined,no-any-return]
