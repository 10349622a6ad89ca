"""I-4 and I-5: all or nothing, and each effect once, read from the books of those who had them.

What a finished order left behind stands in five books (two of them are the outside world's) and
must be one of the legal ends written here. Whether a command had its effect once is read from the
replies, the operations, the ledger and the keys under which the outside world was called.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from deploy.verify.evidence import (
    Account,
    Call,
    Carried,
    Customer,
    Payment,
    Posting,
    Profile,
    Provided,
    Reservation,
    Saga,
    Shipment,
)
from deploy.verify.facts import Facts, Malformed, declared
from deploy.verify.verdicts import Inquiry
from deploy.verify.wiring import ENDS, FULFILMENT, ONBOARDING, SANDBOXES, SERVICES, WIRES, Declared

Book = Callable[[Facts], Mapping[str, str]]
Ends = tuple[str, str, Book, frozenset[str], frozenset[str]]
NONE = "nothing"


def _payments(facts: Facts) -> Mapping[str, str]:
    return {
        row.order_id: _money(row.status, row.captured_minor, row.refunded_minor)
        for row in facts.rows("billing", Payment)
    }


def _provided(facts: Facts) -> Mapping[str, str]:
    return {
        row.order_id: _money(row.state, row.captured, row.refunded)
        for row in facts.rows("payment", Provided)
    }


def _money(state: str, captured: int, refunded: int) -> str:
    return "given back" if 0 < captured == refunded else state


def _of(*legal: str) -> frozenset[str]:
    return frozenset(legal)


# whose, what, the book, how it may stand after completed, after compensated
ORDERS: Sequence[Ends] = (
    (
        "inventory",
        "reservation",
        lambda f: {row.order_id: row.status for row in f.rows("inventory", Reservation)},
        _of("gone"),
        _of(NONE, "released"),
    ),
    (
        "billing",
        "payment",
        _payments,
        _of("captured"),
        _of(NONE, "declined", "voided", "given back"),
    ),
    ("payment", "payment", _provided, _of("captured"), _of(NONE, "voided", "given back")),
    (
        "shipping",
        "shipment",
        lambda f: {row.order_id: row.status for row in f.rows("shipping", Shipment)},
        _of("dispatched"),
        _of(NONE, "refused", "cancelled"),
    ),
    (
        "carrier",
        "booking",
        lambda f: {row.order_id: row.state for row in f.rows("carrier", Carried)},
        _of("dispatched"),
        _of(NONE, "cancelled"),
    ),
)
CUSTOMERS: Sequence[Ends] = (
    (
        "billing",
        "account",
        lambda f: {row.customer_id: row.status for row in f.rows("billing", Account)},
        _of("open"),
        _of(NONE, "closed"),
    ),
    (
        "crm",
        "record",
        lambda f: {row.customer_id: row.record for row in f.rows("crm", Customer)},
        _of("open"),
        _of(NONE, "none", "closed"),
    ),
    (
        "analytics",
        "profile",
        lambda f: {row.customer_id: row.state for row in f.rows("analytics", Profile)},
        _of("started"),
        _of(NONE, "none", "erased"),
    ),
)
# Movements that an order has at most once; refunds carry their running total.
ONCE = frozenset({"authorised", "captured", "voided", "released"})
STEPS = {
    "completed": frozenset({"done", "skipped"}),
    "compensated": frozenset({"idle", "refused", "undone", "skipped"}),
}


def all_or_nothing(facts: Facts, finding: Inquiry) -> None:
    if facts.lacks(finding, "orchestrator"):
        return
    for saga in (each for each in facts.sagas if each.phase in ENDS):
        finding.saw("ended sagas")
        for step, status in _statuses(saga):
            if status not in STEPS[saga.phase]:
                finding.wrong(f"is {saga.phase}, and its step {step} is {status}", saga.key)
    facts.lacks(finding, *(each for each in SERVICES if each not in {"orders", "notifications"}))
    if facts.at_rest(finding):
        _books(facts, finding, FULFILMENT, ORDERS)
        _books(facts, finding, ONBOARDING, CUSTOMERS)


def _books(facts: Facts, finding: Inquiry, definition: Declared, table: Sequence[Ends]) -> None:
    sagas = facts.ended(finding, definition)
    for process, what, book, completed, compensated in table:
        if not facts.has(process):
            if process in SANDBOXES:
                finding.note(f"the books of {process} were not there; ours were compared")
            continue
        legal, found = {"completed": completed, "compensated": compensated}, book(facts)
        for saga in sagas:
            finding.saw(f"{what}s of {process}")
            stands = found.get(saga.key, NONE)
            if stands not in legal[saga.phase]:
                finding.wrong(f"is {saga.phase}, and its {what} at {process} is {stands}", saga.key)


def _statuses(saga: Saga) -> list[tuple[str, str]]:
    try:
        return [(str(step["name"]), str(step["status"])) for step in json.loads(saga.steps)]
    except (ValueError, KeyError, TypeError) as fault:
        raise Malformed(f"the steps of saga {saga.saga_id} cannot be read") from fault


def once_each(facts: Facts, finding: Inquiry) -> None:
    _said_once(facts, finding)
    facts.lacks(finding, "orchestrator", "inventory", "billing", "shipping", "crm", "analytics")
    if facts.has("billing"):
        _postings(facts, finding)
    if not facts.has("orchestrator") or not facts.at_rest(finding):
        return
    for definition in (FULFILMENT, ONBOARDING):
        _operations(facts, finding, definition, facts.ended(finding, definition))
    if facts.has("billing"):
        _pairs(facts, finding)
    for sandbox, process in (("payment", "billing"), ("carrier", "shipping")):
        if facts.has(sandbox) and facts.has(process):
            _calls(facts, finding, sandbox, process)


def _said_once(facts: Facts, finding: Inquiry) -> None:
    """A command is made once, and answered once; said again, both are the same bytes."""
    answers: dict[str, str] = {}
    for topic, (writer, _) in WIRES.items():
        kind = topic.split(".")[-2]
        if kind not in {"commands", "replies"} or writer == "console":
            continue
        bytes_of: dict[str, bytes | None] = {}
        for head in facts.spoken(topic):
            first = bytes_of.setdefault(head.id, head.record.value)
            finding.saw(kind)
            if head.record.value != first:
                finding.wrong(f"{head.id} was said again otherwise", head.key, head.record)
            answer = answers.setdefault(head.causation, head.id) if kind == "replies" else head.id
            if answer != head.id:
                finding.wrong(f"{head.causation} has two answers", head.key, head.record)


def _postings(facts: Facts, finding: Inquiry) -> None:
    for row in facts.rows("billing", Posting):
        finding.saw("postings")
        once = row.kind in ONCE or row.kind.startswith("refunded-")
        if row.posting_id != f"{row.order_id}/{row.kind}" or not once:
            finding.wrong(f"the ledger has {row.posting_id}, a movement nobody knows", row.order_id)


def _operations(
    facts: Facts, finding: Inquiry, definition: Declared, sagas: Sequence[Saga]
) -> None:
    """completed: each step done, none undone. compensated: what was done is undone."""
    books = {
        step.service: facts.operations(step.service)
        for step in definition.steps
        if facts.has(step.service)
    }
    for saga in sagas:
        assert declared(saga) is definition
        statuses = dict(_statuses(saga))
        for step in definition.steps:
            book = books.get(step.service)
            if book is None or statuses.get(step.name) == "skipped":
                continue
            row = book.get(f"{saga.saga_id}/{step.name}")
            status = NONE if row is None else row.status
            legal = _legal(saga.phase, undoable=step.undo)
            finding.saw("operations")
            if status not in legal:
                what = f"is {saga.phase}, and {step.service} has {step.name} as {status}"
                finding.wrong(what, saga.key)


def _legal(phase: str, *, undoable: bool) -> frozenset[str]:
    if phase == "completed":
        return _of("done")
    return _of(NONE, "refused", "undone") if undoable else _of(NONE, "refused")


def _pairs(facts: Facts, finding: Inquiry) -> None:
    """Each authorisation of a cancelled order was voided once; a tombstone moved no money."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for row in facts.rows("billing", Posting):
        kinds[row.order_id][row.kind] += 1
    for saga in facts.ended(finding, FULFILMENT):
        of = kinds[saga.key]
        if saga.phase == "completed":
            undone = of["voided"]
        else:
            undone = of["authorised"] - of["voided"] - of["captured"]
        finding.saw("orders in the ledger")
        if undone:
            said = ", ".join(f"{n} {kind}" for kind, n in sorted(of.items()) if n)
            finding.wrong(f"is {saga.phase}, and the ledger has {said}", saga.key)


def _calls(facts: Facts, finding: Inquiry, sandbox: str, process: str) -> None:
    """What the outside world did under a key, it did for an operation of ours."""
    known = facts.operations(process)
    for row in facts.rows(sandbox, Call):
        operation, _, what = row.key.rpartition("/")
        if row.status is None or row.status >= 300:
            continue
        finding.saw(f"calls answered by {sandbox}")
        key = operation.partition(":")[2].partition("/")[0]
        if operation not in known or what not in {"do", "undo"}:
            finding.wrong(f"{sandbox} did {row.key}, which {process} never asked for", key)
