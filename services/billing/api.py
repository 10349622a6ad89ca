"""The HTTP face of billing: one order's money and the ledger's totals, for people and audits.

Reads only; money moves by commands. Who may is the gate's.
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.chassis.access import Role, guarded
from services.chassis.api import ApiPort, Fault, problem


def routes(port: ApiPort) -> list[Route]:
    async def payment(request: Request) -> Response:
        """The payment and, in the order in which they were made, its postings."""
        order_id = request.path_params["order_id"]
        rows = await port.read("payment_of", order_id=order_id)
        if not rows:
            fault = Fault("order_id", f"no payment of order {order_id} was ever asked for")
            return problem(HTTPStatus.NOT_FOUND, "unknown_payment", fault)
        postings = await port.read("postings_of", order_id=order_id)
        return JSONResponse({**rows[0], "postings": [dict(row) for row in postings]})

    async def account(request: Request) -> Response:
        customer_id = request.path_params["customer_id"]
        rows = await port.read("account_of", customer_id=customer_id)
        if rows:
            return JSONResponse(dict(rows[0]))
        fault = Fault("customer_id", f"customer {customer_id} never had an account")
        return problem(HTTPStatus.NOT_FOUND, "unknown_account", fault)

    async def ledger(_: Request) -> Response:
        """Totals by currency of the payments, and of the accounts, which sum to zero."""
        payments = await port.read("payment_totals")
        accounts = await port.read("ledger_totals")
        return JSONResponse(
            {
                "payments": [dict(row) for row in payments],
                "accounts": [dict(row) for row in accounts],
            }
        )

    return [
        guarded("/payments/{order_id}", payment, needs=Role.VIEWER),
        guarded("/accounts/{customer_id}", account, needs=Role.VIEWER),
        guarded("/ledger", ledger, needs=Role.VIEWER),
    ]
