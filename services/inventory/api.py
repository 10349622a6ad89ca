"""The HTTP face of inventory: stock as it stands, for people and for reconciliation.

Reads only; stock changes by commands and deliveries. Who may is the gate's.
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.chassis.access import Role, guarded
from services.chassis.api import ApiPort, Fault, problem

PAGE_MAX = 1000


def routes(port: ApiPort) -> list[Route]:
    async def stock(request: Request) -> Response:
        """A page of at most PAGE_MAX products after `?after=<sku>`, and the totals of all."""
        after = request.query_params.get("after", "")
        products = await port.read("stock", after=after, limit=PAGE_MAX)
        (totals,) = await port.read("stock_totals")
        more = f"/stock?after={products[-1]['sku']}" if len(products) == PAGE_MAX else None
        return JSONResponse(
            {"products": [dict(row) for row in products], "totals": dict(totals), "next": more}
        )

    async def stock_of(request: Request) -> Response:
        sku = request.path_params["sku"]
        rows = await port.read("stock_of", sku=sku)
        if rows:
            return JSONResponse(dict(rows[0]))
        fault = Fault(
            "sku", f"no product {sku} was ever received; `GET /stock` lists all that were"
        )
        return problem(HTTPStatus.NOT_FOUND, "unknown_product", fault)

    return [
        guarded("/stock", stock, needs=Role.VIEWER),
        guarded("/stock/{sku}", stock_of, needs=Role.VIEWER),
    ]
