"""A saga's steps, checked and laid out for `decide`: a plan that exists is legal.

Owns the rules compensatable* pivot? retriable*, unique names, and what contracts allow: an undo
or a retriable step may only send a command that cannot be refused. A maker's return annotation
names its command; the catalogue says what that command's replies mean. Everything `decide` looks
up per message (positions, readings, timer lengths) is computed here, once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Never, TypeVar, cast, get_args, get_type_hints

from orchestrator.engine.instance import Step
from orchestrator.engine.machine import Kind, StepEvent
from orchestrator.steps import (
    AnyStep,
    Compensatable,
    Duration,
    IllegalSaga,
    Parallel,
    Pivot,
    Retriable,
)
from schemas.catalogue import Catalogue, Contract

D = TypeVar("D")

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
BACKOFF_MAX_US = 300_000_000
INTERVAL_MIN_US = 1_000
OVERTAKEN = "baton.common.Overtaken"


@dataclass(frozen=True, slots=True)
class Ask(Generic[D]):
    """One command of one step. `name` is its suffix in command ids and the name of its timer."""

    index: int
    step: str
    kind: Kind
    name: str
    make: Callable[[D], object]
    contract: Contract
    topic: str
    reads: Mapping[str, StepEvent]
    within_us: int
    every_us: int
    overdue_us: int

    def interval_us(self, waited_us: int) -> int:
        """How long to wait for a reply after having waited so long already.

        Even shares until `within`, then doubling up to five minutes; `overdue_us` is never
        stepped over.
        """
        interval = self.every_us
        if waited_us >= self.within_us:
            interval = min(BACKOFF_MAX_US, waited_us - self.within_us + 2 * self.every_us)
        if waited_us < self.overdue_us:
            interval = min(interval, self.overdue_us - waited_us)
        return interval


@dataclass(frozen=True, slots=True)
class Plan(Generic[D]):
    """`alone`: the step fills its position. `turning`: the first step that cannot be taken back."""

    steps: tuple[AnyStep[D], ...]
    names: tuple[str, ...]
    idle: tuple[Step, ...]
    index: Mapping[str, int]
    positions: tuple[tuple[int, ...], ...]
    dos: tuple[Ask[D], ...]
    undos: tuple[Ask[D] | None, ...]
    asks: Mapping[str, Ask[D]]
    when: tuple[Callable[[D], bool] | None, ...]
    keep: tuple[Callable[[D, Never], D] | None, ...]
    alone: tuple[bool, ...]
    turning: int
    pivot: int | None


def lay_out(
    saga: str, written: Sequence[AnyStep[D] | Parallel[D]], catalogue: Catalogue
) -> Plan[D]:
    """The plan of a saga's steps; raises IllegalSaga."""
    steps, positions = _flatten(saga, written)
    _check_names(saga, steps)
    _check_order(saga, steps)
    dos: list[Ask[D]] = []
    undos: list[Ask[D] | None] = []
    for index, step in enumerate(steps):
        _check_times(saga, step)
        do = _ask(saga, step, Kind.DO, index=index, catalogue=catalogue)
        dos.append(do)
        undo = None
        if isinstance(step, Compensatable):
            undo = _ask(saga, step, Kind.UNDO, index=index, catalogue=catalogue)
            _check_undo(saga, do, undo)
        undos.append(undo)
        _check_keep(saga, step, do, catalogue)
    both = [*dos, *(undo for undo in undos if undo)]
    kinds = [type(step) for step in steps]
    firm = [i for i, kind in enumerate(kinds) if kind is not Compensatable]
    return Plan(
        steps=tuple(steps),
        names=tuple(step.name for step in steps),
        idle=tuple(Step(step.name) for step in steps),
        index={step.name: i for i, step in enumerate(steps)},
        positions=positions,
        dos=tuple(dos),
        undos=tuple(undos),
        asks={ask.name: ask for ask in both},
        when=tuple(None if isinstance(step, Pivot) else step.when for step in steps),
        keep=tuple(step.keep for step in steps),
        alone=tuple(len(group) == 1 for group in positions for _ in group),
        turning=firm[0] if firm else len(steps),
        pivot=kinds.index(Pivot) if Pivot in kinds else None,
    )


