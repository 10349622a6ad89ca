"""The HTTP face of notifications: what the customer of an order was told, and totals.

Reads only, and shows neither names nor addresses. Who may is the gate's.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.chassis.access import Role, guarded
from services.chassis.api import ApiPort, Fault, problem


def routes(port: ApiPort) -> list[Route]:
    async def letters(request: Request) -> Response:
        order_id = request.path_params["order_id"]
        rows = await port.read("letters_of", order_id=order_id)
        if not rows:
            fault = Fault("order_id", f"nothing is known of an order {order_id}")
            return problem(HTTPStatus.NOT_FOUND, "unknown_order", fault)
        parsed = {name: json.loads(str(rows[0][name])) for name in ("facts", "letters")}
        return JSONResponse({**rows[0], **parsed})

    async def totals(_: Request) -> Response:
        """Letters by kind and state."""
        found: dict[str, dict[str, object]] = {}
        for row in await port.read("letter_totals"):
            found.setdefault(str(row["kind"]), {})[str(row["state"])] = row["letters"]
        return JSONResponse(found)

    return [
        guarded("/letters/{order_id}", letters, needs=Role.VIEWER),
        guarded("/letters", totals, needs=Role.VIEWER),
    ]
