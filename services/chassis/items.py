"""What the one writer takes from its queue, and what an application makes of each.

Records come from Kafka with a place in a log; the others come from inside the process: a tick of
the clock, a gateway's result, a submission over HTTP, a person's redrive of a parked key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from services.chassis.admission import Refused
from services.chassis.handlers import Call, Result
from services.chassis.messages import Message, Outgoing, Record
from services.chassis.store import Plan, Row


class Arrived(NamedTuple):
    """A record that was understood. `parked`: its key is, but its topic does not queue."""

    message: Message
    record: Record
    parked: bool = False

    @property
    def key(self) -> str:
        return self.message.key


class TurnedAway(NamedTuple):
    """A record that was not: a dead letter, or the first of a parked key."""

    record: Record
    refused: Refused
    key: str = ""


class Fired(NamedTuple):
    """A timer whose time has come; its row is deleted in the same transaction."""

    key: str
    name: str
    interval_us: int
    awaits: str
    message_id: str
    partition: int


class Begun(NamedTuple):
    """A call to the outside world under way: to be made, and made again until it is known.

    `what`: do or undo of a command, or send for a call that a reactor began.
    """

    key: str
    source: str
    operation: str
    what: str
    call: Call
    command: Message | None

    @property
    def idempotency_key(self) -> str:
        return f"{self.operation}/{self.what}"


class Returned(NamedTuple):
    """What the outside world said, to be recorded whatever else happened to the key."""

    begun: Begun
    result: Result

    @property
    def key(self) -> str:
        return self.begun.key


class Unrecorded(NamedTuple):
    """A result that cannot be recorded: it parks its key, and is kept."""

    returned: Returned
    refused: Refused

    @property
    def key(self) -> str:
        return self.returned.key


class Request(Protocol):
    """A submission over HTTP: the business key it is about, and its own identity."""

    @property
    def key(self) -> str: ...
    @property
    def id(self) -> str: ...


class Submitted(NamedTuple):
    request: Request

    @property
    def key(self) -> str:
        return self.request.key


Item: TypeAlias = Arrived | TurnedAway | Fired | Returned | Unrecorded | Submitted


class Timer(NamedTuple):
    """`interval_us`: the time granted from when we can hear again; `awaits`: whose reader."""

    name: str
    due_us: int
    interval_us: int
    awaits: str = ""
    message_id: str = ""

    def row(self, key: int, partition: int) -> Row:
        return (key, self.name, partition, *self[1:])


def arrival(record: Record, verdict: object) -> Item:
    """What admission said of a record, as an item of the queue."""
    if isinstance(verdict, Refused):
        # SQLite's JSON ends a text at its NUL: such a name would not be found again.
        key = (record.key or b"").decode("utf-8", "replace")[:64].replace("\0", "\ufffd")
        return TurnedAway(record, verdict, key)
    return Arrived(verdict, record)  # type: ignore[arg-type]


class Took(NamedTuple):
    """A record that was handled: since when it is in the world, and how long handling it took."""

    topic: str
    type: str
    time_us: int
    seconds: float


class Effect(NamedTuple):
    """What one item led to, beside the rows that the application writes itself."""

    result: str = "applied"
    out: Sequence[Outgoing] = ()
    timers: Sequence[Timer] = ()
    cleared: Sequence[str] = ()
    calls: Sequence[Begun] = ()
    response: object = None
    dead: Refused | None = None  # the record is also a dead letter; its key goes on
    facts: Sequence[object] = ()  # what an observer counts once this is committed


NOTHING = Effect("ignored")
S = TypeVar("S")


class Application(Protocol[S]):
    """What a process does with its items; everything here runs inside the one transaction."""

    def load(self, items: Sequence[Item], ids: Mapping[str, int], now_us: int) -> Plan[S]:
        """All rows that the items need, one query a table."""

    def apply(self, state: S, item: Item, now_us: int) -> Plan[Effect]:
        """One item, in memory. It changes `state` as its last act, or raises before."""

    def again(self, state: S, item: Arrived, now_us: int) -> Plan[Effect]:
        """An item that the inbox knows already: say again what was said."""

    def write(self, state: S, now_us: int) -> Plan[None]:
        """Each changed row once, guarded by the version loaded."""


@dataclass(slots=True)
class Applied:
    """What a committed transaction leaves to be done, and to be counted."""

    out: list[tuple[int, Outgoing]] = field(default_factory=list)
    behind: list[int] = field(default_factory=list)  # unsent before, of the same keys
    calls: list[Begun] = field(default_factory=list)
    responses: list[object] = field(default_factory=list)
    results: dict[tuple[str, str, str], int] = field(default_factory=dict)
    dead: dict[tuple[str, str], int] = field(default_factory=dict)
    misplaced: dict[str, int] = field(default_factory=dict)  # by topic: not on its key's partition
    errors: list[tuple[str, Exception]] = field(default_factory=list)
    redrives: list[str] = field(default_factory=list)  # keys whose waiting records may go on
    facts: list[object] = field(default_factory=list)
    took: list[Took] = field(default_factory=list)
    fired: int = 0
    more: bool = False
