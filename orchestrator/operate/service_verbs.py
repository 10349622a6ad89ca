"""The verbs of the whole picture: services, map."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.operate.faults import told

Url = Annotated[str, typer.Option("--url", help="The console; default BATON_URL, or the stack's.")]


def register(app: typer.Typer) -> None:
    app.command("services")(services)
    app.command("map")(company_map)


def services(context: typer.Context, *, url: Url = "") -> None:
    """Every process: ready or why not, lag, rates, outbox, dead letters."""
    from orchestrator.operate import service_work  # noqa: PLC0415  keeps `--help` quick, as below

    with told(context.obj):
        service_work.services(context.obj, url=url)


def company_map(context: typer.Context, *, url: Url = "") -> None:
    """Who writes and who reads each topic, and how they are."""
    from orchestrator.operate import service_work  # noqa: PLC0415

    with told(context.obj):
        service_work.company_map(context.obj, url=url)
