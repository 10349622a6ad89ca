"""What an operator may tell a key, and when it may not be told that.

Pure: what the database says of the key goes in, what is to be done comes out. A refusal is a named
result, kept with the verb. Invariants: nothing is deleted; what waits is applied in the order in
which it came; a result of the outside world is never given up, because money may stand behind it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Verb(StrEnum):
    PARK = "park"  # later data records queue behind the key
    UNPARK = "unpark"  # what waits is applied, in order, until one fails
    REDRIVE = "redrive"  # the same; or one rejected record, where this release can read it
    DISCARD = "discard"  # the first that waits is given up, and what is behind it goes on


class Result(StrEnum):
    """What became of a verb."""

    APPLIED = "applied"
    GOING_ON = "going_on"  # accepted; what waits is applied in slices
    FAILED_AGAIN = "failed_again"  # going_on -> failed_again: the detail says at what
    EXPIRED = "expired"  # it came later than its sender wanted
    NO_REASON = "no_reason"  # an operator acts with a reason or not at all
    BUSY = "busy"  # another verb is going on for this key
    ALREADY_PARKED = "already_parked"
    NOT_PARKED = "not_parked"
    NOTHING_WAITS = "nothing_waits"  # no record could be discarded
    FAILED_BEFORE = "failed_before"  # it failed the same way again and again: mend or --force
    GATEWAY_RESULT = "gateway_result"  # what the outside world said is recorded, never discarded
    UNKNOWN_RECORD = "unknown_record"  # no dead letter of this key has that number
    NOT_REJECTED = "not_rejected"  # it waits, or it was settled: only a rejected one is named
    DECIDED = "decided"  # it was understood and refused; it would be refused alike
    STILL_REFUSED = "still_refused"  # this release cannot read it either
    KEY_IS_PARKED = "key_is_parked"  # a rejected record goes after what waits: unpark first


KEY_VERBS: Final = frozenset(Verb)
ACCEPTED: Final = frozenset({Result.APPLIED, Result.GOING_ON, Result.FAILED_AGAIN})
FAILURES_MAX: Final = 3
KILLED = "killed_process"
RECORD_STAGE = "record"  # of a gateway's result that could not be recorded
HANDLE_STAGE = "handle"
OPERATOR = "operator"  # why a key is parked that a person parked


class First(NamedTuple):
    """The first record that waits. `failures`: tries by hand under `release` that ended alike."""

    seq: int
    stage: str
    failures: int
    release: str


class Letter(NamedTuple):
    """The dead letter that a verb names. `refusal`: why this release would not read it either."""

    seq: int
    reason: str
    stage: str
    state: str
    refusal: str


class Standing(NamedTuple):
    """What is known of a key when it is told something."""

    parked: bool
    going_on: bool
    first: First | None
    letter: Letter | None = None


class Asked(NamedTuple):
    verb: Verb
    reason: str
    expired: bool = False
    record: int | None = None
    force: bool = False


class Decided(NamedTuple):
    """`parks`: the key is parked from now on; `discards`, `reopens`: a dead letter's number."""

    result: Result
    detail: str = ""
    parks: bool = False
    discards: int = 0
    reopens: int = 0

    @property
    def goes_on(self) -> bool:
        return self.result is Result.GOING_ON

    @property
    def accepted(self) -> bool:
        return self.result in ACCEPTED


def decide(asked: Asked, key: Standing, release: str) -> Decided:
    refusal = _inadmissible(asked, key)
    if refusal is not None:
        return Decided(refusal)
    if asked.verb is Verb.PARK:
        return Decided(Result.APPLIED, parks=True)
    if asked.record is not None:
        return _one(asked, key)
    if asked.verb is Verb.DISCARD:
        return _discard(key.first)
    first = key.first
    if first is not None and _hopeless(first, release) and not asked.force:
        times = f"{first.failures} tries under {release} failed alike"
        return Decided(Result.FAILED_BEFORE, times)
    return Decided(Result.GOING_ON)


def _inadmissible(asked: Asked, key: Standing) -> Result | None:
    if asked.expired:
        return Result.EXPIRED
    if not asked.reason.strip():
        return Result.NO_REASON
    if key.going_on:
        return Result.BUSY
    if asked.verb is Verb.PARK:
        return Result.ALREADY_PARKED if key.parked else None
    if asked.record is not None:
        return Result.KEY_IS_PARKED if key.parked else None
    return None if key.parked else Result.NOT_PARKED


def _one(asked: Asked, key: Standing) -> Decided:
    """A rejected record is parked, so that what comes meanwhile waits for its second try."""
    letter = key.letter
    if asked.verb is not Verb.REDRIVE or letter is None:
        return Decided(Result.UNKNOWN_RECORD)
    if letter.state != "rejected":
        return Decided(Result.NOT_REJECTED, letter.state)
    if letter.stage == HANDLE_STAGE:
        return Decided(Result.DECIDED, letter.reason)
    if letter.refusal:
        return Decided(Result.STILL_REFUSED, letter.refusal)
    if letter.reason == KILLED and not asked.force:
        return Decided(Result.FAILED_BEFORE, letter.reason)
    return Decided(Result.GOING_ON, parks=True, reopens=letter.seq)


def _discard(first: First | None) -> Decided:
    if first is None:
        return Decided(Result.NOTHING_WAITS)
    if first.stage == RECORD_STAGE:
        return Decided(Result.GATEWAY_RESULT)
    return Decided(Result.GOING_ON, discards=first.seq)


def _hopeless(first: First, release: str) -> bool:
    return first.failures >= FAILURES_MAX and first.release == release
