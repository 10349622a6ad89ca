"""I-1, I-2 and I-11: one saga an order, one outcome a saga, and everybody knows the same one.

The outcome topic is what outsiders were told, so it is compared first with the saga and then with
every book that follows it. What retention took away is counted as not comparable, never as well.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

from deploy.verify.evidence import (
    CustomerOrder,
    OrderFacts,
    OrderMail,
    PlacedOrder,
    Saga,
    Submission,
)
from deploy.verify.facts import Facts, Head, opened
from deploy.verify.verdicts import Inquiry
from deploy.verify.wiring import ENDS, FULFILMENT, SAGAS, Declared

KINDS = {"completed": "fulfilled", "compensated": "cancelled"}
FOLLOWERS: Mapping[str, type[PlacedOrder | CustomerOrder | OrderFacts]] = {
    "orders": PlacedOrder,
    "crm": CustomerOrder,
    "analytics": OrderFacts,
}


def one_saga_each(facts: Facts, finding: Inquiry) -> None:
    if facts.lacks(finding, "orchestrator"):
        return
    for saga_id, n in Counter(saga.saga_id for saga in facts.sagas).items():
        finding.saw("sagas")
        if n > 1:
            finding.wrong(f"{n} sagas are called {saga_id}", saga_id.partition(":")[2])
    if not facts.at_rest(finding):
        return
    known = {saga.saga_id: saga for saga in facts.sagas}
    for definition in SAGAS.values():
        _starts(facts, finding, definition, known)
    _submissions(facts, finding, known)


def _starts(
    facts: Facts, finding: Inquiry, definition: Declared, known: Mapping[str, Saga]
) -> None:
    """Each start that stands has a saga, and each saga a start that stands."""
    topic, type_name = definition.starts
    told: dict[str, set[str]] = defaultdict(set)
    for head in facts.heads[topic]:
        if head.type == type_name:
            told[head.key].add(head.id)
    for head in facts.spoken(topic):
        if head.type != type_name or head.key in facts.excused:
            continue
        finding.saw("starts on topics")
        old = facts.forgotten(head.record, facts.evidence.keeps.journal_days)
        if f"{definition.name}:{head.key}" not in known and not old:
            finding.wrong("was placed and has no saga", head.key, head.record)
    for saga in known.values():
        if saga.definition != definition.name or saga.phase == "cancelled_early":
            continue
        if saga.start_id not in told[saga.key] and facts.whole(topic):
            finding.wrong(f"its saga names the start {saga.start_id}, which nobody sent", saga.key)


def _submissions(facts: Facts, finding: Inquiry, known: Mapping[str, Saga]) -> None:
    if facts.lacks(finding, "orders"):
        return
    outcomes = {row.order_id: row.outcome for row in facts.rows("orders", PlacedOrder)}
    keys: dict[str, list[str]] = defaultdict(list)
    for row in facts.rows("orders", Submission):
        keys[row.order_id].append(row.idempotency_key)
    for order, used in keys.items():
        finding.saw("acknowledged submissions", len(used))
        if len(used) > 1:
            finding.wrong(f"{len(used)} idempotency keys stand for it", order)
        if order in facts.excused or f"fulfilment:{order}" in known:
            continue
        if not opened(outcomes.get(order), "orders placed_order.outcome"):
            finding.wrong("was acknowledged and has no saga", order)


def one_outcome_each(facts: Facts, finding: Inquiry) -> None:
    if facts.lacks(finding, "orchestrator"):
        return
    _never_left(facts, finding)
    for definition in SAGAS.values():
        said = _said(facts, definition)
        for key, heads in said.items():
            _one(finding, definition, key, heads)
        if facts.at_rest(finding):
            _of_sagas(facts, finding, definition, said)


def _never_left(facts: Facts, finding: Inquiry) -> None:
    """An end is the end: no later line of the journal leads out of it."""
    keys = {saga.id: saga.key for saga in facts.sagas}
    for number, lines in facts.lines.items():
        for before, after in pairwise(lines):
            if before.to_state in ENDS and after.to_state != before.to_state:
                what = f"was {before.to_state} and became {after.to_state or 'nothing'}"
                finding.wrong(f"{what} (journal {after.seq})", keys.get(number, ""))


def _said(facts: Facts, definition: Declared) -> Mapping[str, Sequence[Head]]:
    """The terminal outcomes on the topic, by key."""
    terminal = frozenset(definition.outcomes.values())
    found: dict[str, list[Head]] = defaultdict(list)
    for head in facts.spoken(definition.topic):
        if head.type in terminal:
            found[head.key].append(head)
    return found


def _one(finding: Inquiry, definition: Declared, key: str, heads: Sequence[Head]) -> None:
    """Said again it is the same to the byte; a second one is another message, or other bytes."""
    finding.saw("outcomes on topics", 1)
    first = heads[0]
    expected = f"{definition.name}:{key}"
    if not (first.id.startswith(expected) and first.id.endswith("/outcome")):
        finding.wrong(f"its outcome is called {first.id}", key, first.record)
    for head in heads[1:]:
        if (head.source, head.id) != (first.source, first.id):
            finding.wrong(f"has a second outcome, {head.id}", key, head.record)
        elif head.record.value != first.record.value:
            finding.wrong(f"its outcome {head.id} was said again otherwise", key, head.record)


def _of_sagas(
    facts: Facts, finding: Inquiry, definition: Declared, said: Mapping[str, Sequence[Head]]
) -> None:
    mine = {saga.key: saga for saga in facts.sagas if saga.definition == definition.name}
    whole = facts.whole(definition.topic)
    for key, saga in mine.items():
        finding.saw("sagas")
        heads = said.get(key, ())
        if saga.phase not in ENDS:
            if heads:
                finding.wrong(f"has an outcome and is {saga.phase}", key, heads[0].record)
        elif heads and heads[0].type != definition.outcomes[saga.phase]:
            what = f"is {saga.phase}, and {heads[0].type.rpartition('.')[2]} was said"
            finding.wrong(what, key, heads[0].record)
        elif not heads and whole and key not in facts.excused:
            finding.wrong(f"is {saga.phase} and no outcome was ever said", key)
        elif not heads:
            finding.note("some outcomes are older than the topic keeps")
    for key, heads in said.items():
        old = facts.forgotten(heads[0].record, facts.evidence.keeps.journal_days)
        if key not in mine and not old:
            finding.wrong("has an outcome and no saga", key, heads[0].record)


def all_agree(facts: Facts, finding: Inquiry) -> None:
    """Topic, orchestrator, orders, crm, analytics and notifications tell the same of each order."""
    facts.lacks(finding, "orchestrator", *FOLLOWERS, "notifications")
    if not facts.has("orchestrator") or not facts.at_rest(finding):
        return
    truth = {
        saga.key: (KINDS[saga.phase], saga.start_id or None)
        for saga in facts.ended(finding, FULFILMENT)
    }
    finding.saw("ended orders", len(truth))
    said = {key: heads[0] for key, heads in _said(facts, FULFILMENT).items()}
    for key, head in said.items():
        body = facts.body(head)
        if key in truth and body is not None and body["placed_event_id"] != truth[key][1]:
            what = f"its outcome names the start {body['placed_event_id']}, not {truth[key][1]}"
            finding.wrong(what, key, head.record)
    for process in facts.present(tuple(FOLLOWERS)):
        _compare(facts, finding, process, truth)
    if facts.has("notifications"):
        _letters(facts, finding, truth)


def _compare(
    facts: Facts, finding: Inquiry, process: str, truth: Mapping[str, tuple[str, str | None]]
) -> None:
    where = f"{process} {FOLLOWERS[process].__name__}.outcome"
    book: dict[str, tuple[str, str | None]] = {}
    for row in facts.rows(process, FOLLOWERS[process]):
        outcome = opened(row.outcome, where)
        if outcome:
            book[row.order_id] = (str(outcome["kind"]), row.accepted)
    finding.saw(f"orders in {process}", len(book))
    for key, told in truth.items():
        found = book.get(key)
        if found is None:
            finding.wrong(f"is {told[0]}, and {process} knows no outcome", key)
        elif found[0] != told[0]:
            finding.wrong(f"is {told[0]}, and {process} says {found[0]}", key)
        elif found[1] != told[1]:
            what = f"{process} took the body {found[1]}, not {told[1]} that was carried out"
            finding.wrong(what, key)
    said = {head.key for head in facts.heads[FULFILMENT.topic]}
    known = said | {saga.key for saga in facts.sagas if saga.definition == FULFILMENT.name}
    for key in book.keys() - known if facts.whole(FULFILMENT.topic) else ():
        finding.wrong(f"{process} says {book[key][0]}, and nobody ever said so", key)
    finding.note(f"{process} {_digest({key: book[key] for key in truth.keys() & book.keys()})}")


def _letters(facts: Facts, finding: Inquiry, truth: Mapping[str, tuple[str, str | None]]) -> None:
    for row in facts.rows("notifications", OrderMail):
        told = truth.get(row.order_id)
        if told is None:
            continue
        kinds = {"fulfilled", "cancelled"} & opened(row.facts, "notifications order_mail").keys()
        if kinds != {told[0]}:
            found = " and ".join(sorted(kinds)) or "no outcome"
            finding.wrong(f"is {told[0]}, and notifications knows {found}", row.order_id)


def _digest(book: Mapping[str, tuple[str, str | None]]) -> str:
    """Equal digests are equal sets of orders with equal outcomes."""
    text = "\n".join(f"{key} {kind} {accepted}" for key, (kind, accepted) in sorted(book.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
