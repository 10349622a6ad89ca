"""The forms that act: what is shown is what is sent, once, and only to what was looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from reading_pages import HOSTILE, Text
from website import LOOKS, Website, website

from orchestrator.operate.pages import act
from schemas.billing import PaymentAuthorised, PaymentDeclined
from services.chassis.bus import BusError
from tests.unit.operate.orchestra import AMOUNT

ONE = "/act?verb=retry&saga=fulfilment:o-1"
MANY = "/act?verb=retry&query=state=awaiting_payment"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Website]:
    async with website(tmp_path) as opened:
        yield opened


@pytest.fixture
async def waiting(site: Website) -> Website:
    """One order that waits for its payment."""
    await site.playing.place_order("o-1")
    await site.playing.reserve("o-1")
    site.playing.sent.clear()
    return site


@pytest.fixture
async def five(site: Website) -> Website:
    for n in range(1, 6):
        await site.playing.place_order(f"o-{n}")
        await site.playing.reserve(f"o-{n}")
    site.playing.sent.clear()
    return site


async def filled(site: Website, path: str, **more: str) -> list[tuple[str, str]]:
    """The form of a page, with what a person adds."""
    form = Text(await site.page(path)).form_with("key")
    return list({**form, "reason": "billing is back", **more}.items())


def sent(site: Website) -> list[str]:
    return [out.id for out in site.playing.sent]


async def test_the_form_shows_what_would_be_sent(waiting: Website) -> None:
    """The saga as it stands, the command, whom it goes to, under which id, and the money."""
    page = Text(await waiting.page(ONE))

    assert "Retry o-1" in page.seen
    assert "o-1 is ▶ awaiting payment , waiting on billing since 0 s ago ; version 2." in page.seen
    assert (
        "⟳ billing.AuthorisePayment to billing again billing.payment.commands.v1 ·"
        " fulfilment:o-1/payment/do 42.00 GBP" in page.seen
    )
    form = page.form_with("key")
    assert {name: form[name] for name in ("verb", "saga", "version", "reason", "seen")} == {
        "verb": "retry",
        "saga": "fulfilment:o-1",
        "version": "2",
        "reason": "",
        "seen": "1",
    }
    assert sent(waiting) == []


async def test_a_double_click_acts_once(waiting: Website) -> None:
    """The same form twice is one command, and both lead to the same result."""
    form = await filled(waiting, ONE)

    first = await waiting.send("/act", form)
    second = await waiting.send("/act", form)

    assert first == second
    assert sent(waiting) == ["fulfilment:o-1/payment/do"]
    assert len(waiting.wire.sent) == 1


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (
            PaymentAuthorised("o-1", "a-1", AMOUNT),
            "✓ Progressed : billing.PaymentAuthorised → awaiting shipment",
        ),
        (
            PaymentDeclined("o-1", "card_expired"),
            "✖ Failed again : billing.PaymentDeclined → undoing stock",
        ),
    ],
)
async def test_the_result_is_verified(waiting: Website, reply: object, sentence: str) -> None:
    """Unchanged until something answers; then progressed or failed again, and by what."""
    place = await waiting.send("/act", await filled(waiting, ONE))
    before = Text(await waiting.page(place)).seen

    await waiting.playing.reply("o-1", "payment/do", reply)

    assert "… Unchanged : it was done as asked, and nothing has answered yet." in before
    assert sentence in Text(await waiting.page(place)).seen
    assert "By token:local Reason billing is back Version 2 → 3" in before


async def test_a_saga_that_moved_is_refused(waiting: Website) -> None:
    """409 with what it is now, nothing sent, and a link that looks again."""
    form = await filled(waiting, ONE)
    await waiting.playing.reply("o-1", "payment/do", PaymentAuthorised("o-1", "a-1", AMOUNT))
    waiting.playing.sent.clear()

    page = Text(await waiting.send("/act", form, 409))

    assert (
        "It moved while you looked o-1 is now awaiting_shipment, version 3; you looked at version"
        " 2. Nothing was sent." in page.seen
    )
    assert "/act?verb=retry&saga=fulfilment%3Ao-1&reason=billing+is+back" in page.links
    assert sent(waiting) == []


async def test_what_would_be_refused_says_why_before_and_after(waiting: Website) -> None:
    """The form shows it; who sends it all the same gets 409 with the same words."""
    path = "/act?verb=resume&saga=o-1"

    shown = Text(await waiting.page(path)).seen
    told = Text(await waiting.send("/act", await filled(waiting, path), 409)).seen

    assert "✖ refused : it is not paused" in shown
    assert "Refused Resume was refused: it is not paused. Nothing was sent." in told


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"reason": " "}, "⚠ Say why: the reason is kept with it."),
        ({"key": "op-1"}, "⚠ This form has lost its key: look again, and send it from there."),
        (
            {"verb": "skip", "step": "payment"},
            "⚠ Skipping needs the step, and the evidence that it was settled.",
        ),
    ],
)
async def test_what_is_missing_is_asked_for(
    waiting: Website, more: dict[str, str], sentence: str
) -> None:
    """The form comes back with a sentence, 422, and what was typed; nothing is sent."""
    page = Text(await waiting.send("/act", await filled(waiting, ONE, **more), 422))

    assert sentence in page.seen
    assert page.form_with("key")["version"] == "2"
    assert waiting.wire.sent == []


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/act?verb=delete&saga=o-1", 422, "No such verb The verbs are retry, compensate, pause"),
        ("/act?verb=retry", 422, "Nothing is chosen Choose a saga, or a filter: nothing acts on"),
        ("/act?verb=retry&query=", 422, "Nothing is chosen"),
        ("/act?verb=retry&query=nonsense", 422, "This filter cannot be read: 'nonsense'"),
        ("/act?verb=retry&saga=o-9", 404, "No such saga No saga o-9 is known here"),
        ("/act?verb=retry&saga=o-1&rate=0.5", 422, "Not a number Rate: a whole number up to 1,000"),
        ("/act/o-9/k-1", 404, "No such saga"),
    ],
)
async def test_what_cannot_be_meant_is_a_page(
    waiting: Website, path: str, status: int, sentence: str
) -> None:
    """A heading, a sentence and a way on, never a stack."""
    assert sentence in Text(await waiting.page(path, status)).seen


async def test_without_kafka_nothing_is_sent_and_the_page_says_so(waiting: Website) -> None:
    """503; the same form sent again, when Kafka is back, acts."""
    form = await filled(waiting, ONE)
    waiting.wire.broken = BusError("no broker answers")

    told = Text(await waiting.send("/act", form, 503)).seen
    waiting.wire.broken = None
    await waiting.send("/act", form)

    assert "Nothing was sent: Kafka does not take it (no broker answers)." in told
    assert sent(waiting) == ["fulfilment:o-1/payment/do"]


async def test_what_is_not_taken_yet_says_so(waiting: Website) -> None:
    """The orchestrator sleeps: the result page waits, and tells once it was taken."""
    waiting.wire.asleep = True
    place = await waiting.send("/act", await filled(waiting, ONE))
    before = Text(await waiting.page(place)).seen

    await waiting.playing.hear(waiting.wire.sent[0])

    assert "… Not taken yet. The orchestrator takes it as soon as it runs" in before
    assert "… Unchanged : it was done as asked" in Text(await waiting.page(place)).seen


async def test_a_step_is_skipped_with_evidence(waiting: Website) -> None:
    """The steps that wait are offered; evidence and reason stand in the story."""
    path = "/act?verb=compensate&saga=o-1"
    await waiting.send("/act", await filled(waiting, path))
    await waiting.playing.reply("o-1", "payment/do", PaymentDeclined("o-1", "card_expired"))

    html = await waiting.page("/act?verb=skip&saga=o-1")
    assert "<option>stock</option>" in html
    form = await filled(
        waiting, "/act?verb=skip&saga=o-1", step="stock", evidence="counted the shelf"
    )
    place = await waiting.send("/act", form)

    assert "✓ Progressed : compensated" in Text(await waiting.page(place)).seen


async def test_many_begin_one_operation(five: Website) -> None:
    """In all and each, then one operation with these sagas, tried with one first."""
    page = Text(await five.page(MANY))
    assert "Retry 5 sagas" in page.seen
    assert "billing.AuthorisePayment billing billing.payment.commands.v1 5 210.00 GBP" in page.seen

    form = await filled(five, MANY)
    place = await five.send("/act", form)
    again = await five.send("/act", form)
    for _ in range(5):
        five.playing.wait(1)
        await five.runner.step()

    assert dict(form)["first"] == "1"
    assert place.startswith("/operations/op-")
    assert again == place
    assert sent(five) == ["fulfilment:o-5/payment/do"]


async def test_a_choice_without_a_verb_offers_all_of_them(five: Website) -> None:
    """What the list of sagas chose is kept; each verb leads to its form."""
    page = Text(await five.page("/act?query=key=o-1,o-2"))

    assert "What is to be done?" in page.seen
    assert "/act?query=key%3Do-1%2Co-2&verb=compensate" in page.links
    assert "Compensate 2 sagas" in Text(await five.page(page.links[-7])).seen


async def test_more_than_a_hundred_ask_for_the_count(
    five: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed wrong, nothing begins; a filter that grew meanwhile is looked at again."""
    monkeypatch.setattr(act, "TYPED_ABOVE", 4)
    monkeypatch.setattr(act.asking, "TYPED_ABOVE", 4)
    form = await filled(five, MANY)

    wrong = Text(await five.send("/act", [*form, ("typed", "4")], 422)).seen
    await five.playing.place_order("o-6")
    await five.playing.reserve("o-6")
    grew = Text(await five.send("/act", [*form, ("typed", "5")], 409)).seen

    assert "⚠ Type the count, 5, to say that you mean so many." in wrong
    assert "⚠ It grew while you looked: 6 now, 5 then. Look again." in grew
    assert five.wire.sent == []


