"""What the API says: JSON objects made of views, the same for console, command line and scripts.

Names are part of the interface: they are added to, never changed. Times are ISO 8601 in UTC,
ages whole seconds. No payload and no personal data is ever shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TypeAlias

from orchestrator.engine.instance import Step
from orchestrator.engine.standing import Waiting
from orchestrator.operate.database import Found
from orchestrator.operate.reading import OpenCount, Stuck
from orchestrator.operate.sagas import SagaView, Views
from orchestrator.operate.stuck import OPERATOR, Group, Member
from orchestrator.operate.tally import Counts
from services.chassis.envelope import timestamp

Shape: TypeAlias = dict[str, object]
MEMBERS_SHOWN = 1_000
US = 1_000_000

HINTS: Mapping[str, str] = {
    "compensation_failed": "{service} does not answer its undo: once it is well, retry; if you have"
    " settled it there by hand, skip the step with your evidence",
    "contract": "a message of this key could not be applied: see it under dead letters, then"
    " redrive or discard it",
    "paused": "somebody paused it: its story says who and why; resume lets it go on",
    "orphan_version": "this release lacks its definition: put that version back",
    "retries_exhausted": "{service} was asked more than 5 times: once it is well, retry one, then"
    " the rest",
    "no_reply": "{service} does not answer in time: see under services whether it is up. Once it is"
    " well, what waits for it goes on by itself; of what then stays, retry one, then the rest",
    "late_timer": "the orchestrator is behind with its timers: see that it runs and is ready",
}
UNDECIDED = "it waits for a person: its story says what happened; compensate, retry or skip"


def of_saga(saga: SagaView, now_us: int) -> Shape:
    """A saga as a row of a list."""
    return {
        "saga_id": saga.saga_id,
        "key": saga.key,
        "definition": saga.definition,
        "definition_version": saga.definition_version,
        "phase": saga.phase.value,
        "state": saga.state,
        "paused": saga.paused,
        "stuck": saga.stuck(now_us) or None,
        "reason": saga.reason or None,
        "detail": saga.detail or None,
        "waiting_on": saga.services or None,
        "since": timestamp(saga.since_us),
        "deadline": _when(_deadline_us(saga)),
        "attempts": max((each.attempt for each in saga.waiting), default=0),
        "started": timestamp(saga.started_us),
        "updated": timestamp(saga.updated_us),
        "age_s": (saga.updated_us if saga.finished else now_us) // US - saga.started_us // US,
        "version": saga.version,
        "assignee": saga.assignee or None,
    }


def of_whole_saga(saga: SagaView, views: Views, now_us: int) -> Shape:
    """A saga with its steps, what it waits for and what was asked of it."""
    parked = saga.parked
    return {
        **of_saga(saga, now_us),
        "attention": saga.attention or None,
        "attentions": saga.attentions,
        "waiting": [_of_waiting(each, now_us) for each in saga.waiting],
        "steps": [_of_step(step, views.kind_of(saga, step.name)) for step in saga.steps],
        "cancellations": [asdict(each) for each in saga.cancellations],
        "timers": [
            {"name": name, "due": _when(due_us)} for name, due_us in sorted(saga.timers.items())
        ],
        "parked": None
        if parked is None
        else {
            "reason": parked.reason,
            "detail": parked.detail,
            "since": timestamp(parked.since_us),
        },
    }


def of_line(row: Found) -> Shape:
    """A line of the journal."""
    return {
        "seq": row["seq"],
        "saga_id": row["saga_id"],
        "version": row["version"],
        "at": _when(_int(row["at_us"])),
        "what": row["what"],
        "result": row["result"],
        "from_state": row["from_state"] or None,
        "to_state": row["to_state"] or None,
        "step": row["step"] or None,
        "detail": row["detail"] or None,
        "actor": row["actor"] or None,
        "evidence": row["evidence"] or None,
        "cause": {
            "id": row["cause_id"],
            "source": row["cause_source"],
            "type": str(row["cause_type"]).removeprefix("baton."),
        },
        "sent": str(row["sent"]).split(),
    }


def of_stuck(stuck: Stuck, now_us: int, *, members: int = MEMBERS_SHOWN) -> Shape:
    """`members`: how many of each group, oldest first."""
    oldest_us = stuck.oldest_open_us
    return {
        "as_of": timestamp(now_us),
        "open": stuck.open,
        "oldest_open_s": None if oldest_us is None else (now_us - oldest_us) // US,
        "stuck": sum(len(group.members) for group in stuck.groups),
        "whole": stuck.whole,
        "groups": [_of_group(group, now_us, members) for group in stuck.groups],
    }


def of_counts(
    finished: Counts, opened: list[OpenCount], states: Mapping[tuple[str, str], int], now_us: int
) -> Shape:
    """Sagas by definition, phase and reason, and what is open by state."""
    rows = [(each.definition, each.phase, each.reason, each.count) for each in opened]
    rows += [(*kind, count) for kind, count in finished.items()]
    phases: dict[str, int] = {}
    for _, phase, _, count in rows:
        phases[phase] = phases.get(phase, 0) + count
    oldest_us = min((each.oldest_us for each in opened), default=None)
    return {
        "as_of": timestamp(now_us),
        "started": sum(phases.values()),
        "open": sum(each.count for each in opened),
        "oldest_open_s": None if oldest_us is None else (now_us - oldest_us) // US,
        "phases": phases,
        "counts": [
            {"definition": definition, "phase": phase, "reason": reason or None, "count": count}
            for definition, phase, reason, count in sorted(rows)
        ],
        "states": [
            {"definition": definition, "state": state, "count": count}
            for (definition, state), count in sorted(states.items())
        ],
    }


def _of_waiting(waiting: Waiting, now_us: int) -> Shape:
    deadline_us = waiting.deadline_us
    return {
        "step": waiting.step,
        "kind": waiting.kind.value,
        "service": waiting.service,
        "command": waiting.command,
        "answers": list(waiting.answers),
        "since": timestamp(waiting.since_us),
        "deadline": _when(deadline_us),
        "put_off_to": _when(waiting.put_off_us),
        "late_s": None if deadline_us is None else max(0, (now_us - deadline_us) // US),
        "next_send": _when(waiting.next_us),
        "attempt": waiting.attempt,
        "tries": waiting.tries,
    }


def _of_step(step: Step, kind: str) -> Shape:
    return {
        "name": step.name,
        "kind": kind,
        "status": step.status.value,
        "do_tries": step.do_tries,
        "undo_tries": step.undo_tries,
        "since": _when(step.since_us or None),
        "forgotten": None if step.forgotten is None else step.forgotten.value,
    }


def _of_group(group: Group, now_us: int, members: int) -> Shape:
    return {
        "reason": group.reason,
        "definition": group.definition or None,
        "state": group.state,
        "waiting_on": group.waiting_on,
        "count": len(group.members),
        "oldest_s": (now_us - group.since_us) // US,
        "since": timestamp(group.since_us),
        "owners": list(group.owners),
        "notes": list(group.notes),
        "latest": timestamp(group.latest_us),
        "suggested": _hint(group),
        "query": group.query or None,
        "members": [of_member(each, now_us) for each in group.members[:members]],
    }


def _hint(group: Group) -> str:
    nobody = group.reason == "compensation_failed" and group.waiting_on == OPERATOR
    return UNDECIDED if nobody else HINTS[group.reason].format(service=group.waiting_on)


def of_member(member: Member, now_us: int) -> Shape:
    return {
        "saga_id": member.saga_id or None,
        "key": member.key,
        "reason": member.reason,
        "state": member.state,
        "waiting_on": member.waiting_on,
        "since": timestamp(member.since_us),
        "age_s": (now_us - member.since_us) // US,
        "deadline": _when(member.deadline_us),
        "detail": member.detail,
        "assignee": member.assignee or None,
        "note": member.note or None,
    }


def _deadline_us(saga: SagaView) -> int | None:
    found = [each.deadline_us for each in saga.waiting if each.deadline_us is not None]
    return min(found, default=None)


def _when(us: int | None) -> str | None:
    return None if us is None else timestamp(us)


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
