"""The verbs that tell sagas something: retry, compensate, pause, resume, skip, assign, note.

One saga is told at once; several, or all that match `--query`, by an operation of the console.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from orchestrator.operate.completing import saga_names, terms
from orchestrator.operate.dlq_verbs import spread
from orchestrator.operate.faults import told

Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="Saga ids, or the orders or customers they are about.",
        show_default=False,
        autocompletion=saga_names,
    ),
]
Step = Annotated[str, typer.Option(help="The step, where it is not the whole saga.")]


@dataclass(frozen=True)
class Typed:
    """Who is told, why and how."""

    reason: Annotated[str, typer.Option(help="Why you do it; kept with the verb.")]
    query: Annotated[
        str, typer.Option(help="All that match, as `sagas list` does.", autocompletion=terms)
    ] = ""
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent; change nothing.")
    ] = False
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, however many match.")] = False
    rate: Annotated[str, typer.Option(help="Of several, how many a second.")] = "20/s"
    first: Annotated[int, typer.Option(min=0, help="Try so many, then pause.")] = 0
    wait: Annotated[bool, typer.Option("--wait", help="Until it is known what came of it.")] = False
    timeout: Annotated[str, typer.Option(help="With --wait, how long at most.")] = "5m"
    url: Annotated[
        str, typer.Option("--url", help="The console; default BATON_URL, or the stack's.")
    ] = ""


def add_told(sagas: typer.Typer) -> None:
    for verb in (retry, compensate, pause, resume, skip, assign, unassign, note):
        sagas.command(verb.__name__)(verb)


@spread(Typed)
def retry(wanted: Typed, context: typer.Context, names: Names = None, *, step: Step = "") -> None:
    """Send what is awaited once more: the same id and bytes."""
    _tell(context, "retry", wanted, names, step=step)


@spread(Typed)
def compensate(wanted: Typed, context: typer.Context, names: Names = None) -> None:
    """Roll back from here; refused once the step of no return was sent."""
    _tell(context, "compensate", wanted, names)


@spread(Typed)
def pause(wanted: Typed, context: typer.Context, names: Names = None) -> None:
    """Send nothing more until resumed; replies are still taken."""
    _tell(context, "pause", wanted, names)


@spread(Typed)
def resume(wanted: Typed, context: typer.Context, names: Names = None) -> None:
    """Go on with what was paused."""
    _tell(context, "resume", wanted, names)


@spread(Typed)
def skip(
    wanted: Typed,
    context: typer.Context,
    names: Names = None,
    *,
    step: Step = "",
    evidence: Annotated[str, typer.Option(help="What proves it, for example a ticket.")] = "",
) -> None:
    """Settle a step by evidence instead of its reply."""
    _tell(context, "skip", wanted, names, step=step, evidence=evidence)


@spread(Typed)
def assign(
    wanted: Typed,
    context: typer.Context,
    names: Names = None,
    *,
    to: Annotated[str, typer.Option("--to", help="Whom; without it, you.")] = "",
) -> None:
    """Hand it to somebody."""
    _tell(context, "assign", wanted, names, assignee=to)


@spread(Typed)
def unassign(wanted: Typed, context: typer.Context, names: Names = None) -> None:
    """Nobody's any more."""
    _tell(context, "unassign", wanted, names)


@spread(Typed)
def note(wanted: Typed, context: typer.Context, names: Names = None) -> None:
    """Write the reason into its journal, nothing else."""
    _tell(context, "note", wanted, names)


def _tell(
    context: typer.Context, verb: str, wanted: Typed, names: list[str] | None, **more: str
) -> None:
    from orchestrator.operate import saga_work  # noqa: PLC0415  keeps `--help` quick

    with told(context.obj):
        saga_work.tell(context.obj, verb, wanted, tuple(names or ()), more)
