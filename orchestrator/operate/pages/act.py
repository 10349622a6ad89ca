"""The forms that act: what would be sent, why, and what became of it. One way for every page.

`GET /act` rehearses, `POST /act` tells; more than one saga is a bulk operation. Invariants: a form
sent twice acts once, because it carries its own key; one whose saga moved since is refused; what
was refused or not told is never shown as done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestrator.engine.machine import Result, Verb
from orchestrator.operate.auditing import NotKept
from orchestrator.operate.bulk import Operations, TooMany
from orchestrator.operate.pages import asking
from orchestrator.operate.pages.asking import DOES, REFUSED, TYPED_ABOVE, Deed
from orchestrator.operate.pages.site import Answer, Site
from orchestrator.operate.pages.view import Context, NoPage, Question, View
from orchestrator.operate.reading import Reading
from orchestrator.operate.rehearsing import Preview
from orchestrator.operate.saga_telling import KeyReused, SagaTelling, Told, UnknownSaga
from orchestrator.operate.shapes import of_saga
from services.chassis.access import Guarded, Role, actor_of, page
from services.chassis.bus import BusError
from services.chassis.ids import new_id

SHOWN_MAX: Final = 50
CONFLICT, UNUSABLE = HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY


class Acting:
    def __init__(
        self, site: Site, reading: Reading, telling: SagaTelling, operations: Operations
    ) -> None:
        self._site, self._reading = site, reading
        self._telling, self._operations = telling, operations

    def routes(self) -> list[Guarded]:
        return [
            page("/act", self._answering(self.form), needs=Role.OPERATOR),
            page("/act", self._answering(self.act), needs=Role.OPERATOR, methods=["POST"]),
        ]

    async def form(self, request: Request) -> Response:
        pairs = request.query_params.multi_items()
        if "verb" not in request.query_params:
            asking.read([*pairs, ("verb", Verb.NOTE)])
            names = {"title": "What is to be done?", "does": DOES}
            return self._site.html(request, "verbs", names)
        return await self._form(request, asking.read(pairs))

    async def act(self, request: Request) -> Response:
        body = (await request.body()).decode(errors="replace")
        asked = asking.read(parse_qsl(body, keep_blank_values=True))
        if told := asking.missing(asked):
            return await self._form(request, asked, told)
        actor = actor_of(request, None)
        if asked.one:
            became = await self._telling.tell(asked.one, asked.order(actor), asked.key)
            if became.refused:
                raise _refused(asked, became)
            return _to(f"/act/{quote(became.saga.saga_id)}/{quote(became.id)}")
        return await self._begin(request, asked, actor)

    async def _begin(self, request: Request, asked: Deed, actor: str) -> Response:
        if not await self._operations.made(asked.key):
            count = len(asked.sagas) or await self._operations.count(asked.query)
            if not count:
                told = f"All {asked.seen} moved on while you looked. Nothing was sent."
                return await self._form(request, asked, told, CONFLICT)
            if count > asked.seen:
                told = f"It grew while you looked: {count} now, {asked.seen} then. Look again."
                return await self._form(request, asked, told, CONFLICT)
        begun = await self._operations.begin(asked.bulk(actor), asked.key)
        return _to(f"/operations/{quote(begun.id)}")

    async def _form(
        self, request: Request, asked: Deed, problem: str = "", status: HTTPStatus = UNUSABLE
    ) -> Response:
        actor = actor_of(request, None)
        shown = await (self._single(asked, actor) if asked.one else self._many(asked, actor))
        names = {
            "title": f"{asked.verb.capitalize()} {shown['whom']}",
            "asked": asked,
            "does": DOES[asked.verb],
            "key": asked.key or new_id(),
            "problem": problem,
            "again": _again(asked),
            **shown,
        }
        return self._site.html(request, "act", names, status if problem else HTTPStatus.OK)

    async def _single(self, asked: Deed, actor: str) -> Context:
        preview = await self._telling.preview(asked.one, asked.order(actor, rehearsed=True))
        found = await self._reading.find(asked.one)
        saga = found[0]
        return {
            "whom": saga.key,
            "many": False,
            "count": 1,
            "previews": [_shown(preview)],
            "totals": [],
            "refusals": {},
            "version": preview.version if asked.version is None else asked.version,
            "steps": [each.step for each in saga.waiting] or [each.name for each in saga.steps],
            "saga": of_saga(saga, self._reading.now_us()),
            "typed": False,
        }

    async def _many(self, asked: Deed, actor: str) -> Context:
        found = await self._operations.preview(asked.bulk(actor, rehearsed=True))
        refusals: dict[str, int] = {}
        for each in found.rehearsed:
            if each.refused:
                why = _why(each.refused)
                refusals[why] = refusals.get(why, 0) + 1
        return {
            "whom": f"{found.count} saga{'' if found.count == 1 else 's'}",
            "many": True,
            "count": found.count,
            "rehearsed": len(found.rehearsed),
            "previews": [_shown(each) for each in found.rehearsed[:SHOWN_MAX]],
            "totals": totals(found.rehearsed),
            "refusals": refusals,
            "version": None,
            "steps": [],
            "saga": None,
            "typed": found.count > TYPED_ABOVE,
        }

    def _answering(self, answer: Answer) -> Answer:
        async def answered(request: Request) -> Response:
            with faults():
                return await answer(request)

        return self._site.answering(answered)


def told_view(telling: SagaTelling, reading: Reading) -> View:
    """What became of one verb for one saga, as long as somebody looks."""

    async def context(asked: Question) -> Context:
        name, request = asked.get("saga"), asked.get("request")
        with faults():
            told = await telling.told(name, request)
        found = (await reading.find(name))[0]
        return {
            "saga": of_saga(found, reading.now_us()),
            "told": told,
            "why": _why(told.result) if told is not None and told.refused else "",
        }

    return View("told", "/act/{saga}/{request}", "What became of it", context, ("became",))


def totals(previews: tuple[Preview, ...]) -> list[Context]:
    """By command: how many, to whom, and how much money they speak of."""
    found: dict[tuple[str, str, str], dict[str, object]] = {}
    for command in (command for each in previews for command in each.commands):
        kind = (command.type, command.service, command.topic)
        row = found.setdefault(kind, {"count": 0, "money": {}})
        count, sums = row["count"], row["money"]
        assert isinstance(count, int)
        assert isinstance(sums, dict)
        row["count"] = count + 1
        for money in command.money:
            sums[money.currency] = sums.get(money.currency, 0) + money.amount_minor
    return [
        {"type": kind[0], "service": kind[1], "topic": kind[2], **row}
        for kind, row in found.items()
    ]


def _shown(preview: Preview) -> Context:
    return {"preview": preview, "why": _why(preview.refused) if preview.refused else ""}


def _why(result: str) -> str:
    return {str(each): words for each, words in REFUSED.items()}.get(result, result)


def _refused(asked: Deed, told: Told) -> NoPage:
    saga, verb = told.saga, asked.verb
    if told.result == Result.STALE:
        heading = "It moved while you looked"
        sentence = (
            f"{saga.key} is now {saga.state}, version {saga.version}; you looked at version"
            f" {asked.version}. Nothing was sent."
        )
    else:
        heading = "Refused"
        sentence = f"{verb.capitalize()} was refused: {_why(told.result)}. Nothing was sent."
    links = {"look again": _again(asked), saga.key: f"/sagas/{quote(saga.saga_id)}"}
    return NoPage(heading, sentence, status=CONFLICT, links=links)


def _again(asked: Deed) -> str:
    """The same form anew, for what holds now."""
    pairs = [("verb", asked.verb.value), *(("saga", each) for each in asked.sagas)]
    given = {name: getattr(asked, name) for name in ("query", "reason", "step", "assignee")}
    return f"/act?{urlencode([*pairs, *((name, it) for name, it in given.items() if it)])}"


def _to(path: str) -> Response:
    return RedirectResponse(path, HTTPStatus.SEE_OTHER)


@contextmanager
def faults() -> Iterator[None]:
    """What telling raises, as pages."""
    gone = HTTPStatus.SERVICE_UNAVAILABLE
    try:
        yield
    except UnknownSaga as fault:
        links = {near: f"/sagas/{quote(near)}" for near in fault.near}
        raise NoPage("No such saga", f"{_upper(fault)}.", links=links) from fault
    except KeyReused as fault:
        raise NoPage("Sent before", f"{_upper(fault)}: look again.", status=CONFLICT) from fault
    except TooMany as fault:
        links = {"all sagas": "/sagas"}
        told = f"{_upper(fault)}."
        raise NoPage("Too many", told, status=UNUSABLE, links=links) from fault
    except NotKept as fault:
        raise NoPage("Not kept", f"{_upper(fault)}.", status=gone) from fault
    except BusError as fault:
        links = {"services": "/services"}
        sentence = f"Nothing was sent: Kafka does not take it ({fault}). Try again when it is up."
        raise NoPage("Kafka is away", sentence, status=gone, links=links) from fault


def _upper(fault: Exception) -> str:
    text = str(fault)
    return text[:1].upper() + text[1:]
