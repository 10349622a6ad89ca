"""The verbs that find and read sagas; those that tell them something stand in `saga_orders`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from orchestrator.operate.completing import saga_names, terms
from orchestrator.operate.faults import told
from orchestrator.operate.saga_orders import add_told
from orchestrator.operate.wording import Clock

Query = Annotated[
    list[str] | None,
    typer.Argument(
        help="Terms such as state=awaiting_payment reason=no_reply service=billing age>10m"
        " definition=fulfilment phase=open key=ord-1; commas mean or.",
        show_default=False,
        autocompletion=terms,
    ),
]
Name = Annotated[
    str,
    typer.Argument(
        help="A saga id, or the order or customer it is about.", autocompletion=saga_names
    ),
]
Times = Annotated[Clock, typer.Option("--time", help="How times are shown.")]
Url = Annotated[str, typer.Option("--url", help="The console; default BATON_URL, or the stack's.")]


class Picture(StrEnum):
    TEXT = "text"
    MERMAID = "mermaid"
    SVG = "svg"


def register(app: typer.Typer) -> None:
    sagas = typer.Typer(no_args_is_help=True, help="Find and read sagas.", rich_markup_mode=None)
    sagas.command("list")(list_sagas)
    for verb in (count, show, history, timeline, sequence, graph, stuck, wait, tail, export, diff):
        sagas.command(verb.__name__)(verb)
    add_told(sagas)
    app.add_typer(sagas, name="sagas")


def list_sagas(
    context: typer.Context,
    query: Query = None,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 50,
    clock: Times = Clock.LOCAL,
    url: Url = "",
) -> None:
    """Sagas that match, newest first."""
    from orchestrator.operate import saga_reading  # noqa: PLC0415  keeps `--help` quick, as below

    with told(context.obj):
        saga_reading.list_sagas(context.obj, _text(query), limit=limit, clock=clock, url=url)


def count(context: typer.Context, query: Query = None, *, url: Url = "") -> None:
    """How many match."""
    from orchestrator.operate import saga_reading  # noqa: PLC0415

    with told(context.obj):
        saga_reading.count(context.obj, _text(query), url=url)


def show(context: typer.Context, name: Name, *, clock: Times = Clock.LOCAL, url: Url = "") -> None:
    """One saga: where it stands, what it waits for, and its story."""
    from orchestrator.operate import saga_reading  # noqa: PLC0415

    with told(context.obj):
        saga_reading.show(context.obj, name, clock=clock, url=url)


def history(
    context: typer.Context,
    name: Name,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the saga ends.")] = False,
    clock: Times = Clock.LOCAL,
    url: Url = "",
) -> None:
    """The journal of one saga: every line, also of what was refused."""
    from orchestrator.operate import saga_following  # noqa: PLC0415

    with told(context.obj):
        saga_following.history(context.obj, name, follow=follow, clock=clock, url=url)


def graph(
    context: typer.Context,
    definition: Annotated[str, typer.Argument(help="A definition, or the id of one of its sagas.")],
    *,
    form: Annotated[Picture, typer.Option("--format", help="How it is drawn.")] = Picture.TEXT,
) -> None:
    """The picture of a definition; needs no running stack."""
    from orchestrator.operate import saga_reading  # noqa: PLC0415

    with told(context.obj):
        saga_reading.graph(definition, form.value)


def stuck(
    context: typer.Context,
    query: Query = None,
    *,
    members: Annotated[bool, typer.Option("--members", help="Each saga, not groups.")] = False,
    fail_if_any: Annotated[bool, typer.Option("--fail-if-any", help="Exit 1 if any is.")] = False,
    clock: Times = Clock.LOCAL,
    url: Url = "",
) -> None:
    """What is stuck, grouped by reason, state and who is waited for."""
    from orchestrator.operate import saga_reading  # noqa: PLC0415

    with told(context.obj):
        found = saga_reading.stuck(context.obj, _text(query), members=members, clock=clock, url=url)
        if found and fail_if_any:
            raise typer.Exit(1)


def wait(
    context: typer.Context,
    name: Name,
    *,
    timeout: Annotated[str, typer.Option(help="How long at most, such as 30s or 5m.")] = "60s",
    url: Url = "",
) -> None:
    """Wait for a saga's end; the exit code is its outcome.

    0 completed, 10 compensated, 11 needs an operator, 5 none of them in time.
    """
    from orchestrator.operate import saga_following  # noqa: PLC0415

    with told(context.obj):
        raise typer.Exit(saga_following.wait(context.obj, name, timeout=timeout, url=url))


def tail(
    context: typer.Context,
    query: Query = None,
    *,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=1_000, help="How many of the last.")
    ] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones.")] = False,
    clock: Times = Clock.LOCAL,
    url: Url = "",
) -> None:
    """What happened to sagas, a line each; terms: definition, key, state, reason (of the line)."""
    from orchestrator.operate import saga_following  # noqa: PLC0415

    with told(context.obj):
        terms = query or []
        saga_following.tail(context.obj, terms, lines=lines, follow=follow, clock=clock, url=url)


def timeline(context: typer.Context, name: Name, *, url: Url = "") -> None:
    """How long it stood in each state."""
    from orchestrator.operate import saga_stories  # noqa: PLC0415

    with told(context.obj):
        saga_stories.timeline(context.obj, name, url=url)


def sequence(
    context: typer.Context, name: Name, *, clock: Times = Clock.LOCAL, url: Url = ""
) -> None:
    """Who said what to whom."""
    from orchestrator.operate import saga_stories  # noqa: PLC0415

    with told(context.obj):
        saga_stories.sequence(context.obj, name, clock=clock, url=url)


def export(context: typer.Context, name: Name, *, url: Url = "") -> None:
    """One saga with its whole journal, as JSON."""
    from orchestrator.operate import saga_stories  # noqa: PLC0415

    with told(context.obj):
        saga_stories.export(name, url=url)


def diff(context: typer.Context, one: Name, other: Name, *, url: Url = "") -> None:
    """Where the ways of two sagas part."""
    from orchestrator.operate import saga_stories  # noqa: PLC0415

    with told(context.obj):
        saga_stories.diff(context.obj, one, other, url=url)


def _text(query: list[str] | None) -> str:
    return " ".join(query or ())
