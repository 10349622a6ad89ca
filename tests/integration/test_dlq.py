"""What a person does about a parked key on the running company, with nothing but the command line.

An order is stopped in three places: by a record that no release can read, at a participant and in
the orchestrator, and by hand. It is seen, moved, and in the end the books are those of any order.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas.billing import AuthorisePayment
from schemas.common import Money
from schemas.inventory import StockReserved
from services.chassis.envelope import Cause
from tests.integration.books import check_books, order, placed
from tests.integration.running_company import (
    Company,
    Sent,
    baton,
    message,
    until,
)

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]


async def listed(company: Company, key: str) -> list[tuple[object, ...]]:
    found = await baton(company, "dlq", "list", "--kind", "parked")
    assert isinstance(found, list)
    return [
        (each["service"], each["reason"], each["waiting"]) for each in found if each["key"] == key
    ]


async def waits(company: Company, key: str, *expected: tuple[object, ...]) -> None:
    async def there() -> bool:
        return await listed(company, key) == list(expected)

    await until(there, f"{key} waits as {expected}")


def unreadable(sent: Sent) -> Sent:
    """The same under a schema that no release knows."""
    assert sent.value is not None
    return sent._replace(value=sent.value[:2] + bytes(8) + sent.value[10:])


async def one_outcome(company: Company, keys: Sequence[str]) -> None:
    """Nothing is under way any more, each order has its one outcome, and the books agree."""
    await until(company.drained, "nothing is under way")
    counted = await check_books(company, [order(key) for key in keys])
    assert counted == {"fulfilled": len(keys)}


async def test_an_order_parked_at_a_participant_is_found_tried_and_freed(company: Company) -> None:
    """Billing cannot read a record: the payment waits behind it until the record is discarded."""
    key = "dlq-billing"
    links = Cause(f"fulfilment:{key}", "x", f"fulfilment:{key}/strange")
    strange = message(
        AuthorisePayment(key, None, Money(1, "GBP"), "tok_ok"), "strange-1", source="orchestrator",
        cause=links,
    )  # fmt: skip
    await company.publish(unreadable(strange))
    await company.publish(*placed(order(key)))
    await waits(company, key, ("billing", "unknown_schema", 2))
    tried = await baton(company, "dlq", "redrive", key, "--reason", "try", "--dry-run")
    assert isinstance(tried, list)
    assert [each["would"].split(":")[0] for each in tried] == ["fails", "waits"]
    await baton(company, "dlq", "redrive", key, "--reason", "try", code=6)
    await waits(company, key, ("billing", "unknown_schema", 2))
    told = await baton(company, "dlq", "discard", key, "--reason", "nobody's release wrote it")
    assert isinstance(told, list)
    assert [(each["result"], each["applied"]) for each in told] == [("applied", 2)]
    await waits(company, key)
    await one_outcome(company, [key])
    shown = await baton(company, "dlq", "show", key, "--service", "billing")
    assert isinstance(shown, list)
    assert [each["state"] for each in shown[0]["records"]] == ["discarded", "redriven"]
    verbs = [(each["verb"], each["result"]) for each in shown[0]["verbs"]]
    assert verbs == [("redrive", "failed_again"), ("discard", "applied")]


async def test_a_saga_whose_key_is_parked_waits_and_goes_on(company: Company) -> None:
    """The orchestrator cannot read a reply: true replies queue behind it, in order."""
    key = "dlq-saga"
    links = Cause(f"fulfilment:{key}", f"fulfilment:{key}/stock/do", f"fulfilment:{key}/stock")
    strange = message(
        StockReserved(key), "strange-2", source="inventory", topic="inventory.replies.v1",
        cause=links,
    )  # fmt: skip
    await company.publish(unreadable(strange))
    await waits(company, key, ("orchestrator", "unknown_schema", 1))
    await company.publish(*placed(order(key)))
    await waits(company, key, ("orchestrator", "unknown_schema", 2))
    told = await baton(company, "dlq", "discard", key, "--reason", "not of this company")
    assert isinstance(told, list)
    assert [each["result"] for each in told] == ["applied"]
    await waits(company, key)
    await one_outcome(company, [key])


async def test_a_key_parked_by_hand_holds_its_order_until_it_is_freed(company: Company) -> None:
    """Before anything of it came; then by one verb for all that match."""
    key = "dlq-hand"
    park = ("dlq", "park", key, "--service", "inventory", "--reason", "stock count")
    await baton(company, *park)
    await baton(company, *park, code=6)
    await waits(company, key, ("inventory", "operator", 0))
    await company.publish(*placed(order(key)))
    await waits(company, key, ("inventory", "operator", 1))
    every = ("--service", "inventory", "--reason-code", "operator", "--reason", "counted")
    await baton(company, "dlq", "unpark", *every)
    await waits(company, key)
    await one_outcome(company, [key])
