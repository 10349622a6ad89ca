"""What each process says of itself, as JSON: the same rows as the page of services."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.operate.pages.services import of_process
from orchestrator.operate.scraping import Scraping
from services.chassis.access import Guarded, Role, guarded
from services.chassis.clock import Clock


def service_routes(scraping: Scraping, clock: Clock) -> list[Guarded]:
    async def services(request: Request) -> Response:
        del request
        seen = await scraping.look()
        rows = [of_process(each, clock.now_us()) for each in seen.values()]
        return JSONResponse({"services": rows})

    return [guarded("/api/services", services, needs=Role.VIEWER)]
