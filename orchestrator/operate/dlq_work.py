"""What `baton dlq park unpark redrive discard` do: one key, or each that matches a filter.

A verb is told once under its own id and followed until its end is recorded. Of several, one that
fails does not stop the others; the exit code says that not all went well.
"""

from __future__ import annotations

import getpass
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

import typer

from orchestrator.operate.client import Json, Server
from orchestrator.operate.dlq_reading import entries_of
from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault
from orchestrator.operate.output import Output
from orchestrator.operate.saga_reading import path_of
from orchestrator.operate.wording import Object, objects
from services.chassis.ids import new_id

FOLLOWED_S = 60.0
_LOOK_S = 0.25
MATCHING_MAX = 1_000
COLUMNS = ("service", "key", "verb", "result", "applied", "detail")
WOULD = ("service", "key", "result", "record", "topic", "offset", "type", "would")


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """What is told."""

    verb: str
    reason: str
    record: int | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom it is told: one key, or all parked ones that match."""

    key: str = ""
    service: str = ""
    topic: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    service: str
    key: str

    @property
    def path(self) -> str:
        return f"/api/deadletters/{self.service}/{path_of(self.key)}"


def tell(
    output: Output, order: KeyOrder, wanted: Wanted, *, dry_run: bool, url: str, yes: bool = False
) -> None:
    if not order.reason.strip():
        raise VerbFault("--reason is empty", mend="say why; it is kept", code=Exit.USAGE)
    with Server(url=url) as server:
        places = _places(output, server, order, wanted)
        if dry_run:
            _rehearse(output, server, order, places)
            return
        _ask(output, order, len(places), yes=yes)
        rows = [
            _told(output, server, order, place, f"{at}/{len(places)} ")
            for at, place in enumerate(places, 1)
        ]
    output.rows(COLUMNS, [row for row, _ in rows])
    codes = {code for _, code in rows}
    if codes - {Exit.DONE}:
        raise typer.Exit(codes.pop() if len(rows) == 1 else Exit.PARTIAL)


def _places(output: Output, server: Server, order: KeyOrder, wanted: Wanted) -> list[Place]:
    if wanted.key and wanted.service:
        return [Place(wanted.service, wanted.key)]
    if not any(asdict(wanted).values()):
        raise VerbFault(
            f"{order.verb} whom?",
            mend="name a key, or --service, --topic or --reason-code",
            code=Exit.USAGE,
        )
    kind = "parked" if order.record is None else "rejected"
    found = entries_of(output, server, {"kind": kind, **asdict(wanted)}, limit=MATCHING_MAX)
    if any(n >= MATCHING_MAX for n in Counter(each["service"] for each in found).values()):
        output.say(f"{MATCHING_MAX} of a process are taken at once: then look for more")
    if order.record is not None:
        found = [each for each in found if each["record"] == order.record]
    places = [Place(str(each["service"]), str(each["key"])) for each in found]
    if not places:
        raise VerbFault("nothing matches", mend="baton dlq list", code=Exit.NOT_FOUND)
    if wanted.key and len(places) > 1:
        services = ", ".join(each.service for each in places)
        raise VerbFault(
            f"{wanted.key} waits in {services}", mend="say which: --service", code=Exit.USAGE
        )
    return places


def _ask(output: Output, order: KeyOrder, count: int, *, yes: bool) -> None:
    if count == 1 or yes:
        return
    if not output.asks:
        raise VerbFault(f"{count} keys match", mend="--dry-run, then --yes", code=Exit.USAGE)
    if not typer.confirm(f"{count} keys match. {order.verb} them all?", err=True):
        raise typer.Exit(Exit.INTERRUPTED)


def _rehearse(output: Output, server: Server, order: KeyOrder, places: list[Place]) -> None:
    rows: list[Object] = []
    for place in places:
        said = server.get(
            f"{place.path}/rehearsal",
            verb=order.verb,
            record=order.record,
            force="1" if order.force else None,
        )
        result = f"{said['result']}{': ' if said['detail'] else ''}{said['detail']}"
        named = {"service": place.service, "key": place.key, "result": result}
        rows += [{**named, **each} for each in objects(said, "records")] or [named]
    output.rows(WOULD, rows)
    output.say("nothing was changed")


def _told(
    output: Output, server: Server, order: KeyOrder, place: Place, count: str
) -> tuple[Json, Exit]:
    """A row of the result, and the exit code that this one alone would have."""
    body = {**asdict(order), "actor": getpass.getuser()}
    row: Json = {**asdict(place), "verb": order.verb, "applied": 0, "detail": ""}
    name = new_id()
    try:
        said = server.post(place.path, body, name)
        if "look" in said:
            said = _followed(server, said, time.monotonic)
    except VerbFault as fault:
        if fault.code not in (Exit.REFUSED, Exit.UNREACHABLE, Exit.NOT_FOUND, Exit.USAGE):
            raise
        output.say(f"{count}{place.key}: {fault.what}")
        return {**row, "result": "refused", "detail": fault.what}, fault.code
    output.say(f"{count}{place.key}: {said['result']}")
    row |= {each: said[each] for each in ("result", "applied", "detail") if each in said}
    codes = {"applied": Exit.DONE, "going_on": Exit.TIMEOUT, "not_taken": Exit.TIMEOUT}
    return row, codes.get(str(said["result"]), Exit.FAILURE)


def _followed(server: Server, said: Json, now_s: Callable[[], float]) -> Json:
    """Until its end is recorded, or for a minute: it goes on without us."""
    until_s, look = now_s() + FOLLOWED_S, str(said["look"])
    while now_s() < until_s:
        try:
            said = server.get(look)
        except VerbFault as fault:
            if fault.code not in (Exit.NOT_FOUND, Exit.UNREACHABLE):
                raise
        if said["result"] not in ("going_on", "not_taken"):
            break
        time.sleep(_LOOK_S)
    return said
