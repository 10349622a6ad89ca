"""What must hold of a world at rest: INVARIANTS by number, over tables, logs and the books outside.

Small on purpose and written against what the tables and topics say, with none of the engine's
code: `deploy.verify` checks the same of a running company in full.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.topics import OPERATOR_TOPIC, topics_read_by
from services.chassis.messages import Record
from tests.simulation.evidence import judged
from tests.simulation.outside import Booking, Payment
from tests.simulation.scenario import FULL, Order
from tests.simulation.store import Database

if TYPE_CHECKING:
    from tests.simulation.world import World

PHASES = {"completed": "OrderFulfilled", "compensated": "OrderCancelled"}
REJECTED_FOR = {"undecodable", "wrong_writer", "wrong_type"}


@dataclass
class Evidence:
    """A world, and what most checks ask of it: the end of each order's saga."""

    world: World
    phases: dict[str, str]

    @property
    def orders(self) -> tuple[Order, ...]:
        return self.world.scenario.orders

    @property
    def full(self) -> bool:
        return len(self.world.databases) == len(FULL)

    def db(self, name: str) -> Database:
        return self.world.databases[name]

    def completed(self, order: Order) -> bool:
        return self.phases[order.id] == "completed"


def violations(world: World) -> list[str]:
    rows = world.databases["orchestrator"].rows("SELECT saga_id, phase FROM sagas")
    phases = {str(saga).partition(":")[2]: str(phase) for saga, phase in rows}
    wanted = {each.id for each in world.scenario.orders} | set(world.scenario.customers)
    if len(rows) != len(phases) or phases.keys() < wanted:
        return [f"I-1 submissions and sagas differ: {sorted(wanted ^ phases.keys())}"]
    seen = Evidence(world, phases)
    found = [f"{name} {wrong}" for name, check in CHECKS for wrong in check(seen)]
    return found + ([*judged(world)] if seen.full else [])


def one_outcome(seen: Evidence) -> Iterator[str]:
    """I-2: whatever else is said, one terminal outcome, and the same words each time."""
    told: dict[str, set[tuple[str, bytes]]] = {}
    for record in seen.world.broker.all("orders.order.outcomes.v1"):
        kind = _header(record, "ce_type").rpartition(".")[2]
        if kind in PHASES.values() and _header(record, "ce_source") == "orchestrator":
            told.setdefault((record.key or b"").decode(), set()).add((kind, record.value or b""))
    for order in seen.orders:
        said = {kind for kind, _ in told.get(order.id, ())}
        if said != {PHASES[seen.phases[order.id]]} or len(told[order.id]) != 1:
            yield f"{order.id} {seen.phases[order.id]}, told {said}"


def nothing_lost(seen: Evidence) -> Iterator[str]:
    """I-3: every record was applied once, or is accounted for as a dead letter."""
    for name, database in seen.world.databases.items():
        inbox = set(
            database.rows("SELECT name, source, inbox.id FROM inbox JOIN keys ON keys.id = key")
        )
        dead = set(database.rows("SELECT topic, partition, offset FROM dead_letters"))
        for record in _read_by(name, seen.world):
            identity = _header(record, "ce_source"), _header(record, "ce_id")
            applied = ((record.key or b"").decode(), *identity) in inbox
            if not applied and (record.topic, record.partition, record.offset) not in dead:
                yield f"{name} lost {identity} of {record.topic}"


def _read_by(name: str, world: World) -> Iterator[Record]:
    """Every service reads the operator's verbs; all of a seed name the orchestrator."""
    for topic in topics_read_by(name):
        for record in world.broker.all(topic.name):
            to_another = topic.name == OPERATOR_TOPIC and name != "orchestrator"
            if not to_another or _header(record, "ce_source") != "console":
                yield record


