"""A small installation, made by hand: two orders and two customers, each with both ends.

`o-1` was fulfilled, `o-2` was refused by the carrier and taken back, `c-1` was onboarded, `c-2`
was not. Every message is said, applied and journalled as DESIGN says; tests then plant one lie.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar, cast

from deploy.verify.evidence import (
    TABLES,
    Account,
    Call,
    Carried,
    Customer,
    CustomerMail,
    CustomerOrder,
    Evidence,
    Inbox,
    Line,
    Mail,
    Offset,
    Operation,
    OrderFacts,
    OrderMail,
    Outbox,
    Payment,
    PlacedOrder,
    Posting,
    Profile,
    Provided,
    Received,
    Record,
    Reservation,
    Saga,
    Shelf,
    Shipment,
    Submission,
    Surface,
    Tables,
)
from deploy.verify.wiring import DEAD, OURS, READS, WIRES
from schemas.catalogue import load_catalogue
from schemas.common import Charge, Item, Money
from schemas.common import Line as OrderLine
from schemas.customers import CustomerRegistered
from schemas.inventory import GoodsReceived
from schemas.orchestrator import (
    CustomerOnboarded,
    CustomerRefused,
    OrderCancelled,
    OrderFulfilled,
)
from schemas.orders import OrderPlaced
from services.chassis.codec import Codec

R = TypeVar("R", bound=tuple[object, ...])
CATALOGUE = load_catalogue()
CODEC = Codec(CATALOGUE)
WHEN = datetime(2026, 11, 23, tzinfo=UTC)
NOW_US = 1_795_000_000_000_000
PRICE = 2_250
TOPICS = {
    "stock": ("inventory.stock.commands.v1", "inventory"),
    "payment": ("billing.payment.commands.v1", "billing"),
    "capture": ("billing.payment.commands.v1", "billing"),
    "shipment": ("shipping.shipment.commands.v1", "shipping"),
    "dispatch": ("shipping.shipment.commands.v1", "shipping"),
    "account": ("billing.account.commands.v1", "billing"),
    "record": ("crm.customer.commands.v1", "crm"),
    "profile": ("analytics.profile.commands.v1", "analytics"),
}
FORWARD = ("stock", "payment", "shipment", "capture", "dispatch")


class Made:
    """Lists of rows and records that a test may bend; `evidence()` is what is looked at."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[type[tuple[object, ...]], list[tuple[object, ...]]]] = {
            process: {kind: [] for kind in kinds} for process, kinds in TABLES.items()
        }
        self.records: list[Record] = []
        self.surfaces: dict[str, Surface] | None = None
        self._next: defaultdict[str, int] = defaultdict(int)
        self._lines = 0

    def rows(self, process: str, kind: type[R]) -> list[R]:
        return cast("list[R]", self.tables[process][kind])

    def change(self, process: str, kind: type[R], at: int, **columns: object) -> None:
        row = self.rows(process, kind)[at]
        self.rows(process, kind)[at] = row._replace(**columns)  # type: ignore[attr-defined]

    def record(self, topic: str, n: int, **fields: object) -> None:
        """The n-th record of a topic, with other fields."""
        of = [at for at, each in enumerate(self.records) if each.topic == topic]
        self.records[of[n]] = self.records[of[n]]._replace(**fields)  # type: ignore[arg-type]

    def drop(self, topic: str, n: int) -> None:
        of = [at for at, each in enumerate(self.records) if each.topic == topic]
        del self.records[of[n]]

    def evidence(self) -> Evidence:
        ends = {
            (topic, 0): (0, self._next[topic]) for name in WIRES for topic in (name, name + DEAD)
        }
        tables = {name: cast("Tables", tables) for name, tables in self.tables.items()}
        return Evidence(self.records, tables, NOW_US, ends, surfaces=self.surfaces)

    def say(
        self, source: str, topic: str, key: str, name: str, body: object = None,
        *, heard: bool = True, **links: str,
    ) -> None:  # fmt: skip
        """A record, the outbox row that decided it, and, if heard, every reader's inbox row."""
        value = str(body or name).encode() if isinstance(body, str | None) else CODEC.encode(body)
        type_name = (
            body or "" if isinstance(body, str | None) else CATALOGUE.by_type[type(body)].full_name
        )
        told = {"ce_id": name, "ce_source": source, "ce_type": type_name, **links}
        headers = tuple((header, text.encode()) for header, text in told.items())
        at = self._next[topic]
        self._next[topic] += 1
        self.records.append(Record(topic, 0, at, NOW_US // 1000, key.encode(), value, headers))
        if source in OURS:
            rows = self.rows(source, Outbox)
            rows.append(Outbox(len(rows) + 1, name, topic, key, value, NOW_US, NOW_US, None))
        for reader in WIRES[topic][1] if heard and topic in WIRES else ():
            self.rows(reader, Inbox).append(Inbox(key, source, name, NOW_US))

    def ask(self, saga: str, step: str, kind: str, type_name: str, *, status: str = "") -> None:
        """A command and its reply."""
        topic, service = TOPICS[step]
        key, operation = saga.partition(":")[2], f"{saga}/{step}"
        command = f"{operation}/{kind}"
        self.say("orchestrator", topic, key, command, ce_operationid=operation)
        self.say(
            service, f"{service}.replies.v1", key, f"{command}/reply", type_name,
            ce_causationid=command, ce_operationid=operation,
        )  # fmt: skip
        rows = self.rows(service, Operation)
        rows[:] = [row for row in rows if row.operation != operation]
        rows.append(Operation(key, "orchestrator", operation, status, b"reply", None))

    def saga(
        self, saga_id: str, phase: str, start: str, path: Sequence[tuple[str, str, str]],
        steps: dict[str, str],
    ) -> None:  # fmt: skip
        """`path`: what happened, the state it led to, the id of its cause."""
        name, _, key = saga_id.partition(":")
        number, state = len(self.rows("orchestrator", Saga)) + 1, ""
        for version, (what, to_state, cause) in enumerate(path, 1):
            self._lines += 1
            source = self.speaker(cause)
            self.rows("orchestrator", Line).append(
                Line(self._lines, number, version, NOW_US, what, "applied", state, to_state,
                     "", cause, source)
            )  # fmt: skip
            state = to_state
        told = json.dumps([{"name": step, "status": status} for step, status in steps.items()])
        self.rows("orchestrator", Saga).append(
            Saga(number, key, saga_id, name, phase, 0, told, len(path), start, "", 0,
                 NOW_US, NOW_US)
        )  # fmt: skip

    def speaker(self, cause: str) -> str:
        return next((row.source for row in self.rows("orchestrator", Inbox) if row.id == cause), "")

    def settle(self) -> Made:
        """Every reader stands at the end of what it reads."""
        for process in OURS:
            self.rows(process, Offset)[:] = [
                Offset(topic, 0, self._next[topic]) for topic in READS[process]
            ]
        return self


def small_company() -> Made:
    made = Made()
    items = (Item("cup", 100), Item("saucer", 100))
    made.say(
        "shop", "inventory.delivery.events.v1", "d-1", "d-1/in", GoodsReceived("d-1", items, WHEN)
    )
    made.rows("inventory", Received).append(Received("d-1", '{"cup": 100, "saucer": 100}'))
    made.rows("inventory", Shelf)[:] = [Shelf("cup", 98, 0, 2), Shelf("saucer", 99, 0, 1)]
    for order in ("o-1", "o-2"):
        made.say("orders", "orders.order.events.v1", order, f"{order}/placed", _order(order))
    made.rows("orders", Submission).append(Submission("key-1", "o-1"))
    _fulfilled(made)
    _cancelled(made)
    _customers(made)
    return made.settle()


def _order(order: str) -> OrderPlaced:
    lines = (OrderLine("cup", 2, 1_000), OrderLine("saucer", 1, 200))
    charges = (Charge("POST", 50),)
    return OrderPlaced(order, "c-1", "GBP", lines, "France", WHEN, charges)


def _fulfilled(made: Made) -> None:
    saga, path = "fulfilment:o-1", [("started", "awaiting_stock", "o-1/placed")]
    for at, step in enumerate(FORWARD):
        made.ask(saga, step, "do", f"yes.{step}", status="done")
        state = f"awaiting_{FORWARD[at + 1]}" if step != "dispatch" else "completed"
        path.append(("answered", state, f"{saga}/{step}/do/reply"))
    outcome = OrderFulfilled("o-1", "c-1", "o-1/placed", Money(PRICE, "GBP"), "trk-1")
    made.say("orchestrator", "orders.order.outcomes.v1", "o-1", f"{saga}/outcome", outcome)
    made.saga(saga, "completed", "o-1/placed", path, dict.fromkeys(FORWARD, "done"))
    made.rows("inventory", Reservation).append(
        Reservation("o-1", '{"cup": 2, "saucer": 1}', "gone")
    )
    _money(made, "o-1", "captured", [("authorised", "held", "customer:c-1"),
                                     ("captured", "merchant", "held")])  # fmt: skip
    made.rows("shipping", Shipment).append(Shipment("o-1", 3, "dispatched"))
    made.rows("carrier", Carried).append(Carried("o-1", "trk-1", 3, "dispatched"))
    for step in ("shipment", "dispatch"):
        made.rows("carrier", Call).append(Call(f"{saga}/{step}/do", 200))
    _known(made, "o-1", "fulfilled")


def _cancelled(made: Made) -> None:
    saga, path = "fulfilment:o-2", [("started", "awaiting_stock", "o-2/placed")]
    statuses = dict.fromkeys(FORWARD, "idle") | {"shipment": "refused"}
    for step, state in (("stock", "awaiting_payment"), ("payment", "awaiting_shipment")):
        made.ask(saga, step, "do", f"yes.{step}", status="done")
        path.append(("answered", state, f"{saga}/{step}/do/reply"))
    made.ask(saga, "shipment", "do", "no.shipment", status="refused")
    path.append(("refused", "undoing_payment", f"{saga}/shipment/do/reply"))
    for step, state in (("payment", "undoing_stock"), ("stock", "compensated")):
        made.ask(saga, step, "undo", f"undone.{step}", status="undone")
        path.append(("undo_answered", state, f"{saga}/{step}/undo/reply"))
        statuses[step] = "undone"
    outcome = OrderCancelled("o-2", "c-1", "o-2/placed", "country_not_served")
    made.say("orchestrator", "orders.order.outcomes.v1", "o-2", f"{saga}/outcome", outcome)
    made.saga(saga, "compensated", "o-2/placed", path, statuses)
    made.rows("inventory", Reservation).append(
        Reservation("o-2", '{"cup": 2, "saucer": 1}', "released")
    )
    _money(made, "o-2", "voided", [("authorised", "held", "customer:c-1"),
                                   ("voided", "customer:c-1", "held")])  # fmt: skip
    made.rows("shipping", Shipment).append(Shipment("o-2", 3, "refused"))
    _known(made, "o-2", "cancelled")


def _money(made: Made, order: str, state: str, moves: list[tuple[str, str, str]]) -> None:
    amounts = (PRICE, PRICE * (state == "captured"), PRICE * (state == "voided"), 0)
    made.rows("billing", Payment).append(Payment(order, "GBP", state, *amounts))
    made.rows("payment", Provided).append(Provided(order, "auth", "GBP", *amounts, state))
    for kind, debit, credit in moves:
        row = Posting(f"{order}/{kind}", order, kind, "GBP", debit, credit, PRICE)
        made.rows("billing", Posting).append(row)
    last = "capture/do" if state == "captured" else "payment/undo"
    for name in ("payment/do", last):
        made.rows("payment", Call).append(Call(f"fulfilment:{order}/{name}", 200))


def _known(made: Made, order: str, kind: str) -> None:
    """What those who follow orders keep of one."""
    start, outcome = f"{order}/placed", json.dumps({"kind": kind})
    made.rows("orders", PlacedOrder).append(PlacedOrder(order, "{}", "{}", start, outcome))
    made.rows("crm", CustomerOrder).append(CustomerOrder(order, "c-1", start, outcome))
    made.rows("analytics", OrderFacts).append(OrderFacts(order, start, outcome))
    letters = json.dumps({"received": "suppressed", kind: "sent"})
    facts = json.dumps({"received": "3", kind: "trk-1"})
    made.rows("notifications", OrderMail).append(OrderMail(order, facts, letters))
    made.rows("mail", Mail).append(Mail(f"<{order}/{kind}@baton.invalid>"))


def _customers(made: Made) -> None:
    for customer, good in (("c-1", True), ("c-2", False)):
        saga, topic = f"onboarding:{customer}", "customers.customer.events.v1"
        event = CustomerRegistered(
            customer_id=customer, country="France", name="Ada", email="ada@shop.example",
            registered_at=WHEN,
        )  # fmt: skip
        made.say("shop", topic, customer, f"{customer}/in", event)
        path = [("started", "awaiting_account", f"{customer}/in")]
        made.ask(saga, "account", "do", "account", status="done" if good else "refused")
        made.ask(saga, "record", "do", "yes.record", status="done")
        made.ask(saga, "profile", "do", "yes.profile", status="done")
        word = "answered" if good else "refused"
        path.append((word, "awaiting_record", f"{saga}/account/do/reply"))
        path.append(("answered", "awaiting_profile", f"{saga}/record/do/reply"))
        ends = ("completed", "open", "started") if good else ("compensated", "closed", "erased")
        turned = "completed" if good else "undoing_profile"
        path.append(("answered", turned, f"{saga}/profile/do/reply"))
        statuses = dict.fromkeys(("account", "record", "profile"), "done")
        if not good:
            statuses = {"account": "refused", "record": "undone", "profile": "undone"}
            for step, state in (("profile", "undoing_record"), ("record", "compensated")):
                made.ask(saga, step, "undo", f"undone.{step}", status="undone")
                path.append(("undo_answered", state, f"{saga}/{step}/undo/reply"))
        outcome = CustomerOnboarded(customer) if good else CustomerRefused(customer, "test")
        topic = "customers.customer.outcomes.v1"
        made.say("orchestrator", topic, customer, f"{saga}/outcome", outcome)
        made.saga(saga, ends[0], f"{customer}/in", path, statuses)
        if good:
            made.rows("billing", Account).append(Account(customer, "open"))
        counts = (2, 1, 1, PRICE // 100) if good else (0, 0, 0, 0)
        made.rows("crm", Customer).append(Customer(customer, ends[1], *counts))
        made.rows("analytics", Profile).append(Profile(customer, ends[2]))
        kind = "welcome" if good else "declined"
        mail = CustomerMail(customer, kind, json.dumps({kind: "sent"}))
        made.rows("notifications", CustomerMail).append(mail)
        made.rows("mail", Mail).append(Mail(f"<{customer}/{kind}@baton.invalid>"))
