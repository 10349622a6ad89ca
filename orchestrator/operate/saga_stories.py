"""What `baton sagas timeline sequence export diff` print: a saga's journal, told in four ways.

Everything is made of the lines that the console gives; what is not in the journal is not shown.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from datetime import datetime

from orchestrator.operate.client import Json, Server
from orchestrator.operate.output import Form, Output
from orchestrator.operate.saga_reading import PAGE_MAX, path_of
from orchestrator.operate.wording import Clock, Object, moment, objects

WIDTH = 40
ORCHESTRATOR = "orchestrator"
STAYS = ("state", "from_s", "to_s", "lines")
ARROWS = ("at", "from", "to", "message", "result")


def timeline(output: Output, name: str, *, url: str) -> None:
    """A row for each time in a state; a tick is a line of the journal that did not leave it."""
    saga, lines = _whole(name, url)
    stays = list(_stays(lines))
    if output.form is not Form.TABLE:
        output.rows(STAYS, stays)
        return
    whole_s = max((_s(stay["to_s"]) for stay in stays), default=0.0) or 1.0
    width = max((len(str(stay["state"])) for stay in stays), default=0)
    output.lines([f"{saga['saga_id']}  {saga['state']}"])
    for stay in stays:
        first, last = (round(_s(stay[end]) / whole_s * WIDTH) for end in ("from_s", "to_s"))
        bar = " " * first + "█" * max(1, last - first)
        took = _s(stay["to_s"]) - _s(stay["from_s"])
        tries = "" if stay["lines"] == 1 else f"  {stay['lines']} lines"
        output.lines([f"{stay['state']:<{width}}  {bar:<{WIDTH + 1}} {took:9.3f} s{tries}"])


def sequence(output: Output, name: str, *, clock: Clock, url: str) -> None:
    """Who said what to whom, in the order of the journal."""
    _, lines = _whole(name, url)
    owners = _owners()
    arrows = [arrow for each in lines for arrow in _arrows(each, owners)]
    if output.form is Form.TABLE:
        arrows = [{**each, "at": moment(each["at"], clock=clock, fine=True)} for each in arrows]
    output.rows(ARROWS, arrows)


def export(name: str, *, url: str) -> None:
    """The saga and its whole journal as one JSON object."""
    saga, lines = _whole(name, url)
    print(json.dumps({**saga, "history": lines}, indent=1))


def diff(output: Output, one: str, other: str, *, url: str) -> None:
    """What happened to one and not to the other; ids and times are left out."""
    first, second = ([_told(line) for line in _whole(name, url)[1]] for name in (one, other))
    found = list(difflib.unified_diff(first, second, one, other, lineterm="", n=2))
    if output.form is Form.TABLE:
        output.lines(found)
        if not found:
            output.say("they went the same way")
    else:
        output.rows(("line",), [{"line": each} for each in found])


def _whole(name: str, url: str) -> tuple[Json, list[Object]]:
    lines: list[Object] = []
    with Server(url=url) as server:
        saga = server.get(f"/api/sagas/{path_of(name)}")
        path = f"/api/sagas/{path_of(str(saga['saga_id']))}/history"
        while True:
            page = server.get(path, limit=PAGE_MAX, after=str(lines[-1]["seq"]) if lines else "0")
            lines += objects(page, "lines")
            if len(objects(page, "lines")) < PAGE_MAX:
                return saga, lines


def _stays(lines: list[Object]) -> Iterator[dict[str, object]]:
    began = _at(lines[0]) if lines else 0.0
    stay: dict[str, object] | None = None
    for line in lines:
        now_s = round(_at(line) - began, 6)
        if stay is not None:
            stay["to_s"] = now_s
        if stay is None or stay["state"] != line["to_state"]:
            if stay is not None:
                yield stay
            stay = {"state": line["to_state"], "from_s": now_s, "to_s": now_s, "lines": 0}
        stay["lines"] = int(str(stay["lines"])) + 1
    if stay is not None:
        yield stay


def _arrows(line: Object, owners: dict[str, str]) -> Iterator[dict[str, object]]:
    cause, sent = line["cause"], line["sent"]
    assert isinstance(cause, dict)
    assert isinstance(sent, list)
    yield {
        "at": line["at"],
        "from": cause["source"],
        "to": ORCHESTRATOR,
        "message": cause["type"],
        "result": line["result"],
    }
    for each in sent:
        to = owners.get(str(each), "the same")
        message = f"{each} (again)" if "/" in str(each) else each
        yield {"at": line["at"], "from": ORCHESTRATOR, "to": to, "message": message, "result": ""}


def _owners() -> dict[str, str]:
    """Message → who is told it: the service that answers, or everybody for an outcome."""
    from schemas.catalogue import load_catalogue  # noqa: PLC0415  only this verb reads schemas

    contracts = load_catalogue().by_name.values()
    owners = {each.full_name.rpartition(".")[2]: each.owner for each in contracts}
    return {name: "all" if owner == ORCHESTRATOR else owner for name, owner in owners.items()}


def _told(line: Object) -> str:
    cause, sent = line["cause"], line["sent"]
    assert isinstance(cause, dict)
    assert isinstance(sent, list)
    words = [str(line["what"]), str(cause["type"]), f"{line['from_state']} → {line['to_state']}"]
    return "  ".join([*words, str(line["result"]), *map(str, sent)])


def _at(line: Object) -> float:
    return datetime.fromisoformat(str(line["at"])).timestamp()


def _s(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)
