"""The HTTP face of orders: place an order, ask to cancel it, see what became of it.

Answers 202 only after the submission is committed. An Idempotency-Key makes a repeated submission
the same submission, for ever. Every refusal is `application/problem+json` and names the place it
is about, never the value that stood there. The token and the size of bodies are the chassis's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import cast

import orjson
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from schemas.orders import OrderCancellationRequested, OrderPlaced
from services.chassis.access import Role, guarded
from services.chassis.api import ApiPort, Fault, problem
from services.chassis.ids import new_id
from services.chassis.store import StoreError, Value
from services.orders.domain import (
    Acknowledged,
    AskCancellation,
    Declined,
    Order,
    Reason,
    SubmitOrder,
    fingerprint,
    shown_body,
)
from services.orders.handlers import body_of, text_of
from services.orders.store import ORDERS

FAULTS_MAX = 50
PLACE_CHARS_MAX = 100
_WORDS = {"unexpected_keyword_argument": "is no field here; leave it out"}
_KEY = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ORDER = TypeAdapter(OrderPlaced)
_CANCELLATION = TypeAdapter(OrderCancellationRequested)
_STATUS_OF = {
    Reason.KEY_REUSED: HTTPStatus.UNPROCESSABLE_ENTITY,
    Reason.ORDER_ID_TAKEN: HTTPStatus.CONFLICT,
    Reason.UNKNOWN_ORDER: HTTPStatus.NOT_FOUND,
    Reason.FINISHED: HTTPStatus.CONFLICT,
}


class RefusedError(Exception):
    """A request that is answered by a problem; nothing was stored."""

    def __init__(self, status: HTTPStatus, reason: str, *faults: Fault) -> None:
        super().__init__(reason)
        self.status, self.reason, self.faults = status, reason, faults

    def response(self) -> Response:
        again = self.status is HTTPStatus.SERVICE_UNAVAILABLE
        headers = {"Retry-After": "1"} if again else None
        return problem(self.status, self.reason, *self.faults, headers=headers)


def routes(port: ApiPort) -> list[Route]:
    async def post_order(request: Request) -> Response:
        try:
            return _acknowledged(await _submit(port, await _order_in(request)))
        except RefusedError as refused:
            return refused.response()

    async def post_cancellation(request: Request) -> Response:
        try:
            return _acknowledged(await _submit(port, await _cancellation_in(request)))
        except RefusedError as refused:
            return refused.response()

    async def get_order(request: Request) -> Response:
        order_id = request.path_params["order_id"]
        rows = await port.read("order_of", order_id=order_id)
        if rows:
            return JSONResponse(_shown(_order_from(rows[0])))
        fault = Fault("order_id", f"no order {order_id} is known here")
        return RefusedError(HTTPStatus.NOT_FOUND, Reason.UNKNOWN_ORDER, fault).response()

    return [
        guarded("/orders", post_order, needs=Role.PUBLISHER, methods=["POST"]),
        guarded("/orders/{order_id}", get_order, needs=Role.VIEWER),
        guarded(
            "/orders/{order_id}/cancellation",
            post_cancellation,
            needs=Role.PUBLISHER,
            methods=["POST"],
        ),
    ]


async def _submit(port: ApiPort, submission: SubmitOrder | AskCancellation) -> Acknowledged:
    try:
        answer = await port.submit(submission)
    except StoreError as error:
        fault = Fault("service", "cannot store anything now; send the same request again")
        raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", fault) from error
    if isinstance(answer, Declined):
        fault = Fault(answer.place, answer.detail)
        raise RefusedError(_STATUS_OF[answer.reason], answer.reason, fault)
    assert isinstance(answer, Acknowledged)
    return answer


def _acknowledged(answer: Acknowledged) -> Response:
    link = f"/orders/{answer.order_id}"
    headers = {"Location": link, **({"Idempotent-Replay": "true"} if answer.again else {})}
    return JSONResponse({"order_id": answer.order_id, "link": link}, HTTPStatus.ACCEPTED, headers)


async def _order_in(request: Request) -> SubmitOrder:
    """The order's id is the client's if given; the time it was placed is ours."""
    key = _idempotency_key(request)
    sent = await _object_in(request)
    if "placed_at" in sent:
        fault = Fault("placed_at", "is the time of arrival; leave it out")
        raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_order", fault)
    given = sent.get("order_id")
    whole = {
        "customer_id": None,
        **sent,
        "order_id": new_id() if given is None else given,
        "placed_at": datetime.now(UTC),
    }
    try:
        event = _ORDER.validate_python(whole)
    except ValidationError as error:
        raise _invalid("invalid_order", error) from error
    body = body_of(event)
    asked = {name: value for name, value in body.items() if name != "placed_at"}
    return SubmitOrder(
        id=new_id(),
        idempotency_key=key,
        order_id=event.order_id,
        fingerprint=fingerprint({**asked, "order_id": given}),
        body=body,
    )


async def _cancellation_in(request: Request) -> AskCancellation:
    key = _idempotency_key(request)
    sent = await _object_in(request)
    ours = {"order_id", "request_id", "requested_at"} & set(sent)
    if ours:
        faults = (Fault(name, "is not given in the body; leave it out") for name in sorted(ours))
        raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_cancellation", *faults)
    whole = {
        **sent,
        "order_id": request.path_params["order_id"],
        "request_id": key,
        "requested_at": datetime.now(UTC),
    }
    try:
        event = _CANCELLATION.validate_python(whole)
    except ValidationError as error:
        raise _invalid("invalid_cancellation", error) from error
    when = text_of(event.requested_at)
    return AskCancellation(new_id(), event.order_id, event.request_id, event.reason, when)


def _idempotency_key(request: Request) -> str:
    key = request.headers.get("Idempotency-Key")
    if key is not None and _KEY.fullmatch(key):
        return key
    problem = (
        "is required: give a fresh UUID for each new submission, the same one to repeat it"
        if key is None
        else "must be 1 to 64 of the characters A-Z a-z 0-9 . _ -"
    )
    fault = Fault("Idempotency-Key", problem)
    raise RefusedError(HTTPStatus.BAD_REQUEST, "invalid_idempotency_key", fault)


async def _object_in(request: Request) -> dict[str, object]:
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        fault = Fault("Content-Type", "must be application/json")
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not_json", fault)
    try:
        sent = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        fault = Fault(place, f"is no JSON: {error.msg}")
        raise RefusedError(HTTPStatus.BAD_REQUEST, "not_json", fault) from error
    if not isinstance(sent, dict):
        fault = Fault("body", "must be one JSON object")
        raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, "not_an_object", fault)
    return sent


def _invalid(reason: str, error: ValidationError) -> RefusedError:
    told = error.errors(include_url=False, include_input=False, include_context=False)
    # A list whose items were all bad is also told as too short: that is not the sender's fault.
    inside = {each["loc"][:depth] for each in told for depth in range(1, len(each["loc"]))}
    every = [each for each in told if each["loc"] not in inside]
    faults = [
        Fault(_place(each["loc"]), _WORDS.get(each["type"], each["msg"]))
        for each in every[:FAULTS_MAX]
    ]
    if len(every) > FAULTS_MAX:
        faults.append(Fault("body", f"has {len(every) - FAULTS_MAX} more faults, not listed"))
    return RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, reason, *faults)


def _place(loc: tuple[int | str, ...]) -> str:
    """`lines[3].quantity`; a fault of the whole is at `body`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return path.removeprefix(".")[:PLACE_CHARS_MAX] or "body"


def _order_from(row: Mapping[str, object]) -> Order:
    order, _ = ORDERS.decode((*(cast(Value, row[name]) for name in ORDERS.columns), 0))
    assert isinstance(order, Order)
    return order


def _shown(order: Order) -> dict[str, object]:
    """What is known of an order; nothing of how it is paid."""
    body = shown_body(order)
    placed = {name: value for name, value in (body or {}).items() if name != "payment_method"}
    cancellations = [
        {"request_id": request_id, **told} for request_id, told in order.cancellations.items()
    ]
    return {
        "order_id": order.order_id,
        "status": order.status,
        "placed": placed or None,
        "outcome": order.outcome,
        "attention": order.attention,
        "cancellations": cancellations,
        "link": f"/orders/{order.order_id}",
    }