def all_or_nothing(seen: Evidence) -> Iterator[str]:
    """I-4, I-5, I-6, I-7: what the provider and the carrier did, by the end of the saga."""
    books = seen.world.books
    for order in seen.orders:
        price = order.quantity * 100
        paid, sent = (
            books.payments.get(order.id, Payment()),
            books.bookings.get(order.id, Booking()),
        )
        money = paid.authorised, paid.captured, paid.voided, paid.refunded
        parcel = sent.booked, sent.cancelled, sent.dispatched
        if seen.completed(order):
            right = money == (price, price, 0, 0) and parcel == (1, 0, 1)
        else:
            authorised = paid.authorised in (0, price) and paid.voided == paid.authorised
            right = authorised and not paid.captured and sent.booked == sent.cancelled <= 1
            right = right and not sent.dispatched
        if not right:
            yield f"{order.id} {seen.phases[order.id]}: money {money}, parcel {parcel}"
    at = {path: moment for moment, (_, path, _) in enumerate(books.history)}
    for order in seen.orders:
        shipped = at.get(f"/bookings/{order.id}/dispatch", -1)
        if 0 <= shipped < at.get(f"/authorisations/{order.id}/capture", shipped + 1):
            yield f"{order.id} left before its payment was captured"


def ledger(seen: Evidence) -> Iterator[str]:
    """I-6: our books say what the provider did; entries sum to zero."""
    billing = seen.db("billing")
    for currency, total in billing.rows("SELECT currency, sum(amount_minor) FROM entry GROUP BY 1"):
        if total:
            yield f"the entries of {currency} sum to {total}"
    rows = billing.rows(
        "SELECT order_id, authorised_minor, captured_minor, voided_minor, refunded_minor"
        " FROM payment"
    )
    ours = {str(order): tuple(amounts) for order, *amounts in rows if any(amounts)}
    theirs = {
        order: (paid.authorised, paid.captured, paid.voided, paid.refunded)
        for order, paid in seen.world.books.payments.items()
        if paid.authorised
    }
    if ours != theirs:
        yield f"payments differ: {sorted(set(ours.items()) ^ set(theirs.items()))}"


def stock(seen: Evidence) -> Iterator[str]:
    """I-8, I-17: goods are where they must be, and never sold twice."""
    sold = Counter[str]()
    for order in seen.orders:
        sold[order.sku] += order.quantity * seen.completed(order)
    received = {"plenty": seen.world.PLENTY, "scarce": seen.world.SCARCE}
    for row in seen.db("inventory").rows("SELECT sku, on_hand, reserved, gone FROM shelf"):
        sku, *units = str(row[0]), *(int(str(each)) for each in row[1:])
        wanted = [received[sku] - sold[sku], 0, sold[sku]]
        if units != wanted:
            yield f"{sku}: on hand, reserved, gone are {units}, must be {wanted}"


def journal(seen: Evidence) -> Iterator[str]:
    """I-9: versions without a gap, up to the saga's; each cause is a message in the inbox."""
    database = seen.db("orchestrator")
    at: dict[object, int] = {}
    for saga, version, result in database.rows(
        "SELECT saga, version, result FROM journal ORDER BY seq"
    ):
        before = at.get(saga, 0)
        if int(str(version)) - before not in ((1,) if result == "applied" else (0, 1)):
            yield f"saga {saga} goes from version {before} to {version} ({result})"
        at[saga] = int(str(version))
    for saga, version in database.rows("SELECT id, version FROM sagas"):
        if at.get(saga) != version:
            yield f"saga {saga} is at {version}, its journal at {at.get(saga)}"
    unknown = database.rows(
        "SELECT cause_source, cause_id FROM journal WHERE cause_id <> '' AND NOT EXISTS"
        " (SELECT 1 FROM inbox WHERE inbox.id = cause_id AND inbox.source = cause_source)"
    )
    for cause in unknown:
        yield f"the cause {cause} is not in the inbox"


