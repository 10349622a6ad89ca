"""I-14: what customers were told, and what they earned, agrees with how their orders ended.

One letter an order and kind, none of the other outcome. The mail sink's book is compared where it
is there; SMTP delivers at least once, so a letter may lie in it that came twice as one. A point is
a whole major unit captured for a fulfilled order, and each order counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from deploy.verify.evidence import (
    Customer,
    CustomerMail,
    CustomerOrder,
    Mail,
    OrderMail,
    Payment,
)
from deploy.verify.facts import Facts, opened
from deploy.verify.verdicts import Inquiry
from deploy.verify.wiring import FULFILMENT

DOMAIN = "@baton.invalid>"
TOLD = frozenset({"sending", "sent"})
SAYS = {"completed": "fulfilled", "compensated": "cancelled"}
OTHER = {"completed": "cancelled", "compensated": "fulfilled"}
# ISO 4217: currencies whose amounts have no decimals, and those with three; all others have two.
_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
MAJOR = {**dict.fromkeys(_NONE.split(), 1), **dict.fromkeys(_THREE.split(), 1000)}


def told_and_earned(facts: Facts, finding: Inquiry) -> None:
    facts.lacks(finding, "orchestrator", "notifications", "crm", "billing")
    if facts.has("notifications"):
        _letters(facts, finding)
    if not facts.at_rest(finding) or not facts.has("orchestrator"):
        return
    if facts.has("notifications"):
        _outcomes(facts, finding)
    if facts.has("notifications") and facts.has("mail"):
        _delivered(facts, finding)
    elif not facts.has("mail"):
        finding.note("the mail server's book was not there; ours was checked")
    if facts.has("crm") and facts.has("billing"):
        _points(facts, finding)


def _told(facts: Facts) -> Mapping[str, Mapping[str, object]]:
    """The letters of each order and customer, by kind."""
    orders = facts.rows("notifications", OrderMail)
    found = {row.order_id: opened(row.letters, "notifications order_mail") for row in orders}
    for row in facts.rows("notifications", CustomerMail):
        letters = opened(row.letters, "notifications customer")
        found[row.customer_id] = {**found.get(row.customer_id, {}), **letters}
    return found


def _letters(facts: Facts, finding: Inquiry) -> None:
    for about, letters in facts.once("letters", lambda: _told(facts)).items():
        finding.saw("letters", len(letters))
        both = [kind for kind in SAYS.values() if letters.get(kind) in TOLD]
        if len(both) > 1:
            finding.wrong("was told of both outcomes", about)


def _outcomes(facts: Facts, finding: Inquiry) -> None:
    told = facts.once("letters", lambda: _told(facts))
    for saga in facts.ended(finding, FULFILMENT):
        other = OTHER[saga.phase]
        finding.saw("ended orders")
        if told.get(saga.key, {}).get(other) in TOLD:
            finding.wrong(f"is {saga.phase}, and was told that it is {other}", saga.key)


def _delivered(facts: Facts, finding: Inquiry) -> None:
    """Each mail is a letter of ours, and each letter that was sent is a mail."""
    mails = set()
    told = facts.once("letters", lambda: _told(facts))
    for (name,) in facts.rows("mail", Mail):
        if not name.endswith(DOMAIN):
            finding.saw("mails of others")
            continue
        about, _, kind = name[1 : -len(DOMAIN)].rpartition("/")
        mails.add((about, kind))
        finding.saw("mails")
        if told.get(about, {}).get(kind) not in TOLD:
            finding.wrong(f"got the letter {kind}, which notifications did not send", about)
    for about, letters in told.items():
        for kind, state in letters.items():
            if state == "sent" and (about, kind) not in mails:
                finding.wrong(f"its letter {kind} was sent, and no mail arrived", about)


def _points(facts: Facts, finding: Inquiry) -> None:
    """What each customer's totals must be, counted from the orders and from billing's books."""
    captured = {row.order_id: row for row in facts.rows("billing", Payment)}
    totals: dict[str, Counter[str]] = {}
    for order in facts.rows("crm", CustomerOrder):
        if order.customer_id is None:
            continue
        total = totals.setdefault(order.customer_id, Counter())
        kind = opened(order.outcome, "crm customer_order.outcome").get("kind")
        total["orders"] += 1
        total["fulfilled"] += kind == "fulfilled"
        total["cancelled"] += kind == "cancelled"
        row = captured.get(order.order_id)
        if kind == "fulfilled" and row is not None:
            total["points"] += row.captured_minor // MAJOR.get(row.currency, 100)
        if order.order_id in facts.excused:
            total["excused"] += 1
    for customer in facts.rows("crm", Customer):
        finding.saw("customers")
        total = totals.get(customer.customer_id, Counter())
        has = (customer.orders, customer.fulfilled, customer.cancelled, customer.points)
        ought = tuple(total[name] for name in ("orders", "fulfilled", "cancelled", "points"))
        if has != ought and not total["excused"]:
            what = f"crm counts {_text(has)}; the books say {_text(ought)}"
            finding.wrong(what, customer.customer_id)


def _text(counts: tuple[int, ...]) -> str:
    words = ("orders", "fulfilled", "cancelled", "points")
    return ", ".join(f"{n} {word}" for n, word in zip(counts, words, strict=True))
