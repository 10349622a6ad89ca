"""The supervisor's ear: one JSON object a line on a Unix socket of the state folder.

`{"verb": "restart", "name": "billing"}` is answered by `{"ok": true}` when it is done, or by
`{"ok": false, "error": "..."}`. The folder is private, so whoever can connect owns the stack.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .faults import ProcessFailed, StackStopped
from .home import Home, write_whole

NAME_LONGEST: Final = 100  # of the 108 bytes that Linux gives a socket's path, 104 on macOS
ANSWER_WITHIN_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class Request:
    verb: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    ok: bool
    error: str = ""


class ControlServer:
    def __init__(self, home: Home, answer: Callable[[Request], Awaitable[Reply]]) -> None:
        self._home = home
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._path = home.run / "supervisor.sock"
        self._folder: Path | None = None

    async def open(self) -> None:
        """A path too long for a socket is replaced by one in a private temporary folder."""
        if len(os.fsencode(self._path)) > NAME_LONGEST:
            self._folder = Path(tempfile.mkdtemp(prefix="baton-"))
            self._path = self._folder / "supervisor.sock"
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        self._path.chmod(0o600)
        write_whole(_pointer(self._home), f"{self._path}\n", durable=False)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
            _pointer(self._home).unlink(missing_ok=True)
        if self._folder is not None:
            self._folder.rmdir()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while line := await reader.readline():
                reply = await self._reply_to(line)
                writer.write(json.dumps({"ok": reply.ok, "error": reply.error}).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _reply_to(self, line: bytes) -> Reply:
        try:
            content = json.loads(line)
            request = Request(str(content["verb"]), str(content.get("name", "")))
        except (ValueError, KeyError, TypeError, AttributeError):
            return Reply(ok=False, error='a line is a JSON object: {"verb": ..., "name": ...}')
        return await self._answer(request)


def ask_supervisor(home: Home, request: Request) -> None:
    """Blocks until it is done. Raises StackStopped without a supervisor, ProcessFailed if refused.

    For `stop`, `start` and `restart` of one process, and `down` of all.
    """
    try:
        path = _pointer(home).read_text(encoding="utf-8").strip()
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
            connection.settimeout(ANSWER_WITHIN_S)
            connection.connect(path)
            connection.sendall(
                json.dumps({"verb": request.verb, "name": request.name}).encode() + b"\n"
            )
            with connection.makefile("rb") as lines:
                answer = lines.readline()
    except OSError as error:
        raise StackStopped(f"no stack runs in {home.root}", mend="baton up") from error
    content = json.loads(answer) if answer else {"ok": False, "error": "the supervisor went away"}
    if not content["ok"]:
        raise ProcessFailed(str(content["error"]), mend="baton status; baton doctor")


def _pointer(home: Home) -> Path:
    return home.run / "supervisor.path"
