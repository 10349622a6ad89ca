"""The HTTP face of inventory: stock as it stands, for people and for reconciliation.

Reads only; stock changes by commands and deliveries. Authentication is the chassis's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PAGE_MAX = 1000


class ApiPort(Protocol):
    """What the chassis gives to routes: named reads of this service's store.sql."""

    async def read(self, query_name: str, **params: object) -> Sequence[Mapping[str, object]]: ...


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
        detail = f"no product {sku} was ever received; `GET /stock` lists those that were"
        return JSONResponse(
            {
                "type": "/problems/unknown_product",
                "title": "unknown product",
                "status": 404,
                "detail": detail,
                "errors": [{"place": "sku", "problem": detail}],
            },
            status_code=404,
            media_type="application/problem+json",
        )

    return [Route("/stock", stock), Route("/stock/{sku}", stock_of)]
