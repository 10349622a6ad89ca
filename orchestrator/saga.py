"""The public face: what an author writes to define a saga.

A saga is data and pure functions. It refuses to be built when it is illegal: see `engine.plan`
for the rules of steps; here stand those of the start, the cancellation and the outcomes. The
data type is a frozen dataclass that pydantic can write as JSON; it is the return annotation of
`data`. Contracts are read from the catalogue once, when the saga is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields, is_dataclass
from typing import Generic, Never, Self, TypeVar, cast

from pydantic import TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from orchestrator.engine.instance import CancelRequested
from orchestrator.engine.plan import NAME, Plan, annotation_of, contract_of, lay_out
from orchestrator.steps import (
    AnyStep,
    Compensatable,
    Duration,
    IllegalSaga,
    Parallel,
    Pivot,
    Retriable,
    hours,
    minutes,
    seconds,
)
from schemas.catalogue import Catalogue, load_catalogue

__all__ = [
    "Attention",
    "Compensatable",
    "Duration",
    "IllegalSaga",
    "Outcome",
    "Parallel",
    "Pivot",
    "Refusal",
    "Retriable",
    "Saga",
    "hours",
    "minutes",
    "seconds",
]

D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an outcome says beside the data.

    `start_id` is the id of the event that started the saga. Empty when completed: `reason`
    (a refusal's own, or its type in snake case, `no_reply`, `cancelled`, `operator`) and
    `detail` (the step that was refused or did not reply, or the words of who turned it back).
    """

    start_id: str
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Attention:
    """Why an operator is needed: `no_reply` or `restored`; `attempt` counts the notices."""

    step: str
    reason: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request to cancel is refused: `too_late` or `finished`."""

    request_id: str
    reason: str


@dataclass(frozen=True, eq=False)
class Saga(Generic[D]):
    """One definition. `key` names the field of the start that holds the business key.

    A running saga stays with its version: change a released definition only under a new one.
    `plan`, `data_type` and `topics` are worked out, never given.
    """

    name: str
    _: KW_ONLY
    version: int
    starts_on: type
    key: str
    data: Callable[[Never], D]
    steps: Sequence[AnyStep[D] | Parallel[D]]
    completed: Callable[[D, Outcome], object]
    compensated: Callable[[D, Outcome], object]
    attention: Callable[[D, Attention], object]
    cancelled_by: type | None = None
    cancellation_refused: Callable[[D, Refusal], object] | None = None
    catalogue: Catalogue | None = field(default=None, repr=False)
    plan: Plan[D] = field(init=False, repr=False)
    data_type: type[D] = field(init=False, repr=False)
    topics: dict[str, str] = field(init=False, repr=False)
    _json: TypeAdapter[D] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            rule = f"its name does not match {NAME.pattern}"
            raise IllegalSaga(self.name, None, rule, "Name it in lower case, like `fulfilment`")
        if self.version < 1:
            raise IllegalSaga(self.name, None, f"version is {self.version}", "Count from 1")
        catalogue = self.catalogue or load_catalogue()
        given = object.__setattr__
        given(self, "steps", tuple(self.steps))
        self._check_events(catalogue)
        given(self, "plan", lay_out(self.name, self.steps, catalogue))
        given(self, "data_type", self._data_type())
        given(self, "_json", self._adapter())
        given(self, "topics", self._outcome_topics(catalogue))

    def key_of(self, event: object) -> str:
        """The business key of a start or a cancelling event."""
        return cast("str", getattr(event, self.key))

    def saga_id(self, key: str) -> str:
        return f"{self.name}:{key}"

    def begin(self, event: object) -> D:
        """The data of a new saga."""
        return self.data(cast("Never", event))

    def cancellation(self, event: object) -> CancelRequested:
        """What a `cancelled_by` event says."""
        request_id, reason = (getattr(event, name) for name in ("request_id", "reason"))
        return CancelRequested(self.key_of(event), request_id, reason)

    def dump(self, data: D) -> bytes:
        """The data as JSON, for a column."""
        return self._json.dump_json(data)

    def load(self, column: bytes | str) -> D:
        """The data from JSON; raises pydantic's ValidationError when it is not `dump`'s."""
        return self._json.validate_json(column)

    def _check_events(self, catalogue: Catalogue) -> None:
        events = [self.starts_on]
        if self.cancelled_by is not None:
            events.append(self.cancelled_by)
            missing = {"request_id", "reason"} - {each.name for each in fields(self.cancelled_by)}
            if missing:
                rule = f"{self.cancelled_by.__name__} has no field {', '.join(sorted(missing))}"
                raise IllegalSaga(self.name, None, rule, "Add it to the .avsc file")
            if self.cancellation_refused is None:
                rule = "it can be cancelled, but has no notice for a refused cancellation"
                raise IllegalSaga(self.name, None, rule, "Give it cancellation_refused=")
        for event in events:
            contract = catalogue.by_type.get(event)
            if contract is None or contract.kind != "event":
                rule = f"{event.__name__} is no event"
                remedy = "Use a type whose .avsc file says kind event"
                raise IllegalSaga(self.name, None, rule, remedy)
            if contract.key != self.key:
                rule = f"{event.__name__} is keyed by {contract.key}, not by {self.key}"
                remedy = "Give key= the field that its .avsc file names as key"
                raise IllegalSaga(self.name, None, rule, remedy)

    def _data_type(self) -> type[D]:
        made = annotation_of(self.name, None, self.data, "return")
        if made is Self:
            made = getattr(self.data, "__self__", None)
        if not (isinstance(made, type) and is_dataclass(made) and _frozen(made)):
            rule = f"data makes {getattr(made, '__name__', made)}, which is no frozen dataclass"
            remedy = "Annotate its return with a class under @dataclass(frozen=True)"
            raise IllegalSaga(self.name, None, rule, remedy)
        return cast("type[D]", made)

    def _adapter(self) -> TypeAdapter[D]:
        """A type that JSON cannot hold is found out now: it has no JSON schema."""
        try:
            adapter = TypeAdapter(self.data_type)
            adapter.json_schema(mode="serialization")
        except (PydanticUserError, PydanticUndefinedAnnotation) as fault:
            rule = f"{self.data_type.__name__} cannot be kept as JSON ({fault.message})"
            remedy = "Use strings, integers, tuples, message types and frozen dataclasses of them"
            raise IllegalSaga(self.name, None, rule, remedy) from fault
        return adapter

    def _outcome_topics(self, catalogue: Catalogue) -> dict[str, str]:
        """The topic of each outcome and notice, by the name of its maker's field."""
        topics: dict[str, str] = {}
        for name in ("completed", "compensated", "attention", "cancellation_refused"):
            maker = getattr(self, name)
            if maker is not None:
                contract = contract_of(self.name, None, maker, kind="outcome", catalogue=catalogue)
                topics[name] = contract.topic or ""
        return topics


def _frozen(made: type) -> bool:
    return bool(getattr(made, "__dataclass_params__").frozen)  # noqa: B009
