"""Verbs for one saga over HTTP: rehearse, tell, look what became of it.

200 when it was obeyed, with the verified result so far; 409 when it was refused or the saga moved,
with the version it has now; 202 with a place to look while it was not taken yet; 503 where Kafka
did not take it: then nothing was told.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.engine.machine import Verb
from orchestrator.operate.api import Answer, Refused, answering
from orchestrator.operate.auditing import NOT_TAKEN, NotKept, via_of
from orchestrator.operate.rehearsing import Command, Preview
from orchestrator.operate.saga_telling import (
    BULK,
    KeyReused,
    SagaOrder,
    SagaTelling,
    Told,
    UnknownSaga,
)
from orchestrator.operate.surfaces import segment
from services.chassis.access import Guarded, Role, actor_of, guarded
from services.chassis.api import Fault, problem
from services.chassis.bus import BusError
from services.chassis.envelope import timestamp
from services.chassis.ids import new_id

Shape = dict[str, object]
B = TypeVar("B", bound=BaseModel)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")


class SagaAsked(BaseModel):
    """The body of a verb."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    verb: Verb
    reason: str = Field(min_length=1, max_length=1_000)
    actor: str = Field("", max_length=128)
    version: int | None = Field(None, ge=0)
    step: str | None = Field(None, min_length=1, max_length=64)
    evidence: str = Field("", max_length=2_000)
    assignee: str = Field("", max_length=128)
    dry_run: bool = False


class SagaVerbs:
    def __init__(self, telling: SagaTelling) -> None:
        self._telling = telling

    def routes(self) -> list[Guarded]:
        path = "/api/sagas/{name}/verbs"
        return [
            guarded(path, telling_answer(self.tell), needs=Role.OPERATOR, methods=["POST"]),
            guarded(f"{path}/{{request}}", telling_answer(self.told), needs=Role.VIEWER),
        ]

    async def tell(self, request: Request) -> Response:
        """Idempotency-Key makes it safe to tell the same once more."""
        name = request.path_params["name"]
        asked = read_body(SagaAsked, await request.body())
        order = order_of(request, asked)
        if asked.dry_run:
            return JSONResponse(of_preview(await self._telling.preview(name, order), order))
        return _answer(name, await self._telling.tell(name, order, request_id(request)))

    async def told(self, request: Request) -> Response:
        name, asked = request.path_params["name"], request.path_params["request"]
        told = await self._telling.told(name, asked)
        if told is None:
            detail = f"{asked} was not taken (yet), or was never told to {name}"
            raise Refused(HTTPStatus.NOT_FOUND, "not_taken", "verb", detail)
        return JSONResponse(of_told(told))


def order_of(request: Request, asked: SagaAsked) -> SagaOrder:
    return SagaOrder(
        verb=asked.verb,
        reason=asked.reason,
        actor=actor_of(request, asked.actor),
        via=via_of(request),
        version=asked.version,
        step=asked.step,
        evidence=asked.evidence,
        assignee=asked.assignee,
    )


def request_id(request: Request) -> str:
    given = request.headers.get("Idempotency-Key") or new_id()
    if _NAME.fullmatch(given) and not given.startswith(BULK):
        return given
    told = f"up to 128 letters, digits, dots, dashes, and not beginning with {BULK}"
    raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "Idempotency-Key", told)


def read_body(kind: type[B], body: bytes) -> B:
    invalid = HTTPStatus.UNPROCESSABLE_ENTITY
    try:
        return kind.model_validate(orjson.loads(body))
    except orjson.JSONDecodeError as fault:
        raise Refused(invalid, "invalid", "body", "is no JSON") from fault
    except ValidationError as fault:
        wrong = fault.errors(include_url=False, include_input=False)
        places = (f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in wrong)
        raise Refused(invalid, "invalid", "body", "; ".join(places)) from fault


def _answer(name: str, told: Told) -> Response:
    if told.refused:
        saga = told.saga
        why = f"{told.verb} was refused: {told.result}; it is {saga.state}, version {saga.version}"
        shown = {"version": saga.version, "state": saga.state}
        fault = Fault(saga.saga_id, why)
        return problem(HTTPStatus.CONFLICT, told.result, fault, more=shown)
    if told.result == NOT_TAKEN:
        look = f"/api/sagas/{segment(name)}/verbs/{segment(told.id)}"
        shown = {**of_told(told), "look": look}
        return JSONResponse(shown, HTTPStatus.ACCEPTED, {"Location": look})
    return JSONResponse(of_told(told))


def of_told(told: Told) -> Shape:
    return {
        "id": told.id,
        "saga_id": told.saga.saga_id,
        "verb": told.verb,
        "actor": told.actor,
        "reason": told.reason,
        "result": told.result,
        "at": timestamp(told.at_us) if told.at_us else None,
        "version_before": told.version_before,
        "version_after": told.version_after,
        "verified": told.verified.became.value if told.applied else None,
        "because": told.verified.because or None,
        "state": told.saga.state,
        "version": told.saga.version,
    }


def of_preview(preview: Preview, order: SagaOrder) -> Shape:
    return {
        "saga_id": preview.saga_id,
        "verb": order.verb.value,
        "version": preview.version,
        "state": preview.state,
        "becomes": preview.becomes,
        "refused": preview.refused or None,
        "commands": [_of_command(each) for each in preview.commands],
        "money": preview.money,
        "then": [_of_command(each) for each in preview.then],
    }


def _of_command(command: Command) -> Shape:
    return {
        "type": command.type,
        "topic": command.topic,
        "service": command.service,
        "id": command.id,
        "again": command.again,
        "money": [
            {"amount_minor": each.amount_minor, "currency": each.currency} for each in command.money
        ],
    }


def telling_answer(answer: Callable[[Request], Awaitable[Response]]) -> Answer:
    """With the faults of telling as problems."""

    async def answered(request: Request) -> Response:
        try:
            return await answer(request)
        except UnknownSaga as fault:
            raise Refused(HTTPStatus.NOT_FOUND, "unknown_saga", "saga", str(fault)) from fault
        except KeyReused as fault:
            raise Refused(
                HTTPStatus.CONFLICT, "key_reused", "Idempotency-Key", str(fault)
            ) from fault
        except NotKept as fault:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE, "not_kept", "audit", str(fault)
            ) from fault
        except BusError as fault:
            told = f"nothing was told: {fault}"
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "no_kafka", "kafka", told) from fault

    return answering(answered)