def contract_of(
    saga: str,
    step: str | None,
    maker: Callable[..., object],
    *,
    kind: str,
    catalogue: Catalogue,
) -> Contract:
    """The contract of what a maker says that it returns; raises IllegalSaga."""
    made = annotation_of(saga, step, maker, "return")
    contract = catalogue.by_type.get(made) if isinstance(made, type) else None
    if contract is None or contract.kind != kind or contract.topic is None:
        raise IllegalSaga(
            saga,
            step,
            f"{_name(maker)} returns {getattr(made, '__name__', made)}, which is no {kind}",
            f"Annotate the type it returns, one whose .avsc file says kind {kind} and a topic",
        )
    return contract


def annotation_of(
    saga: str, step: str | None, function: Callable[..., object], parameter: str | int
) -> object:
    """What a function says of its result ("return") or its n-th parameter; raises IllegalSaga."""
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError) as fault:
        raise IllegalSaga(
            saga,
            step,
            f"the annotations of {_name(function)} cannot be read ({fault})",
            "Pass a plain function and import the types it names at run time",
        ) from fault
    given = [hint for name, hint in hints.items() if name != "return"]
    if isinstance(parameter, int):
        return given[parameter] if parameter < len(given) else None
    return cast("object", hints.get(parameter))


def _flatten(
    saga: str, written: Sequence[AnyStep[D] | Parallel[D]]
) -> tuple[list[AnyStep[D]], tuple[tuple[int, ...], ...]]:
    if not written:
        raise IllegalSaga(saga, None, "it has no steps", "Give it at least one")
    steps: list[AnyStep[D]] = []
    positions: list[tuple[int, ...]] = []
    for each in written:
        group = each.steps if isinstance(each, Parallel) else (each,)
        if isinstance(each, Parallel):
            _check_group(saga, each)
        positions.append(tuple(range(len(steps), len(steps) + len(group))))
        steps.extend(group)
    return steps, tuple(positions)


def _check_group(saga: str, group: Parallel[D]) -> None:
    first = getattr(next(iter(group.steps), None), "name", "Parallel")
    if len(group.steps) < 2:
        rule = "a Parallel holds two or more steps"
        raise IllegalSaga(saga, first, rule, "Write a lone step without Parallel")
    kinds: set[type[object]] = {type(step) for step in group.steps}
    if Parallel in kinds:
        rule = "a Parallel stands inside a Parallel"
        raise IllegalSaga(saga, first, rule, "Write all its steps in one Parallel")
    if Pivot in kinds:
        rule = "a Pivot stands inside a Parallel"
        raise IllegalSaga(saga, first, rule, "Let the Pivot stand alone after the Parallel")
    if len(kinds) > 1:
        rule = "a Parallel mixes Compensatable and Retriable steps"
        raise IllegalSaga(saga, first, rule, "Write one Parallel of each kind, or lone steps")


def _check_names(saga: str, steps: Iterable[AnyStep[D]]) -> None:
    seen: set[str] = set()
    for step in steps:
        if not NAME.fullmatch(step.name):
            rule = f"its name does not match {NAME.pattern}"
            raise IllegalSaga(saga, step.name, rule, "Name it in lower case, like `payment`")
        if step.name in seen:
            raise IllegalSaga(saga, step.name, "two steps have this name", "Rename one of them")
        seen.add(step.name)


