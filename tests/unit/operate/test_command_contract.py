"""What scripts and people rely on at a real terminal and in a real shell: asking, Ctrl-C, Tab."""

from __future__ import annotations

import asyncio
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from stage import TOKEN, Stage
from telling_stage import Console, opened

from orchestrator.operate.saga_work import TYPED_OVER

ORDERS = TYPED_OVER + 1
COMMAND = ("sagas", "pause", "--query", "state=awaiting_stock", "--reason", "an audit")
ASKED = f"{ORDERS} sagas match. pause them all? Type how many"


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Console]:
    async with opened(folder) as console:
        for n in range(ORDERS):
            await console.playing.place_order(f"o-{n}")
        task = asyncio.create_task(console.runner.run())
        yield console
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@dataclass
class Shell:
    """Processes of their own, as a person starts them."""

    environment: dict[str, str]

    def at_terminal(self, *words: str, keys: str) -> tuple[int, str]:
        """What is typed is there before it is asked for; how it ended, and what was said."""
        ours, theirs = pty.openpty()
        argv = [sys.executable, "-m", "orchestrator.operate.cli", *words]
        process = subprocess.Popen(
            argv,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            preexec_fn=lambda: _controls(theirs),  # noqa: PLW1509  as a terminal does
            start_new_session=True,
        )
        os.close(theirs)
        assert process.stderr is not None
        said = b""
        while b"how many" not in said and (more := os.read(process.stderr.fileno(), 4096)):
            said += more
        os.write(ours, keys.encode())
        _, rest = process.communicate(timeout=60)
        os.close(ours)
        return process.returncode, (said + rest).decode()

    def completed(self, *words: str) -> list[str]:
        """What bash offers for the last of these words, by the script that baton gives it."""
        asks = 'source <("$@" --show-completion bash); COMP_WORDS=(baton $LINE);'
        asks += ' COMP_CWORD=$COUNT; _baton_completion baton; printf "%s\\n" "${COMPREPLY[@]}"'
        bash = shutil.which("bash")
        assert bash is not None
        said = subprocess.run(
            [bash, "--norc", "-c", asks, "bash", "baton"],
            env={**self.environment, "LINE": " ".join(words), "COUNT": str(len(words))},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert said.stderr == ""
        return said.stdout.split()


def _controls(terminal: int) -> None:
    """The terminal becomes the process's own, so that Ctrl-C reaches it."""
    import fcntl  # noqa: PLC0415  only in the child
    import termios  # noqa: PLC0415

    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


@pytest.fixture
def console(stage: Stage, tmp_path: Path) -> Console:
    return stage.enter(running(tmp_path))


@pytest.fixture
def shell(stage: Stage, console: Console, tmp_path: Path) -> Shell:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BATON_", "KAFKA_"))}
    return Shell(
        {
            **kept,
            "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
            "BATON_URL": stage.serve(console.routes),
            "BATON_TOKEN": TOKEN,
            "BATON_HOME": str(tmp_path / "home"),
            "SHELL": "/bin/bash",
        }
    )


def test_many_are_told_only_by_who_types_how_many(shell: Shell, console: Console) -> None:
    """Another number, and Ctrl-C or Ctrl-D at the question, change nothing and are 130."""
    for keys in (f"{ORDERS - 1}\n", "y\n", "\x03", "\x04"):
        code, said = shell.at_terminal(*COMMAND, keys=keys)
        assert (code, ASKED in said, "Aborted" in said) == (130, True, False), (keys, said)
    assert console.wire.sent == []

    code, said = shell.at_terminal(*COMMAND, "--wait", keys=f"{ORDERS}\n")
    assert (code, len(console.wire.sent)) == (0, ORDERS), said


OFFERED = {
    ("sag",): ["sagas"],
    ("sagas", "sk"): ["skip"],
    ("sagas", "show", "o-10"): ["o-100"],  # o-10 is none of the newest fifty
    ("sagas", "list", "state=awaiting_s"): ["state=awaiting_stock"],
    ("sagas", "list", "reas"): ["reason="],
    ("sagas", "show", "nothing-begins-so"): [],
}


def test_tab_in_bash_offers_verbs_ids_and_states(shell: Shell) -> None:
    """By the script of `--show-completion`; ids and states are the console's."""
    assert {words: shell.completed(*words) for words in OFFERED} == OFFERED
