"""A saga's moments as what its pictures draw: bars of waiting, and who said what to whom. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from orchestrator.operate.sagas import SagaView
from orchestrator.operate.story import CLOCK, Moment
from orchestrator.operate.svg.sequence import Said
from orchestrator.operate.svg.timeline import DUE, FIRED, NEEDLESS, Bar, Clocked
from orchestrator.operate.usual import Usual, Usuals
from orchestrator.saga import Saga

HUB: Final = "orchestrator"
CLIENT: Final = "client"
OPERATOR: Final = "operator"
_ENDED = {"answered": "answered", "undo_answered": "answered", "verb_skip": "skipped"}


def bars(
    moments: Sequence[Moment],
    view: SagaView,
    definition: Saga[object] | None,
    usual: Usuals = MappingProxyType({}),
) -> Iterator[Bar]:
    """One a command that was sent, in the order of their first sending, with its timers."""
    sent: dict[str, list[Moment]] = {}
    ends: dict[str, Moment] = {}
    for moment in moments:
        for out in moment.out:
            if out.name:
                sent.setdefault(out.name, []).append(moment)
        if moment.settled:
            ends[moment.settled] = moment
    timers = _clocked(moments)
    deadlines = {f"{each.step}/{each.kind.value}": each.deadline_us for each in view.waiting}
    for name, those in sent.items():
        end = ends.get(name)
        ask = None if definition is None else definition.plan.asks.get(name)
        within = None if ask is None else those[0].at_us + ask.within_us
        yield Bar(
            label=name,
            start_us=those[0].at_us,
            end_us=_end_us(end, view),
            ended=_ended(end, view),
            again_us=tuple(each.at_us for each in those[1:]),
            deadline_us=deadlines.get(name) or within,
            back=name.endswith("/undo"),
            failed=end is not None and end.what not in _ENDED,
            href=f"?tab=story#e{those[0].seq}",
            usual_us=_band(usual.get((view.definition, name))),
            timers=tuple(timers.get(name, ())),
        )


def _band(usual: Usual | None) -> tuple[int, int] | None:
    return None if usual is None else (usual.p50_us, usual.p95_us)


def _clocked(moments: Sequence[Moment]) -> dict[str, list[Clocked]]:
    """Every timer that was set, by command: until it fired, until its end, or until it is due."""
    at_us = {moment.seq: moment.at_us for moment in moments}
    found: dict[str, list[Clocked]] = {}
    for moment in moments:
        for timer in moment.timers:
            became = DUE if not timer.ended else FIRED if timer.fired else NEEDLESS
            until_us = at_us.get(timer.ended, timer.due_us)
            href = f"?tab=story#e{timer.ended or moment.seq}"
            told = Clocked(moment.at_us, until_us, became, href)
            if timer.ended or timer.runs:
                found.setdefault(timer.name, []).append(told)
    return found


def clock_skew(moments: Sequence[Moment]) -> list[tuple[Moment, Moment]]:
    """Lines that were written later and say an earlier time: whose clocks disagree."""
    return [(one, other) for one, other in pairwise(moments) if other.at_us < one.at_us]


def _end_us(end: Moment | None, view: SagaView) -> int | None:
    if end is not None:
        return end.at_us
    return view.updated_us if view.finished else None


def _ended(end: Moment | None, view: SagaView) -> str:
    if end is None:
        return "not answered" if view.finished else "waiting"
    return _ENDED.get(end.what, end.what).replace("_", " ")


def conversation(moments: Sequence[Moment]) -> tuple[list[str], list[Said]]:
    """The lifelines from left to right, and what was said."""
    said = [each for moment in moments for each in _said(moment)]
    names = dict.fromkeys([CLIENT, HUB, *(name for each in said for name in _ends(each))])
    return list(names), said


def _ends(said: Said) -> tuple[str, str]:
    return said.source, said.target


def _said(moment: Moment) -> Iterator[Said]:
    at = f"{datetime.fromtimestamp(moment.at_us / 1_000_000, UTC):%H:%M:%S}"
    href = f"?tab=story#e{moment.seq}"
    failed = not moment.applied or moment.what in ("refused", "timed_out")
    words = moment.came if moment.applied else f"{moment.came} ({moment.result})"
    if moment.by == CLOCK:
        yield Said(at, HUB, HUB, words, "timer", failed, href)
    else:
        yield Said(at, _speaker(moment), HUB, words.rpartition(".")[2], "event", failed, href)
    for out in moment.out:
        again = f" again ({out.attempt}.)" if out.kind == "again" else ""
        kind = "event" if out.kind == "outcome" else "command"
        yield Said(at, HUB, out.to or CLIENT, out.what + again, kind, href=href)


def _speaker(moment: Moment) -> str:
    if moment.what.startswith("verb_"):
        return OPERATOR
    return moment.by if moment.step else CLIENT


def compared(ours: Sequence[Bar], theirs: Sequence[Bar]) -> list[Mapping[str, str]]:
    """Command by command: how long each took, and how it ended."""
    mine, other = ({bar.label: bar for bar in those} for those in (ours, theirs))
    return [
        {"name": name, "ours": _took(mine.get(name)), "theirs": _took(other.get(name))}
        for name in dict.fromkeys([*mine, *other])
    ]


def _took(bar: Bar | None) -> str:
    if bar is None:
        return "not sent"
    if bar.end_us is None:
        return f"{bar.ended}, sent {len(bar.again_us) + 1} times"
    seconds = (bar.end_us - bar.start_us) / 1_000_000
    return f"{bar.ended} after {seconds:.3g} s, sent {len(bar.again_us) + 1} times"
