"""The form that keeps a filter of the list of sagas under a name, or takes it away again."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestrator.operate.pages.site import Site, form_of
from orchestrator.operate.pages.view import NoPage
from orchestrator.operate.saved_views import NotSaved, SavedViews
from services.chassis.access import Guarded, Role, actor_of, page
from services.chassis.store import StoreError


class Saving:
    def __init__(self, site: Site, saved: SavedViews) -> None:
        self._site, self._saved = site, saved

    def routes(self) -> list[Guarded]:
        change = self._site.answering(self.change)
        return [page("/views", change, needs=Role.VIEWER, methods=["POST"])]

    async def change(self, request: Request) -> Response:
        given = await form_of(request)
        actor, name = actor_of(request, None), given.get("name", "").strip()
        query = " ".join(given.get("query", "").split())
        back = f"/sagas?{urlencode({'query': query})}" if query else "/sagas"
        try:
            if given.get("do") == "drop":
                await self._saved.drop(actor, name)
            else:
                await self._saved.keep(actor, name, query)
        except NotSaved as fault:
            raise NoPage(
                "Not kept", str(fault), status=HTTPStatus.UNPROCESSABLE_ENTITY, links={"back": back}
            ) from fault
        except StoreError as fault:
            raise NoPage(
                "Not kept",
                f"The console cannot write its own database now: {fault}.",
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                links={"back": back},
            ) from fault
        return RedirectResponse(back, HTTPStatus.SEE_OTHER)
