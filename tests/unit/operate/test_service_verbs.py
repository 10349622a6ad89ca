"""`baton services` and `baton map` as typed: what two processes say of themselves, or do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from processes import Spoken
from stage import Hands, Stage, Terminal
from website import website

from orchestrator.operate.api import routes
from orchestrator.operate.database import Database
from orchestrator.operate.pictures import draw
from orchestrator.operate.reading import Reading
from orchestrator.operate.sagas import Views
from orchestrator.operate.service_api import service_routes
from orchestrator.sagas import SAGAS


@pytest.fixture
def seen(
    stage: Stage, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Terminal:
    """Billing is behind and crm is down."""
    lagging = [
        'saga_consumer_lag_messages{service="billing",topic="billing.payment.commands.v1"} 12'
    ]
    crm = Spoken()
    crm.down = True
    site = stage.enter(website(tmp_path, {"billing": Spoken(lagging), "crm": crm}))
    clock = Hands(site.playing)
    reading = Reading(Database(tmp_path / "orchestrator.db"), Views(SAGAS), clock)
    given = [*service_routes(site.scraping, clock), *routes(reading, draw)]
    monkeypatch.setenv("BATON_URL", stage.serve(given))
    return terminal


def test_every_process_says_how_it_is(seen: Terminal) -> None:
    """Up or down, how far behind, and why it does not answer."""
    rows = json.loads(seen.type("services", "-o", "json").out)

    assert [(row["name"], row["state"], row["lag_messages"]) for row in rows] == [
        ("billing", "up", 12),
        ("crm", "down", 0),
    ]
    assert rows[1]["why"].startswith("crm does not answer")


def test_the_map_shows_who_writes_and_who_reads(seen: Terminal) -> None:
    """Each topic once; for people, who of them is down."""
    rows = json.loads(seen.type("map", "-o", "json").out)
    drawn = seen.type("map").out.splitlines()

    of = {row["topic"]: row for row in rows}
    assert of["crm.replies.v1"] == {
        "topic": "crm.replies.v1",
        "writers": ["crm"],
        "readers": ["orchestrator"],
        "rate_per_s": None,
        "behind": 0,
    }
    assert of["billing.payment.commands.v1"]["behind"] == 12
    line = next(line for line in drawn if line.startswith("crm.replies.v1"))
    assert line.split() == ["crm.replies.v1", "crm", "✖", "down", "orchestrator", "0"]
