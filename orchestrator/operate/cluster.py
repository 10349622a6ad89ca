"""Where the command line finds Kafka, and how verbs that talk to it tell what went wrong.

`KAFKA_BOOTSTRAP_SERVERS` names a cluster; without it, the stack that runs in the state folder is
asked. Invariant: no verb guesses an address, and none ends in a traceback.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from orchestrator.operate.exits import Exit
from orchestrator.operate.output import Output


def kafka_of_this_shell() -> str:
    """Raises StackStopped where there is neither a setting nor a running stack, and
    PlaintextRefused where the setting names another machine.
    """
    from deploy.local.faults import StackStopped  # noqa: PLC0415  keeps `--help` quick
    from deploy.local.home import Home  # noqa: PLC0415
    from deploy.local.stack import given_cluster  # noqa: PLC0415
    from deploy.local.state import read_state  # noqa: PLC0415
    from deploy.local.supervisor import is_running  # noqa: PLC0415

    if given := given_cluster(os.environ):
        return given
    home = Home.from_environment(os.environ)
    state = read_state(home) if is_running(home) else None
    if state is None or not state.bootstrap:
        raise StackStopped(
            f"no stack runs in {home.root}",
            mend="baton up   (or set KAFKA_BOOTSTRAP_SERVERS to a cluster of yours)",
        )
    return state.bootstrap


@contextmanager
def faults_told(output: Output) -> Iterator[None]:
    """Turns what can go wrong on this machine or on the way to Kafka into words and a code."""
    from deploy.local.faults import LocalFault, StackStopped  # noqa: PLC0415
    from services.chassis.bus import BrokerSilent, BusError  # noqa: PLC0415

    if not output.verbose:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        yield
    except BrokenPipeError as fault:
        # Whoever read has seen enough; the interpreter must not try to flush at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.DONE) from fault
    except LocalFault as fault:
        output.fail(fault.what, fault.mend)
        stopped = isinstance(fault, StackStopped)
        raise typer.Exit(Exit.UNREACHABLE if stopped else Exit.FAILURE) from fault
    except BusError as fault:
        output.fail(str(fault), "baton status; baton doctor")
        silent = isinstance(fault, BrokerSilent)
        raise typer.Exit(Exit.UNREACHABLE if silent else Exit.FAILURE) from fault
