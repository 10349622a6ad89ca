"""What somebody wants done, as forms say it: the verb, to whom, why; and the words for verbs.

Pure: reads pairs of names and values, and refuses what cannot be meant with a sentence that says
what to do instead. What it would do is rehearsed elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from orchestrator.engine.machine import Result, Verb
from orchestrator.operate.bulk import RATE, RATE_MAX, BulkOrder
from orchestrator.operate.pages.view import NoPage
from orchestrator.operate.saga_telling import ORPHAN, SagaOrder

CHOSEN_MAX: Final = 200
TYPED_ABOVE: Final = 100
_KEY = re.compile(r"(?!op-)[A-Za-z0-9._-]{1,128}")
_ROOM: Final = {"reason": 1_000, "evidence": 2_000, "assignee": 128, "step": 64, "query": 2_000}

DOES: Final = {
    Verb.RETRY: "Sends the command that waits for its answer again: same id, same bytes. Whoever"
    " did it already answers what it answered.",
    Verb.COMPENSATE: "Turns the saga back from here: what was done is undone, last first.",
    Verb.PAUSE: "Answers are still taken; nothing more is sent until somebody resumes.",
    Verb.RESUME: "Sends what is next; its deadlines go on from where they stood.",
    Verb.SKIP: "Counts a step as settled on your word, with your evidence. Nothing is sent for it.",
    Verb.ASSIGN: "Hands the saga to somebody, with a note. It moves nothing.",
    Verb.UNASSIGN: "Nobody owns the saga any more. It moves nothing.",
    Verb.NOTE: "Writes a note into the saga's story. It moves nothing.",
}
REFUSED: Final = {
    Result.FINISHED: "it has ended, and has its outcome",
    Result.TOO_LATE: "its pivot was sent: there is no way back any more",
    Result.NOT_STARTED: "it has not started: only its cancellation is known",
    Result.PAUSED: "it is paused: resume it first",
    Result.PARKED: "a message of its key waits under dead letters: redrive or discard it first",
    Result.ALREADY_PAUSED: "it is paused already",
    Result.NOT_PAUSED: "it is not paused",
    Result.ALREADY_COMPENSATING: "it is on its way back already",
    Result.UNKNOWN_STEP: "choose the step",
    Result.NOTHING_PENDING: "no command of it waits for an answer",
    Result.STALE: "it moved while you looked",
    Result.NO_EVIDENCE: "say how you know that it was settled",
    Result.KEEPS_REPLY: "later steps need what its answer says, so your word is not enough",
    Result.RESTORED: "its database was restored and forgot that it had turned back: compensate it",
    ORPHAN: "this release lacks its definition",
}


@dataclass(frozen=True, slots=True)
class Deed:
    """`key`: of this form, so that sent twice it acts once. `typed`: the count, typed again."""

    verb: Verb
    sagas: tuple[str, ...]
    query: str
    reason: str
    step: str
    evidence: str
    assignee: str
    first: bool
    rate: int
    key: str
    version: int | None
    seen: int
    typed: str

    @property
    def one(self) -> str:
        """The only saga that is asked for, if it is only one."""
        return self.sagas[0] if len(self.sagas) == 1 else ""

    def order(self, actor: str, *, rehearsed: bool = False) -> SagaOrder:
        """A rehearsal does not ask for what is still to be typed."""
        return SagaOrder(
            verb=self.verb,
            reason=self.reason or ("rehearsed" if rehearsed else ""),
            actor=actor,
            via="console",
            version=self.version,
            step=self.step or None,
            evidence=self.evidence or ("rehearsed" if rehearsed else ""),
            assignee=self.assignee,
        )

    def bulk(self, actor: str, *, rehearsed: bool = False) -> BulkOrder:
        order = self.order(actor, rehearsed=rehearsed)
        return BulkOrder(order, self.query, self.sagas, self.rate, int(self.first), self.seen)


def read(pairs: Sequence[tuple[str, str]]) -> Deed:
    """Raises NoPage."""
    given = {name: value.strip() for name, value in pairs}
    for name, most in _ROOM.items():
        if len(given.get(name, "")) > most:
            raise unusable("Too long", f"{name.capitalize()}: at most {most:,} characters.")
    sagas = tuple(dict.fromkeys(value for name, value in pairs if name == "saga" and value))
    return Deed(
        verb=_verb(given.get("verb", "")),
        sagas=sagas,
        query=_query(given, sagas),
        reason=given.get("reason", ""),
        step=given.get("step", ""),
        evidence=given.get("evidence", ""),
        assignee=given.get("assignee", ""),
        first=given.get("first", "") == "1",
        rate=_number(given, "rate", RATE, most=RATE_MAX) or RATE,
        key=given.get("key", ""),
        version=_number(given, "version", 0) if given.get("version") else None,
        seen=_number(given, "seen", 0),
        typed=given.get("typed", "").replace("\N{NO-BREAK SPACE}", "").replace(" ", ""),
    )


def missing(asked: Deed) -> str:
    """What is still to be said before it can be sent, or nothing."""
    if not asked.reason:
        return "Say why: the reason is kept with it."
    if asked.verb is Verb.SKIP and not (asked.step and asked.evidence):
        return "Skipping needs the step, and the evidence that it was settled."
    if not _KEY.fullmatch(asked.key):
        return "This form has lost its key: look again, and send it from there."
    if not asked.one and asked.seen > TYPED_ABOVE and asked.typed != str(asked.seen):
        return f"Type the count, {asked.seen}, to say that you mean so many."
    return ""


def unusable(heading: str, sentence: str) -> NoPage:
    links = {"what is stuck": "/stuck", "all sagas": "/sagas"}
    return NoPage(heading, sentence, status=HTTPStatus.UNPROCESSABLE_ENTITY, links=links)


def _verb(text: str) -> Verb:
    try:
        return Verb(text)
    except ValueError:
        known = ", ".join(Verb)
        raise unusable("No such verb", f"The verbs are {known}.") from None


def _query(given: dict[str, str], sagas: Sequence[str]) -> str:
    query = given.get("query", "")
    if len(sagas) > CHOSEN_MAX:
        told = f"At most {CHOSEN_MAX} are chosen one by one; for more, act on a filter."
        raise unusable("Too many chosen", told)
    if sagas or query:
        return "" if sagas else query
    told = "Choose a saga, or a filter: nothing acts on all there are."
    raise unusable("Nothing is chosen", told)


def _number(given: dict[str, str], name: str, default: int, *, most: int = 1 << 53) -> int:
    text = given.get(name) or str(default)
    if text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most:
        return int(text)
    raise unusable("Not a number", f"{name.capitalize()}: a whole number up to {most:,}.")
