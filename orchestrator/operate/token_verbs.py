"""`baton tokens create list rotate revoke`, `baton login`: who comes in.

Tokens are changed where they lie, in the file that the processes read; the console need not run.
A secret is printed once, when it is made.
"""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.operate.faults import told

Name = Annotated[str, typer.Argument(help="Who it is for: letters, digits, dots, dashes.")]


def register(app: typer.Typer) -> None:
    tokens = typer.Typer(no_args_is_help=True, help="Make, list and end tokens of the interfaces.")
    tokens.command("create")(create)
    tokens.command("list")(list_)
    tokens.command("rotate")(rotate)
    tokens.command("revoke")(revoke)
    app.add_typer(tokens, name="tokens")
    app.command()(login)


def create(
    context: typer.Context,
    name: Name,
    *,
    role: Annotated[str, typer.Option(help="publisher, viewer, operator or admin.")] = "viewer",
    expires: Annotated[str, typer.Option(help="After 90d, 12h, ...; or never.")] = "90d",
) -> None:
    """Make a token and print it, once.

    A publisher submits orders, a viewer reads, an operator does both and moves what is stuck, an
    admin may do all and sees what is personal.
    """
    from orchestrator.operate import token_work  # noqa: PLC0415  keeps `--help` quick, as below

    with told(context.obj):
        token_work.create(context.obj, name, role=role, expires=expires)


def list_(context: typer.Context) -> None:
    """Show every token: whose, its role and its state; never the token itself."""
    from orchestrator.operate import token_work  # noqa: PLC0415

    with told(context.obj):
        token_work.list_tokens(context.obj)


def rotate(
    context: typer.Context,
    name: Name,
    *,
    overlap: Annotated[str, typer.Option(help="How long the old one works on: 0s, 1h, ...")] = "1h",
) -> None:
    """Make a new token in the place of an old one, with its role."""
    from orchestrator.operate import token_work  # noqa: PLC0415

    with told(context.obj):
        token_work.rotate(context.obj, name, overlap=overlap)


def revoke(context: typer.Context, name: Name) -> None:
    """End a token now, and with it every session that it opened."""
    from orchestrator.operate import token_work  # noqa: PLC0415

    with told(context.obj):
        token_work.revoke(context.obj, name)


def login(
    context: typer.Context,
    *,
    url: Annotated[
        str, typer.Option("--url", help="The console; default where `baton up` put it.")
    ] = "",
) -> None:
    """Print an address that logs into the console once, within ten minutes."""
    from orchestrator.operate import token_work  # noqa: PLC0415

    with told(context.obj):
        token_work.login(context.obj, url)
