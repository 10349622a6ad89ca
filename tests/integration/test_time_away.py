"""An hour without somebody is nobody's timeout, whoever was away.

Tests cannot wait an hour, so the orchestrator is started with its clock an hour ahead: to it the
commands it sent have been unanswered for that long. Every restart is an hour later than the one
before, because time does not go back. What must not be found is a timer that fired.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time_ns

import pytest

from schemas.customers import CustomerRegistered
from schemas.orders import OrderPlaced
from tests.integration.books import check_books, order, placed
from tests.integration.running_company import (
    CATALOGUE,
    Company,
    Sent,
    message,
    until,
)

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

HOUR_S = 3600
HOUR_US = HOUR_S * 1_000_000
ORDERS_EACH = 8
COMMANDED = ("inventory", "billing", "shipping", "crm", "analytics")


@dataclass
class Later:
    """A company whose orchestrator lives ahead of the others."""

    company: Company
    offset_s: int = 0

    @property
    def now_us(self) -> int:
        return time_ns() // 1000 + self.offset_s * 1_000_000

    async def an_hour_passes(self) -> None:
        """For the orchestrator: it was stopped, and comes back when it is later."""
        self.offset_s += HOUR_S
        ahead = {"BATON_CLOCK_OFFSET_S": str(self.offset_s)}
        await self.company.begin("orchestrator", **ahead)

    async def timers_were_granted_anew(self) -> None:
        """None is overdue any more: their tick has passed, and did what it does."""
        overdue = "SELECT 1 FROM timers WHERE due_us <= ?"
        await until(
            lambda: not self.company.rows("orchestrator", overdue, self.now_us),
            "overdue timers were granted their time anew",
        )


@pytest.fixture(scope="module")
def later(disturbed: Company) -> Later:
    return Later(disturbed)


def orders(prefix: str) -> list[OrderPlaced]:
    return [order(f"{prefix}-{at}") for at in range(ORDERS_EACH)]


def customers(prefix: str) -> list[Sent]:
    return [
        message(
            CustomerRegistered(f"{prefix}-{at}", "Ada", "a@b.example", "France", datetime.now(UTC)),
            f"{prefix}-{at}/registered",
        )
        for at in range(ORDERS_EACH)
    ]


def fired(company: Company, prefix: str) -> list[tuple[object, ...]]:
    """Lines in the journals of these sagas that only a timer writes, or that follow from one."""
    return company.rows(
        "orchestrator",
        "SELECT sagas.saga_id, what, step FROM journal JOIN sagas ON sagas.id = journal.saga"
        " WHERE (what LIKE 'timer%' OR what = 'timed_out' OR what LIKE 'undo%')"
        " AND saga_id LIKE ?",
        f"%:{prefix}-%",
    )


async def waiting_for(company: Company, step: str, prefix: str) -> None:
    """All of these sagas have sent the step's command, and Kafka has it."""
    query = (
        "SELECT count(*) FROM sagas, json_each(sagas.steps) AS step WHERE saga_id LIKE ?"
        " AND step.value ->> 'name' = ? AND step.value ->> 'status' = 'sent'"
    )
    unsent = "SELECT count(*) FROM outbox WHERE sent_us IS NULL"
    await until(
        lambda: (
            company.rows("orchestrator", query, f"%:{prefix}-%", step) == [(ORDERS_EACH,)]
            and company.rows("orchestrator", unsent) == [(0,)]
        ),
        f"{ORDERS_EACH} commands of {step} lie in Kafka",
    )


async def test_an_hour_without_a_service_is_not_its_orders_fault(later: Later) -> None:
    """Their commands lay unread all the while; then all of them end as if nothing had been.

    Each service that is commanded, with orders or customers that wait for it alone; and those who
    only listen, for whom nothing waits.
    """
    company, mine = later.company, list[OrderPlaced]()
    for service in ("orders", "notifications"):
        await company.keeper(service).stop()
    for service, step in (("shipping", "shipment"), ("billing", "payment"), ("inventory", "stock")):
        await company.keeper(service).stop()
        mine += (its := orders(f"no-{service}"))
        await company.publish(*placed(*its))
        await waiting_for(company, step, f"no-{service}")
    for service in ("crm", "analytics"):
        await company.keeper(service).stop()
    await company.publish(*customers("new"))
    await waiting_for(company, "record", "new")
    await waiting_for(company, "profile", "new")
    await company.keeper("orchestrator").stop()
    await later.an_hour_passes()
    await later.timers_were_granted_anew()
    prefixes = ("no-shipping", "no-billing", "no-inventory", "new")
    assert [fired(company, prefix) for prefix in prefixes] == [[]] * len(prefixes)
    await asyncio.gather(*(company.begin(name) for name in (*COMMANDED, "orders", "notifications")))
    assert await check_books(company, mine) == {"fulfilled": 3 * ORDERS_EACH}
    phases = "SELECT DISTINCT phase FROM sagas WHERE saga_id LIKE ?"
    await until(
        lambda: company.rows("orchestrator", phases, "onboarding:new-%") == [("completed",)],
        "all are onboarded",
    )
    assert [fired(company, prefix) for prefix in prefixes] == [[]] * len(prefixes)


