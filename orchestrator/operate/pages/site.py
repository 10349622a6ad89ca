"""Routes of the pages: a view asked for is a page, a fault is one too, and `/live` keeps it fresh.

Knows views, not what they show. The invariants: whatever goes wrong, a mistyped address too, is
answered by a whole page with a heading, a sentence and a way on; nothing of it is a stack.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Match
from starlette.types import Scope

from orchestrator.operate.filters import BadFilter
from orchestrator.operate.pages.live import Live
from orchestrator.operate.pages.rendering import NAVIGATION, STATIC, Rendering
from orchestrator.operate.pages.view import NoPage, Question, View
from orchestrator.operate.sessions import LIVE, LOGIN, csrf_field, local_path
from orchestrator.operate.surfaces import NotAnswered, NotKnown, NotUnderstood
from services.chassis.access import (
    Guarded,
    Policy,
    Role,
    actor_of,
    known_to,
    may,
    opened,
    page,
    still_admitted,
)
from services.chassis.api import our_fault
from services.chassis.store import Unavailable

_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_log = logging.getLogger(__name__)
Answer = Callable[[Request], Awaitable[Response]]


class Site:
    def __init__(
        self,
        views: Sequence[View],
        rendering: Rendering,
        live: Live,
        files: Mapping[str, Answer] | None = None,
    ) -> None:
        """`files`: path → what is read there and is no page."""
        self._views = {view.name: view for view in views}
        self._rendering, self._live, self._files = rendering, live, files or {}
        self._acting: list[Guarded] = []

    def add(self, routes: Sequence[Guarded]) -> None:
        """What is asked of it beside the views: forms that act."""
        self._acting += routes

    def routes(self) -> list[Guarded]:
        pages = [
            page(view.path, self.answering(self._page(view)), needs=view.needs)
            for view in self._views.values()
        ]
        files = [
            page(path, self.answering(answer), needs=Role.VIEWER)
            for path, answer in self._files.items()
        ]
        return [
            *pages,
            *files,
            *self._acting,
            page(LIVE, self.answering(self._stream), needs=Role.VIEWER),
            opened("/settings", _settings),
            opened("/static/{name}", _static),
            Elsewhere(self.answering(_nowhere)),
        ]

    def login(self, request: Request, names: Mapping[str, str], status: HTTPStatus) -> Response:
        """The page that asks who it is. A code in the address it was asked at is not told again."""
        around = {"title": "Log in", "path": LOGIN, "query": [("next", names["next"])]}
        return self.html(request, "login", {**around, **names}, status)

    def answering(self, answer: Answer) -> Answer:
        """What `answer` raises becomes a page."""

        async def answered(request: Request) -> Response:
            try:
                return await answer(request)
            except HTTPException:  # such as a body that is too large
                raise
            except Exception as fault:  # noqa: BLE001  what nobody knows is logged with its stack
                told = _told(request.url.path, fault)
                if told is None:
                    await our_fault(request, fault)
                return self._fault(request, told or _defect(request.url.path))

        return answered

    def html(
        self,
        request: Request,
        template: str,
        names: Mapping[str, object],
        status: HTTPStatus = HTTPStatus.OK,
    ) -> HTMLResponse:
        """A page that is no view: a form's preview, a result, a fault."""
        shown = {**self._around(request), "live": "", **names}
        return HTMLResponse(self._rendering.page(template, shown), status)

    def _page(self, view: View) -> Answer:
        async def shown(request: Request) -> Response:
            asked = question_of(request)
            names = await view.context(asked)
            watching = names.get("watching", {})
            assert isinstance(watching, dict)
            also = [each for each in asked.given if each[0] not in watching]
            live = f"/live?{urlencode([('view', view.name), *also, *watching.items()])}"
            own = await view.own(actor_of(request, None)) if view.own else {}
            given = {"title": view.title, **names, **own, "live": live if view.regions else ""}
            return self.html(request, view.name, given)

        return shown

    async def _stream(self, request: Request) -> Response:
        """`once` answers a single time: for whoever may not hold a connection open."""
        view = self._views.get(request.query_params.get("view", ""))
        if view is None or not view.regions or view.needs is not Role.VIEWER:
            raise NoPage("Nothing to watch", "No page of that name lives.")
        asked = question_of(request)
        of_page = [each for each in asked.given if f"{{{each[0]}}}" not in view.path]
        around = {**self._around(request), "query": of_page}
        if "once" in request.query_params:
            regions = await self._live.look(view, asked, around)
            return HTMLResponse("".join(regions.values()))
        if self._live.full:
            raise NoPage(
                "Too many watch",
                "As many tabs as may be are kept live; this one is renewed now and then.",
                status=HTTPStatus.SERVICE_UNAVAILABLE,
            )
        headers = {"X-Accel-Buffering": "no"}
        stream = self._live.stream(view, asked, around, partial(still_admitted, request))
        return StreamingResponse(stream, headers=headers, media_type="text/event-stream")

    def _fault(self, request: Request, fault: NoPage) -> Response:
        names = {"title": fault.heading, "sentence": str(fault), "links": fault.links}
        return self.html(request, "fault", names, fault.status)

    def _around(self, request: Request) -> dict[str, object]:
        """What the frame of every page needs."""
        return {
            "path": request.url.path,
            "query": request.query_params.multi_items(),
            "theme": request.cookies.get("theme", ""),
            "principal": known_to(request),
            "csrf": csrf_field(request),
        }


