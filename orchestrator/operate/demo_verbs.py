"""`baton demo`: a day of real orders through the whole company, from nothing, in its own folder.

It starts everything that `baton up` starts, publishes as `baton import` does, shows where the
sagas are, prints the reconciled result and stops in order. What it left behind stays until the
next demo, for whoever wants to look: `BATON_HOME=.baton/demo baton up`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.operate.cluster import faults_told
from orchestrator.operate.exits import Exit
from orchestrator.operate.output import Output

if TYPE_CHECKING:
    from deploy.local.home import Home
    from deploy.local.retail.importing import Prepared
    from deploy.local.retail.observe import Places
    from deploy.local.retail.publish import Progress
    from deploy.local.retail.result import Result

DAY = date(2010, 12, 1)
LOOK_EVERY_S = 1.0
SAY_EVERY = 5


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    context: typer.Context,
    *,
    month: Annotated[
        bool, typer.Option("--month", help="The whole month instead of its first day.")
    ] = False,
) -> None:
    """Run a day of real orders through the whole company, and reconcile the result.

    Starts everything in a folder of its own, publishes 1 December 2010, waits for every outcome,
    prints what became of orders, money and stock, and stops in order.
    """
    from deploy.local import verbs  # noqa: PLC0415  keeps `--help` quick
    from orchestrator.operate.import_verbs import prepare_file, print_result  # noqa: PLC0415

    output: Output = context.obj
    with faults_told(output):
        home = _fresh(verbs.home_of_this_shell())
        os.environ["BATON_HOME"] = str(home.root)
        ready = prepare_file(None, None if month else DAY, None)
        output.say(f"a fresh company in {home.root}; real orders of {_of(month=month)}")
        result = asyncio.run(_through(output, home, ready))
        print_result(output, ready, result)
        output.say("everything is stopped; its state stays in " + str(home.root))
    raise typer.Exit(Exit.DONE if result.reconciliation.holds else Exit.FAILURE)


def _of(*, month: bool) -> str:
    return "December 2010" if month else f"{DAY:%-d %B %Y}"


def _fresh(home: Home) -> Home:
    """The demo's own folder, emptied: another run's orders would not reconcile with this one's."""
    from deploy.local.faults import StackRunning  # noqa: PLC0415
    from deploy.local.home import Home  # noqa: PLC0415
    from deploy.local.supervisor import is_running  # noqa: PLC0415

    own = Home(home.root / "demo")
    if is_running(own):
        raise StackRunning(
            f"a demo already runs in {own.root}", mend=f"BATON_HOME={own.root} baton down"
        )
    shutil.rmtree(own.root, ignore_errors=True)
    return own


async def _through(output: Output, home: Home, ready: Prepared) -> Result:
    from deploy.local.retail.importing import deliver  # noqa: PLC0415
    from deploy.local.retail.observe import places  # noqa: PLC0415
    from deploy.local.retail.publish import Pace  # noqa: PLC0415
    from deploy.local.retail.result import result_of  # noqa: PLC0415
    from deploy.local.running import Telling, running_stack  # noqa: PLC0415
    from deploy.local.verbs import Startup  # noqa: PLC0415

    telling = Telling(change=Startup(output).change, line=output.say)
    async with running_stack(home, telling=telling) as running:
        output.say(
            f"{len(running.stack.specs)} processes are ready; publishing as an outsider would"
        )
        at = places(home)
        async with _shown(output, at) as tell:
            await deliver(ready, running.stack.bootstrap, pace=Pace(None, None), progress=tell)
            result = await result_of(ready, at, progress=tell)
        output.say("stopping in order")
    return result


@asynccontextmanager
async def _shown(output: Output, at: Places) -> AsyncIterator[Callable[[Progress], None]]:
    """Bars and a line of states on a terminal; where nobody looks, a line now and then."""
    from orchestrator.operate.import_verbs import progress_shown  # noqa: PLC0415

    with progress_shown(output) as tell:
        watching = asyncio.create_task(_watch(output, at))
        try:
            yield tell
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


async def _watch(output: Output, at: Places) -> None:
    """Where the sagas are, said whenever it changed."""
    import httpx  # noqa: PLC0415

    said, looks = "", 0
    headers = {"Authorization": f"Bearer {at.token}"}
    async with httpx.AsyncClient(base_url=at.console, headers=headers, trust_env=False) as client:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            looks += 1
            with suppress(httpx.HTTPError):
                answer = (await client.get("/api/counts?states=1")).json()
                line = states_line(answer)
                if line != said and (sys.stderr.isatty() or looks % SAY_EVERY == 0):
                    said = line
                    output.say(f"  {line}")


def states_line(answer: Mapping[str, object]) -> str:
    """`80 completed · 12 awaiting_payment`: the orders' sagas, as the console counted them."""
    ended, under_way = answer.get("counts"), answer.get("states")
    by_state: Counter[str] = Counter()
    for row in ended if isinstance(ended, list) else []:
        if row["definition"] == "fulfilment" and row["phase"] in ("completed", "compensated"):
            by_state[row["phase"]] += row["count"]
    for row in under_way if isinstance(under_way, list) else []:
        if row["definition"] == "fulfilment":
            by_state[row["state"]] += row["count"]
    return " · ".join(f"{count} {state}" for state, count in by_state.items())
