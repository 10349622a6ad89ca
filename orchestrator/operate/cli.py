"""The command line: global options, exit codes, and the verbs of every `<noun>_verbs` module.

A verb module has `register(app)` and imports nothing but typer at its top: what a verb needs it
imports when it runs, so that `baton --help` answers at once. Global options may stand anywhere
on the line. A fault becomes two lines, what is wrong and what to type next, never a traceback.
"""

from __future__ import annotations

import importlib
import itertools
import logging
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

import orchestrator.operate
from orchestrator.operate.exits import Exit
from orchestrator.operate.output import Form, Output

FLAGS: Final = frozenset({"--no-color", "-q", "--quiet", "-v", "--verbose", "--no-input"})
VALUED: Final = frozenset({"-o", "--output"})

EPILOG = "-o, -q, -v, --no-color and --no-input may follow the verb as well."


def options(
    context: typer.Context,
    output: Annotated[
        Form, typer.Option("--output", "-o", help="Form of results on standard output.")
    ] = Form.TABLE,
    *,
    no_color: Annotated[bool, typer.Option("--no-color", help="As NO_COLOR=1 does.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Results and errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask.")] = False,
) -> None:
    context.obj = Output(
        form=output,
        color=not no_color,
        quiet=quiet,
        verbose=verbose,
        asks=not no_input and sys.stdin.isatty(),
    )


def build_app() -> typer.Typer:
    app = typer.Typer(
        name="baton",
        help="Orders to outcomes, on Kafka. Start with: baton up",
        epilog=EPILOG,
        callback=options,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for module in sorted(each.name for each in pkgutil.iter_modules(orchestrator.operate.__path__)):
        if module.endswith("_verbs"):
            importlib.import_module(f"orchestrator.operate.{module}").register(app)
    return app


def hoisted(arguments: Sequence[str]) -> list[str]:
    """Global options before the verb, wherever they stood; what follows `--` is left alone."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        name, _, value = word.partition("=")
        if word == "--":
            rest += [word, *words]
        elif word in VALUED:
            front += [word, *itertools.islice(words, 1)]
        elif word in FLAGS or (name in VALUED and value):
            front.append(word)
        else:
            rest.append(word)
    return [*front, *rest]


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. Exits with a code of `Exit`, or with click's 2 for a wrong usage."""
    # What the Kafka client has to say comes back as our own fault, in our own words.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    given = hoisted(sys.argv[1:] if arguments is None else arguments)
    try:
        build_app()(given, prog_name="baton")
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.DONE)
    except OSError as fault:
        if fault.filename is None:
            raise
        place = os.path.dirname(fault.filename)  # noqa: PTH120  as it was given
        mend = f"ls -ld {place}; df -h {place}; or set BATON_HOME to a folder of yours"
        Output(color="--no-color" not in given).fail(f"{fault.filename}: {fault.strerror}", mend)
        sys.exit(Exit.FAILURE)


if __name__ == "__main__":
    main()
