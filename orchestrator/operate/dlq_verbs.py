"""The verbs of dead letters and parked keys: dlq list, show, park, unpark, redrive, discard."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING, Annotated, get_type_hints

import typer

from orchestrator.operate.faults import told
from orchestrator.operate.wording import Clock

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Key = Annotated[str, typer.Argument(help="The order or customer.")]
Keys = Annotated[str, typer.Argument(help="The order or customer; without it all that match.")]
Service = Annotated[str, typer.Option(help="Whose: orchestrator, billing, inventory ...")]
Topic = Annotated[str, typer.Option(help="Of this topic; the first that waits of a parked key.")]
Code = Annotated[str, typer.Option("--reason-code", help="Parked or rejected for this reason.")]
Reason = Annotated[str, typer.Option(help="Why you do it; kept with the verb.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, however many match.")]
Force = Annotated[
    bool, typer.Option("--force", help="Also what failed the same way again and again.")
]
Times = Annotated[Clock, typer.Option("--time", help="How times are shown.")]
Url = Annotated[str, typer.Option("--url", help="The console; default BATON_URL, or the stack's.")]


@dataclass(frozen=True)
class Shown:
    """What every verb that reads takes."""

    service: Service = ""
    clock: Times = Clock.LOCAL
    url: Url = ""


@dataclass(frozen=True)
class Chosen:
    """Whom a verb is told, one key or all that match, and how."""

    reason: Reason
    key: Keys = ""
    service: Service = ""
    topic: Topic = ""
    code: Code = ""
    dry_run: DryRun = False
    yes: Yes = False
    url: Url = ""


def spread(kind: type[DataclassInstance]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The fields of `kind` as options of a verb, which is given them as one object."""
    hints = get_type_hints(kind, include_extras=True)
    keyword, empty = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
    more = [
        inspect.Parameter(
            each.name,
            keyword,
            default=empty if each.default is MISSING else each.default,
            annotation=hints[each.name],
        )
        for each in fields(kind)
    ]

    def made(verb: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(verb)
        def spread_out(**values: object) -> None:
            verb(kind(**{name: values.pop(name) for name in hints}), **values)

        annotated = get_type_hints(verb, include_extras=True)
        _, *own = inspect.signature(verb).parameters.values()
        kept = [each.replace(kind=keyword, annotation=annotated[each.name]) for each in own]
        spread_out.__signature__ = inspect.Signature([*kept, *more])  # type: ignore[attr-defined]
        spread_out.__annotations__ = {each.name: each.annotation for each in (*kept, *more)}
        return spread_out

    return made


def register(app: typer.Typer) -> None:
    dlq = typer.Typer(
        no_args_is_help=True, help="Dead letters and parked keys.", rich_markup_mode=None
    )
    dlq.command("list")(list_letters)
    for verb in (show, park, unpark, redrive, discard):
        dlq.command(verb.__name__)(verb)
    app.add_typer(dlq, name="dlq")


@spread(Shown)
def list_letters(
    shown: Shown,
    context: typer.Context,
    *,
    kind: Annotated[str, typer.Option(help="Only parked, or only rejected.")] = "",
    topic: Topic = "",
    code: Code = "",
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1_000, help="Of each service and kind.")
    ] = 200,
    fail_if_any: Annotated[bool, typer.Option("--fail-if-any", help="Exit 1 if any is.")] = False,
) -> None:
    """Parked keys and rejected records of every service."""
    from orchestrator.operate import dlq_reading  # noqa: PLC0415  keeps `--help` quick, as below

    wanted = {"service": shown.service, "kind": kind, "topic": topic, "reason": code}
    with told(context.obj):
        found = dlq_reading.listed(
            context.obj, wanted, limit=limit, clock=shown.clock, url=shown.url
        )
        if found and fail_if_any:
            raise typer.Exit(1)


@spread(Shown)
def show(shown: Shown, context: typer.Context, key: Key) -> None:
    """One key: why it is parked, its records, and what operators told it. Never a payload."""
    from orchestrator.operate import dlq_reading  # noqa: PLC0415

    with told(context.obj):
        dlq_reading.show(context.obj, key, **asdict(shown))


def park(
    context: typer.Context, key: Key, *, service: Service, reason: Reason, url: Url = ""
) -> None:
    """Stop a key by hand: later records of it queue until it is unparked."""
    _tell(context, "park", Chosen(reason, key, service, url=url))


@spread(Chosen)
def unpark(chosen: Chosen, context: typer.Context, *, force: Force = False) -> None:
    """Free a key: what waits is applied in order, until one fails."""
    _tell(context, "unpark", chosen, force=force)


@spread(Chosen)
def redrive(
    chosen: Chosen,
    context: typer.Context,
    *,
    record: Annotated[
        int, typer.Option(min=0, help="A rejected record by its number, where it can be read now.")
    ] = 0,
    force: Force = False,
) -> None:
    """Try again what waits behind a parked key; or one rejected record."""
    _tell(context, "redrive", chosen, record=record, force=force)


@spread(Chosen)
def discard(chosen: Chosen, context: typer.Context) -> None:
    """Give up the first record that waits; it is kept, and what is behind it goes on."""
    _tell(context, "discard", chosen)


def _tell(
    context: typer.Context, verb: str, chosen: Chosen, *, record: int = 0, force: bool = False
) -> None:
    from orchestrator.operate import dlq_work  # noqa: PLC0415

    order = dlq_work.KeyOrder(verb, chosen.reason, record or None, force)
    wanted = dlq_work.Wanted(chosen.key, chosen.service, chosen.topic, chosen.code)
    with told(context.obj):
        dlq_work.tell(
            context.obj, order, wanted, dry_run=chosen.dry_run, yes=chosen.yes, url=chosen.url
        )