async def test_an_hour_deaf_is_nobodys_hour(later: Later) -> None:
    """Neither of a service whose replies came while the orchestrator was away, nor of the bank.

    Those replies are heard before any timer is. Billing had read its commands and was asking in
    vain; nobody could have told us.
    """
    company, deaf, bank = later.company, orders("deaf"), orders("bank")
    await company.keeper("payment").stop()
    await company.publish(*placed(*bank))
    calling = "SELECT count(*) FROM operations WHERE status = 'calling'"
    await until(
        lambda: company.rows("billing", calling) == [(ORDERS_EACH,)], "billing asks the bank"
    )
    await company.keeper("inventory").stop()
    await company.publish(*placed(*deaf))
    await waiting_for(company, "stock", "deaf")
    await company.keeper("orchestrator").stop()
    await company.begin("inventory")
    answered = "SELECT count(*) FROM reservation WHERE order_id LIKE 'deaf-%'"
    unsent = "SELECT count(*) FROM outbox WHERE sent_us IS NULL"
    await until(
        lambda: (
            company.rows("inventory", answered) == [(ORDERS_EACH,)]
            and company.rows("inventory", unsent) == [(0,)]
        ),
        "all replies lie in Kafka",
    )
    await later.an_hour_passes()
    await later.timers_were_granted_anew()
    assert (fired(company, "deaf"), fired(company, "bank")) == ([], [])
    await company.begin("payment")
    assert await check_books(company, [*deaf, *bank]) == {"fulfilled": 2 * ORDERS_EACH}
    assert (fired(company, "deaf"), fired(company, "bank")) == ([], [])


async def test_an_hour_without_kafka_is_nobodys_fault(later: Later) -> None:
    company, mine = later.company, orders("mute")
    await company.keeper("shipping").stop()
    await company.publish(*placed(*mine))
    await waiting_for(company, "shipment", "mute")
    await company.keeper("kafka").stop()
    await company.keeper("orchestrator").stop()
    company.keeper("shipping").begin()
    later.offset_s += HOUR_S
    keeper = company.keeper("orchestrator")
    keeper.spec.env["BATON_CLOCK_OFFSET_S"] = str(later.offset_s)  # type: ignore[index]
    keeper.begin()
    await until(lambda: waits_for_kafka(company), "the orchestrator asks for Kafka in vain")
    await company.begin("kafka")
    assert await check_books(company, mine) == {"fulfilled": ORDERS_EACH}
    assert fired(company, "mute") == []


def waits_for_kafka(company: Company) -> bool:
    lines = company.home.log("orchestrator").read_text().splitlines()
    return "waiting for Kafka" in lines[-1]


async def test_while_a_command_is_unread_its_time_does_not_run(later: Later) -> None:
    """The orchestrator was up all the while: the timer came due, and was granted anew instead."""
    company, mine = later.company, orders("held")
    due = "SELECT min(due_us) FROM timers JOIN keys ON keys.id = key WHERE keys.name LIKE 'held-%'"
    await company.keeper("inventory").stop()
    await company.publish(*placed(*mine))
    await waiting_for(company, "stock", "held")
    ((first,),) = company.rows("orchestrator", due)
    await until(lambda: company.rows("orchestrator", due) > [(first,)], "the first try is over")
    assert fired(company, "held") == []
    await company.begin("inventory")
    assert await check_books(company, mine) == {"fulfilled": ORDERS_EACH}
    assert fired(company, "held") == []


async def test_every_service_that_is_commanded_was_away_for_an_hour() -> None:
    """A service that comes later must be added above."""
    owners = {each.owner for each in CATALOGUE.by_name.values() if each.kind == "command"}
    assert owners == set(COMMANDED)
