"""The guided tour: five orders that show what Baton does, switches that break it, and the words.

Lessons and switches act on a company that `baton up` runs here, and nowhere else; each is in the
audit. The story of a lesson is the live story of its very order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from deploy.local.faults import LocalFault
from orchestrator.operate.auditing import Act, Audit
from orchestrator.operate.lessons import LESSONS, SWITCHES, Lessons, NoLessons
from orchestrator.operate.pages.act import faults
from orchestrator.operate.pages.saga import saga_view
from orchestrator.operate.pages.site import Answer, Site, form_of
from orchestrator.operate.pages.view import Context, NoPage, Question, View
from orchestrator.operate.reading import Reading
from services.chassis.access import Guarded, Role, actor_of, page
from services.chassis.ids import new_id

CONFLICT: Final = HTTPStatus.CONFLICT
GLOSSARY: Final[Mapping[str, str]] = {
    "saga": "one order's way through the company, step by step, to exactly one end",
    "step": "one thing that one service does for a saga, and perhaps the way to undo it",
    "command": "what the orchestrator tells a service to do: AuthorisePayment",
    "reply": "what the service answers: PaymentAuthorised, or PaymentDeclined",
    "event": "what happened, told to whoever listens: OrderPlaced",
    "outcome": "what became of an order, told once: OrderFulfilled or OrderCancelled",
    "compensation": "undoing the steps that were done, in the opposite order",
    "pivot": "the step of no return: taking the money. Before it a saga can turn back, after it"
    " only go on",
    "stuck": "past its deadline, or waiting for a person; always with one of seven reasons",
    "timer": "when the orchestrator stops waiting for a reply and asks again or turns back",
    "outbox": "messages committed together with the state they belong to, sent from there until"
    " Kafka has them",
    "duplicate": "a message that was applied before; known by its id and ignored",
    "idempotency key": "what makes a repeated request take effect once, also at the payment"
    " provider",
    "dead letter": "a record that cannot be read or applied, kept with its reason",
    "parked key": "an order whose messages wait behind a dead letter; the others go on",
    "lag": "written but not read yet",
    "consumer": "a process that reads a topic",
    "topic": "a named log in Kafka that keeps messages in order for each order",
    "redrive": "apply a parked key's messages again, in their order",
}


def learn_view(reading: Reading, lessons: Lessons) -> View:
    saga = saga_view(reading)

    async def context(asked: Question) -> Context:
        order = asked.get("order")
        shown: Context = {}
        if order:
            try:
                told = (("name", order), ("tab", "sequence"))
                shown = await saga.context(Question(told, asked.personal))
            except NoPage:
                shown = {}
        return {
            "lessons": LESSONS,
            "unavailable": lessons.unavailable(),
            "switches": lessons.switches(),
            "glossary": GLOSSARY,
            "order": order,
            "playing": asked.get("lesson"),
            "picture": shown.get("picture", ""),
            "saga": shown.get("saga"),
        }

    return View("learn", "/learn", "Learn", context, ("switched", "watched"))


class Learning:
    """The buttons."""

    def __init__(self, site: Site, lessons: Lessons, audit: Audit) -> None:
        self._site, self._lessons, self._audit = site, lessons, audit

    def routes(self) -> list[Guarded]:
        return [
            page("/learn/play", self._answering(self.play), needs=Role.OPERATOR, methods=["POST"]),
            page("/learn/turn", self._answering(self.turn), needs=Role.OPERATOR, methods=["POST"]),
        ]

    async def play(self, request: Request) -> Response:
        given = await form_of(request)
        lesson = next((each for each in LESSONS if each.name == given.get("lesson")), None)
        if lesson is None:
            raise NoPage("No such lesson", "Choose one of those on the page.", links=_BACK)
        order = f"lesson-{lesson.name}-{new_id()[-8:]}"
        act = Act(actor_of(request, None), "console", "lesson", order, lesson.title, new_id())
        async with self._audit.acting(act) as became:
            await self._lessons.play(lesson, order)
            became.result = "ok"
        return _to(f"/learn?lesson={lesson.name}&order={quote(order)}#watched")

    async def turn(self, request: Request) -> Response:
        given = await form_of(request)
        process, off = given.get("process", ""), given.get("to") == "off"
        if process not in SWITCHES:
            raise NoPage("No such switch", "Choose one of those on the page.", links=_BACK)
        what = "switch_off" if off else "switch_on"
        act = Act(actor_of(request, None), "console", what, process, "to learn", new_id())
        async with self._audit.acting(act) as became:
            await self._lessons.turn(process, off=off)
            became.result = "ok"
        return _to("/learn#switches")

    def _answering(self, answer: Answer) -> Answer:
        async def answered(request: Request) -> Response:
            with faults(), _local():
                return await answer(request)

        return self._site.answering(answered)


_BACK: Final = {"back to the lessons": "/learn"}


@contextmanager
def _local() -> Iterator[None]:
    try:
        yield
    except NoLessons as fault:
        raise NoPage("Not here", str(fault), status=CONFLICT, links=_BACK) from fault
    except LocalFault as fault:
        raise NoPage("It did not work", f"{fault.what}.", status=CONFLICT, links=_BACK) from fault


def _to(address: str) -> Response:
    return RedirectResponse(address, HTTPStatus.SEE_OTHER)
