"""`baton events publish` and `baton outcomes tail`: what publishers and consumers outside do."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.operate.cluster import faults_told, kafka_of_this_shell
from orchestrator.operate.exits import Exit
from orchestrator.operate.output import Form, Output

if TYPE_CHECKING:
    from orchestrator.operate.outside import EventRefused, Seen
    from services.chassis.messages import Outgoing

SOURCE = "baton-cli"
COLUMNS = ("time", "type", "key", "id", "body")


def register(app: typer.Typer) -> None:
    events = typer.Typer(help="Publish events from outside.", no_args_is_help=True)
    events.command("publish")(publish)
    outcomes = typer.Typer(help="Follow what became of orders.", no_args_is_help=True)
    outcomes.command("tail")(tail)
    app.add_typer(events, name="events")
    app.add_typer(outcomes, name="outcomes")


def publish(
    context: typer.Context,
    type_: Annotated[
        str, typer.Argument(metavar="TYPE", help="Name of an event, for example OrderPlaced.")
    ],
    file: Annotated[str, typer.Argument(help="JSON of its fields; - is standard input.")] = "-",
    *,
    event_id: Annotated[
        str, typer.Option("--id", help="ce_id; the same again counts once. Default: a new one.")
    ] = "",
    source: Annotated[str, typer.Option(help="ce_source: who says it.")] = SOURCE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it, publish nothing.")] = False,
) -> None:
    """Publish one event from JSON.

    It is checked by its contract first; a refusal names every field that is wrong.
    """
    output: Output = context.obj
    message, contract_name = _made(output, type_, file, event_id=event_id, source=source)
    if not dry_run:
        with faults_told(output):
            asyncio.run(_send(kafka_of_this_shell(), message))
    output.one(
        {
            "type": contract_name,
            "id": message.id,
            "source": source,
            "topic": message.topic,
            "key": message.key,
            "published": not dry_run,
        }
    )


def _made(
    output: Output, type_: str, file: str, *, event_id: str, source: str
) -> tuple[Outgoing, str]:
    """The message and its full type; a refusal ends the program with all that is wrong."""
    from orchestrator.operate.outside import (  # noqa: PLC0415  keeps `--help` quick
        EventRefused,
        UnknownType,
        checked_identity,
        contract_named,
        event_from_json,
    )
    from schemas.catalogue import load_catalogue  # noqa: PLC0415
    from services.chassis.codec import Codec  # noqa: PLC0415
    from services.chassis.envelope import Cause, Maker  # noqa: PLC0415
    from services.chassis.ids import new_id  # noqa: PLC0415

    catalogue = load_catalogue()
    codec = Codec(catalogue)
    message_id = event_id or new_id()
    try:
        contract = contract_named(catalogue, type_)
        event = event_from_json(contract, _text(output, file), codec)
        checked_identity(message_id, source)
    except EventRefused as refusal:
        _tell(output, refusal)
        unknown = isinstance(refusal, UnknownType)
        raise typer.Exit(Exit.NOT_FOUND if unknown else Exit.REFUSED) from refusal
    maker = Maker(source, codec, catalogue)
    message = maker.event(event, message_id, time.time_ns() // 1000, Cause())
    return message, contract.full_name


def tail(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="Only of this order or customer.")] = "",
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="All that are there.")] = False,
) -> None:
    """Print outcomes as outside consumers see them, orders' and customers'.

    A line each; with `-o jsonl` a JSON object each.
    """
    output: Output = context.obj
    with faults_told(output):
        last = None if everything else lines
        asyncio.run(_tail(kafka_of_this_shell(), output, key=key, last=last, follow=follow))


async def _send(bootstrap: str, message: Outgoing) -> None:
    from services.chassis.bus_publish import Publisher  # noqa: PLC0415

    publisher = Publisher(bootstrap, client_id=SOURCE)
    try:
        await publisher.start([message.topic])
        await publisher.publish([message])
    finally:
        await publisher.close()


async def _tail(
    bootstrap: str, output: Output, *, key: str, last: int | None, follow: bool
) -> None:
    """The new ones are listened for before the old ones are read, so that none falls between."""
    from orchestrator.operate.outside import seen  # noqa: PLC0415
    from schemas.catalogue import load_catalogue  # noqa: PLC0415
    from schemas.releases import releases  # noqa: PLC0415
    from schemas.topics import TOPICS  # noqa: PLC0415
    from services.chassis.bus_admin import Tail, read_all  # noqa: PLC0415
    from services.chassis.codec import Codec  # noqa: PLC0415

    catalogue = load_catalogue()
    codec = Codec(catalogue, [each.schema for each in releases()])
    topics = [topic.name for topic in TOPICS if topic.kind == "outcomes"]
    wanted = key.encode()
    async with Tail(bootstrap, topics) as new:
        found = [each for each in await read_all(bootstrap, topics) if wanted in (b"", each.key)]
        told = {(each.topic, each.partition, each.offset) for each in found}
        found.sort(key=lambda each: each.timestamp_ms)
        rows = deque((seen(each, catalogue, codec) for each in found), maxlen=last)
        if not follow:
            _print_all(output, list(rows))
            return
        tell = _teller(output)
        for row in rows:
            tell(row)
        async with aclosing(new.records()) as records:
            async for each in records:
                known = (each.topic, each.partition, each.offset) in told
                if not known and wanted in (b"", each.key):
                    tell(seen(each, catalogue, codec))


def _print_all(output: Output, rows: list[Seen]) -> None:
    if output.form is not Form.TABLE:
        output.rows(COLUMNS, [row.as_row() for row in rows])
        return
    tell = _teller(output)
    for row in rows:
        tell(row)
    if not rows:
        output.say("no outcome yet. Orders come in with: baton import --day 2010-12-01")


def _teller(output: Output) -> Callable[[Seen], None]:
    """One line or one object at a time, flushed, so that a pipe sees it at once."""
    if output.form is Form.TABLE:
        return lambda row: output.lines([row.as_line()])
    if output.form is Form.CSV:
        output.rows(COLUMNS, [])
        return partial(_csv_line, output)
    return lambda row: output.stream([row.as_row()])


def _csv_line(output: Output, row: Seen) -> None:
    output.rows(COLUMNS, [row.as_row()], heading=False)
    sys.stdout.flush()


def _text(output: Output, file: str) -> bytes:
    if file == "-":
        if sys.stdin.isatty():
            output.say("reading JSON from the terminal; Ctrl-D ends it")
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        output.fail(f"{file}: {error.strerror}", "name a JSON file, or - for standard input")
        raise typer.Exit(Exit.NOT_FOUND) from error


def _tell(output: Output, refusal: EventRefused) -> None:
    output.fail(refusal.what)
    for problem in refusal.problems:
        output.fail(problem)
    if refusal.mend:
        output.say(f"  → {refusal.mend}")
