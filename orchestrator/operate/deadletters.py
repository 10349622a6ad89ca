"""Dead letters and parked keys of every process, over HTTP: list, show, rehearse, tell.

A verb is answered 200 when it is done, 409 when it was refused or failed again, 202 with a place to
look while it goes on or was not taken yet, 503 where Kafka did not take it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.operate.auditing import NOT_TAKEN, NotKept, via_of
from orchestrator.operate.letter_telling import LetterOrder, LetterTelling, going_on
from orchestrator.operate.surfaces import (
    Json,
    NotAnswered,
    NotKnown,
    NotUnderstood,
    segment,
)
from services.chassis.access import Role, actor_of, guarded
from services.chassis.api import Fault, problem
from services.chassis.bus import BusError
from services.chassis.ids import new_id
from services.chassis.parked import Result, Verb

_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
_FILTERS = ("service", "kind", "key", "topic", "reason", "limit")
_REHEARSED = ("verb", "record", "force")


class Asked(BaseModel):
    """The body of a verb."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    verb: Verb
    reason: str = Field(min_length=1, max_length=1_000)
    actor: str | None = Field(None, min_length=1, max_length=100)
    record: int | None = Field(None, ge=1)
    force: bool = False


class DeadLetters:
    def __init__(self, telling: LetterTelling) -> None:
        self._telling = telling

    def routes(self) -> list[Route]:
        one = "/api/deadletters/{service}/{key}"
        return [
            guarded("/api/deadletters", _answering(self.listed), needs=Role.VIEWER),
            guarded("/api/verbs/{service}/{name}", _answering(self.verb), needs=Role.VIEWER),
            guarded(f"{one}/rehearsal", _answering(self.rehearsed), needs=Role.OPERATOR),
            guarded(one, _answering(self.shown), needs=Role.VIEWER),
            guarded(one, _answering(self.tell), needs=Role.OPERATOR, methods=["POST"]),
        ]

    async def listed(self, request: Request) -> Response:
        """Parked keys and rejected records; `silent`: who did not answer, and why."""
        entries, silent = await self._telling.entries(_given(request, _FILTERS))
        return JSONResponse({"entries": entries, "silent": silent})

    async def shown(self, request: Request) -> Response:
        return JSONResponse(await self._telling.shown(*_named(request)))

    async def rehearsed(self, request: Request) -> Response:
        given = _given(request, _REHEARSED)
        return JSONResponse(await self._telling.rehearsed(*_named(request), given))

    async def verb(self, request: Request) -> Response:
        service, name = request.path_params["service"], request.path_params["name"]
        return JSONResponse(await self._telling.verb(service, name))

    async def tell(self, request: Request) -> Response:
        """Idempotency-Key makes it safe to tell the same once more."""
        service, key = _named(request)
        name = request.headers.get("Idempotency-Key") or new_id()
        if not _NAME.fullmatch(name):
            raise NotUnderstood("Idempotency-Key: up to 128 letters, digits, dots, dashes")
        order = _order(request, await request.body())
        return _outcome(service, key, name, await self._telling.tell(service, key, order, name))


def _outcome(service: str, key: str, name: str, told: Json | None) -> Response:
    place = f"/api/verbs/{segment(service)}/{segment(name)}"
    if told is None or going_on(told):
        waits = {"service": service, "key": key, "result": NOT_TAKEN, "id": name}
        shown = {**waits, **(told or {}), "look": place}
        return JSONResponse(shown, HTTPStatus.ACCEPTED, {"Location": place})
    if told["result"] == Result.APPLIED:
        return JSONResponse(told)
    why = f"{told['result']}{': ' if told['detail'] else ''}{told['detail']}"
    return problem(HTTPStatus.CONFLICT, str(told["result"]), Fault(f"{service} {key}", why))


def _order(request: Request, body: bytes) -> LetterOrder:
    try:
        asked = Asked.model_validate(orjson.loads(body))
        return LetterOrder(
            verb=asked.verb,
            reason=asked.reason,
            actor=actor_of(request, asked.actor),
            via=via_of(request),
            record=asked.record,
            force=asked.force,
        )
    except orjson.JSONDecodeError as fault:
        raise NotUnderstood("the body is no JSON") from fault
    except ValidationError as fault:
        wrong = fault.errors(include_url=False, include_input=False)
        places = (f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in wrong)
        raise NotUnderstood("; ".join(places)) from fault


def _answering(
    answer: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def answered(request: Request) -> Response:
        try:
            return await answer(request)
        except NotKnown as fault:
            return problem(HTTPStatus.NOT_FOUND, "unknown", Fault("dead letters", str(fault)))
        except NotUnderstood as fault:
            status = HTTPStatus.UNPROCESSABLE_ENTITY
            return problem(status, "invalid", Fault("request", str(fault)))
        except NotAnswered as fault:
            return _unavailable("not_ready", Fault("process", str(fault)))
        except NotKept as fault:
            return _unavailable("not_kept", Fault("audit", str(fault)))
        except BusError as fault:
            return _unavailable("no_kafka", Fault("kafka", f"nothing was told: {fault}"))

    return answered


def _unavailable(reason: str, fault: Fault) -> Response:
    headers = {"Retry-After": "1"}
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, reason, fault, headers=headers)


def _named(request: Request) -> tuple[str, str]:
    return request.path_params["service"], request.path_params["key"]


def _given(request: Request, names: tuple[str, ...]) -> dict[str, str]:
    return {name: request.query_params[name] for name in names if name in request.query_params}
