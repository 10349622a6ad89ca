"""Every process: whether it is up and ready, and if not why, since when, and what it said last."""

from __future__ import annotations

from orchestrator.operate.machine import Machine, offered
from orchestrator.operate.pages.view import Context, Question, View
from orchestrator.operate.scraping import Process, Scraping
from schemas.topics import TOPICS
from services.chassis.clock import Clock
from services.chassis.envelope import timestamp

# What each is for, in the words of somebody who buys from the shop.
PURPOSES = {
    "orchestrator": "decides what happens next to each order, and takes back what was done",
    "orders": "takes orders, shows what became of them",
    "inventory": "counts goods, reserves and returns them",
    "billing": "holds, takes or releases the money",
    "shipping": "books the parcel, hands it over",
    "crm": "knows customers and what they bought",
    "analytics": "counts days, outcomes and reasons",
    "notifications": "writes to the customer at the end",
    "console": "these pages",
}


def services_view(scraping: Scraping, machine: Machine, clock: Clock) -> View:
    async def context(question: Question) -> Context:
        del question
        rows = [of_process(each, clock.now_us()) for each in (await scraping.look()).values()]
        verbs = offered(machine)
        for row in rows:
            name = str(row["name"])
            row["offered"] = verbs.get(name, "")
            row["last_words"] = () if row["state"] == "up" else machine.last_words(name)
        return {"processes": rows}

    return View("services", "/services", "Services", context, ("processes",), every_s=2.0)


def of_process(process: Process, now_us: int) -> Context:
    """A process as a row of the page and of `baton services`."""
    since_us = process.silent_since_us
    return {
        "name": process.name,
        "purpose": PURPOSES.get(process.name, ""),
        "state": process.state,
        "why": process.silent
        or "; ".join(f"{each.name}: {each.reason}" for each in process.checks if not each.ok),
        "since": None if since_us is None else timestamp(since_us),
        "seen": None if process.seen_us is None else timestamp(process.seen_us),
        "down_s": None if since_us is None else (now_us - since_us) // 1_000_000,
        "version": process.version,
        "checks": [
            {"name": each.name, "ok": each.ok, "reason": each.reason} for each in process.checks
        ],
        "lag_s": process.most("saga_consumer_lag_seconds"),
        "lag_messages": int(process.total("saga_consumer_lag_messages")),
        "consumed_per_s": process.rate("saga_events_consumed_total"),
        "published_per_s": process.rate("saga_events_published_total"),
        "handle_p95_s": process.quantile_s("saga_event_handle_seconds", 0.95),
        "outbox": int(process.total("saga_outbox_pending")),
        "outbox_age_s": process.most("saga_outbox_oldest_age_seconds"),
        "dead_letters": int(process.total("saga_dead_letters_pending")),
        "parked_keys": int(process.total("saga_parked_keys")),
        "reads": [topic.name for topic in TOPICS if process.name in topic.readers],
        "writes": [topic.name for topic in TOPICS if process.name in topic.writers],
    }
