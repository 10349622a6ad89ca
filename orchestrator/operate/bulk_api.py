"""Bulk operations over HTTP: rehearse, begin, look, cancel, resume, try again what failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.operate.api import LIMIT_DEFAULT, Answer, Refused, number
from orchestrator.operate.audit_api import NEWEST
from orchestrator.operate.auditing import Kept, via_of
from orchestrator.operate.bulk import (
    ITEM_STATES,
    NAMES_MAX,
    RATE,
    RATE_MAX,
    BulkOrder,
    BulkPreview,
    Change,
    NotNow,
    Operation,
    Operations,
    TooMany,
    UnknownOperation,
)
from orchestrator.operate.filters import BadFilter
from orchestrator.operate.reading import PAGE_MAX
from orchestrator.operate.rehearsing import Preview
from orchestrator.operate.saga_verb_api import (
    SagaAsked,
    order_of,
    read_body,
    request_id,
    telling_answer,
)
from services.chassis.access import Guarded, Role, actor_of, guarded
from services.chassis.envelope import timestamp

Shape = dict[str, object]
_TIMES = {"created": "created_us", "last_told": "sent_us", "ended": "ended_us"}
_WORDS = ("id", "verb", "step", "assignee", "reason", "actor", "via", "query", "rate", "first",
    "seen", "state", "total")  # fmt: skip


class BulkAsked(SagaAsked):
    """A verb, and for whom: all that match the query, or these sagas."""

    query: str | None = Field(None, max_length=2_000)
    sagas: list[str] = Field(default_factory=list, max_length=NAMES_MAX)
    rate: int = Field(RATE, ge=1, le=RATE_MAX)
    first: int = Field(0, ge=0, le=NAMES_MAX)
    seen: int | None = Field(None, ge=0)  # by whoever confirmed it; it is not told to more


class ChangeAsked(BaseModel):
    """Why an operation is stopped or goes on."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    reason: str = Field(min_length=1, max_length=1_000)
    actor: str = Field("", max_length=128)


class BulkVerbs:
    """`held`: why operations cannot go on now, by id."""

    def __init__(self, operations: Operations, held: Mapping[str, str]) -> None:
        self._operations, self._held = operations, held

    def routes(self) -> list[Guarded]:
        path = "/api/operations"
        changes: tuple[Change, ...] = ("cancel", "resume", "retry")
        reads = {"": self.page, "/{id}": self.one, "/{id}/items": self.items}
        writes = {"": self.begin} | {f"/{{id}}/{each}": self._change(each) for each in changes}
        return [
            guarded(f"{path}{rest}", _answering(answer), needs=role, methods=[method])
            for answers, role, method in (
                (reads, Role.VIEWER, "GET"),
                (writes, Role.OPERATOR, "POST"),
            )
            for rest, answer in answers.items()
        ]

    async def begin(self, request: Request) -> Response:
        """202 and where it is looked at; the same Idempotency-Key is the same operation."""
        asked = read_body(BulkAsked, await request.body())
        if (asked.query is None) is (not asked.sagas) or asked.version is not None:
            told = "give a query or sagas, one of the two, and no version: each has its own"
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "body", told)
        wanted = BulkOrder(
            order_of(request, asked),
            asked.query or "",
            tuple(dict.fromkeys(asked.sagas)),
            asked.rate,
            asked.first,
            asked.seen,
        )
        if asked.dry_run:
            return JSONResponse(of_bulk_preview(await self._operations.preview(wanted)))
        begun = await self._operations.begin(wanted, request_id(request))
        look = f"/api/operations/{begun.id}"
        return JSONResponse(self._of(begun), HTTPStatus.ACCEPTED, {"Location": look})

    async def page(self, request: Request) -> Response:
        limit = number(request, "limit", LIMIT_DEFAULT, PAGE_MAX)
        found = await self._operations.page(number(request, "before", NEWEST), limit)
        after = found[-1].row["number"] if len(found) == limit else None
        return JSONResponse({"operations": [self._of(each) for each in found], "next": after})

    async def one(self, request: Request) -> Response:
        return JSONResponse(self._of(await self._operations.one(request.path_params["id"])))

    async def items(self, request: Request) -> Response:
        state = request.query_params.get("state", "")
        if state and state not in ITEM_STATES:
            told = f"is one of {', '.join(ITEM_STATES)}"
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "state", told)
        limit = number(request, "limit", LIMIT_DEFAULT, PAGE_MAX)
        after = number(request, "after", 0)
        found = await self._operations.items(request.path_params["id"], after, limit, state)
        last = found[-1]["n"] if len(found) == limit else None
        return JSONResponse({"items": [_of_item(each) for each in found], "next": last})

    def _change(self, change: Change) -> Callable[[Request], Awaitable[Response]]:
        async def changed(request: Request) -> Response:
            asked, name = read_body(ChangeAsked, await request.body()), request.path_params["id"]
            actor = actor_of(request, asked.actor)
            await self._operations.change(
                name, change, asked.reason, actor=actor, via=via_of(request)
            )
            return JSONResponse(self._of(await self._operations.one(name)))

        return changed

    def _of(self, operation: Operation) -> Shape:
        row = operation.row
        return {
            **{name: row[name] for name in _WORDS},
            **{name: _when(row[column]) for name, column in _TIMES.items()},
            "held": self._held.get(operation.id),
            **({"counts": operation.counts} if operation.counts else {}),
        }


