"""What the orchestrator exports of its sagas, beside what every process does.

`SAGAS` continues the catalogue of `services.chassis.metrics`. Label values come from the
definitions alone: states, steps and commands that they name (and from CURRENCIES), never a saga's
id, which appears only as an exemplar. Every label set that a definition implies is there with 0
from the start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.engine.standing import REASONS
from orchestrator.gauges import Open
from schemas.common import Money
from services.chassis.metrics import LONG, OTHER, Family, Labels, Meters

SAGAS = (
    Family("saga_started_total", "counter", ("saga",), "Sagas started"),
    Family("saga_finished_total", "counter", ("saga", "outcome"), "Sagas that reached their end"),
    Family("saga_duration_seconds", "histogram", ("saga", "outcome"), "From start to end", LONG),
    Family("saga_value_minor_units_total", "counter", ("saga", "outcome", "currency"),
           "What the sagas were worth that reached their end, in minor units such as pence"),
    Family("saga_state_duration_seconds", "histogram", ("saga", "state"),
           "How long sagas stayed in a state", LONG),
    Family("saga_transitions_total", "counter", ("saga", "from_state", "to_state", "trigger"),
           "Changes of state, by event, timer or operator"),
    Family("saga_commands_sent_total", "counter", ("saga", "command", "target"), "Commands sent"),
    Family("saga_command_reply_seconds", "histogram", ("saga", "command", "target", "result"),
           "From a command's first sending until its reply was applied", LONG),
    Family("saga_step_retries_total", "counter", ("saga", "step", "cause"), "Commands sent again"),
    Family("saga_compensations_total", "counter", ("saga", "step", "result"),
           "Compensations and how they ended"),
    Family("saga_instances", "gauge", ("saga", "state", "terminal"),
           "Sagas in a state now; those that ended are counted by saga_finished_total"),
    Family("saga_oldest_instance_age_seconds", "gauge", ("saga", "state"),
           "How long ago the oldest of them started"),
    Family("saga_stuck_instances", "gauge", ("saga", "state", "reason"),
           "Sagas past a deadline or stopped, by the first of the seven reasons that holds"),
    Family("saga_oldest_stuck_age_seconds", "gauge", ("saga", "reason"),
           "How long ago the oldest stuck one started"),
    Family("saga_timer_oldest_due_seconds", "gauge", ("saga",),
           "How late the oldest timer is that is due"),
)  # fmt: skip

EXEMPLAR_FROM_S = 1.0
OUTCOMES = ("completed", "compensated")
# A stranger may name any; these are told apart.
CURRENCIES = frozenset(
    "AUD CAD CHF CNY CZK DKK EUR GBP HKD INR JPY NOK NZD PLN SEK SGD USD".split()  # noqa: SIM905
)
TRIGGERS = ("event", "timer", "operator")
NOT_OPEN = "not_open"  # the state of a parked key that no open saga speaks for


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a definition becomes labels.

    `states`: name → terminal; `commands`: name → target; `edges`: from one state to another;
    `replies`: command → how it may end.
    """

    saga: str
    states: Mapping[str, bool]
    steps: tuple[str, ...]
    commands: Mapping[str, str]
    edges: tuple[tuple[str, str], ...] = ()
    replies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class SagaMetrics:
    """The calls that the orchestrator makes, after each commit and at each look at its store."""

    def __init__(self, meters: Meters, shapes: Iterable[Shape]) -> None:
        self._meters = meters
        self._shapes = {shape.saga: shape for shape in shapes}
        for shape in self._shapes.values():
            self._begin(shape)
        meters.begin("saga_instances", (OTHER,), (OTHER,), ("false",))
        meters.begin("saga_oldest_instance_age_seconds", (OTHER,), (OTHER,))
        meters.begin("saga_stuck_instances", (OTHER,), (OTHER,), REASONS)
        meters.begin("saga_oldest_stuck_age_seconds", (OTHER,), REASONS)
        meters.begin("saga_stuck_instances", (OTHER,), (NOT_OPEN,), ("contract",))
        meters.begin("saga_timer_oldest_due_seconds", (OTHER,))

    def started(self, saga: str, n: int = 1) -> None:
        self._meters.add("saga_started_total", (saga,), n)

    def finished(self, saga: str, outcome: str, seconds: float, saga_id: str) -> None:
        labels = (saga, outcome)
        self._meters.add("saga_finished_total", labels)
        self._meters.observe("saga_duration_seconds", labels, seconds, _exemplar(saga_id))

    def valued(self, saga: str, outcome: str, worth: Money) -> None:
        currency = worth.currency if worth.currency in CURRENCIES else OTHER
        labels = (saga, outcome, currency)
        self._meters.add("saga_value_minor_units_total", labels, worth.amount_minor)

    def moved(self, saga: str, states: tuple[str, str], trigger: str) -> None:
        """`states`: from, to."""
        before, after = (self._state(saga, state) for state in states)
        self._meters.add("saga_transitions_total", (saga, before, after, trigger))

    def stayed(self, saga: str, state: str, seconds: float, saga_id: str) -> None:
        labels = (saga, self._state(saga, state))
        # An exemplar costs more than the observation: only those worth looking at have one.
        exemplar = _exemplar(saga_id) if seconds >= EXEMPLAR_FROM_S else None
        self._meters.observe("saga_state_duration_seconds", labels, seconds, exemplar)

    def command_sent(self, saga: str, command: str, n: int = 1) -> None:
        self._meters.add("saga_commands_sent_total", (saga, *self._command(saga, command)), n)

    def command_replied(self, saga: str, command: str, result: str, seconds: float) -> None:
        labels = (saga, *self._command(saga, command), result)
        self._meters.observe("saga_command_reply_seconds", labels, seconds)

    def retried(self, saga: str, step: str, cause: str) -> None:
        self._meters.add("saga_step_retries_total", (saga, step, cause))

    def compensated(self, saga: str, step: str, result: str) -> None:
        self._meters.add("saga_compensations_total", (saga, step, result))

    def standing(self, found: Open) -> None:
        """Everything that is open; what is not named any more becomes 0."""
        counts: Counter[Labels] = Counter()
        ages: dict[Labels, float] = {}
        stuck: Counter[Labels] = Counter({(OTHER, NOT_OPEN, "contract"): found.parked_alone})
        oldest: dict[Labels, float] = {}
        late: dict[Labels, float] = {}
        for place, n in found.counts.items():
            known = self._place(*place)
            counts[*known, "false"] += n
            ages[known] = max(ages.get(known, 0.0), found.oldest_s[place])
        for (saga, state, reason), n in found.stuck.items():
            stuck[*self._place(saga, state), reason] += n
        for (saga, reason), seconds in found.stuck_s.items():
            held = (saga if saga in self._shapes else OTHER, reason)
            oldest[held] = max(oldest.get(held, 0.0), seconds)
        for saga, seconds in found.late_s.items():
            name = (saga if saga in self._shapes else OTHER,)
            late[name] = max(late.get(name, 0.0), seconds)
        self._meters.replace("saga_instances", counts)
        self._meters.replace("saga_oldest_instance_age_seconds", ages)
        self._meters.replace("saga_stuck_instances", stuck)
        self._meters.replace("saga_oldest_stuck_age_seconds", oldest)
        self._meters.replace("saga_timer_oldest_due_seconds", late)

    def _begin(self, shape: Shape) -> None:
        begin, saga = self._meters.begin, (shape.saga,)
        begin("saga_started_total", saga)
        begin("saga_finished_total", saga, OUTCOMES)
        begin("saga_duration_seconds", saga, OUTCOMES)
        begin("saga_value_minor_units_total", saga, OUTCOMES, (OTHER,))
        still = [state for state, terminal in shape.states.items() if not terminal]
        begin("saga_state_duration_seconds", saga, still)
        for before, after in shape.edges:
            begin("saga_transitions_total", saga, (before,), (after,), TRIGGERS)
        begin("saga_instances", saga, still, ("false",))
        begin("saga_oldest_instance_age_seconds", saga, still)
        begin("saga_stuck_instances", saga, still, REASONS)
        begin("saga_oldest_stuck_age_seconds", saga, REASONS)
        begin("saga_timer_oldest_due_seconds", saga)
        for command, target in shape.commands.items():
            begin("saga_commands_sent_total", saga, (command,), (target,))
            replies = shape.replies.get(command, ("ok",))
            begin("saga_command_reply_seconds", saga, (command,), (target,), replies)
        begin("saga_step_retries_total", saga, shape.steps, ("no_reply", "operator"))
        begin("saga_compensations_total", saga, shape.steps, ("ok", "overdue", "skipped"))

    def _place(self, saga: str, state: str) -> tuple[str, str]:
        if saga not in self._shapes:
            return OTHER, OTHER
        return saga, self._state(saga, state)

    def _state(self, saga: str, state: str) -> str:
        return state if state in self._shapes[saga].states else OTHER

    def _command(self, saga: str, command: str) -> tuple[str, str]:
        target = self._shapes[saga].commands.get(command)
        return (OTHER, OTHER) if target is None else (command, target)


def _exemplar(saga_id: str) -> dict[str, str]:
    """OpenMetrics allows 128 characters of labels."""
    return {"saga_id": saga_id[:110]}
