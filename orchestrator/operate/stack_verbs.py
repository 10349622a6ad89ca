"""The verbs of the local stack: up, down, status, scale, reset, doctor, logs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from orchestrator.operate.exits import Exit
from orchestrator.operate.output import Output

Verb = Callable[[], int]


def register(app: typer.Typer) -> None:
    for verb in (up, down, status, scale, reset, doctor, logs):
        app.command()(verb)


def up(
    context: typer.Context,
    *,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once everything is ready.")
    ] = False,
    only: Annotated[
        str, typer.Option(help="Some processes only, separated by commas; `core` is five of them.")
    ] = "",
) -> None:
    """Start everything and stay.

    Kafka, the services, the orchestrator and the sandboxes, on this machine. Ctrl-C stops them.
    """
    from deploy.local import verbs  # noqa: PLC0415  keeps `--help` quick, here and below

    output: Output = context.obj
    _run(output, lambda: verbs.up(output, detach=detach, only=only))


def down(context: typer.Context) -> None:
    """Stop the stack in order. Its state stays, `baton up` goes on from there."""
    from deploy.local import verbs  # noqa: PLC0415

    _run(context.obj, lambda: verbs.down(context.obj))


def status(context: typer.Context) -> None:
    """Show every process. Exits 0 only if all are ready."""
    from deploy.local import verbs  # noqa: PLC0415

    _run(context.obj, lambda: verbs.status(context.obj))


def scale(
    context: typer.Context,
    wanted: Annotated[list[str], typer.Argument(metavar="PROGRAM=NUMBER...")],
) -> None:
    """Give programs more processes, or fewer.

    As in: baton scale orchestrator=2 billing=2. With databases on PostgreSQL only; until `down`.
    """
    from deploy.local import verbs  # noqa: PLC0415

    _run(context.obj, lambda: verbs.scale(context.obj, wanted))


def reset(
    context: typer.Context,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete all state.

    Topics, databases, logs, token and ports of the local stack.
    """
    from deploy.local import verbs  # noqa: PLC0415

    _run(context.obj, lambda: verbs.reset(context.obj, yes=yes))


def doctor(context: typer.Context) -> None:
    """Check this machine and the stack.

    Each finding comes with the command that mends it. Exits 1 if anything is ill.
    """
    from deploy.local import verbs  # noqa: PLC0415

    _run(context.obj, lambda: verbs.doctor(context.obj))


def logs(
    context: typer.Context,
    process: Annotated[str, typer.Argument(help="A process of `baton status`; default all.")] = "",
    *,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones.")] = False,
) -> None:
    """Print what processes printed."""
    from deploy.local import verbs  # noqa: PLC0415

    _run(context.obj, lambda: verbs.logs(process, lines=lines, follow=follow))


def _run(output: Output, verb: Verb) -> None:
    from deploy.local import faults  # noqa: PLC0415

    codes = {
        faults.NoSuchProcess: Exit.NOT_FOUND,
        faults.StackRunning: Exit.REFUSED,
        faults.NotScaled: Exit.REFUSED,
        faults.StackStopped: Exit.UNREACHABLE,
    }
    try:
        code = verb()
    except faults.LocalFault as fault:
        output.fail(fault.what, fault.mend)
        code = codes.get(type(fault), Exit.FAILURE)
    raise typer.Exit(code)
