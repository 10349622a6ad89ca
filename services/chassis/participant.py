"""What every service is to those who command it, so that no author can forget it.

For each (source, operation id) one row is kept for life. From it follow the three rules: an
operation has one effect; a duplicate gets the stored reply again; an undo without its do leaves a
tombstone, and a do that finds one is answered `Overtaken`. An unknown outcome of a gateway is
never a refusal: the operation stays `calling` until it is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.common import Overtaken
from schemas.topics import reply_topic
from services.chassis.envelope import Cause, Maker, cause_of
from services.chassis.handlers import Answer, Call, Change, Handler, Kind, Response, Rows
from services.chassis.items import (
    NOTHING,
    Arrived,
    Begun,
    Effect,
    Fired,
    Item,
    Returned,
    Submitted,
    TurnedAway,
    Unrecorded,
)
from services.chassis.messages import Message, Outgoing
from services.chassis.operations import Operation, Operations, Status
from services.chassis.packing import pack_reply, unpack_message
from services.chassis.spoken import By, Spoken, said_before, type_of
from services.chassis.store import Plan
from services.chassis.tables import Table
from services.chassis.working import Working


@dataclass(slots=True)
class State:
    """What one batch of a participant works on."""

    rows: Working
    operations: Operations
    spoken: By = field(default_factory=dict)


class Participant:
    """The application of a service: its table of handlers over its tables."""

    def __init__(
        self,
        maker: Maker,
        place: Callable[[str], int],
        handlers: Sequence[Handler],
        tables: Sequence[Table],
    ) -> None:
        self._maker = maker
        self._place = place
        self._reply_topic = reply_topic(maker.source)
        self._tables = tuple(tables)
        self._spoken = Spoken()
        self._handlers: dict[type | str, Handler] = {}
        for handler in handlers:
            if handler.message in self._handlers:
                raise ValueError(f"{handler.message} has two handlers in one table")
            self._handlers[handler.message] = handler

    def load(self, items: Sequence[Item], ids: Mapping[str, int], now_us: int) -> Plan[State]:
        del now_us
        rows, operations = Working(self._tables), Operations(ids, self._place)
        wanted: list[tuple[Handler, object]] = []
        for item in items:
            handler, subject = self._subject(item)
            if handler is None:
                continue
            wanted.append((handler, subject))
            if isinstance(item, Arrived) and item.message.operation_id:
                operations.want(item.key, item.message.source, item.message.operation_id)
            elif isinstance(item, Returned):
                operations.want(item.key, item.begun.source, item.begun.operation)
        yield from operations.load()
        yield from rows.load(wanted)
        return State(rows, operations, (yield from self._spoken.load(ids.values())))

    def _subject(self, item: Item) -> tuple[Handler | None, object]:
        """Whose handler an item needs, and the message that its rows are found by."""
        if isinstance(item, Arrived):
            return self._handlers.get(type(item.message.body)), item.message.body
        if isinstance(item, Submitted):
            return self._handlers.get(type(item.request)), item.request
        if isinstance(item, Returned):
            command = item.begun.command
            if command is None:
                return self._handlers.get(item.begun.call.name), item.begun.call
            return self._handlers.get(type(command.body)), command.body
        return None, None

    def apply(self, state: State, item: Item, now_us: int) -> Plan[Effect]:
        handler, subject = self._subject(item)
        if handler is None or isinstance(item, (TurnedAway, Unrecorded, Fired)):
            return NOTHING
        if isinstance(item, Returned):
            return (yield from self._record(state, handler, item.begun, item.result, now_us))
        rows = yield from state.rows.rows_of(handler.loads, subject)
        if isinstance(item, Submitted):
            return self._submitted(state, handler, item, rows, now_us)
        if handler.kind is Kind.REACTS:
            return (yield from self._reacted(state, handler, item, rows, now_us))
        return self._commanded(state, handler, item.message, rows, now_us)

    def again(self, state: State, item: Arrived, now_us: int) -> Plan[Effect]:
        """A command known to the inbox is answered from its operation, whatever that is now."""
        del now_us
        yield from ()
        handler, _ = self._subject(item)
        if handler is None or not item.message.operation_id:
            return Effect("duplicate")
        operation = state.operations.of(item.message)
        return self._said_before(state, operation, item.message, undo=handler.undoes is not None)

    def write(self, state: State, now_us: int) -> Plan[None]:
        del now_us
        yield from state.operations.write()
        yield from state.rows.write()

    def _submitted(
        self, state: State, handler: Handler, item: Submitted, rows: tuple[Rows, ...], now_us: int
    ) -> Effect:
        assert handler.fn is not None
        response = handler.fn(item.request, *rows)
        if not isinstance(response, Response):
            raise TypeError(f"{handler.fn.__name__} must return accepted(…) or declined(…)")
        out = self._events(response.emits, item.request.id, Cause(item.request.id), now_us)
        state.rows.put(response.rows)
        return Effect("applied", out, response=response.value)

    def _reacted(
        self, state: State, handler: Handler, item: Arrived, rows: tuple[Rows, ...], now_us: int
    ) -> Plan[Effect]:
        assert handler.fn is not None
        told = (item.message.id,) if handler.with_id else ()
        change = handler.fn(item.message.body, *rows, *told)
        if not isinstance(change, Change):
            raise TypeError(f"{handler.fn.__name__} must return changed(…)")
        return (yield from self._change(state, change, item.key, cause_of(item.message), now_us))

    def _change(
        self, state: State, change: Change, key: str, cause: Cause, now_us: int
    ) -> Plan[Effect]:
        begun: list[Begun] = []
        out = self._events(change.emits, cause.causation_id, cause, now_us)
        for call in change.calls:
            if call.name not in self._handlers or not call.id:
                raise TypeError(f"no sends({call.name!r}, …) in the table, or the call has no id")
            begun.append(Begun(key, self._maker.source, call.id, "send", call, None))
        yield from state.operations.fetch(
            [(each.key, each.source, each.operation) for each in begun]
        )
        state.rows.put(change.rows)
        begun = [each for each in begun if state.operations.begin(each)]
        return Effect("applied", out, calls=begun)

    def _commanded(
        self, state: State, handler: Handler, message: Message, rows: tuple[Rows, ...], now_us: int
    ) -> Effect:
        operation = state.operations.of(message)
        undo = handler.undoes is not None
        if self._known(operation, undo=undo):
            return self._said_before(state, operation, message, undo=undo)
        if not undo and operation.status in (Status.UNDONE, Status.UNDO_CALLING):
            answer = Answer(Overtaken(message.key), refusal=True)
            return self._answer(state, operation, message, answer, undo=False, now_us=now_us)
        if undo and operation.status is Status.CALLING:
            state.operations.put(operation.with_undo_waiting(message))
            return Effect("applied")
        if handler.kind is Kind.ANSWERS:
            assert handler.fn is not None
            answer = _answer_of(handler.fn(message.body, *rows), handler.fn)
            return self._answer(state, operation, message, answer, undo=undo, now_us=now_us)
        return self._ask(state, handler, operation, message, rows, now_us)

    def _ask(
        self,
        state: State,
        handler: Handler,
        operation: Operation,
        message: Message,
        rows: tuple[Rows, ...],
        now_us: int,
    ) -> Effect:
        assert handler.ask is not None
        undo = handler.undoes is not None
        asked = handler.ask(message.body, *rows)
        if not isinstance(asked, Call):
            answer = _answer_of(asked, handler.ask)
            return self._answer(state, operation, message, answer, undo=undo, now_us=now_us)
        what = "undo" if undo else "do"
        begun = Begun(message.key, message.source, message.operation_id, what, asked, message)
        state.operations.put(operation.calling(begun))
        return Effect("applied", calls=(begun,))

    def _record(
        self, state: State, handler: Handler, begun: Begun, result: object, now_us: int
    ) -> Plan[Effect]:
        """The outside world's word becomes rows and a reply; then an undo that waited runs."""
        assert handler.record is not None
        operation = state.operations.find(begun.key, begun.source, begun.operation)
        if operation is None or not operation.awaits(begun.what):
            return Effect("duplicate")
        command = begun.command
        subject = begun.call if command is None else command.body
        rows = yield from state.rows.rows_of(handler.loads, subject)
        if command is None:
            change = handler.record(begun.call, *rows, result)
            if not isinstance(change, Change):
                raise TypeError(f"{handler.record.__name__} must return changed(…)")
            cause = Cause(begun.operation, begun.operation)
            effect = yield from self._change(state, change, begun.key, cause, now_us)
            state.operations.put(operation.settled())
            return effect
        answer = _answer_of(handler.record(command.body, *rows, result), handler.record)
        waiting, undo = operation.undo_waits, begun.what == "undo"
        if waiting is None or undo:
            return self._answer(state, operation, command, answer, undo=undo, now_us=now_us)
        marks = state.rows.mark(), state.operations.mark()
        try:
            effect = self._answer(state, operation, command, answer, undo=False, now_us=now_us)
            undone = yield from self._run_waiting(state, waiting, now_us)
        except Exception:
            # The do is recorded together with the undo that waits for it, or not at all.
            state.rows.back_to(marks[0])
            state.operations.back_to(marks[1])
            raise
        return Effect("applied", (*effect.out, *undone.out), calls=undone.calls)

    def _run_waiting(self, state: State, packed: bytes, now_us: int) -> Plan[Effect]:
        message = unpack_message(packed, self._maker.codec.decode)
        handler = self._handlers[type(message.body)]
        yield from state.rows.load([(handler, message.body)])
        rows = yield from state.rows.rows_of(handler.loads, message.body)
        return self._commanded(state, handler, message, rows, now_us)

    def _answer(
        self,
        state: State,
        operation: Operation,
        message: Message,
        answer: Answer,
        *,
        undo: bool,
        now_us: int,
    ) -> Effect:
        reply = self._maker.message(
            self._reply_topic,
            message.key,
            answer.reply,
            f"{message.id}/reply",
            now_us,
            cause_of(message),
        )
        if state.spoken:
            no = self._maker.refusals_of(message.body)
            answer, reply = as_before(state.spoken, answer, reply, no, operation.status)
        events = self._events(answer.emits, message.id, cause_of(message), now_us)
        state.rows.put(answer.rows)
        state.operations.put(
            operation.answered(pack_reply(reply), undo=undo, refused=answer.refusal)
        )
        return Effect("applied", (reply, *events))

    def _events(
        self, bodies: Sequence[object], message_id: str, cause: Cause, now_us: int
    ) -> list[Outgoing]:
        plain = Cause(cause.correlation_id, cause.causation_id, "", cause.traceparent)
        return [
            self._maker.event(body, f"{message_id}/{at}", now_us, plain)
            for at, body in enumerate(bodies)
        ]

    def _known(self, operation: Operation, *, undo: bool) -> bool:
        if undo:
            return operation.undo_reply is not None or operation.status is Status.UNDO_CALLING
        return operation.reply is not None or operation.status is Status.CALLING

    def _said_before(
        self, state: State, operation: Operation, message: Message, *, undo: bool
    ) -> Effect:
        """The stored reply again, the same bytes; while a call is under way there is none yet."""
        packed = operation.undo_reply if undo else operation.reply
        if packed is None:
            return Effect("duplicate")
        reply = state.operations.say_again(packed, self._reply_topic, message)
        return Effect("duplicate", (reply,))


def as_before(
    spoken: By, answer: Answer, reply: Outgoing, no: Sequence[str], status: Status
) -> tuple[Answer, Outgoing]:
    """After a restore what was answered stands: a refusal had no effect and gets none now.

    Where the answer was another one, Contradicted parks the key. A gateway's yes is an effect
    outside already, and cannot be taken back by saying no.
    """
    before = spoken.get(reply.id)
    refused_then = before is not None and type_of(before) in no
    if before is not None and refused_then and not answer.refusal and status is not Status.CALLING:
        return Answer(answer.reply, refusal=True), before
    return answer, said_before(spoken, reply)


def _answer_of(value: object, fn: object) -> Answer:
    if not isinstance(value, Answer):
        raise TypeError(f"{getattr(fn, '__name__', fn)} must return done(…) or refused(…)")
    return value
