"""What `baton dlq list show` print: JSON and CSV as the API says it, tables in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from orchestrator.operate.client import Json, Server
from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault
from orchestrator.operate.output import Form, Output
from orchestrator.operate.saga_reading import path_of
from orchestrator.operate.wording import Clock, Object, moment, objects

COLUMNS = ("service", "key", "kind", "reason", "type", "topic", "waiting", "record", "since")
CELLS = (*COLUMNS[:-1], "failures", "since_us", "detail")
RECORDS = ("record", "state", "kind", "reason", "type", "topic", "partition", "offset", "bytes",
    "failures", "became", "detail")  # fmt: skip


def listed(output: Output, wanted: Mapping[str, str], *, limit: int, clock: Clock, url: str) -> int:
    """How many there are."""
    with Server(url=url) as server:
        entries = entries_of(output, server, wanted, limit)
    if output.form is Form.TABLE:
        rows = [{**each, "since": _moment(each["since_us"], clock)} for each in entries]
        output.rows(COLUMNS, rows)
        _say_next(output, entries)
    else:
        output.rows(CELLS, entries)
    return len(entries)


def entries_of(
    output: Output, server: Server, wanted: Mapping[str, str], limit: int
) -> list[Object]:
    """Who is silent is said on standard error: what it holds is not in the list."""
    answer = server.get("/api/deadletters", **wanted, limit=limit)
    silent = answer["silent"]
    if isinstance(silent, Mapping):
        for service, why in silent.items():
            output.fail(f"{service} is not in this list: {why}", f"baton logs {service}")
    return list(objects(answer, "entries"))


def show(output: Output, key: str, *, service: str, clock: Clock, url: str) -> None:
    with Server(url=url) as server:
        services = [service] if service else _services(output, server, key)
        shown = [server.get(f"/api/deadletters/{each}/{path_of(key)}") for each in services]
    if output.form is not Form.TABLE:
        output.rows(("service", "key", "parked", "records", "verbs"), shown)
        return
    for each in shown:
        _show(output, each, clock)


def _services(output: Output, server: Server, key: str) -> list[str]:
    found = entries_of(output, server, {"key": key}, limit=100)
    services = list(dict.fromkeys(str(each["service"]) for each in found))
    if not services:
        raise VerbFault(
            f"{key} is parked nowhere, and no record of it was rejected",
            mend="baton dlq list   (what was settled: name its --service)",
            code=Exit.NOT_FOUND,
        )
    return services


def _show(output: Output, shown: Json, clock: Clock) -> None:
    parked = shown["parked"]
    state = "not parked"
    if isinstance(parked, Mapping):
        since = _moment(parked["since_us"], clock)
        state = f"✖ parked since {since}: {parked['reason']}, {parked['detail']}"
    output.lines([f"{shown['key']}  {shown['service']}  {state}"])
    output.rows(RECORDS, objects(shown, "records"))
    output.lines(_line(told, clock) for told in objects(shown, "verbs"))


def _line(told: Object, clock: Clock) -> str:
    """Who told it what, why, and what became of it."""
    asked = f"{told['verb']} by {told['actor']} ({told['reason']})"
    detail = f": {told['detail']}" if told["detail"] else ""
    became = f"{told['result']}{detail}, {told['applied']} applied"
    return f"  {_moment(told['at_us'], clock)}  ☞ {asked} → {became}"


def _say_next(output: Output, entries: list[Object]) -> None:
    parked = [each for each in entries if each["kind"] == "parked"]
    if not entries:
        output.say("nothing is parked, nothing was rejected")
    elif parked:
        first = parked[0]
        named = f"{first['key']} --service {first['service']}"
        output.say(f'next: baton dlq redrive {named} --reason "..." --dry-run')
    else:
        output.say(f"next: baton dlq show {entries[0]['key']}")


def _moment(us: object, clock: Clock) -> str:
    assert isinstance(us, int)
    return moment(datetime.fromtimestamp(us / 1_000_000, UTC).isoformat(), clock=clock)
