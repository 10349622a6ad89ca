"""Dead letters and parked keys: grouped by why, where and whose; one key with all of its records.

Every verb is rehearsed by the process that would take it before it is told, and a form sent twice
tells once. Metadata only: no payload reaches a page, whoever looks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestrator.operate.letter_telling import LetterOrder, LetterTelling, going_on
from orchestrator.operate.pages.act import faults
from orchestrator.operate.pages.asking import unusable
from orchestrator.operate.pages.site import Site, form_of
from orchestrator.operate.pages.view import Context, Question, View
from orchestrator.operate.surfaces import Json, NotUnderstood
from services.chassis.access import Guarded, Role, actor_of, page
from services.chassis.ids import new_id
from services.chassis.letters import LISTED_MAX
from services.chassis.parked import Verb

SHOWN: Final = 100
EVERY_S: Final = 5.0
DOES: Final = {
    Verb.REDRIVE: "Applies what waits, in order, until one fails again; or one rejected record.",
    Verb.UNPARK: "Applies what waits, in order, until one fails again.",
    Verb.DISCARD: "Gives up the first that waits; what is behind it goes on. It is kept.",
    Verb.PARK: "Later records of this key wait behind it until somebody unparks it.",
}
_AFTER = re.compile(r"(?P<since>[0-9]{1,18})-(?P<record>[0-9]{1,18})-(?P<key>.*)", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9._-]{1,128}")
_REASON_MAX = 1_000
Place = tuple[int, int, str]
_PLACE = ("service", "reason", "topic", "kind")


def letter_views(telling: LetterTelling) -> tuple[View, View]:
    async def listed(asked: Question) -> Context:
        wanted = {name: asked.get(name) for name in ("service", "key", "topic", "reason")}
        given = {name: value for name, value in wanted.items() if value}
        entries, silent = await telling.entries({**given, "limit": str(LISTED_MAX)})
        groups = _grouped(entries)
        chosen = asked.get("group")
        members = groups.get(chosen, [])
        left = [each for each in members if _place_of(each) > _place(asked.get("after"))]
        return {
            **wanted,
            "silent": silent,
            "groups": [_group(name, those) for name, those in groups.items()],
            "count": len(entries),
            "chosen": chosen,
            "members": [_entry(each) for each in left[:SHOWN]],
            "before": len(members) - len(left),
            "after": _after(left[SHOWN - 1]) if len(left) > SHOWN else None,
        }

    async def one(asked: Question) -> Context:
        service, key, name = asked.get("service"), asked.get("key"), asked.get("told")
        shown = await telling.shown(service, key)
        told = await telling.taken(service, name) if _KEY.fullmatch(name) else None
        records = [_dated(each) for each in _list(shown["records"])]
        return {
            "service": service,
            "key": key,
            "parked": _dated(shown["parked"], "since_us") if shown["parked"] else None,
            "records": records[::-1],
            "verbs": [_dated(each) for each in _list(shown["verbs"])][::-1],
            "asked": bool(name),
            "told": told,
            "waits": going_on(told),
            "offered": (Verb.REDRIVE, Verb.DISCARD) if shown["parked"] else (Verb.PARK,),
        }

    return (
        View("letters", "/dead-letters", "Dead letters", listed, ("letters",), EVERY_S),
        View("letter", "/dead-letters/one", "Dead letters of a key", one, ("letter",), EVERY_S),
    )


class Redriving:
    def __init__(self, site: Site, telling: LetterTelling) -> None:
        self._site, self._telling = site, telling

    def routes(self) -> list[Guarded]:
        path = "/dead-letters/act"
        return [
            page(path, self._site.answering(self.form), needs=Role.OPERATOR),
            page(path, self._site.answering(self.act), needs=Role.OPERATOR, methods=["POST"]),
        ]

    async def form(self, request: Request) -> Response:
        return await self._form(request, dict(request.query_params), "")

    async def act(self, request: Request) -> Response:
        given = await form_of(request)
        reason, name = given.get("reason", "").strip(), given.get("name", "")
        if not 0 < len(reason) <= _REASON_MAX or not _KEY.fullmatch(name):
            return await self._form(request, given, "Say why: the reason is kept with it.")
        verb, record = _verb(given), _record(given)
        order = LetterOrder(
            verb,
            reason,
            actor_of(request, None),
            "console",
            record,
            force=given.get("force") == "1",
        )
        service, key = given.get("service", ""), given.get("key", "")
        with faults():
            await self._telling.tell(service, key, order, name)
        place = urlencode({"service": service, "key": key, "told": name})
        return RedirectResponse(f"/dead-letters/one?{place}", HTTPStatus.SEE_OTHER)

    async def _form(self, request: Request, given: Mapping[str, str], problem: str) -> Response:
        verb, record = _verb(given), _record(given)
        service, key = given.get("service", ""), given.get("key", "")
        asked = {"verb": verb.value, "record": str(record or ""), "force": given.get("force", "")}
        known = {name: value for name, value in asked.items() if value}
        try:
            rehearsal = await self._telling.rehearsed(service, key, known)
        except NotUnderstood as fault:
            raise unusable("Not a verb for it", str(fault)) from fault
        names = {
            "title": f"{verb.capitalize()} {key}",
            "verb": verb,
            "does": DOES[verb],
            "service": service,
            "key": key,
            "record": record,
            "force": given.get("force") == "1",
            "reason": given.get("reason", ""),
            "name": given.get("name") or new_id(),
            "rehearsal": rehearsal,
            "problem": problem,
        }
        status = HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK
        return self._site.html(request, "redrive", names, status)


def _grouped(entries: Sequence[Json]) -> dict[str, list[Json]]:
    """The largest first; within, the oldest first."""
    found: dict[str, list[Json]] = {}
    for each in sorted(entries, key=_place_of):
        found.setdefault(":".join(str(each[name]) for name in _PLACE), []).append(each)
    return dict(sorted(found.items(), key=lambda it: -len(it[1])))


def _place_of(entry: Json) -> Place:
    """Where an entry stands in its group, whatever leaves it."""
    return _int(entry["since_us"]), int(str(entry["record"] or 0)), str(entry["key"])


def _after(entry: Json) -> str:
    return "-".join(map(str, _place_of(entry)))


def _place(after: str) -> Place:
    """Nothing that can be read is the beginning."""
    read = _AFTER.fullmatch(after)
    return (int(read["since"]), int(read["record"]), read["key"]) if read else (-1, 0, "")


def _group(name: str, entries: Sequence[Json]) -> Context:
    first = _entry(entries[0])
    return {"name": name, **first, "count": len(entries), "whole": len(entries) < LISTED_MAX}


def _entry(entry: Json) -> Context:
    return _dated(entry, "since_us")


def _dated(row: object, name: str = "at_us") -> Context:
    assert isinstance(row, dict)
    at = datetime.fromtimestamp(_int(row[name]) / 1_000_000, UTC)
    return {**row, "at": at.isoformat()}


def _verb(given: Mapping[str, str]) -> Verb:
    try:
        return Verb(given.get("verb", ""))
    except ValueError:
        raise unusable("No such verb", f"The verbs are {', '.join(Verb)}.") from None


def _record(given: Mapping[str, str]) -> int | None:
    text = given.get("record", "")
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise unusable("Not a number", "Record: a whole number.")


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
