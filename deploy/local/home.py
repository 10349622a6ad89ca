"""The state folder of a local stack: where everything lies, and the two secrets' file rules.

`BATON_HOME` names it, `.baton` is the default. It is private (0700) because it holds a token,
databases and logs. Nothing here knows what runs; invariant: a file is written whole or not at all,
and a secret that others on this machine can read is refused, never silently repaired.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from services.chassis.access import LOCAL, Role
from services.chassis.tokens import (
    Token,
    holder,
    made,
    new_secret,
    read_tokens,
    revoked,
    written,
)

from .faults import HomeUnusable, SecretExposed

DEFAULT: Final = ".baton"
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Home:
    """Paths only: making a Home touches nothing, `prepare` makes the folders."""

    root: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Home:
        return cls(Path(environment.get("BATON_HOME") or DEFAULT).expanduser().absolute())

    @property
    def kafka(self) -> Path:
        return self.root / "kafka"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def ports(self) -> Path:
        return self.root / "ports.json"

    @property
    def server(self) -> Path:
        """Says on which server the databases lie, where they are no files."""
        return self.root / "server"

    @property
    def token_file(self) -> Path:
        return self.root / "token"

    @property
    def tokens_file(self) -> Path:
        return self.root / "tokens.json"

    @property
    def supervisor_state(self) -> Path:
        return self.run / "supervisor.json"

    def database(self, process: str) -> Path:
        return self.data / f"{process}.db"

    def log(self, process: str) -> Path:
        return self.logs / f"{process}.log"

    def pid(self, process: str) -> Path:
        return self.run / f"{process}.pid"

    def prepare(self) -> None:
        """Makes the folders. Raises HomeUnusable when the disk is full or not ours to write."""
        try:
            for folder in (self.root, self.kafka, self.data, self.logs, self.run):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self.run / "probe", "writable\n")
            (self.run / "probe").unlink()
        except OSError as error:
            raise unusable(self.root, error) from error

    def token(self) -> str:
        """The token of whoever starts the stack, an operator's, made once and known to all.

        Raises SecretExposed if others read it.
        """
        if not self.token_file.exists():
            write_whole(self.token_file, new_secret() + "\n")
        secret, now = read_secret(self.token_file), datetime.now(UTC)

        def known(tokens: tuple[Token, ...]) -> Sequence[Token]:
            if holder(tokens, secret) is not None:
                return tokens
            return (*revoked(tokens, LOCAL, now), made(secret, LOCAL, Role.OPERATOR, now=now))

        change_tokens(self.tokens_file, known)
        return secret


def read_secret(path: Path) -> str:
    mode = path.stat().st_mode
    if mode & OTHERS:
        raise SecretExposed(
            f"{path} can be read by others on this machine (mode {stat.S_IMODE(mode):04o})",
            mend=f"chmod 600 {path}   (and if it was copied: rm {path}, a new one is made)",
        )
    return path.read_text(encoding="utf-8").strip()


def change_tokens(path: Path, change: Callable[[tuple[Token, ...]], Sequence[Token]]) -> None:
    """One change at a time; what cannot be read is never written over (TokensUnusable)."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = read_tokens(path)
        after = tuple(change(before))
        if after != before:
            write_whole(path, written(after))
    finally:
        os.close(lock)


def write_whole(path: Path, text: str, *, durable: bool = True) -> None:
    """Private (0600) and renamed into place: a reader sees the old text or the new.

    `durable` also survives a power cut; what is true only while we run does not need that.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
        if durable:
            handle.flush()
            os.fsync(handle.fileno())
    draft.replace(path)


def unusable(folder: Path, error: OSError) -> HomeUnusable:
    if error.errno in NO_ROOM:
        return HomeUnusable(
            f"the disk of {folder} is full",
            mend=f"df -h {folder.parent}   (a stack needs 1 GB; BATON_HOME moves its state)",
        )
    return HomeUnusable(
        f"the state folder {folder} cannot be used: {error.strerror or error}",
        mend=f"ls -ld {folder}; or set BATON_HOME to a folder of yours",
    )
