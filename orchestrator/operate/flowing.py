"""A definition's picture: its states by position, which follow which, and how many stand where.

The states are those that journals and metrics speak of; the edges are `engine.draw`'s, so the
picture and the Mermaid text tell the same. Numbers are given, never looked up here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote_plus

from orchestrator.engine.draw import edges
from orchestrator.engine.machine import TERMINAL
from orchestrator.operate.svg.flow import Flow, FlowColumn, FlowState
from orchestrator.operate.wording import brief
from orchestrator.saga import Saga

FIRST = "started"
HEATS: Final = {"count": "how many", "time": "how long", "failures": "how often it turns back"}


@dataclass(frozen=True, slots=True)
class Traffic:
    """By state: how many are there, how many of them stuck; by (from, to): how many went.

    `took_s`: within what time 95 of 100 left a state. `heat`: which of HEATS is shown, if any.
    """

    now: Mapping[str, int] = field(default_factory=dict)
    stuck: Mapping[str, int] = field(default_factory=dict)
    went: Mapping[tuple[str, str], int] = field(default_factory=dict)
    took_s: Mapping[str, float] = field(default_factory=dict)
    counted: bool = False
    here: str = ""
    heat: str = ""

    def hot(self) -> Mapping[str, float]:
        """Of each state, as a share of the hottest."""
        found: dict[str, float] = dict(self.now) if self.heat == "count" else {}
        if self.heat == "time":
            found = dict(self.took_s)
        if self.heat == "failures":
            for (here, there), n in self.went.items():
                if here.startswith("awaiting_") and not there.startswith(("awaiting_", "comple")):
                    found[here] = found.get(here, 0) + n
        most = max(found.values(), default=0)
        return {state: value / most for state, value in found.items() if value and most}


def flow_of(saga: Saga[object], numbers: Traffic) -> Flow:
    """`numbers.counted`: each state says how many are there and leads to them."""
    plan = saga.plan
    steps = [[plan.names[index] for index in position] for position in plan.positions]
    columns = [_first(saga)]
    for position, names in zip(plan.positions, steps, strict=True):
        glyph = "◆" if position[0] == plan.pivot else "▶"
        above = [FlowState(f"awaiting_{name}", glyph, name, "forward") for name in names]
        undos = [(plan.names[index], plan.undos[index]) for index in position]
        below = [
            FlowState(f"undoing_{name}", "↩", undo.contract.name, "back")
            for name, undo in undos
            if undo is not None
        ]
        columns.append(FlowColumn(tuple(above), tuple(below)))
    bad = [FlowState("needs_operator", "✖", "needs operator", "bad")]
    done = FlowState("completed", "✓", "completed", "end")
    columns.append(FlowColumn((done,), tuple(bad) if plan.turning else ()))
    found = {FIRST: None} | {state.name: None for each in columns for state in _all(each)}
    kept = [pair for pair in edges(saga) if pair[0] in found and pair[1] in found]
    starts = [(FIRST, state.name) for state in columns[1].above]
    went = {(here or FIRST, there): n for (here, there), n in numbers.went.items()}
    return Flow(
        f"{saga.name} v{saga.version}: forward on top, compensation below",
        tuple([_with(saga, numbers, column) for column in columns]),
        {pair: went.get(pair, 0) if numbers.counted else None for pair in [*starts, *kept]},
    )


def differences(old: Saga[object], new: Saga[object]) -> list[tuple[str, str, str]]:
    """What of a definition is not as it was: its part, then how it was and how it is."""
    before, after = dict(_parts(old)), dict(_parts(new))
    return [
        (part, before.get(part, "not there"), after.get(part, "not there"))
        for part in dict.fromkeys([*before, *after])
        if before.get(part) != after.get(part)
    ]


def _parts(saga: Saga[object]) -> Iterator[tuple[str, str]]:
    plan = saga.plan
    yield "starts on", saga.starts_on.__name__
    yield "cancelled by", "nothing" if saga.cancelled_by is None else saga.cancelled_by.__name__
    yield "steps", ", ".join(plan.names)
    for step, do, undo in zip(plan.steps, plan.dos, plan.undos, strict=True):
        kind = type(step).__name__.lower()
        within = brief(do.within_us / 1_000_000)
        undone = "" if undo is None else f", undone by {undo.contract.name}"
        told = f"{kind}: {do.contract.name} within {within}, sent {step.tries} times{undone}"
        yield f"step {step.name}", told


def _with(saga: Saga[object], numbers: Traffic, column: FlowColumn) -> FlowColumn:
    return FlowColumn(
        tuple(_counted(saga, numbers, state) for state in column.above),
        tuple(_counted(saga, numbers, state) for state in column.below),
    )


def _all(column: FlowColumn) -> tuple[FlowState, ...]:
    return (*column.above, *column.below)


def _first(saga: Saga[object]) -> FlowColumn:
    begun = FlowState(FIRST, "…", "started", "forward")
    below = [FlowState("compensated", "✓", "compensated", "end")]
    if saga.cancelled_by is not None:
        below.append(FlowState("cancelled_early", "…", "cancelled early", "back"))
    return FlowColumn((begun,), tuple(below))


def _counted(saga: Saga[object], numbers: Traffic, state: FlowState) -> FlowState:
    if state.name == FIRST or not numbers.counted:
        return replace(state, here=state.name == numbers.here)
    query = quote_plus(f"definition={saga.name} state={state.name}")
    return replace(
        state,
        now=numbers.now.get(state.name, 0) if state.name not in TERMINAL else None,
        stuck=numbers.stuck.get(state.name, 0),
        took=brief(took_s) if (took_s := numbers.took_s.get(state.name)) else "",
        heat=numbers.hot().get(state.name, 0.0),
        href=f"/sagas?query={query}",
    )
