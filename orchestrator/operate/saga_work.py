"""What `baton sagas retry compensate ...` do: rehearse, ask, tell, follow to the verified result.

One saga is told at the version that was rehearsed. Several are an operation of the console, which
goes on without us; progress is shown on a terminal only.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Mapping

import typer

from orchestrator.operate.client import Json, Server
from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault
from orchestrator.operate.filters import duration_us
from orchestrator.operate.output import Form, Output
from orchestrator.operate.saga_orders import Typed
from orchestrator.operate.saga_reading import path_of
from orchestrator.operate.wording import Object, objects
from services.chassis.ids import new_id

LOOK_S = 0.25
TAKEN_S = 60.0
TYPED_OVER = 100  # more than so many are confirmed by typing how many
COMMANDS = ("type", "topic", "service", "id", "again", "money")
SAGAS = ("saga_id", "state", "version", "refused", "commands")
RESULT = ("saga_id", "verb", "result", "verified", "because", "state", "version")
ITEMS = ("saga_id", "state", "detail")
BAD = ("failed_again", "unchanged", "refused", "skipped")


def tell(
    output: Output, verb: str, wanted: Typed, names: tuple[str, ...], more: Mapping[str, str]
) -> None:
    if not wanted.reason.strip():
        raise VerbFault("--reason is empty", mend="say why; it is kept", code=Exit.USAGE)
    if bool(names) is bool(wanted.query):
        raise VerbFault(
            f"{verb} whom?", mend="name a saga, or --query, one of the two", code=Exit.USAGE
        )
    within_s = seconds(wanted.timeout)
    body: Json = {"verb": verb, "reason": wanted.reason, "actor": getpass.getuser()}
    body |= {name: value for name, value in more.items() if value}
    with Server(url=wanted.url) as server:
        if len(names) == 1:
            _one(output, server, wanted, names[0], body, within_s=within_s)
        else:
            who = {"sagas": list(names)} if names else {"query": wanted.query}
            _many(output, server, wanted, {**body, **who}, within_s=within_s)


def seconds(text: str) -> float:
    us = duration_us(text)
    if us is None:
        raise VerbFault(f"{text!r} is no duration", mend="such as 30s or 5m", code=Exit.USAGE)
    return us / 1_000_000


def _one(
    output: Output, server: Server, wanted: Typed, name: str, body: Json, *, within_s: float
) -> None:
    path = f"/api/sagas/{path_of(name)}/verbs"
    shown = server.post(path, {**body, "dry_run": True}, new_id())
    if wanted.dry_run:
        _show(output, shown)
        return
    said = server.post(path, {**body, "version": shown["version"]}, new_id())
    look = f"{path}/{path_of(str(said['id']))}"
    said = _taken(server, look, said)
    if wanted.wait and said["verified"] == "unchanged":
        said = _verified(server, look, said, within_s)
    if output.form is Form.TABLE:
        output.rows(RESULT, [said])
    else:
        output.one(said)
    if said["result"] == "not_taken":
        raise VerbFault(f"{name} has not taken it yet", mend="baton status", code=Exit.TIMEOUT)
    if wanted.wait and said["verified"] != "progressed":
        failed = said["verified"] == "failed_again"
        raise typer.Exit(Exit.FAILURE if failed else Exit.TIMEOUT)


def _show(output: Output, shown: Json) -> None:
    """What one saga would send. What would be refused is refused here, too."""
    if output.form is not Form.TABLE:
        output.one(shown)
    elif not shown["refused"]:
        commands, then = objects(shown, "commands"), objects(shown, "then")
        output.rows(COMMANDS, [{**each, "money": _sums(each)} for each in commands])
        output.lines([f"{shown['saga_id']}: {shown['state']} → {shown['becomes']}"])
        output.lines(f"then, at most: {each['type']} {_sums(each)}".rstrip() for each in then)
    if shown["refused"]:
        what = f"{shown['saga_id']}: {shown['verb']} would be refused: {shown['refused']}"
        raise VerbFault(what, mend=f"baton sagas show {shown['saga_id']}", code=Exit.REFUSED)
    output.say("nothing was changed")


def _taken(server: Server, look: str, said: Json) -> Json:
    """Until the orchestrator took it, or for a minute."""
    until_s = time.monotonic() + TAKEN_S
    while said["result"] == "not_taken" and time.monotonic() < until_s:
        time.sleep(LOOK_S)
        try:
            said = server.get(look)
        except VerbFault as fault:
            if fault.code not in (Exit.NOT_FOUND, Exit.UNREACHABLE):
                raise
    if said["result"] not in ("not_taken", "applied"):
        what = f"{said['saga_id']}: {said['verb']} was refused: {said['result']}"
        raise VerbFault(what, code=Exit.REFUSED)
    return said


def _verified(server: Server, look: str, said: Json, within_s: float) -> Json:
    until_s = time.monotonic() + within_s
    while said["verified"] == "unchanged" and time.monotonic() < until_s:
        time.sleep(LOOK_S)
        said = server.get(look)
    return said


def _many(output: Output, server: Server, wanted: Typed, body: Json, *, within_s: float) -> None:
    shown = server.post("/api/operations", {**body, "dry_run": True}, new_id())
    count = shown["count"]
    assert isinstance(count, int)
    if not count:
        raise VerbFault("no saga matches", mend="baton sagas list", code=Exit.NOT_FOUND)
    if wanted.dry_run:
        _show_many(output, shown, count)
        return
    _ask(output, wanted, f"{count} sagas match. {_summary(shown, body)}?", count)
    body |= {"rate": _rate(wanted.rate), "first": wanted.first, "seen": count}
    operation = server.post("/api/operations", body, new_id())
    if wanted.wait:
        follow(output, server, str(operation["id"]), within_s)
        return
    if output.form is Form.TABLE:
        output.lines([str(operation["id"])])
    else:
        output.one(operation)
    output.say(f"next: baton ops show {operation['id']}")


def _show_many(output: Output, shown: Json, count: int) -> None:
    if output.form is not Form.TABLE:
        output.one(shown)
        return
    output.rows(SAGAS, objects(shown, "sagas"))
    for each in objects(shown, "commands"):
        sums = " ".join(_money(each["money"]))
        output.lines([f"{each['count']} {each['type']} to {each['topic']} {sums}".rstrip()])
    refused = shown["refused"]
    assert isinstance(refused, Mapping)
    output.lines(f"{n} would be refused: {why}" for why, n in refused.items())
    rehearsed = shown["rehearsed"]
    tail = "" if rehearsed == count else f"; the first {rehearsed} were rehearsed"
    output.lines([f"{count} sagas match{tail}"])
    output.say("nothing was changed")


def _summary(shown: Json, body: Json) -> str:
    commands = [f"{each['count']} {each['type']}" for each in objects(shown, "commands")]
    return f"{body['verb']} them all" + (f", sending {', '.join(commands)}" if commands else "")


def _ask(output: Output, wanted: Typed, question: str, count: int) -> None:
    if count == 1 or wanted.yes:
        return
    if not output.asks:
        raise VerbFault(f"{count} sagas match", mend="--dry-run, then --yes", code=Exit.USAGE)
    if count > TYPED_OVER:
        sure = typer.prompt(f"{question} Type how many", err=True, default="") == str(count)
    else:
        sure = typer.confirm(question, err=True)
    if not sure:
        raise typer.Exit(Exit.INTERRUPTED)


def follow(output: Output, server: Server, name: str, within_s: float) -> None:
    """Until it has ended or paused; the exit code says whether all of it went well."""
    until_s, terminal = time.monotonic() + within_s, output.stderr().is_terminal
    path, shown = f"/api/operations/{path_of(name)}", ""
    said = server.get(path)
    while _goes_on(said) and time.monotonic() < until_s:
        if terminal and shown != (shown := progress(said)):
            output.say(shown)
        time.sleep(LOOK_S)
        said = server.get(path)
    counts = said["counts"]
    assert isinstance(counts, Mapping)
    bad = [
        each
        for state in BAD
        if counts[state]
        for each in objects(server.get(f"{path}/items", state=state, limit=1_000), "items")
    ]
    if output.form is Form.TABLE:
        output.lines([progress(said)])
        if bad:
            output.rows(ITEMS, bad)
    else:
        output.one({**said, "items": bad})
    if _goes_on(said) or said["state"] == "paused":
        raise VerbFault(
            f"{name} is {said['state']}", mend=f"baton ops show {name}", code=Exit.TIMEOUT
        )
    if bad:
        output.say(f"next: baton ops show {name}")
        raise typer.Exit(Exit.PARTIAL)


def _goes_on(said: Json) -> bool:
    return said["state"] in ("collecting", "running") or (
        said["state"] == "cancelled" and said["ended"] is None
    )


def progress(said: Json) -> str:
    """One line: how far, and what came of it."""
    counts, total = said["counts"], said["total"]
    assert isinstance(counts, Mapping)
    words = [f"{n} {state.replace('_', ' ')}" for state, n in counts.items() if n]
    held = f" · held: {said['held']}" if said["held"] else ""
    return f"{said['id']} {said['state']} · {total} sagas · {' · '.join(words) or 'none'}{held}"


def _sums(command: Object) -> str:
    amounts = objects(command, "money")
    return " ".join(_amount(each["amount_minor"], each["currency"]) for each in amounts)


def _money(sums: object) -> list[str]:
    assert isinstance(sums, Mapping)
    return [_amount(minor, currency) for currency, minor in sums.items()]


def _amount(minor: object, currency: object) -> str:
    assert isinstance(minor, int)
    return f"{minor / 100:.2f} {currency}"


def _rate(text: str) -> int:
    number = text.removesuffix("/s")
    if number.isascii() and number.isdigit() and 0 < int(number) <= 1_000:
        return int(number)
    raise VerbFault(f"--rate {text}: from 1/s to 1000/s", code=Exit.USAGE)
