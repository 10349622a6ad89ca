"""One incident told alike by console, command line, metrics and audit, and ended as it was told."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.stack import PROCESSES
from tests.acceptance.incident import GROUP, STUCK, walk
from tests.browser.chromium import chromium
from tests.integration.running_company import running_company

pytestmark = [
    pytest.mark.stack,
    pytest.mark.costly,  # an order waits two minutes for its reply before it is stuck
]


async def test_an_incident_is_found_mended_and_verified(tmp_path: Path) -> None:
    """Billing away, its orders stuck, one tried, billing back, the rest moved on by themselves."""
    (tmp_path / "pictures").mkdir()
    async with (
        running_company(tmp_path, only=PROCESSES, BATON_HOME=str(tmp_path)) as company,
        chromium() as browser,
    ):
        on = await walk(company, await browser.new_page(), tmp_path / "pictures")
    showed = {step.what: step.showed for step in on.steps}

    assert "✓ 0" in showed["Orders flow"]
    assert showed["Billing is stopped"] == "✖ Switched off: billing. Switch it on again"
    assert showed["Who does not run"] == "✖ 1 of 8 not ready: billing."
    assert f"… {STUCK}" in showed["The first sign"]
    assert showed["Its members"] == f"… no reply · {STUCK} members"
    assert "once it is well, what waits for it goes on by itself" in showed["What is stuck"].lower()
    assert "put off to" in showed["One of them"]
    assert f"{STUCK} 270.00 GBP" in showed["What a retry would send"]
    assert "unchanged 1" in showed["One first: nothing moves"]
    assert "✓ progressed billing.PaymentAuthorised" in showed["The one went on"]
    assert f"✓ moved on {STUCK - 1}" in showed["The rest, verified"]
    assert showed["Nothing is stuck"].startswith("✓ Nothing is stuck.")

    assert isinstance(on.stuck, list)
    (group,) = on.stuck
    assert (":".join(GROUP.split(":")[:1]), group["count"]) == (group["reason"], STUCK)
    assert (on.stuck_gauge, on.stuck_after) == (STUCK, 0)
    counts = on.operation["counts"]
    assert isinstance(counts, dict)
    assert {state: n for state, n in counts.items() if n} == {
        "progressed": 1,
        "moved_on": STUCK - 1,
    }
    assert [(act["action"], act["result"]) for act in on.acts if act["result"] != "asked"] == [
        ("switch_off", "ok"),
        ("retry", "ok"),
        ("switch_on", "ok"),
        ("resume", "ok"),
    ]
    assert {(act["actor"], act["via"]) for act in on.acts} == {("token:local", "console")}
    assert len(on.steps) == len(list((tmp_path / "pictures").iterdir()))
    assert on.books == {"fulfilled": 19, "cancelled": 3}
