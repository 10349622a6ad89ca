"""An operator's verbs about keys, inside the transaction: what stands there, what is written.

Each verb leaves one row with its result, also one that was refused. An accepted one may go on over
many transactions; the row is how it is resumed after a kill, and where its end is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from schemas.orchestrator import OperatorVerb
from services.chassis.admission import Admission, Refused
from services.chassis.deadletters import record_of
from services.chassis.items import Arrived, Item
from services.chassis.messages import Message
from services.chassis.parked import (
    KEY_VERBS,
    OPERATOR,
    Asked,
    Decided,
    First,
    Letter,
    Result,
    Standing,
    Verb,
    decide,
)
from services.chassis.store import Plan, Row, Select, Write, statements
from services.chassis.unrecorded import operation_in

SQL = statements(Path(__file__).parent / "parked.sql")
RESUMED_MAX = 3


class Told(NamedTuple):
    """A key verb as it arrived. `parked`: its key, as this batch sees it."""

    message: Message
    key: int
    parked: bool

    @property
    def verb(self) -> OperatorVerb:
        assert isinstance(self.message.body, OperatorVerb)
        return self.message.body

    @property
    def why(self) -> tuple[str, str]:
        """Reason and detail of a key that this parks."""
        verb = self.verb
        return OPERATOR if verb.verb == "park" else verb.verb, f"by {verb.actor}"


class Failure(NamedTuple):
    seq: int
    refused: Refused


def is_key_verb(body: object) -> bool:
    return isinstance(body, OperatorVerb) and body.verb in KEY_VERBS


def told_apart(items: Sequence[Item], service: str) -> tuple[list[Item], list[Item]]:
    """Those that concern this service, and verbs for others: each reaches every process."""
    mine: list[Item] = []
    others: list[Item] = []
    for item in items:
        body = item.message.body if isinstance(item, Arrived) else None
        strange = isinstance(body, OperatorVerb) and body.service != service
        (others if strange else mine).append(item)
    return mine, others


def obey(told: Told, admission: Admission, release: str, now_us: int) -> Plan[Decided]:
    """Decides one verb and writes what it changes; parking itself is the caller's."""
    message, verb, key = told.message, told.verb, told.key
    standing = yield from _standing(told, admission)
    expired = 0 < message.expires_us < now_us
    asked = Asked(Verb(verb.verb), verb.reason, expired, verb.record, verb.force)
    decided = decide(asked, standing, release)
    if decided.discards:
        closed = ("discarded", "discarded", message.id, decided.discards)
        yield Write(SQL["letters.close"], [closed], expect=1)
    if decided.reopens:
        yield Write(SQL["letters.reopen"], [(decided.reopens,)], expect=1)
    done = int(bool(decided.discards))
    said = (verb.actor, verb.reason, verb.record, decided.result, decided.detail, done, now_us)
    yield Write(SQL["verbs.add"], [(message.id, key, verb.verb, *said)], expect=1)
    return decided


def _standing(told: Told, admission: Admission) -> Plan[Standing]:
    going_on = yield Select(SQL["verbs.going_on"], (told.key,))
    rows = yield Select(SQL["letters.first"], (told.key,))
    first = None
    if rows:
        seq, _, stage, failures, release = rows[0]
        first = First(int(seq or 0), str(stage), int(failures or 0), str(release))
    letter = None
    if told.verb.record is not None:
        letter = yield from _letter(told.key, told.verb.record, admission)
    return Standing(told.parked, bool(going_on), first, letter)


def _letter(key: int, record: int, admission: Admission) -> Plan[Letter | None]:
    rows = yield Select(SQL["letters.one"], (key, record))
    if not rows:
        return None
    seq, reason, stage, state, *cells = rows[0]
    verdict = admission.admit(record_of(tuple(cells)))
    refusal = f"{verdict.reason}: {verdict.detail}" if isinstance(verdict, Refused) else ""
    return Letter(int(seq or 0), str(reason), str(stage), str(state), refusal)


def going_on(key: int) -> Plan[str]:
    """The id of the verb that a redrive of this key serves, or "": it began by itself."""
    rows = yield Select(SQL["verbs.going_on"], (key,))
    return str(rows[0][0]) if rows else ""


class Slice(NamedTuple):
    """What one transaction of a redrive came to. `more`: another one is to follow."""

    key: int
    verb: str
    closed: list[Row]
    failure: Failure | None
    more: bool


def settle(part: Slice, release: str) -> Plan[None]:
    if part.closed:
        yield Write(SQL["letters.close"], part.closed, expect=len(part.closed))
    result, detail = Result.GOING_ON if part.more else Result.APPLIED, ""
    if part.failure is not None:
        seq, refused = part.failure
        result, detail = Result.FAILED_AGAIN, f"{refused.reason}: {refused.detail}"
        alike = (refused.reason, refused.detail, release)
        now = (refused.reason, refused.detail, refused.stage, release)
        failed = (*alike, int(bool(part.verb)), *now, seq)
        yield Write(SQL["letters.fail"], [failed], expect=1)
        why = (refused.reason, refused.detail, part.key)
        yield Write(SQL["parked.because"], [why])
    if part.verb:
        progress = (len(part.closed), result, detail, part.verb)
        yield Write(SQL["verbs.progress"], [progress], expect=1)


def unrecorded_operations() -> Plan[set[tuple[str, str, str]]]:
    """Key, source and operation of calls that were answered: they are not made again."""
    rows = yield Select(SQL["letters.unrecorded"])
    return {
        (str(key), *operation_in(headers)) for key, headers in rows if isinstance(headers, bytes)
    }


def unfinished(*, started: bool) -> Plan[list[str]]:
    """Keys whose verb was going on when this process, or the owner before it, let them go."""
    if started:
        yield Write(SQL["verbs.resume"], [(RESUMED_MAX, RESUMED_MAX)])
    rows = yield Select(SQL["verbs.unfinished"])
    return [str(name) for (name,) in rows]