def _check_order(saga: str, steps: Iterable[AnyStep[D]]) -> None:
    pivot: str | None = None
    retriable: str | None = None
    for step in steps:
        if isinstance(step, Compensatable) and (pivot or retriable):
            rule = f"a Compensatable stands after {pivot or retriable!r}, where nothing turns back"
            remedy = "Move it before the Pivot, or make it Retriable"
            raise IllegalSaga(saga, step.name, rule, remedy)
        if isinstance(step, Pivot):
            if pivot is not None:
                rule = f"it is the second Pivot, after {pivot!r}"
                raise IllegalSaga(saga, step.name, rule, "Make all but one Retriable")
            if retriable is not None:
                rule = f"a Pivot stands after the Retriable {retriable!r}"
                raise IllegalSaga(saga, step.name, rule, "Move it before every Retriable")
            pivot = step.name
        if isinstance(step, Retriable):
            retriable = step.name


def _check_times(saga: str, step: AnyStep[D]) -> None:
    if step.tries < 1:
        raise IllegalSaga(saga, step.name, f"tries is {step.tries}", "Give it at least one")
    limits = [("within", step.within)]
    if isinstance(step, Compensatable):
        limits.append(("undo_within", step.undo_within))
    for name, limit in limits:
        if limit < INTERVAL_MIN_US * step.tries:
            rule = f"{name} is {limit} microseconds for {step.tries} tries"
            raise IllegalSaga(saga, step.name, rule, "Write it as seconds(30) or minutes(2)")


def _ask(saga: str, step: AnyStep[D], kind: Kind, *, index: int, catalogue: Catalogue) -> Ask[D]:
    undo = step.undo if isinstance(step, Compensatable) else None
    make = undo if kind is Kind.UNDO and undo else step.do
    contract = contract_of(saga, step.name, make, kind="command", catalogue=catalogue)
    final = kind is Kind.UNDO or isinstance(step, Retriable)
    refusals = [name for name in contract.refusals if name != OVERTAKEN]
    if final and refusals:
        rule = f"{contract.name} may be refused ({', '.join(map(_short, refusals))})"
        remedy = "An undo or a Retriable sends only commands whose contract has no refusals"
        raise IllegalSaga(saga, step.name, rule, remedy)
    yes = StepEvent.UNDO_ANSWERED if kind is Kind.UNDO else StepEvent.ANSWERED
    reads = dict.fromkeys(contract.answers, yes)
    if not final:
        reads.update(dict.fromkeys(contract.refusals, StepEvent.REFUSED))
    return Ask(
        index=index,
        step=step.name,
        kind=kind,
        name=f"{step.name}/{kind.value}",
        make=make,
        contract=contract,
        topic=contract.topic or "",
        reads=reads,
        within_us=step.within,
        every_us=-(-step.within // step.tries),
        overdue_us=_undo_within(step) if kind is Kind.UNDO else 0,
    )


def _undo_within(step: AnyStep[D]) -> Duration:
    return step.undo_within if isinstance(step, Compensatable) else Duration(0)


def _check_undo(saga: str, do: Ask[D], undo: Ask[D]) -> None:
    """An undo of something else would leave the effect standing, tombstone and all."""
    if do.contract.undone_by != undo.contract.full_name:
        rule = f"{undo.contract.name} does not undo {do.contract.name}"
        remedy = f"Send the command whose .avsc file says that it undoes {do.contract.full_name}"
        raise IllegalSaga(saga, do.step, rule, remedy)


def _check_keep(saga: str, step: AnyStep[D], do: Ask[D], catalogue: Catalogue) -> None:
    if step.keep is None:
        return
    reads = annotation_of(saga, step.name, step.keep, 1)
    accepted = {object, reads, *get_args(reads)}
    for name in do.contract.answers:
        if catalogue.by_name[name].python not in accepted and reads is not object:
            rule = f"{_name(step.keep)} does not read {_short(name)}, which may be the answer"
            remedy = "Annotate its second parameter with every answer of the command"
            raise IllegalSaga(saga, step.name, rule, remedy)


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__name__", repr(function))


def _short(full_name: str) -> str:
    return full_name.rpartition(".")[2]
