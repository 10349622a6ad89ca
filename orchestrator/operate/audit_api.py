"""The audit over HTTP: who did what, newest first; and whether its chain is whole."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.operate.api import LIMIT_DEFAULT, answering, number
from orchestrator.operate.auditing import PAGE_MAX, Audit, Kept
from services.chassis.access import Guarded, Role, guarded
from services.chassis.envelope import timestamp

NEWEST = 1 << 62


class AuditQuestions:
    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    def routes(self) -> list[Guarded]:
        return [
            guarded("/api/audit", answering(self.page), needs=Role.OPERATOR),
            guarded("/api/audit/check", answering(self.check), needs=Role.OPERATOR),
            guarded("/api/audit/export", answering(self.export), needs=Role.OPERATOR),
        ]

    async def page(self, request: Request) -> Response:
        """Newest first; `next` is what `before` of the next page is, null after the last."""
        limit = number(request, "limit", LIMIT_DEFAULT, PAGE_MAX)
        rows = await self._audit.page(
            number(request, "before", NEWEST),
            limit,
            actor=request.query_params.get("actor", ""),
            target=request.query_params.get("target", ""),
        )
        more = rows[-1]["seq"] if rows and len(rows) == limit else None
        return JSONResponse({"acts": [_of_act(row) for row in rows], "next": more})

    async def export(self, request: Request) -> Response:
        """In order after line `after`, each as it is chained; empty at the end."""
        after, limit = number(request, "after", 0), number(request, "limit", PAGE_MAX, PAGE_MAX)
        rows = await self._audit.since(after, limit)
        return JSONResponse({"lines": rows, "next": rows[-1]["seq"] if rows else None})

    async def check(self, request: Request) -> Response:
        del request
        checked = await self._audit.check()
        return JSONResponse(
            {"lines": checked.seq, "head": checked.head, "broken": checked.broken or None}
        )


def _of_act(row: Kept) -> dict[str, object]:
    at_us = row["at_us"]
    assert isinstance(at_us, int)
    shown = {name: value for name, value in row.items() if name not in ("at_us", "hash")}
    return {**shown, "at": timestamp(at_us)}
