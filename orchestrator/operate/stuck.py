"""What is stuck, grouped by why, where and on whom: the groups that one cause makes.

A group is reason, definition, state and the services waited for; its members stand oldest first.
Nothing here reads a database or says what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.metrics import NOT_OPEN
from orchestrator.operate.sagas import Parked, SagaView

OPERATOR = "operator"
NOTES_MAX = 3


@dataclass(frozen=True, slots=True)
class Member:
    """One stuck saga, or, with an empty `saga_id`, a parked key without one."""

    key: str
    saga_id: str
    reason: str
    definition: str
    state: str
    waiting_on: str
    since_us: int
    deadline_us: int | None
    detail: str
    assignee: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    reason: str
    definition: str
    state: str
    waiting_on: str
    members: tuple[Member, ...]

    @property
    def since_us(self) -> int:
        return self.members[0].since_us

    @property
    def latest_us(self) -> int:
        return self.members[-1].since_us

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What its members have in common: the group's name."""
        return self.reason, self.definition, self.state, self.waiting_on

    @property
    def query(self) -> str:
        """The filter that finds its sagas; empty where there are none to find."""
        if not self.definition:
            return ""
        terms = {"reason": self.reason, "definition": self.definition, "state": self.state}
        if self.waiting_on != OPERATOR:
            terms["service"] = self.waiting_on.replace("+", ",")
        return " ".join(f"{name}={value}" for name, value in terms.items())

    @property
    def owners(self) -> tuple[str, ...]:
        """Whose its members are, each once; nobody's are not spoken of."""
        return tuple(dict.fromkeys(each.assignee for each in self.members if each.assignee))

    @property
    def notes(self) -> tuple[str, ...]:
        """Why they were handed over, each once, the latest of NOTES_MAX."""
        return tuple(dict.fromkeys(each.note for each in self.members if each.note))[-NOTES_MAX:]


def member(saga: SagaView, reason: str) -> Member:
    waiting = saga.waiting[0] if saga.waiting else None
    deadlines = [each.deadline_us for each in saga.waiting if each.deadline_us is not None]
    parked = saga.parked
    if parked is not None and reason == "contract":
        detail = f"{parked.reason}: {parked.detail}"
    elif waiting is not None:
        times = "once" if waiting.attempt == 1 else f"{waiting.attempt} times"
        detail = f"{waiting.command} sent {times}"
    else:
        detail = saga.attention or saga.detail
    return Member(
        key=saga.key,
        saga_id=saga.saga_id,
        reason=reason,
        definition=saga.definition,
        state=saga.state,
        waiting_on=saga.services or OPERATOR,
        since_us=saga.since_us,
        deadline_us=min(deadlines, default=None),
        detail=detail,
        assignee=saga.assignee,
        note=saga.note,
    )


def parked_member(key: str, parked: Parked) -> Member:
    """A key whose records wait although no saga of it is open: perhaps its start is one of them."""
    return Member(
        key=key,
        saga_id="",
        reason="contract",
        definition="",
        state=NOT_OPEN,
        waiting_on=OPERATOR,
        since_us=parked.since_us,
        deadline_us=None,
        detail=f"{parked.reason}: {parked.detail}",
    )


def grouped(members: Iterable[Member], reasons: tuple[str, ...]) -> tuple[Group, ...]:
    """By the order of the reasons, then the largest first."""
    found: dict[tuple[str, str, str, str], list[Member]] = {}
    for each in sorted(members, key=lambda m: (m.since_us, m.key)):
        place = (each.reason, each.definition, each.state, each.waiting_on)
        found.setdefault(place, []).append(each)
    groups = [Group(*place, tuple(those)) for place, those in found.items()]
    return tuple(
        sorted(groups, key=lambda g: (reasons.index(g.reason), -len(g.members), g.since_us))
    )
