"""Asks the local stack what became of an import: topics for outcomes, services for their totals.

Reads as any outsider could: outcome topics, the payment sandbox's ledger, inventory's stock, the
console's history. What a record means for the totals is folded in pure functions; nothing here
compares, that is `reconcile`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

import httpx

from deploy.local.faults import LocalFault, ProcessFailed, StackStopped
from deploy.local.home import Home, read_secret
from deploy.local.retail.messages import SOURCE
from deploy.local.retail.publish import Plan, Progress
from deploy.local.retail.reconcile import (
    Elsewhere,
    Ending,
    Observed,
    Outcome,
    Payments,
    Stock,
)
from deploy.local.retail.report import StoryLine
from deploy.local.retail.rules import CURRENCY
from deploy.local.state import read_state
from deploy.local.supervisor import is_running
from schemas.catalogue import load_catalogue
from schemas.inventory import GoodsReceived
from schemas.orchestrator import OrderCancelled, OrderFulfilled
from schemas.orders import OrderPlaced
from services.chassis.bus_admin import Tail, read_all
from services.chassis.codec import Codec, CodecError
from services.chassis.messages import Record

OUTCOMES = "orders.order.outcomes.v1"
ORDERS = "orders.order.events.v1"
DELIVERIES = "inventory.delivery.events.v1"
_ANSWER_WITHIN_S = 10.0
_STORY_LINES_MAX = 100


class OutcomesMissing(LocalFault):
    """Some orders came to no end in time; they may yet."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the running local stack answers."""

    bootstrap: str
    payment: str
    inventory: str
    console: str
    token: str


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a topic with its identity, each identity once."""

    id: str
    source: str
    body: object


def places(home: Home) -> Places:
    """Raises StackStopped where the stack, or a part that is asked, does not run."""
    state = read_state(home) if is_running(home) else None
    if state is None:
        raise StackStopped(f"no stack runs in {home.root}", mend="baton up")
    asked = ("payment", "inventory", "console")
    absent = [name for name in asked if name not in state.addresses]
    if absent:
        raise StackStopped(
            f"{', '.join(absent)} does not run in {home.root}", mend="baton down && baton up"
        )
    payment, inventory, console = (state.addresses[name] for name in asked)
    return Places(state.bootstrap, payment, inventory, console, read_secret(home.token_file))


async def until_ended(
    bootstrap: str,
    order_ids: Collection[str],
    *,
    within_s: float,
    progress: Callable[[Progress], None],
) -> None:
    """Follows the outcomes until each of these orders has one. Raises OutcomesMissing."""
    codec = Codec(load_catalogue())
    open_ids = set(order_ids)
    total = len(open_ids)
    try:
        async with (
            asyncio.timeout(within_s),
            Tail(bootstrap, [OUTCOMES], from_beginning=True) as tail,
            aclosing(tail.records()) as records,
        ):
            async for record in records:
                for outcome in outcomes_of(distinct([record], codec)):
                    open_ids.discard(outcome.order_id)
                progress(Progress("outcomes", total - len(open_ids), total))
                if not open_ids:
                    return
    except TimeoutError as error:
        raise OutcomesMissing(
            f"{len(open_ids)} of {total} orders came to no end within {within_s:g} s, "
            f"for example {min(open_ids)}",
            mend=f"baton sagas stuck; baton sagas history {min(open_ids)}",
        ) from error


async def observe(at: Places, planned: Plan) -> Observed:
    codec = Codec(load_catalogue())
    ours = {order.order_id for order in planned.orders}
    ended = distinct(await read_all(at.bootstrap, [OUTCOMES]), codec)
    placed = distinct(await read_all(at.bootstrap, [ORDERS]), codec)
    delivered = distinct(await read_all(at.bootstrap, [DELIVERIES]), codec)
    async with httpx.AsyncClient(timeout=_ANSWER_WITHIN_S) as client:
        ledger = await _asked(client, "payment", f"{at.payment}/ledger", at.token)
        stock = await _asked(client, "inventory", f"{at.inventory}/stock", at.token)
    our_deliveries = {(SOURCE, message.id) for message in planned.stock}
    return Observed(
        outcomes=outcomes_of(ended),
        payments=payments_of(ledger),
        stock=stock_of(stock),
        elsewhere=Elsewhere(
            delivered_units=_units_delivered(delivered, our_deliveries),
            fulfilled_units=_units_fulfilled(ended, placed, ours),
            fulfilled_minor=sum(
                outcome.amount_minor
                for outcome in outcomes_of(ended)
                if outcome.order_id not in ours
            ),
        ),
    )


async def story_of(at: Places, order_id: str) -> tuple[StoryLine, ...]:
    """The journal of the order's saga, as the console tells it."""
    url = f"{at.console}/api/sagas/{order_id}/history?limit={_STORY_LINES_MAX}"
    async with httpx.AsyncClient(timeout=_ANSWER_WITHIN_S) as client:
        answer = await _asked(client, "console", url, at.token)
    lines = answer.get("lines")
    return tuple(story_line(line) for line in lines) if isinstance(lines, list) else ()


