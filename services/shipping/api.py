"""The HTTP face of shipping: one order's shipment and how many are in each state.

Reads only; shipments move by commands. Who may is the gate's.
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.chassis.access import Role, guarded
from services.chassis.api import ApiPort, Fault, problem


def routes(port: ApiPort) -> list[Route]:
    async def shipment(request: Request) -> Response:
        order_id = request.path_params["order_id"]
        rows = await port.read("shipment_of", order_id=order_id)
        if rows:
            return JSONResponse(dict(rows[0]))
        fault = Fault("order_id", f"no shipment of order {order_id} was ever asked for")
        return problem(HTTPStatus.NOT_FOUND, "unknown_shipment", fault)

    async def totals(_: Request) -> Response:
        rows = await port.read("shipment_totals")
        return JSONResponse({str(row["status"]): row["shipments"] for row in rows})

    return [
        guarded("/shipments/{order_id}", shipment, needs=Role.VIEWER),
        guarded("/shipments", totals, needs=Role.VIEWER),
    ]
