"""`baton verify`: ask the independent checker, print what it found, exit by it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.operate.cluster import faults_told
from orchestrator.operate.exits import Exit
from orchestrator.operate.output import Form, Output

if TYPE_CHECKING:
    from deploy.verify import Evidence, Verdict

COLUMNS = ("invariant", "status", "claim", "checked", "violations", "why")


def register(app: typer.Typer) -> None:
    app.command()(verify)


def verify(
    context: typer.Context,
    *,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="DIR", help="Only write what would be checked, there."),
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="Check an export instead.")
    ] = None,
    wait: Annotated[
        int, typer.Option("--wait", min=0, help="Seconds to wait until nothing is under way.")
    ] = 30,
) -> None:
    """Check topics and databases against what must always hold.

    Shares no code with what it checks. Of a stack that stands still, Kafka alone is started.
    An export holds personal data. Exits 0 if all holds, 1 if something is violated, 4 if
    something could not be checked, or nothing was there to check.
    """
    output: Output = context.obj
    with faults_told(output):
        evidence = _evidence(output, export, source, wait)
    if evidence is None:
        raise typer.Exit(Exit.DONE)
    from deploy.verify import check  # noqa: PLC0415  keeps `--help` quick, here and below

    verdicts = check(evidence)
    if output.form is Form.TABLE:
        output.lines(lines_of(verdicts))
    else:
        output.rows(COLUMNS, [as_row(verdict) for verdict in verdicts])
    raise typer.Exit(exit_of(verdicts))


def _evidence(
    output: Output, export: Path | None, source: Path | None, wait: int
) -> Evidence | None:
    """None where it was only written; a fault is told in two lines."""
    import asyncio  # noqa: PLC0415

    from deploy.verify.books import Unreadable  # noqa: PLC0415
    from deploy.verify.export import Unusable, read_export  # noqa: PLC0415
    from deploy.verify.topics import Unreachable  # noqa: PLC0415

    if export and source:
        raise typer.BadParameter("--export writes and --from reads: give one of them")
    try:
        if source:
            output.say(f"reading the export in {source}")
            return read_export(source)
        return asyncio.run(_collected(output, export, wait))
    except Unusable as fault:
        output.fail(str(fault), "baton verify --export DIR   (DIR is new, or empty)")
        raise typer.Exit(Exit.NOT_FOUND if source else Exit.REFUSED) from fault
    except Unreadable as fault:
        output.fail(str(fault), "is it a database of this release? baton doctor")
        raise typer.Exit(Exit.FAILURE) from fault
    except Unreachable as fault:
        output.fail(str(fault), "baton status; baton doctor")
        raise typer.Exit(Exit.UNREACHABLE) from fault


async def _collected(output: Output, export: Path | None, wait: int) -> Evidence | None:
    from deploy.local.home import Home  # noqa: PLC0415
    from deploy.local.running import Telling  # noqa: PLC0415
    from deploy.local.verifying import installation  # noqa: PLC0415
    from deploy.verify.collecting import collect  # noqa: PLC0415
    from deploy.verify.export import prepare, write_export  # noqa: PLC0415

    copies = prepare(export) if export else None
    home = Home.from_environment(os.environ)
    async with installation(home, os.environ, Telling(line=output.say)) as there:
        evidence = await collect(there, wait_s=wait, tell=output.say, copies=copies)
    if export is None:
        return evidence
    write_export(export, evidence)
    if evidence.moved:
        output.say(f"taken while it worked ({evidence.moved}): most of it cannot be checked")
    output.say(f"{len(evidence.records)} records and {len(evidence.tables)} databases in {export}")
    output.say(f"  → baton verify --from {export}")
    return None


def exit_of(verdicts: Sequence[Verdict]) -> Exit:
    """I-16 of what does not run is no failure; that nothing at all was looked at is one."""
    statuses = [str(verdict.status) for verdict in verdicts if not _asks_the_running(verdict)]
    if any(verdict.violations for verdict in verdicts):
        return Exit.FAILURE
    if "could not check" in statuses or "ok" not in statuses:
        return Exit.PARTIAL
    return Exit.DONE


def _asks_the_running(verdict: Verdict) -> bool:
    return verdict.invariant == "I-16" and not verdict.checked


def lines_of(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """For people: a line an invariant, and under it what is wrong or could not be told."""
    signs = {"ok": "✔", "violated": "✖", "could not check": "?", "nothing to check": "·"}
    for each in verdicts:
        yield f"{signs[str(each.status)]} {each.invariant:<4} {each.claim}: {each.status}"
        if each.checked:
            yield f"         {', '.join(f'{n} {what}' for what, n in each.checked.items())}"
        yield from (f"       ✖ {violation}" for violation in each.violations)
        if each.violations_in_all > len(each.violations):
            yield f"         and {each.violations_in_all - len(each.violations)} more"
        yield from (f"       ? {reason}" for reason in each.why)
        yield from (f"         {note}" for note in each.notes)


def as_row(verdict: Verdict) -> Mapping[str, object]:
    """Violations each with its key, topic, partition and offset."""
    names = ("what", "key", "topic", "partition", "offset")
    return {
        "invariant": verdict.invariant,
        "status": str(verdict.status),
        "claim": verdict.claim,
        "checked": dict(verdict.checked),
        "violations_in_all": verdict.violations_in_all,
        "violations": [
            {name: getattr(each, name) for name in names} for each in verdict.violations
        ],
        "why": list(verdict.why),
        "notes": list(verdict.notes),
    }