async def test_what_moved_on_while_somebody_looked_is_said(five: Website) -> None:
    """Nothing is begun for nobody; but the form that began it leads to it, however often sent."""
    late, form = await filled(five, MANY), await filled(five, MANY)
    began = await five.send("/act", form)
    for n in range(1, 6):
        authorised = PaymentAuthorised(f"o-{n}", "a-1", AMOUNT)
        await five.playing.reply(f"o-{n}", "payment/do", authorised)

    seen = Text(await five.send("/act", late, 409)).seen

    assert "⚠ All 5 moved on while you looked. Nothing was sent." in seen
    assert "Nothing matches any more. What is stuck" in seen
    assert await five.send("/act", form) == began
    await five.runner.step()
    assert "Nothing matched any more, so nothing was sent." in Text(await five.page(began)).seen


async def test_many_are_shown_bounded(five: Website, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of them in a table, all of them counted."""
    monkeypatch.setattr(act, "SHOWN_MAX", 2)

    page = Text(await five.page(MANY))

    assert "The first 2 of 5" in page.seen
    assert page.tags.count("tr") == 2 + 1 + 2


async def test_whatever_is_typed_is_shown_as_text(waiting: Website) -> None:
    """Hostile words in every field come back escaped, and stand so in the result."""
    fields = dict.fromkeys(("reason", "step", "evidence", "assignee"), HOSTILE)
    asked = "&".join(f"{name}=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E" for name in fields)
    shown = await waiting.page(f"/act?verb=skip&saga=o-1&{asked}")
    place = await waiting.send(
        "/act", await filled(waiting, "/act?verb=note&saga=o-1", reason=HOSTILE)
    )
    result = await waiting.page(place)

    assert "<img" not in shown + result
    assert f"Reason {HOSTILE}" in Text(result).seen


async def test_only_who_may_act_gets_the_form(waiting: Website) -> None:
    """A viewer is refused both the form and the deed."""
    await waiting.page(ONE, 403, token=LOOKS)
