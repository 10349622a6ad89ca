"""Bulk operations on the stage of `telling_stage`: begun over HTTP, stepped by hand, looked at."""

from __future__ import annotations

from telling_stage import Console

RETRY = {"verb": "retry", "reason": "billing is back", "actor": "ann"}
QUERY = {**RETRY, "query": "service=billing"}


async def five_wait(console: Console) -> Console:
    """Five orders that wait for their payment, one that does not."""
    for order in ("o-1", "o-2", "o-3", "o-4", "o-5"):
        await console.playing.place_order(order)
        await console.playing.reserve(order)
    await console.playing.place_order("o-6")
    console.playing.sent.clear()
    return console


async def begin(console: Console, body: dict[str, object], key: str = "b-1") -> str:
    status, said = await console.post("/api/operations", body, key)
    assert status == 202, said
    return str(said["id"])


async def counts(console: Console, operation: str) -> tuple[str, dict[str, int]]:
    """Its state, and how many items are in each that has some."""
    said = await console.read(f"/api/operations/{operation}")
    return said["state"], {state: n for state, n in said["counts"].items() if n}


async def items(console: Console, operation: str) -> dict[str, tuple[str, str]]:
    said = await console.read(f"/api/operations/{operation}/items")
    return {each["saga_id"]: (each["state"], each["detail"]) for each in said["items"]}


async def steps(console: Console, times: int = 4) -> None:
    for _ in range(times):
        await console.runner.step()


async def change(console: Console, operation: str, what: str) -> None:
    body = {"reason": "good", "actor": "ann"}
    status, said = await console.post(f"/api/operations/{operation}/{what}", body)
    assert status == 200, said
