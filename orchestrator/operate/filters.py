"""What to look for, as people type it: `state=awaiting_payment reason=no_reply age>10m`.

One grammar for pages, API and command line. Terms are joined by and, the values of one term by
commas, which mean or. `state`, `reason` and `service` say what a saga is now; `age` is the age of
what is open, so it finds nothing that has finished; `started` is when it began, whatever became of
it; `stuck` is why it does not go on, `any` for whatever reason; `slow=p95` is what waits for an
answer for longer than 95 of 100 did in the last day. Knows no database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from orchestrator.engine.machine import TERMINAL, Phase
from orchestrator.operate.sagas import SagaView

NAMES = ("state", "phase", "reason", "definition", "key", "service", "stuck", "version")
_TERM = re.compile(r"(?P<name>[a-z]+)(?P<sign>[=<>])(?P<value>\S+)")
_DURATION = re.compile(r"(?P<count>[0-9]{1,6})(?P<unit>[smhd])")
_UNIT_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_OPEN = frozenset(phase.value for phase in Phase if phase not in TERMINAL)
_FINISHED = frozenset(phase.value for phase in TERMINAL)
_EVER_US = 1 << 62
TERMS_MAX = 20


class BadFilter(ValueError):
    """A filter that cannot be read; the message names the term and says how it is written."""


@dataclass(frozen=True, slots=True)
class Began:
    """When: on a day (from, up to), and within or before so long ago."""

    day_us: tuple[int, int] | None = None
    within_us: int | None = None
    before_us: int | None = None

    def span_us(self, now_us: int) -> tuple[int, int]:
        """From when, and up to when."""
        start, end = self.day_us or (0, _EVER_US)
        if self.within_us is not None:
            start = max(start, now_us - self.within_us)
        if self.before_us is not None:
            end = min(end, now_us - self.before_us)
        return start, end

    def holds(self, started_us: int, now_us: int) -> bool:
        start, end = self.span_us(now_us)
        return start <= started_us < end


@dataclass(frozen=True, slots=True)
class Filter:
    """Empty sets match everything. `phases` is what `phase=` and finished states leave over.

    `usual`: after how long a command of a definition is slow; `Reading` fills it in.
    """

    states: frozenset[str] = frozenset()
    phases: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    definitions: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    stuck: frozenset[str] = frozenset()
    versions: frozenset[str] = frozenset()
    older_us: int | None = None
    younger_us: int | None = None
    started: Began = Began()
    slow: bool = False
    usual: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def wanted_phases(self) -> frozenset[str]:
        """No saga in another phase can match."""
        wanted = self.phases or _OPEN | _FINISHED
        if self.states and not self.states - _FINISHED:
            wanted &= self.states
        elif self.states and not self.states & _FINISHED:
            wanted &= _OPEN
        if (
            self.slow
            or self.services
            or self.stuck
            or (self.older_us, self.younger_us) != (None, None)
        ):
            wanted &= _OPEN
        return wanted

    @property
    def only_open(self) -> bool:
        return not self.wanted_phases & _FINISHED

    def matches(self, saga: SagaView, now_us: int) -> bool:
        age_us = now_us - saga.started_us
        stuck = saga.stuck(now_us) if self.reasons or self.stuck else ""
        return (
            saga.phase.value in self.wanted_phases
            and _among(self.states, saga.state)
            and _among(self.reasons, saga.reason, stuck)
            and _among(self.stuck, stuck, "any" if stuck else "")
            and _among(self.definitions, saga.definition)
            and _among(self.versions, str(saga.definition_version))
            and self.started.holds(saga.started_us, now_us)
            and _among(self.keys, saga.key)
            and _among(self.services, *(each.service for each in saga.waiting))
            and (not self.slow or self._slow(saga, now_us))
            and (self.older_us is None or age_us > self.older_us)
            and (self.younger_us is None or age_us < self.younger_us)
        )

    def _slow(self, saga: SagaView, now_us: int) -> bool:
        """A command that too few were answered of is never slow."""
        return any(
            now_us - each.since_us > self.usual.get(place, _EVER_US)
            for each in saga.waiting
            for place in [(saga.definition, f"{each.step}/{each.kind.value}")]
        )

    @property
    def told_by_kind(self) -> bool:
        """Definition, phase and reason of what has finished say whether it matches."""
        return not (self.keys or self.versions) and self.started == Began()

    @property
    def told_by_phase(self) -> bool:
        """So they do of what is open, too."""
        asked = self.states or self.reasons or self.services or self.stuck or self.slow
        aged = (self.older_us, self.younger_us) != (None, None)
        return self.told_by_kind and not (asked or aged)

    def counts(self, definition: str, phase: str, reason: str) -> bool:
        """Whether sagas of this kind match, told by what is counted of them."""
        return (
            phase in self.wanted_phases
            and _among(self.states, phase)
            and _among(self.reasons, reason)
            and _among(self.definitions, definition)
        )


def _among(wanted: frozenset[str], *values: str) -> bool:
    return not wanted or any(value in wanted for value in values)


def parse(text: str) -> Filter:
    """Raises BadFilter."""
    terms = text.split()
    if len(terms) > TERMS_MAX:
        raise BadFilter(f"a filter has at most {TERMS_MAX} terms, this one has {len(terms)}")
    sets: dict[str, frozenset[str]] = {}
    ages: dict[str, int] = {}
    started, slow = Began(), False
    for term in terms:
        read = _TERM.fullmatch(term)
        if read is None:
            raise BadFilter(f"{term!r}: write a term as name=value or age>10m")
        name, sign, value = read["name"], read["sign"], read["value"]
        if name == "age":
            us, narrower = _age(term, sign, value), max if sign == ">" else min
            ages[sign] = narrower(us, ages.get(sign, us))
        elif name == "started":
            started = _started(started, term, sign, value)
        elif term == "slow=p95":
            slow = True
        elif name in NAMES and sign == "=":
            sets[name] = _values(term, name, value, sets.get(name))
        else:
            known = ", ".join(f"{each}=" for each in NAMES)
            more = "age>, age<, started<, started>, started= and slow=p95"
            raise BadFilter(f"{term!r}: the terms are {known}, {more}")
    return Filter(
        states=sets.get("state", frozenset()),
        phases=sets.get("phase", frozenset()),
        reasons=sets.get("reason", frozenset()),
        definitions=sets.get("definition", frozenset()),
        keys=sets.get("key", frozenset()),
        services=sets.get("service", frozenset()),
        stuck=sets.get("stuck", frozenset()),
        versions=sets.get("version", frozenset()),
        older_us=ages.get(">"),
        younger_us=ages.get("<"),
        started=started,
        slow=slow,
    )


def _values(term: str, name: str, value: str, before: frozenset[str] | None) -> frozenset[str]:
    """Never empty: no condition at all is what an empty set says."""
    values = frozenset(filter(None, value.split(",")))
    if not values:
        raise BadFilter(f"{term!r}: write a value, as {name}=a, or {name}=a,b for either")
    if name == "phase":
        values = _phases(values)
    if before is not None and not before & values:
        either = f"write {name}=a,b for either"
        raise BadFilter(f"{term!r} and the {name}= before it leave nothing over; {either}")
    return values if before is None else before & values


def duration_us(text: str) -> int | None:
    """`90s`, `10m`, `2h`, `1d`; None when it is none of them."""
    read = _DURATION.fullmatch(text)
    return None if read is None else int(read["count"]) * _UNIT_US[read["unit"]]


def _age(term: str, sign: str, value: str) -> int:
    us = duration_us(value)
    if us is None or sign == "=":
        raise BadFilter(f"{term!r}: write an age as age>90s, age>10m, age<2h or age<1d")
    return us


def _started(known: Began, term: str, sign: str, value: str) -> Began:
    us = duration_us(value)
    if sign == "<" and us is not None:
        return replace(known, within_us=us if known.within_us is None else min(us, known.within_us))
    if sign == ">" and us is not None:
        return replace(known, before_us=max(us, known.before_us or us))
    try:
        day = datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        day = None
    if sign != "=" or day is None:
        how = "started<1h (within the last hour), started>1d or started=2026-11-23"
        raise BadFilter(f"{term!r}: write when a saga started as {how}")
    start = round(day.timestamp()) * 1_000_000
    found = start, start + _UNIT_US["d"]
    if known.day_us not in (None, found):
        raise BadFilter(f"{term!r}: another day stands before it, and no saga started on both")
    return replace(known, day_us=found)


def _phases(given: frozenset[str]) -> frozenset[str]:
    unknown = given - _OPEN - _FINISHED - {"open", "finished"}
    if unknown:
        known = ", ".join(["open", "finished", *(phase.value for phase in Phase)])
        raise BadFilter(f"phase={','.join(sorted(unknown))}: the phases are {known}")
    found = given - {"open", "finished"}
    if "open" in given:
        found |= _OPEN
    if "finished" in given:
        found |= _FINISHED
    return found
