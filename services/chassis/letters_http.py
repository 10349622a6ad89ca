"""The routes of the operations port about dead letters: for the console, and for `curl`.

Reads only, metadata only, business keys among it; a rehearsal runs handlers and is rolled back.
Until the process has begun all of it is 503.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Protocol

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from schemas.orchestrator import OperatorVerb
from services.chassis.access import Guarded, Role, guarded
from services.chassis.api import Fault, problem
from services.chassis.letters import LISTED_MAX, Told
from services.chassis.parked import KEY_VERBS
from services.chassis.store import StoreError

KINDS = ("parked", "rejected")
_FILTERS = ("key", "topic", "reason")


class Tells(Protocol):
    """`services.chassis.letters.Letters` of a process that has begun."""

    async def listed(self, kind: str, limit: int, wanted: dict[str, str]) -> list[Told]: ...
    async def shown(self, key: str) -> Told | None: ...
    async def verb(self, verb_id: str) -> Told | None: ...
    async def rehearsed(self, verb: OperatorVerb) -> Told: ...


def letter_routes(service: str, letters: Callable[[], Tells | None]) -> list[Guarded]:
    async def listed(tells: Tells, request: Request) -> Response:
        asked = request.query_params
        wanted = {name: asked.get(name, "") for name in _FILTERS}
        kinds = [kind for kind in KINDS if asked.get("kind", kind) == kind]
        limit = asked.get("limit", "200")
        if not (limit.isascii() and limit.isdigit() and 0 < int(limit) <= LISTED_MAX and kinds):
            return _unusable("kind, limit", f"{' or '.join(KINDS)}; 1 to {LISTED_MAX}")
        found = [each for kind in kinds for each in await tells.listed(kind, int(limit), wanted)]
        return JSONResponse({"entries": [{"service": service, **each} for each in found]})

    async def shown(tells: Tells, request: Request) -> Response:
        key = request.path_params["key"]
        return _found(service, await tells.shown(key), f"{key} has no dead letters here")

    async def verb(tells: Tells, request: Request) -> Response:
        verb_id = request.query_params.get("id", "")
        return _found(service, await tells.verb(verb_id), "no such verb was taken here")

    async def rehearsed(tells: Tells, request: Request) -> Response:
        try:
            asked = _verb_of(service, request)
        except (ValidationError, ValueError):
            return _unusable("verb, record, force", f"one of {', '.join(KEY_VERBS)}; a number; 1")
        return JSONResponse({"service": service, **await tells.rehearsed(asked)})

    answers = {
        "/deadletters": (listed, Role.VIEWER),
        "/deadletters/{key}": (shown, Role.VIEWER),
        "/deadletters/{key}/rehearsal": (rehearsed, Role.OPERATOR),
        "/verbs": (verb, Role.VIEWER),
    }
    return [
        guarded(path, _begun(letters, answer), needs=role)
        for path, (answer, role) in answers.items()
    ]


def _begun(
    letters: Callable[[], Tells | None], answer: Callable[[Tells, Request], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    async def answered(request: Request) -> Response:
        tells = letters()
        if tells is None:
            fault = Fault("process", "has not begun; /readyz says what it waits for")
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", fault)
        try:
            return await answer(tells, request)
        except StoreError as error:
            fault = Fault("database", str(error))
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", fault)

    return answered


def _verb_of(service: str, request: Request) -> OperatorVerb:
    asked, key = request.query_params, request.path_params["key"]
    word, record = asked.get("verb", ""), asked.get("record", "")
    if word not in KEY_VERBS:
        raise ValueError(word)
    return OperatorVerb(
        business_key=key,
        saga_id=key,
        verb=word,  # type: ignore[arg-type]
        step=None,
        actor="rehearsal",
        reason="rehearsal",
        version_seen=None,
        requested_at=datetime.fromtimestamp(0, UTC),
        service=service,
        record=int(record) if record else None,
        force=asked.get("force", "") in {"1", "true"},
    )


def _found(service: str, told: Told | None, missing: str) -> Response:
    if told is None:
        return problem(HTTPStatus.NOT_FOUND, "unknown", Fault(service, missing))
    return JSONResponse({"service": service, **told})


def _unusable(place: str, allowed: str) -> Response:
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_query", Fault(place, allowed))