def distinct(records: Iterable[Record], codec: Codec) -> list[Said]:
    """What can be read, each (source, id) once: a message may lie in its topic twice."""
    said: dict[tuple[str, str], Said] = {}
    for record in records:
        headers = dict(record.headers)
        source = headers.get("ce_source", b"").decode(errors="replace")
        message_id = headers.get("ce_id", b"").decode(errors="replace")
        try:
            body = codec.decode(record.value or b"")
        except CodecError:
            continue
        said.setdefault((source, message_id), Said(message_id, source, body))
    return list(said.values())


def outcomes_of(said: Iterable[Said]) -> list[Outcome]:
    """Terminal outcomes only; notices end nothing."""
    found = []
    for each in said:
        match each.body:
            case OrderFulfilled() as body:
                amount_minor = body.amount.amount_minor
                found.append(Outcome(body.order_id, Ending.FULFILLED, amount_minor=amount_minor))
            case OrderCancelled() as body:
                found.append(Outcome(body.order_id, Ending.CANCELLED, body.reason))
            case _:
                pass
    return found


def payments_of(ledger: Mapping[str, object]) -> Payments:
    """The ledger's totals in the import's currency; zeros while it has none."""
    currencies = ledger.get("currencies")
    totals = currencies.get(CURRENCY, {}) if isinstance(currencies, dict) else {}
    names = ("authorised_minor", "captured_minor", "voided_minor", "refunded_minor")
    return Payments(*(int(totals.get(name, 0)) for name in names))


def stock_of(answer: Mapping[str, object]) -> Stock:
    totals = answer.get("totals")
    assert isinstance(totals, dict), "inventory answers GET /stock with its totals"
    return Stock(*(int(totals[name]) for name in ("received", "on_hand", "reserved", "gone")))


def story_line(line: Mapping[str, object]) -> StoryLine:
    """A line of the console's history; what is not a message says what happened."""
    cause, sent = line.get("cause"), line.get("sent")
    came = str(cause.get("type") or "").rpartition(".")[2] if isinstance(cause, dict) else ""
    what = came or str(line["what"])
    if line.get("result") != "applied":
        what = f"{what} ({line['result']})"
    return StoryLine(
        at=datetime.fromisoformat(str(line["at"])),
        what=what,
        state_from=str(line.get("from_state") or ""),
        state_to=str(line.get("to_state") or ""),
        message=", ".join(str(each) for each in sent) if isinstance(sent, list) else "",
    )


def _units_delivered(delivered: Iterable[Said], ours: set[tuple[str, str]]) -> int:
    return sum(
        item.quantity
        for each in delivered
        if isinstance(each.body, GoodsReceived) and (each.source, each.id) not in ours
        for item in each.body.items
    )


def _units_fulfilled(ended: Iterable[Said], placed: Iterable[Said], ours: set[str]) -> int:
    """Of each other fulfilled order, the units of the very OrderPlaced that was accepted."""
    accepted = {
        (each.body.order_id, each.body.placed_event_id)
        for each in ended
        if isinstance(each.body, OrderFulfilled) and each.body.order_id not in ours
    }
    units: dict[tuple[str, str], int] = {}
    for each in placed:
        if isinstance(each.body, OrderPlaced) and (each.body.order_id, each.id) in accepted:
            quantity = sum(line.quantity for line in each.body.lines)
            units.setdefault((each.body.order_id, each.id), quantity)
    return sum(units.values())


async def _asked(
    client: httpx.AsyncClient, name: str, url: str, token: str
) -> Mapping[str, object]:
    try:
        answer = await client.get(url, headers={"Authorization": f"Bearer {token}"})
        answer.raise_for_status()
        body = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise ProcessFailed(
            f"{name} did not answer GET {url}: {type(error).__name__}",
            mend=f"baton status; baton logs {name}",
        ) from error
    return body if isinstance(body, dict) else {}
