"""A gate whose tokens a test names: file and hashes as `baton tokens` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from services.chassis.access import Role
from services.chassis.clock import Clock, SystemClock
from services.chassis.gate import Gate
from services.chassis.tokens import Tokens, made, written

BEGAN = datetime(2025, 1, 1, tzinfo=UTC)


def tokens_in(folder: Path, given: Mapping[str, Role], *, name: str = "") -> Path:
    """The file of these secrets; each is called `name`, or as its role."""
    file = folder / "tokens.json"
    tokens = [made(secret, name or role.value, role, now=BEGAN) for secret, role in given.items()]
    file.write_text(written(tokens))
    file.chmod(0o600)
    return file


def gate_for(
    folder: Path, given: Mapping[str, Role], *, name: str = "", clock: Clock | None = None
) -> Gate:
    clock = clock or SystemClock()
    return Gate(Tokens(tokens_in(folder, given, name=name), clock), clock=clock)
