"""Operators' verbs as the console sends them, and what became of them."""

from __future__ import annotations

from datetime import UTC, datetime

from company import CATALOGUE, CODEC, NOW_US, Member

from schemas.orchestrator import OperatorVerb
from services.chassis.envelope import Cause, Maker, timestamp
from services.chassis.items import Applied
from services.chassis.messages import Outgoing

CONSOLE = Maker("console", CODEC, CATALOGUE)
ASKED_AT = datetime(2026, 11, 23, tzinfo=UTC)


def verb(word: str, key: str = "a", name: str = "v-1", **fields: object) -> Outgoing:
    """`expires_us` becomes a header, all other fields are the verb's."""
    expires_us = fields.pop("expires_us", 0)
    given = {"service": "billing", "reason": "mended", "actor": "ann", **fields}
    body = OperatorVerb(key, key, word, None, version_seen=None, requested_at=ASKED_AT, **given)  # type: ignore[arg-type]
    made = CONSOLE.event(body, name, NOW_US, Cause())
    if not expires_us:
        return made
    assert isinstance(expires_us, int)
    expiry = ("ce_expirytime", timestamp(expires_us).encode())
    return made._replace(headers=(*made.headers, expiry), packed=b"")


def tell(
    member: Member[object], word: str, key: str = "a", name: str = "v-1", **fields: object
) -> Applied:
    """The verb, and then slices until there are no more, as the intake does it."""
    applied = member.take(member.kafka.publish(verb(word, key, name, **fields)))
    go_on(member, applied)
    return applied


def go_on(member: Member[object], applied: Applied) -> None:
    for key in applied.redrives:
        while member.redrive(key).more:
            pass


def verbs(
    member: Member[object], columns: str = "id, verb, result, detail, applied"
) -> list[tuple[object, ...]]:
    return member.store.rows(f"SELECT {columns} FROM key_verbs ORDER BY rowid")
