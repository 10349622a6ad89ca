"""The verbs of metrics: the catalogue from the code, and a Prometheus for the running stack."""

from __future__ import annotations

import typer

from orchestrator.operate.faults import told


def register(app: typer.Typer) -> None:
    metrics = typer.Typer(no_args_is_help=True, help="What processes export.")
    metrics.command("list")(list_metrics)
    metrics.command()(prometheus)
    app.add_typer(metrics, name="metrics")


def list_metrics(context: typer.Context) -> None:
    """Every metric with its labels and who exports it; needs no running stack."""
    from orchestrator.operate import metric_work  # noqa: PLC0415  keeps `--help` quick, as below

    with told(context.obj):
        metric_work.list_metrics(context.obj)


def prometheus(context: typer.Context) -> None:
    """Print a prometheus.yml for the running stack.

    With every process to scrape, the recording rules and the alerts. To use it:
    baton metrics prometheus > prometheus.yml; prometheus --config.file=prometheus.yml
    --enable-feature=exemplar-storage
    """
    from orchestrator.operate import metric_work  # noqa: PLC0415

    with told(context.obj):
        metric_work.prometheus()
