"""The verbs of `baton` as the command line itself declares them, for the reference.

Reads the application that people run; writes no verb, option or help text of its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, cast

from typer.main import get_command


class _Parameter(Protocol):
    name: str
    opts: Sequence[str]
    param_type_name: str
    required: bool
    metavar: str | None
    help: str | None


class _Command(Protocol):
    help: str | None
    params: Sequence[_Parameter]


@dataclass(frozen=True, slots=True)
class Option:
    names: tuple[str, ...]
    meaning: str


@dataclass(frozen=True, slots=True)
class Verb:
    name: str
    arguments: tuple[str, ...]
    options: tuple[Option, ...]
    does: str


@cache
def verbs() -> tuple[Verb, ...]:
    """`baton` itself first, with the global options, then every verb in its order of help."""
    app = importlib.import_module("orchestrator.operate.cli").build_app()
    return tuple(_walk("baton", cast("_Command", get_command(app))))


def _walk(name: str, command: _Command) -> Iterator[Verb]:
    below = cast("Mapping[str, _Command]", getattr(command, "commands", {}))
    if name == "baton" or not below:
        yield _verb(name, command)
    for word, each in below.items():
        yield from _walk(f"{name} {word}", each)


def _verb(name: str, command: _Command) -> Verb:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    return Verb(
        name,
        tuple(map(_argument, arguments)),
        tuple(Option(tuple(each.opts), each.help or "") for each in options),
        " ".join((command.help or "").split()),
    )


def _argument(each: _Parameter) -> str:
    shown = each.metavar or each.name.upper()
    return shown if each.required else f"[{shown}]"
