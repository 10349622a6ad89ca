"""Bulk operations: how far each is, what was verified of each saga, and what is done with them.

Shows what `bulk` keeps; rehearsing and beginning is `act`'s. A change asked twice happens once.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from orchestrator.operate.auditing import Kept
from orchestrator.operate.bulk import (
    ITEM_STATES,
    Change,
    NotNow,
    Operation,
    Operations,
    UnknownOperation,
)
from orchestrator.operate.pages.act import faults
from orchestrator.operate.pages.asking import unusable
from orchestrator.operate.pages.site import Site, form_of
from orchestrator.operate.pages.view import Context, NoPage, Question, View
from orchestrator.operate.reading import PAGE_MAX
from services.chassis.access import Guarded, Role, actor_of, page
from services.chassis.envelope import timestamp

LISTED, ITEMS, NEWEST = 50, 100, 1 << 62
TRIED_AGAIN: Final = ("failed_again", "unchanged", "refused")
COLUMNS: Final = ("n", "saga_id", "version", "attempt", "state", "detail")
# Asked for, what it leads to: an operation that is there already needs no telling.
_CHANGES: Final[Mapping[str, tuple[Change, str]]] = {
    "cancel": ("cancel", "cancelled"),
    "resume": ("resume", "running"),
    "retry": ("retry", "running"),
}
_REASON_MAX = 1_000


def operation_views(operations: Operations, held: Mapping[str, str]) -> tuple[View, View]:
    """`held`: why operations cannot go on now, by id."""

    async def listed(asked: Question) -> Context:
        found = await operations.page(number_of(asked, "before", NEWEST), LISTED)
        after = found[-1].row["number"] if len(found) == LISTED else None
        return {
            "operations": [_of(each, held) for each in found],
            "after": after,
            "newest": not asked.get("before"),
        }

    async def one(asked: Question) -> Context:
        name, state = asked.get("id"), asked.get("state")
        found = await _one(operations, name)
        after = number_of(asked, "after", 0)
        wanted = state if state in ITEM_STATES else ""
        items = await operations.items(name, after, ITEMS, wanted)
        return {
            "operation": _of(found, held),
            "counts": found.counts,
            "ahead": found.counts["pending"],
            "again": sum(found.counts[each] for each in TRIED_AGAIN),
            "items": items,
            "after": items[-1]["n"] if len(items) == ITEMS else None,
            "state": wanted,
        }

    return (
        View("operations", "/operations", "Operations", listed, ("listed",)),
        View("operation", "/operations/{id}", "Operation", one, ("progress", "items")),
    )


class Changing:
    def __init__(self, site: Site, operations: Operations) -> None:
        self._site, self._operations = site, operations

    def routes(self) -> list[Guarded]:
        one = "/operations/{id}"
        change = self._site.answering(self.change)
        return [
            page(one, change, needs=Role.OPERATOR, methods=["POST"]),
            page(f"{one}/items", self._site.answering(self.export), needs=Role.VIEWER),
        ]

    async def change(self, request: Request) -> Response:
        name = request.path_params["id"]
        given = await form_of(request)
        change, reason = given.get("change", ""), given.get("reason", "").strip()
        if change not in _CHANGES or not 0 < len(reason) <= _REASON_MAX:
            told = "Say why, and choose one of cancel, resume, retry."
            raise unusable("Not a change", told)
        what, leads_to = _CHANGES[change]
        actor = actor_of(request, None)
        with faults():
            try:
                await self._operations.change(name, what, reason, actor=actor, via="console")
            except UnknownOperation as fault:
                raise _unknown(name) from fault
            except NotNow as fault:
                if (await self._operations.one(name)).row["state"] != leads_to:
                    raise _not_now(name, fault) from fault
        return RedirectResponse(f"/operations/{quote(name)}", HTTPStatus.SEE_OTHER)

    async def export(self, request: Request) -> Response:
        """Every item, in order, as it stands when it is reached."""
        name = request.path_params["id"]
        await _one(self._operations, name)
        form = "jsonl" if request.query_params.get("form") == "jsonl" else "csv"
        kind = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}[form]
        headers = {"Content-Disposition": f'attachment; filename="{quote(name)}.{form}"'}
        lines = self._lines(name, csv_form=form == "csv")
        return StreamingResponse(lines, media_type=kind, headers=headers)

    async def _lines(self, name: str, *, csv_form: bool) -> AsyncIterator[str]:
        if csv_form:
            yield f"{','.join(COLUMNS)}\n"
        after = 0
        while items := await self._operations.items(name, after, PAGE_MAX):
            after = _int(items[-1]["n"])
            yield "".join(csv_line(each) if csv_form else _json(each) for each in items)


def number_of(asked: Question, name: str, default: int) -> int:
    text = asked.get(name)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else default


async def _one(operations: Operations, name: str) -> Operation:
    try:
        return await operations.one(name)
    except UnknownOperation as fault:
        raise _unknown(name) from fault


def _not_now(name: str, fault: NotNow) -> NoPage:
    links = {name: f"/operations/{quote(name)}"}
    return NoPage("Not now", f"{fault}. Look at it again.", status=HTTPStatus.CONFLICT, links=links)


def _unknown(name: str) -> NoPage:
    told = f"No operation {name} is kept; they are for a year."
    return NoPage("No such operation", told, links={"operations": "/operations"})


def _of(operation: Operation, held: Mapping[str, str]) -> Context:
    row = operation.row
    times = {"created": "created_us", "last_told": "sent_us", "ended": "ended_us"}
    return {
        **row,
        **{name: _when(row[column]) for name, column in times.items()},
        "held": held.get(operation.id, ""),
    }


def csv_line(item: Kept) -> str:
    """A cell that a spreadsheet would take for a formula is made a text."""
    out = io.StringIO()
    cells = ["" if item[name] is None else str(item[name]) for name in COLUMNS]
    safe = [f"'{each}" if each[:1] in "=+-@\t\r" and each else each for each in cells]
    csv.writer(out, lineterminator="\n").writerow(safe)
    return out.getvalue()


def _json(item: Kept) -> str:
    return json.dumps({name: item[name] for name in COLUMNS}) + "\n"


def _when(us: object) -> str | None:
    return timestamp(_int(us)) if us else None


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
