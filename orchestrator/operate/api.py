"""The HTTP face of the orchestrator: sagas, what is stuck, counts, pictures, topics. Reads only.

Every route is under `/api/` and answers JSON (a graph also text), so that pages can stand beside
it. Who may is the gate's. A database that is not there yet is 503 with a sentence, a
filter that cannot be read 422, an unknown saga 404 with keys that begin alike.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from orchestrator.operate.counting import count
from orchestrator.operate.filters import BadFilter, Filter, parse
from orchestrator.operate.reading import PAGE_MAX, Place, Reading
from orchestrator.operate.sagas import SagaView
from orchestrator.operate.shapes import (
    of_counts,
    of_line,
    of_saga,
    of_stuck,
    of_whole_saga,
)
from schemas.topics import all_topics
from services.chassis.access import Role, guarded
from services.chassis.api import Fault, problem
from services.chassis.store import Unavailable

LIMIT_DEFAULT = 100
Answer = Callable[[Request], Awaitable[Response]]


class Refused(Exception):
    """A question that is answered by a problem."""

    def __init__(self, status: HTTPStatus, reason: str, place: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.reason, self.place = status, reason, place


def routes(reading: Reading, draw: Callable[[str, str], str]) -> list[Route]:
    """`draw(definition, format)` raises KeyError for one, ValueError for the other."""
    asked = Questions(reading, draw)
    answers: dict[str, Answer] = {
        "/api/sagas": asked.sagas,
        "/api/sagas/stuck": asked.stuck,
        "/api/sagas/count": asked.count,
        "/api/sagas/{name}": asked.saga,
        "/api/sagas/{name}/history": asked.history,
        "/api/journal": asked.journal,
        "/api/counts": asked.counts,
        "/api/graph/{definition}": asked.graph,
        "/api/topics": asked.topics,
    }
    return [guarded(path, answering(it), needs=Role.VIEWER) for path, it in answers.items()]


class Questions:
    def __init__(self, reading: Reading, draw: Callable[[str, str], str]) -> None:
        self._reading, self._draw = reading, draw

    async def sagas(self, request: Request) -> Response:
        """Newest first. `next` is where the next page begins, null after the last."""
        wanted, limit = _filter(request), number(request, "limit", LIMIT_DEFAULT, PAGE_MAX)
        page = await self._reading.page(wanted, limit, _place(request))
        now_us = self._reading.now_us()
        after = None if page.after is None else f"{page.after[0]}-{page.after[1]}"
        return JSONResponse(
            {"sagas": [of_saga(each, now_us) for each in page.sagas], "next": after}
        )

    async def stuck(self, request: Request) -> Response:
        stuck = await self._reading.stuck(_filter(request))
        return JSONResponse(of_stuck(stuck, self._reading.now_us()))

    async def count(self, request: Request) -> Response:
        """`whole` is false when there may be more than could be looked at."""
        counted = await count(self._reading, _filter(request))
        return JSONResponse({"count": counted.number, "whole": counted.whole})

    async def saga(self, request: Request) -> Response:
        """The newest of the sagas of that name; `others` are the ids of the rest."""
        found = await self._found(request)
        now_us = self._reading.now_us()
        shown = of_whole_saga(found[0], self._reading.views, now_us)
        return JSONResponse({**shown, "others": [each.saga_id for each in found[1:]]})

    async def history(self, request: Request) -> Response:
        """The journal of one saga after line `after`; `next` is the last line shown."""
        saga = (await self._found(request))[0]
        after, limit = number(request, "after", 0), _limit(request)
        lines = [of_line(row) for row in await self._reading.journal(saga, after, limit)]
        return JSONResponse(
            {
                "saga_id": saga.saga_id,
                "finished": saga.finished,
                "lines": lines,
                "next": lines[-1]["seq"] if lines else after,
            }
        )

    async def journal(self, request: Request) -> Response:
        """What happened to any saga after line `after`; `last=20` for the newest instead."""
        last = number(request, "last", 0, PAGE_MAX)
        after, limit = number(request, "after", 0), _limit(request)
        if last or "after" not in request.query_params:
            newest = await self._reading.journal_last()
            after, limit = max(0, newest - last), max(last, 1)
        lines = [of_line(row) for row in await self._reading.journal_since(after, limit)]
        return JSONResponse({"lines": lines, "next": lines[-1]["seq"] if lines else after})

    async def counts(self, request: Request) -> Response:
        reading = self._reading
        states = await reading.states() if "states" in request.query_params else {}
        finished, opened = await reading.finished_counts(), await reading.open_counts()
        return JSONResponse(of_counts(finished, opened, states, reading.now_us()))

    async def graph(self, request: Request) -> Response:
        definition = request.path_params["definition"]
        form = request.query_params.get("format", "text")
        try:
            return PlainTextResponse(self._draw(definition, form))
        except KeyError as fault:
            raise Refused(
                HTTPStatus.NOT_FOUND, "unknown_definition", "definition", str(fault.args[0])
            ) from fault
        except ValueError as fault:
            raise Refused(
                HTTPStatus.UNPROCESSABLE_ENTITY, "unknown_format", "format", str(fault)
            ) from fault

    async def topics(self, request: Request) -> Response:
        del request
        read, dead = await self._reading.topics()
        applied = {str(row["topic"]): row for row in read}
        waiting = {str(row["topic"]): row["open"] for row in dead}
        return JSONResponse(
            {
                "topics": [
                    {
                        "name": topic.name,
                        "kind": topic.kind,
                        "writers": list(topic.writers),
                        "readers": list(topic.readers),
                        "types": [each.removeprefix("baton.") for each in topic.types],
                        "partitions": applied.get(topic.name, {}).get("partitions"),
                        "applied": applied.get(topic.name, {}).get("applied"),
                        "dead_letters": waiting.get(topic.name, 0),
                    }
                    for topic in all_topics()
                ]
            }
        )

    async def _found(self, request: Request) -> tuple[SagaView, ...]:
        name = request.path_params["name"]
        found = await self._reading.find(name)
        if not found:
            near = await self._reading.near(name)
            also = f"; keys that begin alike: {', '.join(near)}" if near else ""
            raise Refused(
                HTTPStatus.NOT_FOUND, "unknown_saga", "saga", f"no saga {name} is known here{also}"
            )
        return found


def answering(answer: Answer) -> Answer:
    async def answered(request: Request) -> Response:
        try:
            return await answer(request)
        except Refused as refused:
            return problem(refused.status, refused.reason, Fault(refused.place, str(refused)))
        except Unavailable as fault:
            told = f"the orchestrator's database cannot be read now: {fault}. Is it running?"
            return problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "not_ready",
                Fault("database", told),
                headers={"Retry-After": "1"},
            )

    return answered


def _filter(request: Request) -> Filter:
    try:
        return parse(" ".join(request.query_params.getlist("query")))
    except BadFilter as fault:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_filter", "query", str(fault)
        ) from fault


def _limit(request: Request) -> int:
    return number(request, "limit", LIMIT_DEFAULT, PAGE_MAX)


def number(request: Request, name: str, default: int, most: int = 1 << 62) -> int:
    text = request.query_params.get(name, str(default))
    if text.isascii() and text.isdigit() and int(text) <= most:
        return int(text)
    raise Refused(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid_number",
        name,
        f"must be a whole number from 0 to {most}",
    )


def _place(request: Request) -> Place | None:
    text = request.query_params.get("after", "")
    if not text:
        return None
    first, _, second = text.partition("-")
    if first.isdigit() and second.isdigit() and len(text) < 40:
        return int(first), int(second)
    raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_page", "after", "give what `next` said")