async def form_of(request: Request) -> Mapping[str, str]:
    """The fields of a POST; the last of those that stand twice."""
    body = (await request.body()).decode(errors="replace")
    return dict(parse_qsl(body, keep_blank_values=True))


def question_of(request: Request) -> Question:
    path = [(name, str(value)) for name, value in request.path_params.items()]
    query = request.query_params.multi_items()
    given = tuple(path + [each for each in query if each[0] not in {"view", "once"}])
    return Question(given, personal=may(request, Role.ADMIN))


class Elsewhere(Guarded):
    """Any address that no route before it answers, but those of the API, whose faults are JSON."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("/{rest:path}", answer, Policy(Role.VIEWER, page=True), ["GET"])

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        ours = match is Match.FULL and not f"{scope['path']}/".startswith("/api/")
        return (match, found) if ours else (Match.NONE, {})


def _told(path: str, fault: Exception) -> NoPage | None:
    """A fault that can be expected, as a page; None for a defect."""
    bad, gone = HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
    match fault:
        case NoPage():
            return fault
        case BadFilter():
            sentence, links = f"This filter cannot be read: {fault}.", {"drop the filter": path}
            return NoPage("Not a filter", sentence, status=bad, links=links)
        case NotKnown() | NotAnswered():
            return NoPage("Not found", str(fault))
        case NotUnderstood():
            return NoPage("Not for this", str(fault), status=bad)
        case Unavailable():
            sentence = f"The orchestrator's database cannot be read now: {fault}."
            links = {"try again": path, "services": "/services"}
            return NoPage("Waiting for data", sentence, status=gone, links=links)
    return None


def _defect(path: str) -> NoPage:
    sentence = "That is a defect of ours; the log of this process says where."
    links = {"try again": path, "Overview": "/"}
    return NoPage(
        "This page failed", sentence, status=HTTPStatus.INTERNAL_SERVER_ERROR, links=links
    )


async def _nowhere(request: Request) -> Response:
    path = request.url.path
    raise NoPage("No such page", f"There is no page {path}.", links=nearest(path))


def nearest(path: str) -> dict[str, str]:
    """The pages whose name begins most like that of the path, and the first page."""
    name = f"/{path.split('/')[1].lower()}"
    pages = {address: words for address, words in NAVIGATION if address != "/"}
    alike = get_close_matches(name, pages, n=3, cutoff=0.65)
    found = {pages[address]: address for address in alike}
    rest = path[len(name) :]
    if alike[:1] == ["/sagas"] and len(rest) > 1:
        found = {f"the saga {rest[1:]}": f"/sagas{rest}", **found}
    return {**found, "Overview": "/"}


async def _settings(request: Request) -> Response:
    """Keeps how pages look, and goes back to a page of ours."""
    back = request.query_params.get("next", "/")
    answer = RedirectResponse(local_path(back), HTTPStatus.SEE_OTHER)
    theme = request.query_params.get("theme", "")
    if theme in {"light", "dark"}:
        answer.set_cookie("theme", theme, max_age=31_536_000, httponly=True, samesite="strict")
    elif theme == "system":
        answer.delete_cookie("theme", httponly=True, samesite="strict")
    return answer


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    kind = next((kind for end, kind in _KINDS.items() if name.endswith(end)), None)
    file = STATIC / name
    if kind is None or not file.is_file():
        return Response(status_code=HTTPStatus.NOT_FOUND)
    return Response(file.read_bytes(), media_type=kind, headers=_FOR_EVER)
