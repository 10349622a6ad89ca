"""The carrier's sandbox: book, cancel and dispatch shipments over HTTP.

One booking per order. A cancellation that comes first leaves a tombstone, which refuses the late
booking; what was dispatched is never cancelled, what was cancelled is never dispatched.
"""

from __future__ import annotations

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
    serve,
)
from deploy.local.sandboxes.store import Reply, SandboxStore, refuse
from deploy.local.sandboxes.values import values_of

COUNTRIES = values_of("carrier", "country")

SCHEMA = """
CREATE TABLE IF NOT EXISTS booking (
  order_id TEXT PRIMARY KEY,
  tracking TEXT,                    -- NULL: a tombstone, cancelled before it was booked
  country TEXT NOT NULL,
  pieces INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('booked', 'cancelled', 'dispatched'))
) WITHOUT ROWID
"""


class Booking(Body):
    order_id: str
    country: str
    pieces: Annotated[int, Field(ge=1, strict=True)]


def _booking(db: sqlite3.Connection, order_id: str) -> sqlite3.Row | None:
    found = db.execute("SELECT * FROM booking WHERE order_id = ?", (order_id,))
    row: sqlite3.Row | None = found.fetchone()
    return row


def _move(db: sqlite3.Connection, order_id: str, state: str) -> None:
    db.execute("UPDATE booking SET state = ? WHERE order_id = ?", (state, order_id))


def _book(db: sqlite3.Connection, asked: Booking) -> Reply:
    booking = _booking(db, asked.order_id)
    if booking is not None:
        return refuse(409, f"already_{booking['state']}")
    if asked.country in COUNTRIES:
        return refuse(422, COUNTRIES[asked.country].refusal)
    tracking = "trk-" + hashlib.sha256(asked.order_id.encode()).hexdigest()[:20]
    db.execute(
        "INSERT INTO booking VALUES (?, ?, ?, ?, 'booked')",
        (asked.order_id, tracking, asked.country, asked.pieces),
    )
    return Reply(201, {"tracking": tracking})


def _cancel(db: sqlite3.Connection, order_id: str) -> Reply:
    booking = _booking(db, order_id)
    if booking is None:
        db.execute("INSERT INTO booking VALUES (?, NULL, '', 0, 'cancelled')", (order_id,))
    elif booking["state"] == "dispatched":
        return refuse(409, "already_dispatched")
    else:
        _move(db, order_id, "cancelled")
    return Reply(200, {"cancelled": booking is not None and booking["state"] == "booked"})


def _dispatch(db: sqlite3.Connection, order_id: str) -> Reply:
    booking = _booking(db, order_id)
    if booking is None:
        return refuse(409, "not_booked")
    if booking["state"] == "cancelled":
        return refuse(409, "already_cancelled")
    _move(db, order_id, "dispatched")
    return Reply(200, {"tracking": booking["tracking"]})


async def book(request: Request) -> Response:
    asked = await read_body(request, Booking)
    return respond(await apply_once(request, lambda db: _book(db, asked)))


async def cancel(request: Request) -> Response:
    await read_body(request, Nothing)
    order_id = request.path_params["order_id"]
    return respond(await apply_once(request, lambda db: _cancel(db, order_id)))


async def dispatch(request: Request) -> Response:
    await read_body(request, Nothing)
    order_id = request.path_params["order_id"]
    return respond(await apply_once(request, lambda db: _dispatch(db, order_id)))


async def bookings(request: Request) -> Response:
    """How many are booked, cancelled, dispatched; the refused; the tombstones."""

    def totals(db: sqlite3.Connection) -> dict[str, int]:
        counts = dict.fromkeys(("booked", "cancelled", "dispatched"), 0)
        counts |= dict(
            db.execute(
                "SELECT state, count(*) FROM booking WHERE tracking IS NOT NULL GROUP BY state"
            ).fetchall()
        )
        late = db.execute("SELECT count(*) FROM booking WHERE tracking IS NULL").fetchone()[0]
        refused = db.execute("SELECT count(*) FROM call WHERE status = 422").fetchone()[0]
        return {**counts, "refused": refused, "tombstones": late}

    return JSONResponse(await request.app.state.sandbox.store.run(totals))


def build(place: Place) -> Starlette:
    return build_app(
        SandboxStore(place.database, SCHEMA),
        [
            Route("/bookings", book, methods=["POST"]),
            Route("/bookings", bookings),
            Route("/bookings/{order_id}/cancel", cancel, methods=["POST"]),
            Route("/bookings/{order_id}/dispatch", dispatch, methods=["POST"]),
        ],
    )


if __name__ == "__main__":
    serve("carrier", build)
