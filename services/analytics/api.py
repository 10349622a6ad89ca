"""The HTTP face of analytics: days, reasons, low stock and onboarding, for reports.

Reads only. Everything about an order stands on the day it was placed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.chassis.access import Role, guarded
from services.chassis.api import ApiPort, Fault, problem

DAYS_MAX = 366
PRODUCTS_MAX = 1000
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COUNTS = ("cancelled_by", "ordered_minor", "captured_minor", "voided_minor", "refunded_minor")


def routes(port: ApiPort) -> list[Route]:
    async def days(request: Request) -> Response:
        """At most DAYS_MAX days after `?after=<date>`, oldest first."""
        after = request.query_params.get("after", "")
        if after and not _DATE.fullmatch(after):
            return _no_date("after")
        rows = await port.read("days", after=after, limit=DAYS_MAX)
        more = f"/days?after={rows[-1]['date']}" if len(rows) == DAYS_MAX else None
        return JSONResponse({"days": [_day(row) for row in rows], "next": more})

    async def day(request: Request) -> Response:
        date = request.path_params["date"]
        if not _DATE.fullmatch(date):
            return _no_date("date")
        rows = await port.read("day_of", date=date)
        if rows:
            return JSONResponse(_day(rows[0]))
        fault = Fault("date", f"nothing counts for {date}; `GET /days` lists those that count")
        return problem(HTTPStatus.NOT_FOUND, "empty_day", fault)

    async def reasons(request: Request) -> Response:
        """Why orders were cancelled, the most frequent reason first."""
        del request
        return JSONResponse({"reasons": [dict(row) for row in await port.read("reasons")]})

    async def low_stock(request: Request) -> Response:
        """At most PRODUCTS_MAX products that fell to their threshold, the scarcest first."""
        del request
        rows = await port.read("low_stock", limit=PRODUCTS_MAX)
        return JSONResponse({"products": [dict(row) for row in rows]})

    async def onboarding(request: Request) -> Response:
        """How many customers stand how."""
        del request
        return JSONResponse({"customers": [dict(row) for row in await port.read("onboarding")]})

    return [
        guarded("/days", days, needs=Role.VIEWER),
        guarded("/days/{date}", day, needs=Role.VIEWER),
        guarded("/reasons", reasons, needs=Role.VIEWER),
        guarded("/low-stock", low_stock, needs=Role.VIEWER),
        guarded("/onboarding", onboarding, needs=Role.VIEWER),
    ]


def _day(row: Mapping[str, object]) -> dict[str, object]:
    return {
        name: orjson.loads(str(value)) if name in _COUNTS else value for name, value in row.items()
    }


def _no_date(place: str) -> Response:
    fault = Fault(place, "must be a date like 2010-12-01")
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_date", fault)
