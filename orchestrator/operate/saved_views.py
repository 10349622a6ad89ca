"""Filters that somebody gave a name: his own, in the console's database, beside the built-in ones.

Nobody sees another's. A view is a text that the filter's grammar reads; it acts on nothing, so it
needs no line in the audit. A name stands once: kept again, it is another filter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from orchestrator.operate.filters import parse
from services.chassis.clock import Clock
from services.chassis.store import Plan, Select, Store, Value, Write, statements

SQL = statements(Path(__file__).parent / "saved_views.sql")
VIEWS_MAX: Final = 30
NAME_MAX: Final = 40
QUERY_MAX: Final = 500


class NotSaved(Exception):
    """Why a view cannot be kept: what about its name, its filter, or their number."""


class SavedViews:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def of(self, actor: str) -> dict[str, str]:
        """Filters by name. Raises StoreError."""
        params: dict[str, Value] = {"actor": actor, "limit": VIEWS_MAX}
        rows = await self._store.read(SQL["views.of"], params)
        return {str(row["name"]): str(row["query"]) for row in rows}

    async def keep(self, actor: str, name: str, query: str) -> None:
        """Raises NotSaved, BadFilter, StoreError."""
        if not 0 < len(name) <= NAME_MAX or not name.isprintable():
            raise NotSaved(f"A name has 1 to {NAME_MAX} characters that can be printed.")
        if len(query) > QUERY_MAX:
            raise NotSaved(f"A filter that is kept has {QUERY_MAX} characters at most.")
        parse(query)
        now_us = self._clock.now_us()
        if not await self._store.run(lambda: _kept(actor, name, query, now_us)):
            raise NotSaved(f"You have {VIEWS_MAX} views, which is all there may be: drop one.")

    async def drop(self, actor: str, name: str) -> None:
        """One that is not there any more is well dropped. Raises StoreError."""
        await self._store.run(lambda: _dropped(actor, name))


def _kept(actor: str, name: str, query: str, now_us: int) -> Plan[bool]:
    ((others,),) = yield Select(SQL["views.others"], (actor, name))
    if int(others or 0) >= VIEWS_MAX:
        return False
    yield Write(SQL["views.keep"], [(actor, name, query, now_us)])
    return True


def _dropped(actor: str, name: str) -> Plan[None]:
    yield Write(SQL["views.drop"], [(actor, name)])
