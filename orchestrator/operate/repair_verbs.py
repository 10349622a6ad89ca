"""The verbs of repair: backup, restore, outbox republish, offsets accept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.operate.faults import told

Reason = Annotated[str, typer.Option("--reason", help="Why; it is recorded with your name.")]
Topic = Annotated[str, typer.Option("--topic", help="A topic of `baton topics list`.")]
Partition = Annotated[int, typer.Option("--partition", min=-1, help="-1: each of them.")]
Service = Annotated[str, typer.Option("--service", help="A process of `baton status`.")]
Since = Annotated[str, typer.Option("--since", help="A time such as 2026-11-23T14:00:00Z.")]


def register(app: typer.Typer) -> None:
    app.command()(backup)
    app.command()(restore)
    outbox = typer.Typer(no_args_is_help=True, help="What services said.")
    outbox.command()(republish)
    app.add_typer(outbox, name="outbox")
    offsets = typer.Typer(no_args_is_help=True, help="How far services have read.")
    offsets.command()(accept)
    app.add_typer(offsets, name="offsets")


def backup(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A new folder for the copies.")],
) -> None:
    """Copy every database, each at one moment, while all goes on."""
    from orchestrator.operate import restore_work  # noqa: PLC0415  keeps `--help` quick, as below

    with told(context.obj):
        restore_work.backup(context.obj, folder)


def restore(
    context: typer.Context,
    *,
    service: Service,
    reason: Reason,
    from_: Annotated[
        Path | None, typer.Option("--from", help="A backup to put in place first.")
    ] = None,
    since: Since = "",
) -> None:
    """Tell a database restored from a copy what it forgot.

    Reads from Kafka what the process had said after the copy was made. The process must not run.
    """
    from orchestrator.operate import restore_work  # noqa: PLC0415

    with told(context.obj):
        restore_work.restore(context.obj, service, from_, since, reason)


def republish(
    context: typer.Context,
    *,
    reason: Reason,
    service: Service = "",
    topic: Topic = "",
    partition: Partition = -1,
    since: Since = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
) -> None:
    """Say again what was said, as it was said, so that a topic that lost records heals.

    Whoever heard it knows it. A running service is stopped for a moment.
    """
    from orchestrator.operate import repair_work  # noqa: PLC0415

    with told(context.obj):
        chosen = repair_work.chosen(service, topic, partition, since)
        repair_work.republish(context.obj, chosen, reason, dry_run=dry_run)


def accept(
    context: typer.Context,
    *,
    topic: Topic,
    partition: Partition = -1,
    reason: Reason,
    all_readers: Annotated[
        bool, typer.Option("--all-readers", help="Also those inside: the log lost its tail.")
    ] = False,
) -> None:
    """Let readers of a log whose records are gone read on, from where it begins now.

    Only those are moved whose position is outside the log, or of a topic that was made anew.
    They are stopped for a moment.
    """
    from orchestrator.operate import repair_work  # noqa: PLC0415

    with told(context.obj):
        repair_work.accept(context.obj, topic, partition, reason, everybody=all_readers)
