"""The payment provider's sandbox: authorise, void, capture, refund, over HTTP.

One payment per order. It refuses what is impossible by itself: voided + captured never exceeds
authorised, refunded never exceeds captured. A void that comes first leaves a tombstone, which
refuses the authorisation that comes late. What a capture leaves of its authorisation is released,
so that authorised = captured + voided once nothing is open. All amounts are minor units.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from typing import Annotated

from pydantic import Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.local.sandboxes.serving import (
    Body,
    Nothing,
    Place,
    apply_once,
    build_app,
    read_body,
    respond,
    say_nothing,
    serve,
)
from deploy.local.sandboxes.store import Reply, SandboxStore, refuse
from deploy.local.sandboxes.values import SandboxValue, values_of

METHODS = values_of("payment", "payment_method")
UNKNOWN_METHOD = SandboxValue(
    "payment", "payment_method", "", "any other is refused", refusal="unknown_payment_method"
)
Minor = Annotated[int, Field(ge=0, strict=True)]

SCHEMA = """
CREATE TABLE IF NOT EXISTS payment (
  order_id TEXT PRIMARY KEY,
  authorisation_id TEXT,            -- NULL: a tombstone, voided before it was authorised
  payment_method TEXT NOT NULL,
  currency TEXT NOT NULL,
  authorised INTEGER NOT NULL CHECK (authorised >= captured + voided),
  captured INTEGER NOT NULL CHECK (captured >= refunded),
  voided INTEGER NOT NULL CHECK (voided >= 0),
  refunded INTEGER NOT NULL CHECK (refunded >= 0),
  state TEXT NOT NULL CHECK (state IN ('authorised', 'captured', 'voided'))
) WITHOUT ROWID
"""

TOTALS = """
SELECT currency, sum(authorised) AS authorised_minor, sum(captured) AS captured_minor,
       sum(voided) AS voided_minor, sum(refunded) AS refunded_minor,
       count(authorisation_id) AS authorisations, sum(state = 'captured') AS captures,
       sum(state = 'voided' AND authorisation_id IS NOT NULL) AS voids,
       sum(refunded > 0) AS refunds
FROM payment WHERE authorisation_id IS NOT NULL GROUP BY currency
"""


class Authorisation(Body):
    order_id: str
    amount_minor: Minor
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    payment_method: str


class Amount(Body):
    amount_minor: Minor


def _payment(db: sqlite3.Connection, order_id: str) -> sqlite3.Row | None:
    found = db.execute("SELECT * FROM payment WHERE order_id = ?", (order_id,))
    row: sqlite3.Row | None = found.fetchone()
    return row


def _authorise(db: sqlite3.Connection, asked: Authorisation) -> Reply:
    payment = _payment(db, asked.order_id)
    if payment is not None:
        voided = payment["state"] == "voided"
        return refuse(409, "already_voided" if voided else "already_authorised")
    refusal = METHODS.get(asked.payment_method, UNKNOWN_METHOD).refusal
    if refusal:
        return refuse(402, refusal)
    name = "auth-" + hashlib.sha256(asked.order_id.encode()).hexdigest()[:20]
    db.execute(
        "INSERT INTO payment VALUES (?, ?, ?, ?, ?, 0, 0, 0, 'authorised')",
        (asked.order_id, name, asked.payment_method, asked.currency, asked.amount_minor),
    )
    return Reply(201, {"authorisation_id": name})


def _void(db: sqlite3.Connection, order_id: str) -> Reply:
    """Always 200: the amount is what this request gave back."""
    payment = _payment(db, order_id)
    if payment is None:
        db.execute(
            "INSERT INTO payment VALUES (?, NULL, '', '', 0, 0, 0, 0, 'voided')", (order_id,)
        )
    if payment is None or payment["state"] != "authorised":
        return Reply(200, {"amount_minor": 0})
    db.execute(
        "UPDATE payment SET state = 'voided', voided = authorised WHERE order_id = ?", (order_id,)
    )
    return Reply(200, {"amount_minor": payment["authorised"]})


def _capture(db: sqlite3.Connection, order_id: str, amount_minor: int) -> Reply:
    payment = _payment(db, order_id)
    if payment is None:
        return refuse(409, "not_authorised")
    if payment["state"] != "authorised":
        return refuse(409, f"already_{payment['state']}")
    if amount_minor > payment["authorised"]:
        return refuse(409, "exceeds_authorisation")
    refusal = METHODS.get(payment["payment_method"], UNKNOWN_METHOD).refusal_of_capture
    if refusal:
        return refuse(409, refusal)
    db.execute(
        "UPDATE payment SET state = 'captured', captured = ?, voided = authorised - ?"
        " WHERE order_id = ?",
        (amount_minor, amount_minor, order_id),
    )
    return Reply(200, {"amount_minor": amount_minor})


def _refund(db: sqlite3.Connection, order_id: str, amount_minor: int) -> Reply:
    payment = _payment(db, order_id)
    if payment is None or payment["refunded"] + amount_minor > payment["captured"]:
        return refuse(409, "exceeds_capture")
    db.execute(
        "UPDATE payment SET refunded = refunded + ? WHERE order_id = ?", (amount_minor, order_id)
    )
    return Reply(200, {"amount_minor": amount_minor})


async def authorise(request: Request) -> Response:
    asked = await read_body(request, Authorisation)
    method = METHODS.get(asked.payment_method, UNKNOWN_METHOD)
    reply = await apply_once(request, lambda db: _authorise(db, asked), failing=method.failing)
    if reply.tries <= method.silent and reply.status != 422:
        return await say_nothing(request)
    if method.delay_s and not reply.replayed:
        await asyncio.sleep(method.delay_s)
    return respond(reply)


async def void(request: Request) -> Response:
    await read_body(request, Nothing)
    order_id = request.path_params["order_id"]
    return respond(await apply_once(request, lambda db: _void(db, order_id)))


async def capture(request: Request) -> Response:
    order_id, amount = request.path_params["order_id"], await read_body(request, Amount)
    reply = await apply_once(request, lambda db: _capture(db, order_id, amount.amount_minor))
    return respond(reply)


async def refund(request: Request) -> Response:
    order_id, amount = request.path_params["order_id"], await read_body(request, Amount)
    reply = await apply_once(request, lambda db: _refund(db, order_id, amount.amount_minor))
    return respond(reply)


async def ledger(request: Request) -> Response:
    """Totals by currency, the refused (402) and the tombstones."""

    def totals(db: sqlite3.Connection) -> dict[str, object]:
        rows = [dict(row) for row in db.execute(TOTALS)]
        refused = db.execute("SELECT count(*) FROM call WHERE status = 402").fetchone()[0]
        late = db.execute("SELECT count(*) FROM payment WHERE authorisation_id IS NULL")
        return {
            "currencies": {row.pop("currency"): row for row in rows},
            "declined": refused,
            "tombstones": late.fetchone()[0],
        }

    return JSONResponse(await request.app.state.sandbox.store.run(totals))


def build(place: Place) -> Starlette:
    orders = "/authorisations/{order_id}"
    return build_app(
        SandboxStore(place.database, SCHEMA),
        [
            Route("/authorisations", authorise, methods=["POST"]),
            Route(f"{orders}/void", void, methods=["POST"]),
            Route(f"{orders}/capture", capture, methods=["POST"]),
            Route(f"{orders}/refund", refund, methods=["POST"]),
            Route("/ledger", ledger),
        ],
    )


if __name__ == "__main__":
    serve("payment", build)
