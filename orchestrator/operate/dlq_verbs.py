"""The verbs of dead letters and parked keys: dlq list, show, park, unpark, redrive, discard."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.operate.faults import told
from orchestrator.operate.wording import Clock

Key = Annotated[str, typer.Argument(help="The order or customer.")]
Keys = Annotated[str, typer.Argument(help="The order or customer; without it all that match.")]
Service = Annotated[str, typer.Option(help="Whose: orchestrator, billing, inventory ...")]
Topic = Annotated[str, typer.Option(help="Of this topic; the first that waits of a parked key.")]
Code = Annotated[str, typer.Option("--reason-code", help="Parked or rejected for this reason.")]
Reason = Annotated[str, typer.Option(help="Why you do it; kept with the verb.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, however many match.")]
Force = Annotated[bool, typer.Option(help="Also what failed the same way again and again.")]
Times = Annotated[Clock, typer.Option("--time", help="How times are shown.")]
Url = Annotated[str, typer.Option("--url", help="The console; default BATON_URL, or the stack's.")]


def register(app: typer.Typer) -> None:
    dlq = typer.Typer(
        no_args_is_help=True, help="Dead letters and parked keys.", rich_markup_mode=None
    )
    dlq.command("list")(list_letters)
    for verb in (show, park, unpark, redrive, discard):
        dlq.command(verb.__name__)(verb)
    app.add_typer(dlq, name="dlq")


def list_letters(
    context: typer.Context,
    *,
    service: Service = "",
    kind: Annotated[str, typer.Option(help="Only parked, or only rejected.")] = "",
    topic: Topic = "",
    code: Code = "",
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1_000, help="Of each service and kind.")
    ] = 200,
    fail_if_any: Annotated[bool, typer.Option("--fail-if-any", help="Exit 1 if any is.")] = False,
    clock: Times = Clock.LOCAL,
    url: Url = "",
) -> None:
    """Parked keys and rejected records of every service."""
    from orchestrator.operate import dlq_reading  # noqa: PLC0415  keeps `--help` quick, as below

    wanted = {"service": service, "kind": kind, "topic": topic, "reason": code}
    with told(context.obj):
        found = dlq_reading.listed(context.obj, wanted, limit=limit, clock=clock, url=url)
        if found and fail_if_any:
            raise typer.Exit(1)


def show(
    context: typer.Context,
    key: Key,
    *,
    service: Service = "",
    clock: Times = Clock.LOCAL,
    url: Url = "",
) -> None:
    """One key: why it is parked, its records, and what operators told it. Never a payload."""
    from orchestrator.operate import dlq_reading  # noqa: PLC0415

    with told(context.obj):
        dlq_reading.show(context.obj, key, service=service, clock=clock, url=url)


def park(
    context: typer.Context, key: Key, *, service: Service, reason: Reason, url: Url = ""
) -> None:
    """Stop a key by hand: later records of it queue until it is unparked."""
    from orchestrator.operate import dlq_work  # noqa: PLC0415

    with told(context.obj):
        dlq_work.tell(
            context.obj,
            dlq_work.Order("park", reason),
            dlq_work.Wanted(key, service),
            dry_run=False,
            url=url,
        )


def unpark(
    context: typer.Context,
    key: Keys = "",
    *,
    reason: Reason,
    service: Service = "",
    topic: Topic = "",
    code: Code = "",
    force: Force = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    url: Url = "",
) -> None:
    """Free a key: what waits is applied in order, until one fails."""
    from orchestrator.operate import dlq_work  # noqa: PLC0415

    with told(context.obj):
        dlq_work.tell(
            context.obj,
            dlq_work.Order("unpark", reason, force=force),
            dlq_work.Wanted(key, service, topic, code),
            dry_run=dry_run,
            yes=yes,
            url=url,
        )


def redrive(
    context: typer.Context,
    key: Keys = "",
    *,
    reason: Reason,
    record: Annotated[
        int, typer.Option(min=0, help="A rejected record by its number, where it can be read now.")
    ] = 0,
    service: Service = "",
    topic: Topic = "",
    code: Code = "",
    force: Force = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    url: Url = "",
) -> None:
    """Try again what waits behind a parked key; or one rejected record."""
    from orchestrator.operate import dlq_work  # noqa: PLC0415

    with told(context.obj):
        dlq_work.tell(
            context.obj,
            dlq_work.Order("redrive", reason, record=record or None, force=force),
            dlq_work.Wanted(key, service, topic, code),
            dry_run=dry_run,
            yes=yes,
            url=url,
        )


def discard(
    context: typer.Context,
    key: Keys = "",
    *,
    reason: Reason,
    service: Service = "",
    topic: Topic = "",
    code: Code = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    url: Url = "",
) -> None:
    """Give up the first record that waits; it is kept, and what is behind it goes on."""
    from orchestrator.operate import dlq_work  # noqa: PLC0415

    with told(context.obj):
        dlq_work.tell(
            context.obj,
            dlq_work.Order("discard", reason),
            dlq_work.Wanted(key, service, topic, code),
            dry_run=dry_run,
            yes=yes,
            url=url,
        )
