"""`baton import`: a CSV of real orders, published as any outside publisher would."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.operate.cluster import faults_told, kafka_of_this_shell
from orchestrator.operate.exits import Exit
from orchestrator.operate.output import Form, Output

if TYPE_CHECKING:
    from deploy.local.retail.importing import Prepared
    from deploy.local.retail.publish import Pace, Progress
    from deploy.local.retail.result import Result

PAGE_CHARACTERS = 110


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
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for every outcome; print the reconciled result.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and judge the file, publish nothing.")
    ] = False,
) -> None:
    """Publish orders of a CSV, opening stock first.

    Every row that is not imported is counted by reason and listed with its line in a rejects
    file. Importing the same again changes nothing: it says the same under the same ids.
    """
    from deploy.local.retail.publish import Pace  # noqa: PLC0415  keeps `--help` quick

    output: Output = context.obj
    with faults_told(output), _waits_told(output):
        bootstrap = "" if dry_run else kafka_of_this_shell()
        ready = prepare_file(file, day.date() if day else None, limit)
        result = None
        if not dry_run:
            with progress_shown(output) as tell:
                running = _run(ready, bootstrap, Pace(rate, speed), wait=wait, tell=tell)
                result = asyncio.run(running)
    if result is None:
        _print(output, ready, published=not dry_run)
        return
    print_result(output, ready, result)
    raise typer.Exit(Exit.DONE if result.reconciliation.holds else Exit.FAILURE)


def prepare_file(file: Path | None, day: date | None, limit: int | None) -> Prepared:
    from deploy.local.home import Home  # noqa: PLC0415
    from deploy.local.retail.importing import prepare  # noqa: PLC0415
    from deploy.local.retail.reading import SHIPPED_MONTH  # noqa: PLC0415

    home = Home.from_environment(os.environ)
    return prepare(file or SHIPPED_MONTH, home, day=day, limit=limit)


async def _run(
    prepared: Prepared,
    bootstrap: str,
    pace: Pace,
    *,
    wait: bool,
    tell: Callable[[Progress], None],
) -> Result | None:
    """Publishes; with `wait`, the result. That the stack can be asked is known before."""
    from deploy.local.home import Home  # noqa: PLC0415
    from deploy.local.retail.importing import deliver  # noqa: PLC0415
    from deploy.local.retail.observe import places  # noqa: PLC0415
    from deploy.local.retail.result import result_of  # noqa: PLC0415

    at = places(Home.from_environment(os.environ)) if wait else None
    await deliver(prepared, bootstrap, pace=pace, progress=tell)
    return None if at is None else await result_of(prepared, at, progress=tell)


@contextmanager
def _waits_told(output: Output) -> Iterator[None]:
    """What was waited for did not come: an exit code of its own."""
    from deploy.local.retail.importing import StockNotTaken  # noqa: PLC0415
    from deploy.local.retail.observe import OutcomesMissing  # noqa: PLC0415

    try:
        yield
    except (StockNotTaken, OutcomesMissing) as fault:
        output.fail(fault.what, fault.mend)
        raise typer.Exit(Exit.TIMEOUT) from fault


def _facts(prepared: Prepared, *, published: bool) -> dict[str, object]:
    judged, planned = prepared.judged, prepared.planned
    return {
        "rows_read": judged.rows_read,
        "rows_imported": judged.rows_imported,
        "rejected": dict(judged.rejected_by_reason().most_common()),
        "rejects_file": str(prepared.rejects_file),
        "orders": len(planned.orders),
        "amount_minor": sum(order.amount_minor for order in planned.orders),
        "customers": planned.customers,
        "products": planned.products,
        "stock_units": planned.stock_units,
        "published": published,
    }


def _print(output: Output, prepared: Prepared, *, published: bool) -> None:
    from deploy.local.retail.report import counted, pounds  # noqa: PLC0415

    if output.form is not Form.TABLE:
        output.one(_facts(prepared, published=published))
        return
    judged, planned = prepared.judged, prepared.planned
    rejected = judged.rejected_by_reason().most_common()
    rows = [("read", judged.rows_read), ("imported", judged.rows_imported)]
    rows += [(f"rejected: {reason}", count) for reason, count in rejected]
    output.rows(("rows", "count"), [{"rows": name, "count": count} for name, count in rows])
    verb = "published" if published else "would publish"
    output.say(
        f"\n{verb} {counted(planned.stock_units, 'unit')} of "
        f"{counted(planned.products, 'product')}, {counted(planned.customers, 'customer')} "
        f"and {counted(len(planned.orders), 'order')} for "
        f"{pounds(sum(order.amount_minor for order in planned.orders))}\n"
        f"rejected rows, line by line: {prepared.rejects_file}"
    )
    if published:
        output.say("next: baton outcomes tail -f · baton sagas list · baton sagas stuck")


def print_result(output: Output, prepared: Prepared, result: Result) -> None:
    from rich.console import Console  # noqa: PLC0415

    from deploy.local.retail.result import as_json, rendered  # noqa: PLC0415

    if output.form is Form.TABLE:
        plain = not output.color or "NO_COLOR" in os.environ
        width = None if sys.stdout.isatty() else PAGE_CHARACTERS
        Console(no_color=plain, highlight=False, width=width).print(rendered(result))
        output.say(f"\nrejected rows, line by line: {prepared.rejects_file}")
    else:
        output.one({**_facts(prepared, published=True), **as_json(result)})


@contextmanager
def progress_shown(output: Output) -> Iterator[Callable[[Progress], None]]:
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
        "outcomes": "outcomes",
    }
    with rich.Progress(*columns, rich.TimeElapsedColumn(), console=output.stderr()) as bar:
        tasks: dict[str, rich.TaskID] = {}

        def tell(at: Progress) -> None:
            if at.stage not in tasks:
                tasks[at.stage] = bar.add_task(words[at.stage], total=at.total)
            bar.update(tasks[at.stage], completed=at.done)

        yield tell
