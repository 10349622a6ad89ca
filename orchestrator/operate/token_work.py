"""What `baton tokens` and `baton login` do."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.local.home import Home, change_tokens, read_secret, write_whole
from orchestrator.operate.client import Server
from orchestrator.operate.exits import Exit
from orchestrator.operate.faults import VerbFault
from orchestrator.operate.filters import duration_us
from orchestrator.operate.output import Output
from services.chassis.access import LOCAL, Role
from services.chassis.ids import new_id
from services.chassis.tokens import (
    NAME,
    Token,
    TokensUnusable,
    holder,
    made,
    new_secret,
    read_tokens,
    revoked,
)

COLUMNS = ("name", "role", "state", "created", "expires", "id")
FILE = "BATON_TOKENS_FILE"


def create(output: Output, name: str, *, role: str, expires: str) -> None:
    now = datetime.now(UTC)
    if not re.fullmatch(NAME, name) or name == LOCAL:
        what = f"{name!r} is no name for a token: up to 63 letters, digits, dots, dashes"
        raise VerbFault(f"{what}; not {LOCAL}, which is `baton up`'s", code=Exit.USAGE)
    if role not in set(Role):
        raise VerbFault(f"no role {role!r}; choose of {', '.join(Role)}", code=Exit.USAGE)
    ends = None if expires == "never" else now + _span(expires, "--expires")
    secret = new_secret()
    token = made(secret, name, Role(role), now=now, expires=ends)

    def added(tokens: tuple[Token, ...]) -> Sequence[Token]:
        if any(each.name == name and not each.ended(now) for each in tokens):
            mend = f"baton tokens rotate {name}; baton tokens revoke {name}"
            raise VerbFault(f"there is a token {name} already", mend=mend, code=Exit.REFUSED)
        return (*tokens, token)

    _change(added)
    output.one({**_row(token, now), "token": secret})
    output.say("the token is shown this once; only its hash is kept")


def list_tokens(output: Output) -> None:
    now = datetime.now(UTC)
    try:
        rows = [_row(each, now) for each in read_tokens(_file())]
    except TokensUnusable as fault:
        raise VerbFault(str(fault)) from fault
    output.rows(COLUMNS, rows)


def rotate(output: Output, name: str, *, overlap: str) -> None:
    now, secret, kept = datetime.now(UTC), new_secret(), list[Token]()
    until = now + _span(overlap, "--overlap")

    def rotated(tokens: tuple[Token, ...]) -> Sequence[Token]:
        old = _living(tokens, name, now)
        kept.extend((old, made(secret, name, old.role, now=now, expires=_as_long(old, now))))
        return (*revoked(tokens, name, now, from_=until), kept[1])

    home = Home.from_environment(os.environ)
    mine = home.token_file.exists() and holder(read_tokens(_file()), read_secret(home.token_file))
    _change(rotated)
    if mine and mine.name == name:
        write_whole(home.token_file, secret + "\n")
        output.say(f"{home.token_file} holds the new one")
    output.one({**_row(kept[1], now), "token": secret})
    output.say(f"the old one works until {until:%Y-%m-%d %H:%M:%S} UTC")


def revoke(output: Output, name: str) -> None:
    now = datetime.now(UTC)

    def ended(tokens: tuple[Token, ...]) -> Sequence[Token]:
        _living(tokens, name, now)
        return revoked(tokens, name, now)

    _change(ended)
    output.say(f"the token {name} is revoked; what it is asked with next is refused")


def login(output: Output, url: str) -> None:
    with Server(url=url) as console:
        said = console.post("/api/logins", {}, new_id())
        output.one({"address": f"{console.url}{said['path']}", "role": said["role"]})
    output.say("works once, within ten minutes")


def _change(change: object) -> None:
    try:
        change_tokens(_file(), change)  # type: ignore[arg-type]
    except TokensUnusable as fault:
        raise VerbFault(str(fault)) from fault


def _file() -> Path:
    given = os.environ.get(FILE)
    return Path(given) if given else Home.from_environment(os.environ).tokens_file


def _living(tokens: Sequence[Token], name: str, now: datetime) -> Token:
    living = [each for each in tokens if each.name == name and not each.ended(now)]
    if not living:
        known = ", ".join(sorted({each.name for each in tokens if not each.ended(now)})) or "none"
        what = f"no token {name} that still works; there are: {known}"
        raise VerbFault(what, mend="baton tokens list", code=Exit.NOT_FOUND)
    return living[-1]


def _as_long(old: Token, now: datetime) -> datetime | None:
    return None if old.expires is None else now + (old.expires - old.created)


def _span(text: str, option: str) -> timedelta:
    span = duration_us(text)
    if span is None:
        raise VerbFault(f"{option} {text!r}: write 30s, 10m, 12h or 90d", code=Exit.USAGE)
    return timedelta(microseconds=span)


def _row(token: Token, now: datetime) -> dict[str, object]:
    def told(moment: datetime | None) -> str | None:
        return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"

    return {
        "name": token.name,
        "role": str(token.role),
        "state": token.ended(now) or "works",
        "created": told(token.created),
        "expires": told(token.revoked or token.expires),
        "id": token.id,
    }
