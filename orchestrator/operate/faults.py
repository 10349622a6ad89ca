"""How a verb fails: what is wrong, what to type next, and which exit code says so.

A verb's body stands in `with told(output):`. What it raises becomes two lines and a code, never
a traceback; a reader that went away (SIGPIPE) is no failure. Imports nothing heavy, because every
verb module imports it when `baton --help` is asked for.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import typer

from orchestrator.operate.exits import Exit
from orchestrator.operate.output import Output


class VerbFault(Exception):
    """`what` names the thing and the place, `mend` is what to type next."""

    def __init__(self, what: str, *, mend: str = "", code: Exit = Exit.FAILURE) -> None:
        super().__init__(what)
        self.what, self.mend, self.code = what, mend, code


@contextlib.contextmanager
def told(output: Output) -> Iterator[None]:
    """Ends the process with the code of what went wrong, said on standard error."""
    try:
        yield
        sys.stdout.flush()
    except VerbFault as fault:
        output.fail(fault.what, fault.mend)
        raise typer.Exit(fault.code) from fault
    except typer.Abort as fault:  # Ctrl-C or Ctrl-D where something was asked
        raise typer.Exit(Exit.INTERRUPTED) from fault
    except BrokenPipeError as fault:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.DONE) from fault
    except Exception as fault:
        other = _of_ours(fault)
        if other is None:
            raise
        output.fail(other.what, other.mend)
        raise typer.Exit(other.code) from fault


def _of_ours(fault: Exception) -> VerbFault | None:
    """Faults of parts that only some verbs load; told apart without loading them."""
    names = {each.__name__ for each in type(fault).__mro__}
    code = Exit.UNREACHABLE if names & {"StackStopped", "BrokerSilent"} else Exit.FAILURE
    if "LocalFault" in names:
        return VerbFault(str(fault), mend=str(getattr(fault, "mend", "")), code=code)
    if "BusError" in names:
        return VerbFault(str(fault), mend="baton status; baton doctor", code=code)
    return None
