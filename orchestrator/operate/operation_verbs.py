"""The verbs of bulk operations and of the audit: ops list, show, cancel, resume, retry; audit."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.operate.completing import operations
from orchestrator.operate.faults import told
from orchestrator.operate.wording import Clock

Id = Annotated[str, typer.Argument(help="As `ops list` shows it.", autocompletion=operations)]
Reason = Annotated[str, typer.Option(help="Why you do it; kept in the audit.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000, help="At most so many.")]
Times = Annotated[Clock, typer.Option("--time", help="How times are shown.")]
Url = Annotated[str, typer.Option("--url", help="The console; default BATON_URL, or the stack's.")]


def register(app: typer.Typer) -> None:
    ops = typer.Typer(no_args_is_help=True, help="Bulk operations.", rich_markup_mode=None)
    ops.command("list")(list_operations)
    for verb in (show, cancel, resume, retry):
        ops.command(verb.__name__)(verb)
    app.add_typer(ops, name="ops")
    app.command("audit")(audit)


def list_operations(
    context: typer.Context, *, limit: Limit = 50, clock: Times = Clock.LOCAL, url: Url = ""
) -> None:
    """What was done to many sagas at once, newest first."""
    from orchestrator.operate import operation_work  # noqa: PLC0415  keeps `--help` quick, as below

    with told(context.obj):
        operation_work.listed(context.obj, limit=limit, clock=clock, url=url)


def show(
    context: typer.Context,
    operation: Id,
    *,
    state: Annotated[str, typer.Option(help="Only items in this state.")] = "",
    limit: Limit = 100,
    url: Url = "",
) -> None:
    """One operation, and what became of each saga."""
    from orchestrator.operate import operation_work  # noqa: PLC0415

    with told(context.obj):
        operation_work.show(context.obj, operation, state=state, limit=limit, url=url)


def cancel(context: typer.Context, operation: Id, *, reason: Reason, url: Url = "") -> None:
    """Tell nobody more; what was told is still looked after."""
    _change(context, operation, "cancel", reason, url=url)


def resume(context: typer.Context, operation: Id, *, reason: Reason, url: Url = "") -> None:
    """Go on after the first ones were tried."""
    _change(context, operation, "resume", reason, url=url)


def retry(context: typer.Context, operation: Id, *, reason: Reason, url: Url = "") -> None:
    """Tell those once more that failed again, did not move or refused."""
    _change(context, operation, "retry", reason, url=url)


def audit(
    context: typer.Context,
    *,
    actor: Annotated[str, typer.Option(help="Only what this one did.")] = "",
    target: Annotated[str, typer.Option(help="Only what was done to this saga or key.")] = "",
    limit: Limit = 50,
    check: Annotated[
        bool, typer.Option("--check", help="Is its chain whole? Exit 1 if not.")
    ] = False,
    export: Annotated[bool, typer.Option("--export", help="All of it, as JSON lines.")] = False,
    clock: Times = Clock.LOCAL,
    url: Url = "",
) -> None:
    """Who did what, why, and with what result."""
    from orchestrator.operate import operation_work  # noqa: PLC0415

    with told(context.obj):
        if check:
            operation_work.check_audit(context.obj, url=url)
        elif export:
            operation_work.export_audit(context.obj, url=url)
        else:
            wanted = {"actor": actor, "target": target}
            operation_work.audit(context.obj, wanted, limit=limit, clock=clock, url=url)


def _change(context: typer.Context, operation: str, change: str, reason: str, *, url: str) -> None:
    from orchestrator.operate import operation_work  # noqa: PLC0415

    with told(context.obj):
        operation_work.change(context.obj, operation, change, reason, url=url)
