"""The HTTP face of crm: a customer's record, totals and orders.

Reads only; customers change by commands and by news of their orders. The record holds personal
data: only an admin sees it, and nothing here is logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from schemas.catalogue import load_catalogue
from schemas.personal import masked
from services.chassis.access import Role, guarded, may
from services.chassis.api import ApiPort, Fault, problem

ORDERS_MAX = 100


def routes(port: ApiPort) -> list[Route]:
    async def totals(request: Request) -> Response:
        """All customers together."""
        del request
        (row,) = await port.read("totals")
        return JSONResponse(dict(row))

    async def customer(request: Request) -> Response:
        """One customer with at most ORDERS_MAX orders after `?after=<order id>`."""
        customer_id = request.path_params["customer_id"]
        rows = await port.read("customer_of", customer_id=customer_id)
        if not rows:
            fault = Fault("customer_id", f"no customer {customer_id} is known here")
            return problem(HTTPStatus.NOT_FOUND, "unknown_customer", fault)
        after = request.query_params.get("after", "")
        orders = await port.read(
            "orders_of", customer_id=customer_id, after=after, limit=ORDERS_MAX
        )
        more = None
        if len(orders) == ORDERS_MAX:
            more = f"/customers/{customer_id}?after={orders[-1]['order_id']}"
        shown = _opened(rows[0], "captured", "refunded")
        shown |= _personal(shown, may_see=may(request, Role.ADMIN))
        return JSONResponse({**shown, "history": [_order(row) for row in orders], "next": more})

    return [
        guarded("/customers", totals, needs=Role.VIEWER),
        guarded("/customers/{customer_id}", customer, needs=Role.VIEWER),
    ]


def _personal(row: Mapping[str, object], *, may_see: bool) -> dict[str, object]:
    """What the command that opened the record calls personal."""
    record = load_catalogue().records["baton.crm.OpenCustomerRecord"]
    shown = masked(record, dict(row), may_see=may_see)
    assert isinstance(shown, dict)
    return shown


def _order(row: Mapping[str, object]) -> dict[str, object]:
    """An order as the customer's history tells it; event ids are our own affair."""
    opened = _opened(row, "outcome", "placed", "payments")
    placed, payments = opened["placed"], opened["payments"]
    assert isinstance(placed, dict)
    assert isinstance(payments, dict)
    earliest = sorted(placed.values(), key=lambda told: str(told["placed_at"]))
    return {
        "order_id": opened["order_id"],
        "placed": earliest[0] if earliest else None,
        "outcome": opened["outcome"],
        "payments": list(payments.values()),
    }


def _opened(row: Mapping[str, object], *columns: str) -> dict[str, object]:
    return {
        name: orjson.loads(str(value)) if name in columns else value for name, value in row.items()
    }
