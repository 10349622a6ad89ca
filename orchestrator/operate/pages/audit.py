"""The audit: who did what, when, why and with what result, and whether its chain is whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orchestrator.operate.auditing import PAGE_MAX, Audit, Kept
from orchestrator.operate.pages.operations import NEWEST, number_of
from orchestrator.operate.pages.view import Context, Question, View
from services.chassis.access import Role
from services.chassis.envelope import timestamp

SHOWN: Final = 50
LOOKED_AT: Final = 5  # pages of the audit, for an action that is rare
WALKED_MAX: Final = 5_000  # lines of the chain that are walked without being asked to


def audit_view(audit: Audit) -> View:
    async def context(asked: Question) -> Context:
        wanted = {name: asked.get(name) for name in ("actor", "target", "action")}
        before = number_of(asked, "before", NEWEST)
        acts, further = await _acts(audit, before, wanted)
        newest = await audit.page(NEWEST, 1)
        lines = newest[0]["seq"] if newest else 0
        assert isinstance(lines, int)
        walk = lines <= WALKED_MAX or asked.get("check") == "1"
        return {
            **wanted,
            "acts": [_of(each) for each in acts],
            "further": further,
            "newest": not asked.get("before"),
            "lines": lines,
            "checked": await audit.check() if walk else None,
        }

    return View("audit", "/audit", "Audit", context, needs=Role.OPERATOR)


async def _acts(
    audit: Audit, before: int, wanted: Mapping[str, str]
) -> tuple[list[Kept], int | None]:
    """Newest first, and where to look further back. What is rare is not looked for for ever."""
    found: list[Kept] = []
    limit = PAGE_MAX if wanted["action"] or (wanted["actor"] and wanted["target"]) else SHOWN
    for _ in range(LOOKED_AT):
        rows = await audit.page(before, limit, actor=wanted["actor"], target=wanted["target"])
        found += [row for row in rows if _matches(row, wanted)]
        if len(found) >= SHOWN:
            return found[:SHOWN], _int(found[SHOWN - 1]["seq"])
        if len(rows) < limit:
            return found, None
        before = _int(rows[-1]["seq"])
    return found, before


def _matches(row: Kept, wanted: Mapping[str, str]) -> bool:
    return all(not value or row[name] == value for name, value in wanted.items())


def _of(row: Kept) -> Context:
    return {**row, "at": timestamp(_int(row["at_us"]))}


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