def agreement(seen: Evidence) -> Iterator[str]:
    """I-11: order database, customer history and analytics tell what the saga tells."""
    if not seen.full:
        return
    wanted = {
        each.id: PHASES[seen.phases[each.id]].removeprefix("Order").lower() for each in seen.orders
    }
    told = {
        "orders": dict(seen.db("orders").rows("SELECT order_id, status FROM placed_order")),
        "crm": _outcomes(seen.db("crm"), "customer_order"),
        "analytics": _outcomes(seen.db("analytics"), "order_facts"),
    }
    for name, found in told.items():
        if found != wanted:
            yield f"{name} tells {sorted(set(wanted.items()) ^ set(found.items()))}"  # type: ignore[arg-type]
    ends = Counter(wanted.values())
    totals = seen.db("analytics").rows("SELECT sum(fulfilled), sum(cancelled) FROM day")
    if tuple(int(str(each or 0)) for each in totals[0]) != (ends["fulfilled"], ends["cancelled"]):
        yield f"analytics counts {totals}, the sagas {dict(ends)}"
    for customer, fulfilled, cancelled, points in seen.db("crm").rows(
        "SELECT customer_id, fulfilled, cancelled, points FROM customer"
    ):
        mine = [each for each in seen.orders if each.customer == customer]
        done = [each for each in mine if seen.completed(each)]
        want = len(done), len(mine) - len(done), sum(each.quantity for each in done)
        if (fulfilled, cancelled, points) != want:
            yield f"I-14 crm's {customer} has {(fulfilled, cancelled, points)}, must have {want}"


def outbox_is_topics(seen: Evidence) -> Iterator[str]:
    """I-12: what was sent stands in the log, in its order; what stands there was in an outbox."""
    logs: dict[tuple[str, str], dict[str, None]] = {}
    sources = set(seen.world.databases)
    lost = seen.world.broker.not_in_order
    for (topic, _), log in seen.world.broker.logs.items():
        for record in log.records:
            source, name = _header(record, "ce_source"), _header(record, "ce_id")
            if topic.endswith(".dlt") or source not in sources:
                continue
            place = source, f"{topic} {(record.key or b'').decode()}"
            logs.setdefault(place, {}).setdefault(name)
    for service in sources:
        rows = seen.db(service).rows(
            "SELECT topic || ' ' || record_key, id FROM outbox WHERE topic NOT LIKE '%.dlt'"
            " GROUP BY 1, 2 ORDER BY min(seq)"
        )
        made: dict[tuple[str, str], list[str]] = {}
        for place, name in rows:
            made.setdefault((service, str(place)), []).append(str(name))
        for lane, names in made.items():
            stands = list(logs.pop(lane, {}))
            if set(stands) - set(names) or set(names) - set(stands) - lost:
                yield f"{lane}: the outbox has {names}, the log {stands}"
            elif [n for n in stands if n not in lost] != [n for n in names if n not in lost]:
                yield f"{lane}: the outbox's order is {names}, the log's {stands}"
    for lane in logs:
        yield f"{lane}: in the log, never in an outbox"


def accounted(seen: Evidence) -> Iterator[str]:
    """I-13: nothing waits any more, and what was rejected was poison."""
    for name, database in seen.world.databases.items():
        for kind, reason, state, detail in database.rows(
            "SELECT kind, reason, state, detail FROM dead_letters"
        ):
            if state == "open" or (kind == "rejected" and reason not in REJECTED_FOR):
                yield f"{name}: {kind} {state} for {reason} ({detail})"


def letters(seen: Evidence) -> Iterator[str]:
    """I-14: no letter contradicts the outcome."""
    for order in seen.orders:
        wrong = "cancelled" if seen.completed(order) else "fulfilled"
        if f"{order.id}/{wrong}" in seen.world.books.letters:
            yield f"{order.id} is {seen.phases[order.id]} and its customer was told {wrong}"


def _outcomes(database: Database, table: str) -> dict[str, str]:
    rows = database.rows(f"SELECT order_id, outcome FROM {table}")
    return {str(order): (json.loads(str(said)) or {"kind": "none"})["kind"] for order, said in rows}


def _header(record: Record, wanted: str) -> str:
    for name, value in record.headers:
        if name == wanted:
            return value.decode("latin-1")
    return ""


CHECKS: tuple[tuple[str, Callable[[Evidence], Iterator[str]]], ...] = (
    ("I-2", one_outcome),
    ("I-3", nothing_lost),
    ("I-4", all_or_nothing),
    ("I-6", ledger),
    ("I-8", stock),
    ("I-9", journal),
    ("I-11", agreement),
    ("I-12", outbox_is_topics),
    ("I-13", accounted),
    ("I-14", letters),
)
