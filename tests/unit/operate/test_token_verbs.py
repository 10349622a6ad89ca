"""`baton tokens ...` and `baton login` as typed, and the file that they write."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from stage import Stage, Terminal

from deploy.local.home import Home
from services.chassis.access import Role
from services.chassis.clock import SystemClock
from services.chassis.tokens import (
    NotAdmitted,
    Tokens,
    TokensUnusable,
    digest,
    read_tokens,
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path / "home")
    found.prepare()
    return found


def admits(home: Home, secret: str) -> str:
    try:
        return Tokens(home.tokens_file, SystemClock()).principal(secret).role
    except NotAdmitted as fault:
        return str(fault)


def test_a_token_is_shown_once_and_kept_as_a_hash(terminal: Terminal, home: Home) -> None:
    """Its file is nobody else's; the list says whose, never what."""
    made = json.loads(
        terminal.type("tokens", "create", "shop", "--role", "publisher", "-o", "json").out
    )
    listed = terminal.type("tokens", "list", "-o", "json").out
    text = home.tokens_file.read_text()
    assert made["token"].startswith("baton_")
    assert len(made["token"]) == len("baton_") + 43
    assert made["token"] not in text + listed
    assert digest(made["token"]) in text
    assert stat.S_IMODE(home.tokens_file.stat().st_mode) == 0o600
    assert admits(home, made["token"]) == Role.PUBLISHER
    (row,) = json.loads(listed)
    assert (row["name"], row["role"], row["state"]) == ("shop", "publisher", "works")
    (token,) = read_tokens(home.tokens_file)
    assert token.expires == token.created + timedelta(days=90)


def test_a_rotated_token_leaves_the_old_one_a_while(terminal: Terminal, home: Home) -> None:
    """So that nobody is shut out between; without an overlap it ends at once."""
    first = json.loads(terminal.type("tokens", "create", "shop", "-o", "json").out)["token"]
    second = json.loads(terminal.type("tokens", "rotate", "shop", "-o", "json").out)["token"]
    assert [admits(home, each) for each in (first, second)] == [Role.VIEWER] * 2
    rotated = terminal.type("tokens", "rotate", "shop", "--overlap", "0s", "-o", "json").out
    third = json.loads(rotated)["token"]
    ended = "the token shop is revoked: ask for another one"
    assert [admits(home, each) for each in (second, third)] == [ended, Role.VIEWER]


def test_the_local_token_is_rotated_where_it_lies(terminal: Terminal, home: Home) -> None:
    """The command line goes on with the new one."""
    before = home.token()
    terminal.type("tokens", "rotate", "local", "--overlap", "0s")
    after = home.token()
    assert after != before
    assert admits(home, before) == "the token local is revoked: ask for another one"
    assert admits(home, after) == Role.OPERATOR
    assert len(read_tokens(home.tokens_file)) == 2


def test_a_revoked_token_is_over(terminal: Terminal, home: Home) -> None:
    made = json.loads(terminal.type("tokens", "create", "shop", "-o", "json").out)
    assert terminal.type("tokens", "revoke", "shop").code == 0
    assert admits(home, made["token"]) == "the token shop is revoked: ask for another one"
    again = terminal.type("tokens", "revoke", "shop")
    assert (again.code, again.err) == (
        3,
        "✖ no token shop that still works; there are: none\n  → baton tokens list\n",
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("create", "shop"), 6, "there is a token shop already"),
        (("create", "local"), 2, "'local' is no name for a token: up to 63 letters, digits"),
        (("create", "a b"), 2, "'a b' is no name for a token"),
        (("create", "x", "--role", "king"), 2, "no role 'king'; choose of publisher, viewer, op"),
        (("create", "x", "--expires", "soon"), 2, "--expires 'soon': write 30s, 10m, 12h or 90d"),
        (("rotate", "x"), 3, "no token x that still works; there are: shop"),
    ],
)
def test_what_cannot_be_is_said(
    terminal: Terminal, home: Home, words: tuple[str, ...], code: int, said: str
) -> None:
    """And changes nothing."""
    terminal.type("tokens", "create", "shop")
    before = home.tokens_file.read_text()
    answer = terminal.type("tokens", *words)
    assert (answer.code, answer.err.startswith(f"✖ {said}")) == (code, True), answer
    assert home.tokens_file.read_text() == before


def test_a_file_that_others_write_or_nobody_reads_admits_nobody(home: Home) -> None:
    """And is never written over."""
    secret = home.token()
    home.tokens_file.chmod(0o620)
    assert admits(home, secret) == "send `Authorization: Bearer <token>` with a valid token"
    with pytest.raises(TokensUnusable, match=r"can be written by others; chmod 600 "):
        home.token()
    home.tokens_file.chmod(0o600)
    assert admits(home, secret) == Role.OPERATOR
    home.tokens_file.write_text('[{"name": "x"}]')
    assert admits(home, secret).startswith("send")
    with pytest.raises(TokensUnusable, match=r"tokens\.json: 0\.id: Field required"):
        home.token()
    assert home.tokens_file.read_text() == '[{"name": "x"}]'


def test_a_lost_token_is_made_anew_and_the_old_one_ends(home: Home) -> None:
    before = home.token()
    home.token_file.unlink()
    after = home.token()
    assert admits(home, after) == Role.OPERATOR
    assert admits(home, before) == "the token local is revoked: ask for another one"
    assert all(each.created <= datetime.now(UTC) for each in read_tokens(home.tokens_file))


def test_login_prints_an_address_that_works_once(terminal: Terminal, stage: Stage) -> None:
    url = stage.logins()
    said = json.loads(terminal.type("login", "--url", url, "-o", "json").out)
    assert said["address"].startswith(f"{url}/login?code=")
    codes = [httpx.get(said["address"], trust_env=False).status_code for _ in range(2)]
    assert (codes, said["role"]) == ([303, 401], "operator")
