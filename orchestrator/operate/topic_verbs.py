"""The verbs of the Kafka side: topics list, plan, apply, check, tail."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.operate.faults import told

Partitions = Annotated[
    int, typer.Option("--partitions", min=0, help="Of each topic; 0: 4 on this machine, else 12.")
]
Replicas = Annotated[
    int, typer.Option("--replicas", min=0, help="0: 3, or as many as there are brokers.")
]


def register(app: typer.Typer) -> None:
    topics = typer.Typer(no_args_is_help=True, help="Topics of the company.")
    topics.command("list")(list_topics)
    for verb in (plan, apply, check, tail):
        topics.command(verb.__name__)(verb)
    app.add_typer(topics, name="topics")


def list_topics(
    context: typer.Context,
    *,
    dead: Annotated[bool, typer.Option("--dead", help="Dead letter topics, too.")] = False,
) -> None:
    """Every topic with who writes and reads it; needs no running stack."""
    from orchestrator.operate import topic_work  # noqa: PLC0415  keeps `--help` quick, as below

    with told(context.obj):
        topic_work.list_topics(context.obj, dead=dead)


def plan(context: typer.Context, *, partitions: Partitions = 0, replicas: Replicas = 0) -> None:
    """What `apply` would do."""
    from orchestrator.operate import topic_work  # noqa: PLC0415

    with told(context.obj):
        topic_work.plan(context.obj, partitions=partitions, replicas=replicas)


def apply(context: typer.Context, *, partitions: Partitions = 0, replicas: Replicas = 0) -> None:
    """Create what is missing. What exists is never changed."""
    from orchestrator.operate import topic_work  # noqa: PLC0415

    with told(context.obj):
        topic_work.apply(context.obj, partitions=partitions, replicas=replicas)


def check(context: typer.Context) -> None:
    """Compare the cluster with the table; exits 1 where they differ."""
    from orchestrator.operate import topic_work  # noqa: PLC0415

    with told(context.obj):
        if not topic_work.check(context.obj):
            raise typer.Exit(1)


def tail(
    context: typer.Context,
    topic: Annotated[str, typer.Argument(help="A topic of `baton topics list`.")],
    *,
    key: Annotated[str, typer.Option(help="Only of this business key.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last.")] = 20,
) -> None:
    """What stands on a topic, a line a record; personal fields are masked."""
    from orchestrator.operate import topic_work  # noqa: PLC0415

    with told(context.obj):
        topic_work.tail(context.obj, topic, key=key, follow=follow, lines=lines)
