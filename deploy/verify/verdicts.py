"""What was found of one invariant: how much was looked at, what is wrong, what could not be told.

Never green by silence: a check that looked at nothing says so, and one that had to leave a part
out is not ok. Of many violations the first are kept, all are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from deploy.verify.evidence import Record

SHOWN_MAX = 20


class Ruling(StrEnum):
    OK = "ok"
    VIOLATED = "violated"
    UNCHECKED = "could not check"
    NOTHING = "nothing to check"


@dataclass(frozen=True, slots=True)
class Violation:
    """`key` is the order, customer or product; place and offset where a record shows it."""

    what: str
    key: str = ""
    topic: str = ""
    partition: int | None = None
    offset: int | None = None

    def __str__(self) -> str:
        where = f" at {self.topic}/{self.partition}/{self.offset}" if self.topic else ""
        return f"{self.key}: {self.what}{where}" if self.key else f"{self.what}{where}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`checked` says how many of what; `why` is what could not be told, `notes` what was left."""

    invariant: str
    claim: str
    status: Ruling
    checked: Mapping[str, int]
    why: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    violations: tuple[Violation, ...] = ()
    violations_in_all: int = 0


@dataclass(slots=True)
class Inquiry:
    """A verdict in the making."""

    invariant: str
    claim: str
    checked: Counter[str] = field(default_factory=Counter)
    why: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    wrongs: int = 0

    def saw(self, what: str, n: int = 1) -> None:
        self.checked[what] += n

    def wrong(self, what: str, key: str = "", at: Record | None = None) -> None:
        self.wrongs += 1
        if len(self.violations) < SHOWN_MAX:
            place = (at.topic, at.partition, at.offset) if at else ("", None, None)
            self.violations.append(Violation(what, key, *place))

    def cannot(self, why: str) -> None:
        self.why[why] = None

    def note(self, text: str) -> None:
        self.notes[text] = None

    def verdict(self) -> Verdict:
        checked = {what: n for what, n in self.checked.items() if n}
        status = Ruling.OK if checked else Ruling.NOTHING
        if self.why:
            status = Ruling.UNCHECKED
        if self.wrongs:
            status = Ruling.VIOLATED
        return Verdict(
            self.invariant,
            self.claim,
            status,
            checked,
            tuple(self.why),
            tuple(self.notes),
            tuple(self.violations),
            self.wrongs,
        )
