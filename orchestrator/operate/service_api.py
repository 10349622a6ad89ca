"""What processes say of themselves and of topics, as JSON: the rows of the services and the map."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.operate.pages.company import row_of
from orchestrator.operate.pages.services import of_process
from orchestrator.operate.scraping import Scraping
from schemas.topics import TOPICS
from services.chassis.access import Guarded, Role, guarded
from services.chassis.clock import Clock

TOPIC = ("name", "kind", "writers", "readers", "types", "rate_per_s", "behind")


def service_routes(scraping: Scraping, clock: Clock) -> list[Guarded]:
    async def services(request: Request) -> Response:
        del request
        seen = await scraping.look()
        rows = [of_process(each, clock.now_us()) for each in seen.values()]
        return JSONResponse({"services": rows})

    async def company(request: Request) -> Response:
        del request
        seen = await scraping.look()
        rows = [row_of(topic, seen) for topic in TOPICS]
        return JSONResponse({"topics": [{name: row[name] for name in TOPIC} for row in rows]})

    return [
        guarded("/api/services", services, needs=Role.VIEWER),
        guarded("/api/map", company, needs=Role.VIEWER),
    ]
