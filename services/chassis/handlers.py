"""The face a service writes against: what its handlers return, and the table they stand in.

A handler is a plain synchronous function over rows already loaded; nothing in it awaits, reads a
clock or mutates what it was given. A gateway command is three functions, because no remote call
is made inside a transaction: `ask` (pure), `call` (async, no rows), `record` (pure).
A refusal is a value (`refused`), a fault is an exception: it parks the message's key.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
Result: TypeAlias = Mapping[str, Json]
Rows: TypeAlias = Mapping[str, object]
Function: TypeAlias = Callable[..., object]
Keys: TypeAlias = Callable[..., Iterable[str]]


class Unknown(Exception):
    """The outside world did not say what happened: the same call is made again, same key."""


class IllegalHandler(Exception):
    """A table of handlers that cannot work; the message names the handler and the rule."""


class Call(NamedTuple):
    """One call to the outside world; `id` only where a reactor begins it."""

    name: str
    body: Mapping[str, Json]
    id: str = ""


class Answer(NamedTuple):
    """What a command led to: its reply, whether that is a refusal, new rows, events."""

    reply: object
    refusal: bool
    rows: tuple[object, ...] = ()
    emits: tuple[object, ...] = ()


class Change(NamedTuple):
    """What an event led to: new rows, events, calls to the outside world."""

    rows: tuple[object, ...] = ()
    emits: tuple[object, ...] = ()
    calls: tuple[Call, ...] = ()


class Response(NamedTuple):
    """What an HTTP submission led to; `value` goes back to the route that waits."""

    value: object
    rows: tuple[object, ...] = ()
    emits: tuple[object, ...] = ()


def done(reply: object, *rows: object, emits: Iterable[object] = ()) -> Answer:
    return Answer(reply, refusal=False, rows=rows, emits=tuple(emits))


def refused(refusal: object, *rows: object, emits: Iterable[object] = ()) -> Answer:
    return Answer(refusal, refusal=True, rows=rows, emits=tuple(emits))


def changed(*rows: object, emits: Iterable[object] = (), calls: Iterable[Call] = ()) -> Change:
    return Change(rows, tuple(emits), tuple(calls))


def accepted(value: object, *rows: object, emits: Iterable[object] = ()) -> Response:
    return Response(value, rows, tuple(emits))


def declined(value: object) -> Response:
    return Response(value)


class Kind(StrEnum):
    ANSWERS = "answers"
    ASKS = "asks"
    REACTS = "reacts"
    REQUESTS = "requests"
    SENDS = "sends"


@dataclass(frozen=True, slots=True)
class Loads:
    """Which rows a message needs: `table` by its keys, then `then` by keys those rows name."""

    table: type | None = None
    by: Keys | None = None
    then: type | None = None
    whose: Keys | None = None


@dataclass(frozen=True, slots=True)
class Handler:
    """One line of a service's table. `message` is a type, or the name of a `sends` call."""

    kind: Kind
    message: type | str
    loads: Loads
    fn: Function | None = None
    ask: Function | None = None
    call: Callable[..., Awaitable[Result]] | None = None
    record: Function | None = None
    undoes: type | None = None
    with_id: bool = False


def answers(
    command: type,
    fn: Function,
    *,
    undoes: type | None = None,
    loads: type | None = None,
    by: Keys | None = None,
    then: type | None = None,
    whose: Keys | None = None,
) -> Handler:
    rows = _loads(command, Loads(loads, by, then, whose))
    _pure(command, fn, rows)
    return Handler(Kind.ANSWERS, command, rows, fn=fn, undoes=undoes)


def asks(
    command: type,
    *,
    ask: Function,
    call: Callable[..., Awaitable[Result]],
    record: Function,
    undoes: type | None = None,
    loads: type | None = None,
    by: Keys | None = None,
    then: type | None = None,
    whose: Keys | None = None,
) -> Handler:
    rows = _loads(command, Loads(loads, by, then, whose))
    _pure(command, ask, rows)
    _pure(command, record, rows, extra=1)
    _outside(command, call)
    return Handler(Kind.ASKS, command, rows, ask=ask, call=call, record=record, undoes=undoes)


def reacts(
    event: type,
    fn: Function,
    *,
    loads: type | None = None,
    by: Keys | None = None,
    then: type | None = None,
    whose: Keys | None = None,
    with_id: bool = False,
) -> Handler:
    """`with_id`: the event's own id is the last argument, where it is a fact to be kept."""
    rows = _loads(event, Loads(loads, by, then, whose))
    _pure(event, fn, rows, extra=int(with_id))
    return Handler(Kind.REACTS, event, rows, fn=fn, with_id=with_id)


def requests(
    request: type,
    fn: Function,
    *,
    loads: type | None = None,
    by: Keys | None = None,
    then: type | None = None,
    whose: Keys | None = None,
) -> Handler:
    """A submission over HTTP; the request names its business `key` and its own `id`."""
    rows = _loads(request, Loads(loads, by, then, whose))
    _pure(request, fn, rows)
    return Handler(Kind.REQUESTS, request, rows, fn=fn)


def sends(
    name: str,
    *,
    call: Callable[..., Awaitable[Result]],
    record: Function,
    loads: type | None = None,
    by: Keys | None = None,
    then: type | None = None,
    whose: Keys | None = None,
) -> Handler:
    """A call that reactors begin by `changed(calls=…)`; `record(call, rows, result)`."""
    rows = _loads(name, Loads(loads, by, then, whose))
    _pure(name, record, rows, extra=1)
    _outside(name, call)
    return Handler(Kind.SENDS, name, rows, call=call, record=record)


def _title(message: type | str) -> str:
    return message if isinstance(message, str) else message.__name__


def _loads(message: type | str, loads: Loads) -> Loads:
    if (loads.table is None) != (loads.by is None):
        raise IllegalHandler(f"{_title(message)}: give `loads=` and `by=` together or neither")
    if (loads.then is None) != (loads.whose is None):
        raise IllegalHandler(f"{_title(message)}: give `then=` and `whose=` together or neither")
    if loads.then is not None and loads.table is None:
        raise IllegalHandler(f"{_title(message)}: `then=` needs `loads=` before it")
    return loads


def _pure(message: type | str, fn: Function, loads: Loads, extra: int = 0) -> None:
    """A synchronous function of the message, the rows, and `extra` more."""
    if inspect.iscoroutinefunction(fn):
        raise IllegalHandler(
            f"{_title(message)}: {fn.__name__} must not await; put the remote call in `call=`"
        )
    wants = 1 + (loads.table is not None) + (loads.then is not None) + extra
    takes = len(inspect.signature(fn).parameters)
    if takes != wants:
        raise IllegalHandler(f"{_title(message)}: {fn.__name__} takes {takes}, is given {wants}")


def _outside(message: type | str, call: Function) -> None:
    if not inspect.iscoroutinefunction(call):
        raise IllegalHandler(f"{_title(message)}: {call.__name__} must be `async def`")
    takes = len(inspect.signature(call).parameters)
    if takes != 3:
        raise IllegalHandler(
            f"{_title(message)}: {call.__name__}(gateway, call, key) sees no rows; it takes {takes}"
        )