def _of_item(row: Kept) -> Shape:
    names = ("n", "saga_id", "version", "attempt", "state", "detail")
    return {name: row[name] for name in names}


def of_bulk_preview(preview: BulkPreview) -> Shape:
    """What each would send, and what all of them together."""
    refused: dict[str, int] = {}
    for each in preview.rehearsed:
        if each.refused:
            refused[each.refused] = refused.get(each.refused, 0) + 1
    return {
        "count": preview.count,
        "rehearsed": len(preview.rehearsed),
        "refused": refused,
        "commands": _commands(preview.rehearsed),
        "sagas": [
            {
                "saga_id": each.saga_id,
                "version": each.version,
                "state": each.state,
                "refused": each.refused or None,
                "commands": [command.id for command in each.commands],
            }
            for each in preview.rehearsed
        ],
    }


def _commands(previews: tuple[Preview, ...]) -> list[Shape]:
    """By type and topic: how many, and how much money they speak of."""
    counts: dict[tuple[str, str, str], int] = {}
    money: dict[tuple[str, str, str], dict[str, int]] = {}
    for command in (command for each in previews for command in each.commands):
        kind = (command.type, command.topic, command.service)
        counts[kind] = counts.get(kind, 0) + 1
        sums = money.setdefault(kind, {})
        for each in command.money:
            sums[each.currency] = sums.get(each.currency, 0) + each.amount_minor
    return [
        {
            "type": kind[0],
            "topic": kind[1],
            "service": kind[2],
            "count": count,
            "money": money[kind],
        }
        for kind, count in counts.items()
    ]


def _answering(answer: Callable[[Request], Awaitable[Response]]) -> Answer:
    async def answered(request: Request) -> Response:
        try:
            return await answer(request)
        except UnknownOperation as fault:
            raise Refused(HTTPStatus.NOT_FOUND, "unknown", "operation", str(fault)) from fault
        except NotNow as fault:
            raise Refused(HTTPStatus.CONFLICT, "not_now", "operation", str(fault)) from fault
        except BadFilter as fault:
            status = HTTPStatus.UNPROCESSABLE_ENTITY
            raise Refused(status, "invalid_filter", "query", str(fault)) from fault
        except TooMany as fault:
            status = HTTPStatus.UNPROCESSABLE_ENTITY
            raise Refused(status, "too_many", "query", str(fault)) from fault

    return telling_answer(answered)


def _when(us: object) -> str | None:
    assert isinstance(us, int)
    return timestamp(us) if us else None
