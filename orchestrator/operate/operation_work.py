"""What `baton ops ...` and `baton audit` print."""

from __future__ import annotations

import getpass
from collections.abc import Mapping

from orchestrator.operate.client import Server
from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault
from orchestrator.operate.output import Form, Output
from orchestrator.operate.saga_reading import path_of
from orchestrator.operate.saga_work import progress
from orchestrator.operate.wording import Clock, moment, objects
from services.chassis.ids import new_id

OPERATIONS = ("id", "state", "verb", "total", "query", "actor", "reason", "created")
ITEMS = ("n", "saga_id", "state", "detail", "version", "attempt")
ACTS = ("seq", "at", "actor", "via", "action", "target", "result", "reason", "request")


def listed(output: Output, *, limit: int, clock: Clock, url: str) -> None:
    with Server(url=url) as server:
        found = objects(server.get("/api/operations", limit=limit), "operations")
    if output.form is Form.TABLE:
        found = [{**each, "created": moment(each["created"], clock=clock)} for each in found]
        if not found:
            output.say("no operations yet; next: baton sagas retry --query ... --dry-run")
    output.rows(OPERATIONS, found)


def show(output: Output, name: str, *, state: str, limit: int, url: str) -> None:
    path = f"/api/operations/{path_of(name)}"
    with Server(url=url) as server:
        said = server.get(path)
        items = objects(server.get(f"{path}/items", state=state, limit=limit), "items")
    if output.form is Form.TABLE:
        output.lines([progress(said), f"{said['verb']} by {said['actor']}: {said['reason']}"])
        output.rows(ITEMS, items)
        if said["state"] == "paused":
            output.say(f'next: baton ops resume {name} --reason "..."')
    else:
        output.one({**said, "items": items})


def change(output: Output, name: str, change: str, reason: str, *, url: str) -> None:
    if not reason.strip():
        raise VerbFault("--reason is empty", mend="say why; it is kept", code=Exit.USAGE)
    body = {"reason": reason, "actor": getpass.getuser()}
    with Server(url=url) as server:
        said = server.post(f"/api/operations/{path_of(name)}/{change}", body, new_id())
    if output.form is Form.TABLE:
        output.lines([progress(said)])
    else:
        output.one(said)


def audit(output: Output, wanted: Mapping[str, str], *, limit: int, clock: Clock, url: str) -> None:
    with Server(url=url) as server:
        acts = objects(server.get("/api/audit", limit=limit, **wanted), "acts")
    if output.form is Form.TABLE:
        acts = [{**each, "at": moment(each["at"], clock=clock)} for each in acts]
    output.rows(ACTS, acts)


def export_audit(output: Output, *, url: str) -> None:
    """Each line as it is chained, the oldest first."""
    after: object = 0
    with Server(url=url) as server:
        while after is not None:
            page = server.get("/api/audit/export", after=str(after))
            output.stream(objects(page, "lines"))
            after = page["next"]


def check_audit(output: Output, *, url: str) -> None:
    with Server(url=url) as server:
        said = server.get("/api/audit/check")
    if output.form is not Form.TABLE:
        output.one(said)
    if said["broken"]:
        raise VerbFault(
            f"the audit is broken: {said['broken']}",
            mend="compare with a copy: baton audit --export",
            code=Exit.FAILURE,
        )
    if output.form is Form.TABLE:
        output.lines([f"✓ the audit is whole: {said['lines']} lines, head {said['head']}"])
