"""What a person does about stuck orders on the running company, with nothing but the command line.

The payment provider is away while captures are due, so the orders wait past their deadline for
billing, which hears and cannot answer; a service that is away itself is granted its time anew. They
are found, rehearsed, told, and when the provider is back every retry is verified.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from deploy.local.stack import PROCESSES
from tests.integration.books import check_books, deliver, order, placed
from tests.integration.running_company import Company, baton, running_company, until

pytestmark = [
    pytest.mark.stack,
    pytest.mark.costly,  # a capture is granted two minutes before it counts as stuck
    pytest.mark.asyncio(loop_scope="module"),
]
KEYS = ("v-1", "v-2", "v-3")
GROUP = "reason=no_reply service=billing"
WHY = ("--reason", "billing is back")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def company(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Company]:
    """Its orders wait for their capture: the provider left between authorising and capturing."""
    async with running_company(tmp_path_factory.mktemp("verbs"), only=PROCESSES) as company:
        await deliver(company)
        await company.keeper("shipping").stop()
        await company.publish(*placed(*(order(key) for key in KEYS)))
        await until(lambda: states(company) == {"sent": len(KEYS)}, "shipments are asked for")
        await company.keeper("payment").stop()
        await company.begin("shipping")
        yield company


def states(company: Company, step: str = "shipment") -> dict[str, int]:
    rows = company.rows(
        "orchestrator",
        "SELECT step.value ->> 'status', count(*) FROM sagas, json_each(sagas.steps) AS step"
        " WHERE step.value ->> 'name' = ? GROUP BY 1",
        step,
    )
    return {str(status): int(str(count)) for status, count in rows}


async def test_stuck_orders_are_found_rehearsed_told_and_verified(company: Company) -> None:
    """From the group on the list to the audit: one first, then all that are left."""

    async def stuck() -> bool:
        groups = await baton(company, "sagas", "stuck", GROUP)
        assert isinstance(groups, list)
        return [(each["state"], each["count"]) for each in groups] == [("awaiting_capture", 3)]

    await until(stuck, "three orders are stuck at billing", within_s=240)
    await baton(company, "sagas", "stuck", "--fail-if-any", code=1)
    shown = await baton(company, "sagas", "retry", "v-1", *WHY, "--dry-run")
    assert isinstance(shown, dict)
    assert shown["money"] == {"billing.CapturePayment": {"GBP": 2250}}
    assert [each["id"] for each in shown["commands"]] == ["fulfilment:v-1/capture/do"]
    one = await baton(company, "sagas", "retry", "v-1", *WHY)
    assert isinstance(one, dict)
    assert (one["result"], one["verified"]) == ("applied", "unchanged")
    await stale_and_twice(company, one)

    words = ("--query", GROUP, *WHY, "--yes", "--wait", "--timeout", "5m")
    told = asyncio.create_task(baton(company, "sagas", "retry", *words))
    await until(
        lambda: company.rows("console", "SELECT 1 FROM bulk_items WHERE state = 'unchanged'"),
        "the group is told",
    )
    await company.begin("payment")
    all_of_them = await told
    assert isinstance(all_of_them, dict)
    assert (all_of_them["state"], all_of_them["counts"]["progressed"]) == ("done", 3)

    await until(company.drained, "nothing is under way")
    assert await check_books(company, [order(key) for key in KEYS]) == {"fulfilled": len(KEYS)}
    checked = await baton(company, "audit", "--check")
    assert isinstance(checked, dict)
    assert checked["broken"] is None
    acts = await baton(company, "audit")
    assert isinstance(acts, list)
    done = [(act["action"], act["result"]) for act in reversed(acts) if act["result"] != "asked"]
    assert done == [("retry", "applied"), ("retry", "stale"), ("note", "applied"), ("retry", "ok")]


async def stale_and_twice(company: Company, told: dict[str, object]) -> None:
    """A version that was passed is refused; one Idempotency-Key twice is one effect."""
    url = company.addresses["console"]
    token = company.home.token_file.read_text().strip()
    path = f"{url}/api/sagas/v-1/verbs"
    async with httpx.AsyncClient(
        headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=30
    ) as http:
        body = {"verb": "retry", "reason": "again", "version": told["version_before"]}
        stale = await http.post(path, json=body)
        note = {"verb": "note", "reason": "looked at"}
        key = {"Idempotency-Key": "one-note"}
        first = await http.post(path, json=note, headers=key)
        second = await http.post(path, json=note, headers=key)
    assert (stale.status_code, stale.json()["title"]) == (409, "stale")
    assert stale.json()["version"] == told["version"]
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    notes = company.rows("orchestrator", "SELECT 1 FROM journal WHERE what = 'verb_note'")
    assert len(notes) == 1
