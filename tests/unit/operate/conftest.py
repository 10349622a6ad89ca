"""Fixtures of verbs that are typed: a home, a terminal, and a stage that serves interfaces."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import TOKEN, Stage, Terminal


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as opened:
        yield opened


@pytest.fixture
def terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    """In a home where nothing was ever started, in UTC, with the stage's token."""
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "BATON_URL", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BATON_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BATON_TOKEN", TOKEN)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    return Terminal(capsys)
