"""Pictures of a saga, printed from its definition and from the tables, never drawn by hand.

`mermaid` is the state machine that journals and metrics speak of; `terminal` is the two-lane
picture: forward on top, compensation under the step it undoes, flowing back. Both are
deterministic. A picture of a running saga is not made here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations, product
from typing import TypeVar

from orchestrator.engine.machine import PHASES, STEPS, Result, StepEvent
from orchestrator.engine.plan import Ask, Plan
from orchestrator.saga import Saga

D = TypeVar("D")

_GLYPHS = {"forward": "▶", "pivot": "◆", "undo": "↩", "done": "✓", "operator": "✖"}
_GAP = 4
_EDGE = re.compile(r"^ +(\w+) --> (\w+) :", re.MULTILINE)


def mermaid(saga: Saga[D]) -> str:
    """A Mermaid state diagram; a Parallel group is one state, named by its first step."""
    plan = saga.plan
    silence = "no reply" if saga.cancelled_by is None else "no reply, or cancelled"
    lines = ["stateDiagram-v2"]
    for place in range(len(plan.positions)):
        if len(plan.positions[place]) > 1:
            ways = ("awaiting", "undoing") if _undos(plan, place) else ("awaiting",)
            lines += [f'state "{_group(plan, place, w)}" as {_state(plan, place, w)}' for w in ways]
    start = saga.starts_on.__name__
    lines += [f"[*] --> {each} : {start}" for each in _entered(plan, -1)]
    for place in range(len(plan.positions)):
        lines += _forward_edges(plan, place, silence)
    for place in reversed(range(len(plan.positions))):
        lines += _backward_edges(plan, place)
    if saga.cancelled_by is not None:
        lines.append(f"[*] --> cancelled_early : {saga.cancelled_by.__name__}")
        lines.append(f"cancelled_early --> compensated : {start}")
    lines += ["completed --> [*]", "compensated --> [*]"]
    return _joined(lines)


def edges(saga: Saga[D]) -> list[tuple[str, str]]:
    """The changes of state that `mermaid` shows, each once; an operator's skip may make others.

    In a Parallel group each step that is still waited for may give the state its name.
    """
    plan = saga.plan
    alike = {
        _state(plan, place, way): [f"{way}_{plan.names[index]}" for index in position]
        for place, position in enumerate(plan.positions)
        for way in ("awaiting", "undoing")
    }
    found = [pair for group in alike.values() for pair in permutations(group, 2)]
    for here, there in _EDGE.findall(mermaid(saga)):
        found += product(alike.get(here, [here]), alike.get(there, [there]))
    return [(here, there) for here, there in dict.fromkeys(found) if here != there]


def mermaid_tables() -> str:
    """The two tables of `machine`: what a step and what a saga can go through."""
    lines = ["stateDiagram-v2", "state step {", "[*] --> idle"]
    for status, row in STEPS.items():
        moves = {e.value: to.value for e, to in row.items() if not isinstance(to, Result)}
        lines += _arrows(status.value, moves)
    lines += ["}", "state saga {", "[*] --> running", "[*] --> cancelled_early"]
    for phase, events in PHASES.items():
        lines += _arrows(phase.value, {e.value: to.value for e, to in events.items()})
        if not events:
            lines.append(f"{phase.value} --> [*]")
    return _joined([*lines, "}"])


def terminal(saga: Saga[D]) -> str:
    """Two lanes of text: solid forward, dashed back."""
    columns = [_Column("… started", f"{_GLYPHS['done']} compensated")]
    plan = saga.plan
    for place, position in enumerate(plan.positions):
        firm = position[0] >= plan.turning
        glyph = _GLYPHS["pivot" if position[0] == plan.pivot else "forward"]
        asked = [f"{glyph} {plan.names[i]}{_maybe(plan, i)}" for i in position]
        undone = [f"{_GLYPHS['undo']} {undo.contract.name}" for undo in _undos(plan, place)]
        turns = not firm or position[0] == plan.pivot
        columns.append(_Column(asked, undone, turns=turns))
    last = f"{_GLYPHS['operator']} needs operator" if plan.turning else ""
    columns.append(_Column(f"{_GLYPHS['done']} completed", last))
    return "\n".join(line.rstrip() for line in _lanes(columns)) + "\n"


class _Column:
    """One position: its lines in both lanes, and whether the saga may turn back there."""

    def __init__(
        self, forward: str | list[str], back: str | list[str], *, turns: bool = False
    ) -> None:
        self.forward = [forward] if isinstance(forward, str) else forward
        self.back = [back] if isinstance(back, str) else back
        self.turns = turns
        self.width = max(len(text) for text in (*self.forward, *self.back))


def _lanes(columns: Sequence[_Column]) -> Iterable[str]:
    for row in range(max(len(column.forward) for column in columns)):
        yield _lane(columns, [_at(column.forward, row) for column in columns], row, "──→")
    yield "".join(
        ("  ↙" if column.turns else "").ljust(column.width + _GAP + 1) for column in columns
    )
    for row in range(max(len(column.back) for column in columns)):
        yield _lane(columns, [_at(column.back, row) for column in columns], row, "←┄┄")


def _lane(columns: Sequence[_Column], texts: Sequence[str], row: int, arrow: str) -> str:
    """One line; on the first one the cells are joined by arrows that fill the gaps."""
    line = ""
    solid = arrow[0] != "←"
    for index, text in enumerate(texts):
        gap = columns[index].width - len(text) + _GAP
        following = index + 1 < len(texts) and texts[index + 1]
        joined = row == 0 and text and following and (solid or "✖" not in texts[index + 1])
        if not joined:
            line += text + " " * (gap + 1)
        elif solid:
            line += f"{text} {arrow[0] * (gap - 2)}{arrow[-1]} "
        else:
            line += f"{text} {arrow[0]}{arrow[-1] * (gap - 2)} "
    return line


def _at(texts: Sequence[str], row: int) -> str:
    return texts[row] if row < len(texts) else ""


def _maybe(plan: Plan[D], index: int) -> str:
    return "" if plan.when[index] is None else "?"


def _undos(plan: Plan[D], place: int) -> list[Ask[D]]:
    undos = [plan.undos[index] for index in plan.positions[place]]
    return [undo for undo in undos if undo is not None]


def _state(plan: Plan[D], place: int, way: str) -> str:
    return f"{way}_{plan.names[plan.positions[place][0]]}"


def _group(plan: Plan[D], place: int, way: str) -> str:
    return f"{way} {' + '.join(plan.names[index] for index in plan.positions[place])}"


def _skippable(plan: Plan[D], place: int) -> bool:
    return all(plan.when[index] is not None for index in plan.positions[place])


def _entered(plan: Plan[D], place: int) -> list[str]:
    """The states that may follow a position that is passed: conditions may skip some."""
    states: list[str] = []
    for following in range(place + 1, len(plan.positions)):
        states.append(_state(plan, following, "awaiting"))
        if not _skippable(plan, following):
            return states
    return [*states, "completed"]


def _left(plan: Plan[D], place: int) -> list[str]:
    """The states that may follow when everything from a position on is undone."""
    states: list[str] = []
    for previous in reversed(range(place)):
        states.append(_state(plan, previous, "undoing"))
        if not _skippable(plan, previous):
            return states
    return [*states, "compensated"]


def _forward_edges(plan: Plan[D], place: int, silence: str) -> list[str]:
    here = _state(plan, place, "awaiting")
    asks = [plan.dos[index] for index in plan.positions[place]]
    lines = [f"{here} --> {to} : {_said(asks, StepEvent.ANSWERED)}" for to in _entered(plan, place)]
    refusals = _said(asks, StepEvent.REFUSED)
    alone = len(asks) == 1
    if all(_said([ask], StepEvent.REFUSED) for ask in asks):
        lines += [f"{here} --> {to} : {refusals}" for to in _left(plan, place)]
    if asks[0].index < plan.turning:
        back = _state(plan, place, "undoing")
        lines.append(f"{here} --> {back} : {silence if alone else f'a refusal, {silence}'}")
        return lines
    return [*lines, f"{here} --> {here} : no reply, sent again"]


def _backward_edges(plan: Plan[D], place: int) -> list[str]:
    undos = _undos(plan, place)
    if not undos:
        return []
    here = _state(plan, place, "undoing")
    answers = _said(undos, StepEvent.UNDO_ANSWERED)
    lines = [f"{here} --> {to} : {answers}" for to in _left(plan, place)]
    lines.append(f"{here} --> needs_operator : no reply in time")
    lines += [f"needs_operator --> {to} : {answers}" for to in _left(plan, place)]
    if len(undos) > 1:
        lines.append(f"needs_operator --> {here} : only some are overdue")
    return lines


def _said(asks: Iterable[Ask[D]], event: StepEvent) -> str:
    """The short names of the replies that mean this, Overtaken left out as it goes unsaid."""
    names = [name for ask in asks for name, meaning in ask.reads.items() if meaning is event]
    short = [name.rpartition(".")[2] for name in names]
    return ", ".join(name for name in short if name != "Overtaken")


def _arrows(here: str, moves: Mapping[str, str]) -> list[str]:
    return [f"{here} --> {to} : {event}" for event, to in moves.items()]


def _joined(lines: Sequence[str]) -> str:
    """Indented as Mermaid is written: one step inside the diagram, two inside a state."""
    depth, text = 0, ""
    for line in lines:
        depth -= line == "}"
        text += f"{'    ' * depth}{line}\n"
        depth += line.endswith("{") or line == "stateDiagram-v2"
    return text
