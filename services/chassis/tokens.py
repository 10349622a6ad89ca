"""The tokens of the HTTP interfaces: one file of names, roles and hashes, shared by all processes.

Holds no secret: a token is 256 random bits, told once and kept as its SHA-256. The invariants: a
file that is absent, unreadable, or writable by others admits nobody; a change counts with the next
request; a token that expired or was revoked stays listed, and is refused by name.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from services.chassis.access import Principal, Role
from services.chassis.clock import Clock
from services.chassis.ids import new_id

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
UNKNOWN = "send `Authorization: Bearer <token>` with a valid token"
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_log = logging.getLogger(__name__)


class NotAdmitted(Exception):
    """Who asks is not known here; says what to do."""


class TokensUnusable(ValueError):
    """The file of the tokens cannot be read; says why."""


class Token(BaseModel):
    """What is kept of one token; `name` is who it was given to."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: str
    name: Annotated[str, Field(pattern=NAME)]
    role: Role
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None

    def ended(self, now: datetime) -> str:
        """Why it admits nobody any more, or nothing."""
        if self.revoked is not None and self.revoked <= now:
            return "revoked"
        if self.expires is not None and self.expires <= now:
            return "expired"
        return ""


_TOKENS = TypeAdapter(tuple[Token, ...])


def new_secret() -> str:
    """The prefix lets scanners of repositories and logs know it for what it is."""
    return f"baton_{secrets.token_urlsafe(32)}"


def made(
    secret: str, name: str, role: Role, *, now: datetime, expires: datetime | None = None
) -> Token:
    return Token(
        id=new_id(), name=name, role=role, sha256=digest(secret), created=now, expires=expires
    )


def revoked(
    tokens: Sequence[Token], name: str, now: datetime, *, from_: datetime | None = None
) -> tuple[Token, ...]:
    """All tokens, those of that name without a future after `from_` (now)."""
    ends = from_ or now
    return tuple(
        each.model_copy(update={"revoked": ends})
        if each.name == name and not each.ended(ends)
        else each
        for each in tokens
    )


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def holder(tokens: Sequence[Token], secret: str) -> Token | None:
    """Compares with each in constant time."""
    given = digest(secret)
    found = [each for each in tokens if hmac.compare_digest(each.sha256, given)]
    return found[0] if found else None


def written(tokens: Sequence[Token]) -> str:
    """The text of the file: one token a line, so that a change of one is a line's."""
    lines = ",\n".join(each.model_dump_json(exclude_none=True) for each in tokens)
    return f"[\n{lines}\n]\n"


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Raises TokensUnusable; a file that is not there holds none."""
    try:
        if path.stat().st_mode & _WRITABLE:
            raise TokensUnusable(f"{path} can be written by others; chmod 600 {path}")
        return _TOKENS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except OSError as fault:
        raise TokensUnusable(f"{path}: {fault.strerror}") from fault
    except ValidationError as fault:
        (first, *_) = fault.errors(include_url=False, include_input=False)
        place = ".".join(map(str, first["loc"])) or "the file"
        raise TokensUnusable(f"{path}: {place}: {first['msg']}") from fault


class Tokens:
    """The file as it is now. Without a path nobody is admitted."""

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._seen: tuple[int, int, int] | None = None
        self._tokens: tuple[Token, ...] = ()

    def principal(self, secret: str) -> Principal:
        """Raises NotAdmitted. Only who holds a token is told that it has ended."""
        token = holder(self._now(), secret)
        if token is None:
            raise NotAdmitted(UNKNOWN)
        return self._admitted(token)

    def by_id(self, token_id: str) -> Principal:
        """For what a token opened; raises NotAdmitted once that has ended."""
        found = [each for each in self._now() if each.id == token_id]
        if not found:
            raise NotAdmitted(UNKNOWN)
        return self._admitted(found[0])

    def _admitted(self, token: Token) -> Principal:
        now = datetime.fromtimestamp(self._clock.now_us() / 1_000_000, UTC)
        if why := token.ended(now):
            raise NotAdmitted(f"the token {token.name} is {why}: ask for another one")
        until_s = None if token.expires is None else token.expires.timestamp()
        return Principal(token.name, token.role, "token", token.id, until_s)

    def _now(self) -> tuple[Token, ...]:
        if self._path is None:
            return ()
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen != self._seen:
                self._tokens, self._seen = read_tokens(self._path), seen
        except (OSError, TokensUnusable) as fault:
            self._tokens, self._seen = (), None
            _log.error("no token is known: every request is refused", extra={"reason": str(fault)})
        return self._tokens
