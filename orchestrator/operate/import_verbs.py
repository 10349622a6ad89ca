"""`baton import`: a CSV of real orders, published as any outside publisher would."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.operate.cluster import faults_told, kafka_of_this_shell
from orchestrator.operate.exits import Exit
from orchestrator.operate.output import Form, Output

if TYPE_CHECKING:
    from deploy.local.retail.importing import Prepared
    from deploy.local.retail.publish import Progress


def register(app: typer.Typer) -> None:
    app.command("import")(import_)


def import_(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(help="CSV or CSV.gz of the retail shape; default: the month shipped."),
    ] = None,
    *,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="At most so many orders a second.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many orders.")] = None,
    day: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only the orders of one day of the shop."),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(min=0.001, help="Keep the times between orders, this much faster."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and judge the file, publish nothing.")
    ] = False,
) -> None:
    """Publish orders of a CSV, opening stock first.

    Every row that is not imported is counted by reason and listed with its line in a rejects
    file. Importing the same again changes nothing: it says the same under the same ids.
    """
    from deploy.local.home import Home  # noqa: PLC0415  keeps `--help` quick
    from deploy.local.retail.importing import (  # noqa: PLC0415
        StockNotTaken,
        deliver,
        prepare,
    )
    from deploy.local.retail.publish import Pace  # noqa: PLC0415
    from deploy.local.retail.reading import SHIPPED_MONTH  # noqa: PLC0415

    output: Output = context.obj
    with faults_told(output):
        bootstrap = "" if dry_run else kafka_of_this_shell()
        home = Home.from_environment(os.environ)
        prepared = prepare(
            file or SHIPPED_MONTH, home, day=day.date() if day else None, limit=limit
        )
        if not dry_run:
            with _progress(output) as tell:
                try:
                    asyncio.run(deliver(prepared, bootstrap, pace=Pace(rate, speed), progress=tell))
                except StockNotTaken as fault:
                    output.fail(fault.what, fault.mend)
                    raise typer.Exit(Exit.TIMEOUT) from fault
    _print(output, prepared, published=not dry_run)


def _print(output: Output, prepared: Prepared, *, published: bool) -> None:
    from deploy.local.retail.report import counted, pounds  # noqa: PLC0415

    judged, planned = prepared.judged, prepared.planned
    rejected = judged.rejected_by_reason()
    amount_minor = sum(order.amount_minor for order in planned.orders)
    whole = {
        "rows_read": judged.rows_read,
        "rows_imported": judged.rows_imported,
        "rejected": dict(rejected.most_common()),
        "rejects_file": str(prepared.rejects_file),
        "orders": len(planned.orders),
        "amount_minor": amount_minor,
        "customers": planned.customers,
        "products": planned.products,
        "stock_units": planned.stock_units,
        "published": published,
    }
    if output.form is not Form.TABLE:
        output.one(whole)
        return
    rows = [("read", judged.rows_read), ("imported", judged.rows_imported)]
    rows += [(f"rejected: {reason}", count) for reason, count in rejected.most_common()]
    output.rows(("rows", "count"), [{"rows": name, "count": count} for name, count in rows])
    verb = "published" if published else "would publish"
    output.say(
        f"\n{verb} {counted(planned.stock_units, 'unit')} of "
        f"{counted(planned.products, 'product')}, {counted(planned.customers, 'customer')} "
        f"and {counted(len(planned.orders), 'order')} for {pounds(amount_minor)}\n"
        f"rejected rows, line by line: {prepared.rejects_file}"
    )
    if published:
        output.say("next: baton outcomes tail -f · baton sagas list · baton sagas stuck")


@contextmanager
def _progress(output: Output) -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, nothing where nobody looks."""
    if output.quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich import progress as rich  # noqa: PLC0415

    words_column = rich.TextColumn("{task.description:<24}")
    columns = (words_column, rich.BarColumn(), rich.MofNCompleteColumn())
    words = {
        "stock": "opening stock published",
        "waiting": "inventory takes it in",
        "orders": "orders published",
    }
    with rich.Progress(*columns, rich.TimeElapsedColumn(), console=output.stderr()) as bar:
        tasks: dict[str, rich.TaskID] = {}

        def tell(at: Progress) -> None:
            if at.stage not in tasks:
                tasks[at.stage] = bar.add_task(words[at.stage], total=at.total)
            bar.update(tasks[at.stage], completed=at.done)

        yield tell
