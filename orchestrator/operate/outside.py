"""Events from JSON and outcomes to JSON: what outsiders write and read, checked by the contracts.

Knows contracts and codec, neither Kafka nor the terminal. Invariant: what comes out of
`event_from_json` would be accepted by every reader; what a person may not publish is refused
with the names of those that may.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches

from pydantic import TypeAdapter, ValidationError

from orchestrator.operate.wording import money
from schemas.catalogue import Catalogue, Contract
from schemas.personal import masked
from schemas.topics import ANY, RECORD_BYTES_MAX, topic_named
from services.chassis.codec import Codec, CodecError
from services.chassis.messages import Headers, Record

NOTICES = frozenset({"OrderNeedsAttention", "OrderCancellationRefused", "CustomerNeedsAttention"})
_ID_CHARACTERS_MAX = 256
_SOURCE_CHARACTERS_MAX = 128


class EventRefused(Exception):
    """What was given cannot be published: `problems` are a line each."""

    def __init__(self, what: str, problems: tuple[str, ...] = (), mend: str = "") -> None:
        super().__init__(what)
        self.what, self.problems, self.mend = what, problems, mend


class UnknownType(EventRefused):
    """No message is called that."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as an outside consumer sees it. `body` is None where it cannot be read."""

    at: datetime
    type: str
    key: str
    id: str
    source: str
    topic: str
    partition: int
    offset: int
    body: Mapping[str, object] | None
    unreadable: str = ""

    def as_row(self) -> dict[str, object]:
        return {
            "time": self.at.isoformat(timespec="milliseconds"),
            "type": self.type,
            "key": self.key,
            "id": self.id,
            "source": self.source,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "body": self.body,
            **({"unreadable": self.unreadable} if self.unreadable else {}),
        }

    def as_line(self) -> str:
        """For people: when, what, of whom, and what it says beside that."""
        name = self.type.rpartition(".")[2]
        mark = {"OrderFulfilled": "✓", "CustomerOnboarded": "✓"}.get(name, "↩")
        if name in NOTICES or self.body is None:
            mark = "!"
        said = self.unreadable if self.body is None else _words(self.body)
        return f"{self.at:%Y-%m-%d %H:%M:%S}  {mark} {name:<24} {self.key:<20} {said}".rstrip()


def publishable(catalogue: Catalogue) -> tuple[Contract, ...]:
    """Events that anybody may write."""
    return tuple(
        contract
        for _, contract in sorted(catalogue.by_name.items())
        if contract.topic is not None and topic_named(contract.topic).writers == ANY
    )


def contract_named(catalogue: Catalogue, name: str) -> Contract:
    """By full name, by `orders.OrderPlaced` or by `OrderPlaced`; only of what anybody may write."""
    named = [
        contract
        for full, contract in catalogue.by_name.items()
        if full == name or full.endswith(f".{name}")
    ]
    allowed = publishable(catalogue)
    mend = "you may publish: " + ", ".join(contract.name for contract in allowed)
    if not named:
        near = get_close_matches(name, [contract.name for contract in allowed], 1, 0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UnknownType(f"no message is called {name}{hint}", mend=mend)
    contract = named[0]
    if contract not in allowed:
        raise EventRefused(
            f"{contract.full_name} is {_a(contract.kind)}, written by {_writers(contract)} only",
            mend=mend,
        )
    return contract


def event_from_json(contract: Contract, text: str | bytes, codec: Codec) -> object:
    """The typed event; raises EventRefused naming every field that is wrong, never its value."""
    try:
        event: object = TypeAdapter(contract.python).validate_json(text)
    except ValidationError as error:
        raise EventRefused(
            f"this is no {contract.full_name}",
            tuple(_problem(each["loc"], each["msg"]) for each in error.errors(include_url=False)),
            mend=f"the fields and their bounds: schemas/{contract.owner}/{contract.name}.avsc",
        ) from error
    size = len(codec.encode(event))
    if size > RECORD_BYTES_MAX:
        raise EventRefused(
            f"this {contract.name} takes {size:,} bytes; a record has {RECORD_BYTES_MAX:,} at most"
        )
    return event


def checked_identity(event_id: str, source: str) -> None:
    """Raises EventRefused for what no reader accepts as (source, id)."""
    problems = []
    if not 1 <= len(event_id) <= _ID_CHARACTERS_MAX:
        problems.append(f"--id: 1 to {_ID_CHARACTERS_MAX} characters")
    if not 1 <= len(source) <= _SOURCE_CHARACTERS_MAX:
        problems.append(f"--source: 1 to {_SOURCE_CHARACTERS_MAX} characters")
    if problems:
        raise EventRefused("the event's identity cannot be used", tuple(problems))


def seen(record: Record, catalogue: Catalogue, codec: Codec, *, may_see: bool = False) -> Seen:
    """Without what is personal, unless he may see it; also what cannot be read: nothing is passed
    over, and a time that is none is the beginning of times.
    """
    headers = {name: value.decode(errors="replace") for name, value in _present(record.headers)}
    body: Mapping[str, object] | None = None
    unreadable = ""
    kind = headers.get("ce_type", "")
    try:
        decoded = codec.decode(record.value or b"")
        contract = catalogue.by_type[type(decoded)]
        adapter: TypeAdapter[object] = TypeAdapter(contract.python)
        told = json.loads(adapter.dump_json(decoded))
        shown = masked(catalogue.records[contract.full_name], told, may_see=may_see)
        assert isinstance(shown, dict)
        body = shown
        kind = contract.full_name
    except CodecError as error:
        unreadable = str(error)
    return Seen(
        at=_time(record.timestamp_ms),
        type=kind,
        key=(record.key or b"").decode(errors="replace"),
        id=headers.get("ce_id", ""),
        source=headers.get("ce_source", ""),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        body=body,
        unreadable=unreadable,
    )


def _time(ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError):  # whoever writes a record names its time
        return datetime.fromtimestamp(0, UTC)


def _present(headers: Headers) -> Headers:
    return tuple((name, value) for name, value in headers if value is not None)


def _writers(contract: Contract) -> str:
    if contract.topic is None:
        return contract.owner
    return ", ".join(topic_named(contract.topic).writers)


def _a(word: str) -> str:
    return f"an {word}" if word[0] in "aeio" else f"a {word}"


def _problem(place: tuple[int | str, ...], said: str) -> str:
    return f"{'.'.join(str(part) for part in place) or 'the JSON'}: {said}"


def _words(body: Mapping[str, object]) -> str:
    """Fields beside the key, `name=value`; amounts as 12.34 GBP; empty ones left out."""
    words = []
    for name, value in list(body.items())[1:]:
        if isinstance(value, Mapping) and set(value) == {"amount_minor", "currency"}:
            words.append(f"{name}={money(value['amount_minor'], str(value['currency']))}")
        elif value not in (None, "", []):
            words.append(f"{name}={value}")
    return "  ".join(words)
