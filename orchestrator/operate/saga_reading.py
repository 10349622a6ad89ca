"""What `baton sagas list count show graph stuck` print: one question to the console each.

JSON, JSON lines and CSV give what the API says; tables say it in words.
"""

from __future__ import annotations

from orchestrator.operate.client import Json, Server
from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault
from orchestrator.operate.output import Form, Output
from orchestrator.operate.wording import (
    Clock,
    Object,
    duration,
    headline,
    line,
    moment,
    objects,
    reason,
    state,
    strings,
)

PAGE_MAX = 1_000
LIST_COLUMNS = ("key", "definition", "state", "since", "waiting_on", "attempts", "reason", "stuck")
GROUP_COLUMNS = ("reason", "state", "waiting_on", "count", "oldest", "since", "suggested")
GROUP_CELLS = ("reason", "definition", "state", "waiting_on", "count", "oldest_s", "since")
MEMBER_COLUMNS = ("key", "reason", "state", "waiting_on", "age", "since", "deadline", "detail")
MEMBER_CELLS = ("key", "reason", "state", "waiting_on", "age_s", "since", "deadline", "detail")


def list_sagas(output: Output, query: str, *, limit: int, clock: Clock, url: str) -> None:
    """Asks page by page until `limit` are found or there are no more."""
    found: list[Object] = []
    after: str | None = None
    with Server(url=url) as server:
        while len(found) < limit:
            want = min(limit - len(found), PAGE_MAX)
            page = server.get("/api/sagas", query=query, limit=want, after=after)
            found += objects(page, "sagas")
            after = _text(page, "next")
            if after is None:
                break
    if output.form is not Form.TABLE:
        output.rows(LIST_COLUMNS, found)
        return
    output.rows(LIST_COLUMNS, [_row(each, clock=clock) for each in found])
    if not found:
        wanted = f" that match {query}" if query else " yet"
        output.say(f"no sagas{wanted}; next: baton order place --help · baton import --help")
    elif after is not None:
        output.say(f"{len(found)} shown, there are more: -n {limit * 10}")


def count(output: Output, query: str, *, url: str) -> None:
    with Server(url=url) as server:
        counted = server.get("/api/sagas/count", query=query)
    if output.form is Form.TABLE:
        print(counted["count"])
    else:
        output.one(counted)


def show(output: Output, name: str, *, clock: Clock, url: str) -> None:
    with Server(url=url) as server:
        saga = server.get(f"/api/sagas/{path_of(name)}")
        told = server.get(f"/api/sagas/{path_of(str(saga['saga_id']))}/history", limit=PAGE_MAX)
    if output.form is not Form.TABLE:
        output.one({**saga, "history": told["lines"]})
        return
    output.lines([headline(saga, clock=clock)])
    output.lines("  " + line(entry, clock=clock) for entry in objects(told, "lines"))
    for other in strings(saga, "others"):
        output.say(f"also: baton sagas show {other}")
    if saga["stuck"] and saga["waiting_on"]:
        output.say(f"next: baton logs {_first(saga)} · baton sagas wait {name}")


def graph(definition: str, form: str) -> None:
    from orchestrator.operate.pictures import draw  # noqa: PLC0415  only this verb reads sagas

    try:
        print(draw(definition.partition(":")[0], form).rstrip())
    except KeyError as fault:
        raise VerbFault(str(fault.args[0]), code=Exit.NOT_FOUND) from fault


def stuck(output: Output, query: str, *, members: bool, clock: Clock, url: str) -> int:
    """How many are stuck."""
    with Server(url=url) as server:
        said = server.get("/api/sagas/stuck", query=query)
    groups = objects(said, "groups")
    those = [each for group in groups for each in objects(group, "members")]
    if output.form is not Form.TABLE:
        output.rows(*((MEMBER_CELLS, those) if members else (GROUP_CELLS, groups)))
    elif members and those:
        output.rows(MEMBER_COLUMNS, [_member(each, clock=clock) for each in those])
    elif groups:
        output.rows(GROUP_COLUMNS, [_group(each, clock=clock) for each in groups])
    if output.form is Form.TABLE:
        output.lines([_footer(said, len(groups))])
    stuck = said["stuck"]
    assert isinstance(stuck, int)
    return stuck


def path_of(name: str) -> str:
    """A name as one segment of a path."""
    from urllib.parse import quote  # noqa: PLC0415  the only use of it

    return quote(name, safe="").replace(".", "%2E")


def _row(saga: Object, *, clock: Clock) -> Object:
    return {
        **saga,
        "state": state(str(saga["state"])) + (" ‖" if saga["paused"] else ""),
        "since": moment(saga["since"], clock=clock),
    }


def _group(group: Object, *, clock: Clock) -> Object:
    return {
        **group,
        "reason": reason(str(group["reason"])),
        "oldest": duration(group["oldest_s"]),
        "since": moment(group["since"], clock=clock),
        "suggested": _suggested(group),
    }


def _member(member: Object, *, clock: Clock) -> Object:
    return {
        **member,
        "reason": reason(str(member["reason"])),
        "age": duration(member["age_s"]),
        "since": moment(member["since"], clock=clock),
        "deadline": moment(member["deadline"], clock=clock),
    }


def _suggested(group: Object) -> str:
    """What to type next."""
    why = group["reason"]
    if why == "late_timer":
        return "baton logs orchestrator"
    oldest = objects(group, "members")[0]
    if why == "contract":
        return f"baton dlq show {oldest['key']}"
    if why == "paused":
        return "baton sagas resume --query reason=paused"
    if why == "orphan_version":
        return f"baton sagas show {oldest['key']}"
    if why in ("no_reply", "retries_exhausted"):
        services = str(group["waiting_on"]).replace("+", ",")
        return f"baton sagas retry --query 'reason={why} service={services}'"
    return f"baton logs {_first(group)}"


def _first(shape: Object) -> str:
    return str(shape["waiting_on"]).partition("+")[0]


def _footer(said: Json, groups: int) -> str:
    if not groups:
        oldest = duration(said["oldest_open_s"])
        tail = f" Oldest open saga {oldest}." if oldest else " No saga is open."
        return f"✓ Nothing is stuck.{tail}"
    whole = "" if said["whole"] else " · more may be: only the oldest were looked at"
    numbers = f"{said['stuck']} stuck, {said['open']} open"
    many = f"{groups} group{'' if groups == 1 else 's'}"
    return f"{many} · {numbers} · as of {moment(said['as_of'])}{whole}"


def _text(shape: Object, name: str) -> str | None:
    found = shape.get(name)
    return None if found is None else str(found)
