"""What `baton sagas history wait tail` print: the journal as it grows, and a saga's end.

One line, or one JSON object, an event, flushed; asked of the console again and again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from orchestrator.operate.client import Json, Server
from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault
from orchestrator.operate.output import Form, Output
from orchestrator.operate.saga_reading import PAGE_MAX, path_of
from orchestrator.operate.wording import Clock, Object, line, objects, state

LOOK_AGAIN_S = 0.25
COLUMNS = ("seq", "saga_id", "at", "what", "result", "from_state", "to_state", "step", "detail",
           "actor", "evidence", "sent")  # fmt: skip
TERMS = ("definition", "key", "state", "reason")
OUTCOMES = {
    "completed": Exit.DONE,
    "compensated": Exit.COMPENSATED,
    "needs_operator": Exit.NEEDS_OPERATOR,
}


def history(output: Output, name: str, *, follow: bool, clock: Clock, url: str) -> None:
    with Server(url=url) as server:
        path = f"/api/sagas/{path_of(name)}/history"
        page = server.get(path, after=0, limit=PAGE_MAX)
        whole = objects(page, "lines")
        while len(objects(page, "lines")) == PAGE_MAX:
            page = server.get(path, after=_next(page), limit=PAGE_MAX)
            whole = [*whole, *objects(page, "lines")]
        _print(output, whole, clock=clock, alone=True, again=False, follow=follow)
        while follow and not page["finished"]:
            time.sleep(LOOK_AGAIN_S)
            page = server.get(path, after=_next(page), limit=PAGE_MAX)
            new = objects(page, "lines")
            _print(output, new, clock=clock, alone=True, again=True, follow=follow)


def tail(
    output: Output, terms: Sequence[str], *, lines: int, follow: bool, clock: Clock, url: str
) -> None:
    wanted = _matching(terms)
    with Server(url=url) as server:
        page = server.get("/api/journal", last=lines)
        found = [each for each in objects(page, "lines") if lines and wanted(each)]
        _print(output, found, clock=clock, alone=False, again=False, follow=follow)
        while follow:
            page = server.get("/api/journal", after=_next(page), limit=PAGE_MAX)
            new = objects(page, "lines")
            found = [each for each in new if wanted(each)]
            _print(output, found, clock=clock, alone=False, again=True, follow=follow)
            if len(new) < PAGE_MAX:
                time.sleep(LOOK_AGAIN_S)


def wait(output: Output, name: str, *, timeout: str, url: str) -> Exit:
    """The exit code that says how it ended. A saga that is not there yet is waited for, too."""
    from orchestrator.operate.filters import duration_us  # noqa: PLC0415  reads the engine

    patience_us = duration_us(timeout)
    if patience_us is None:
        raise VerbFault(f"{timeout!r} is no time: write 30s, 5m or 1h", code=Exit.USAGE)
    until_s = time.monotonic() + patience_us / 1_000_000
    with Server(url=url) as server:
        while True:
            saga = _find(server, name)
            outcome = None if saga is None else OUTCOMES.get(str(saga["state"]))
            if saga is not None and outcome is not None:
                _ended(output, saga)
                return outcome
            if time.monotonic() >= until_s:
                break
            time.sleep(min(LOOK_AGAIN_S, max(0.0, until_s - time.monotonic())))
    if saga is None:
        raise VerbFault(
            f"no saga {name} within {timeout}",
            mend=f"baton order show {name}; baton status",
            code=Exit.TIMEOUT,
        )
    raise VerbFault(
        f"{saga['saga_id']} did not end within {timeout}: {state(str(saga['state']))}",
        mend=f"baton sagas show {name}",
        code=Exit.TIMEOUT,
    )


def _ended(output: Output, saga: Json) -> None:
    if output.form is Form.TABLE:
        why = f"  ({saga['reason']})" if saga["reason"] else ""
        output.lines([f"{saga['saga_id']}  {state(str(saga['state']))}{why}"])
    else:
        output.one(saga)


def _find(server: Server, name: str) -> Json | None:
    try:
        return server.get(f"/api/sagas/{path_of(name)}")
    except VerbFault as fault:
        if fault.code is Exit.NOT_FOUND:
            return None
        raise


def _print(
    output: Output, lines: Sequence[Object], *, clock: Clock, alone: bool, again: bool, follow: bool
) -> None:
    """`alone`: all of one saga. `again`: more of what was printed, so without a heading."""
    if output.form is Form.TABLE:
        output.lines(
            line(each, clock=clock) + ("" if alone else f"  [{each['saga_id']}]") for each in lines
        )
    elif output.form is Form.CSV:
        output.rows(COLUMNS, lines, heading=not again)
    elif follow:
        output.stream(lines)
    else:
        output.rows(COLUMNS, lines)


def _matching(terms: Sequence[str]) -> Callable[[Object], bool]:
    wanted: dict[str, set[str]] = {}
    for term in terms:
        name, sign, values = term.partition("=")
        if name not in TERMS or not sign:
            known = ", ".join(f"{each}=" for each in TERMS)
            raise VerbFault(f"{term!r}: the terms of tail are {known}", code=Exit.USAGE)
        wanted.setdefault(name, set()).update(values.split(","))

    def matches(entry: Object) -> bool:
        definition, _, key = str(entry["saga_id"]).partition(":")
        said = {
            "definition": definition,
            "key": key,
            "state": str(entry["to_state"]),
            "reason": str(entry["result"]),
        }
        return all(said[name] in values for name, values in wanted.items())

    return matches


def _next(page: Json) -> int:
    found = page["next"]
    assert isinstance(found, int)
    return found
