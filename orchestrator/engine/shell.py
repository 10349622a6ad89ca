"""The thin shell around `decide`: understands a message, loads its saga, writes what follows.

Everything happens inside the chassis's one transaction. The shell makes each command once and
keeps its bytes; a resend is those bytes. It adds nothing to what `decide` says: a decision that
is not in the journal was not made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.engine.decide import decide
from orchestrator.engine.instance import (
    Decision,
    Entry,
    Instance,
    Publish,
    Replied,
    Resend,
    Send,
    SetTimer,
    Started,
    Stimulus,
    TimerFired,
    VerbRequested,
)
from orchestrator.engine.machine import Kind, Result, Verb
from orchestrator.engine.restore import suffixes
from orchestrator.engine.store import Cache, Sagas
from orchestrator.saga import Saga
from schemas.orchestrator import OperatorVerb
from services.chassis.admission import Refused
from services.chassis.envelope import Cause, Maker
from services.chassis.items import (
    NOTHING,
    Arrived,
    Effect,
    Fired,
    Item,
    Timer,
)
from services.chassis.messages import Message, Outgoing
from services.chassis.spoken import By, Spoken, said_before
from services.chassis.store import Plan, Row

_COUNTED = {
    Result.APPLIED: "applied",
    Result.DUPLICATE: "duplicate",
    Result.LATE: "late",
    Result.WRONG_SOURCE: "forged",
    Result.CONFLICTING_START: "rejected",
}


class OrphanVersion(Exception):
    """A saga's definition, or its version, is not part of this release any more."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What an observer counts: one decision, committed."""

    before: Instance[object] | None
    after: Instance[object] | None
    decision: Decision[object]
    trigger: str
    at_us: int


@dataclass(frozen=True, slots=True)
class _Cause:
    id: str
    source: str
    type: str
    trigger: str
    traceparent: str = ""


class Shell:
    """The orchestrator as an application of the chassis. `sagas`: every version still running."""

    def __init__(self, sagas: Iterable[Saga[object]], maker: Maker) -> None:
        self._maker = maker
        self._versions: dict[tuple[str, int], Saga[object]] = {}
        self._latest: dict[str, Saga[object]] = {}
        for saga in sorted(sagas, key=lambda each: each.version):
            self._versions[saga.name, saga.version] = saga
            self._latest[saga.name] = saga
        self._starts = _by_event((each.starts_on, each) for each in self._latest.values())
        self._cancels = _by_event(
            (each.cancelled_by, each) for each in self._latest.values() if each.cancelled_by
        )
        self._known: Cache = {}
        self._spoken = Spoken()

    @property
    def definitions(self) -> tuple[Saga[object], ...]:
        return tuple(self._latest.values())

    def load(self, items: Sequence[Item], ids: Mapping[str, int], now_us: int) -> Plan[_State]:
        del now_us
        codec = self._maker.codec
        spoken = yield from self._spoken.load(ids.values())
        state = _State(Sagas(self.definition, codec.encode, codec.decode, self._known), ids, spoken)
        yield from state.sagas.load(sorted({ids[item.key] for item in items}))
        return state

    def definition(self, name: str, version: int) -> Saga[object]:
        saga = self._versions.get((name, version))
        if saga is None:
            raise OrphanVersion(
                f"the saga {name} version {version} is still running, but not in this release:"
                " put its definition back, or move its sagas by hand"
            )
        return saga

    def apply(self, state: _State, item: Item, now_us: int) -> Plan[Effect]:
        if isinstance(item, Fired):
            return (yield from self._fired(state, item, now_us))
        if not isinstance(item, Arrived):
            return NOTHING
        message = item.message
        cause = _Cause(message.id, message.source, message.type, "event", message.traceparent)
        body = message.body
        if isinstance(body, OperatorVerb):
            return (yield from self._told(state, item, body, now_us))
        effects: list[Effect] = []
        for saga in self._starts.get(type(body), ()):
            digest = hashlib.sha256(message.value).hexdigest()
            forgotten = suffixes(saga, saga.saga_id(message.key), state.spoken)
            stimulus: Stimulus = Started(body, message.id, digest, forgotten)
            effects.append(
                (
                    yield from self._decide(
                        state, saga, saga.saga_id(message.key), stimulus, cause, now_us
                    )
                )
            )
        for saga in self._cancels.get(type(body), ()):
            stimulus = saga.cancellation(body)
            effects.append(
                (
                    yield from self._decide(
                        state, saga, saga.saga_id(message.key), stimulus, cause, now_us
                    )
                )
            )
        if not effects:
            return (yield from self._replied(state, message, cause, now_us))
        return effects[0] if len(effects) == 1 else _together(effects)

    def again(self, state: _State, item: Arrived, now_us: int) -> Plan[Effect]:
        """A reply is decided on even when it was heard before.

        A first copy may have been refused, as `restored` or `not_sent`, and be what counts now;
        `decide` names true repetitions itself.
        """
        message = item.message
        if not message.operation_id:
            return Effect("duplicate")
        cause = _Cause(message.id, message.source, message.type, "event", message.traceparent)
        return (yield from self._replied(state, message, cause, now_us))

    def write(self, state: _State, now_us: int) -> Plan[None]:
        del now_us
        yield from state.sagas.write()

    def _replied(self, state: _State, message: Message, cause: _Cause, now_us: int) -> Plan[Effect]:
        saga_id, _, _ = message.operation_id.rpartition("/")
        saga = self._of(state, saga_id)
        if saga is None:
            return Effect(
                "ignored",
                dead=Refused("wrong_command", "it answers no command of any saga here", "handle"),
            )
        stimulus = Replied(
            message.body, message.type, message.causation_id, message.operation_id, message.source
        )
        effect = yield from self._decide(state, saga, saga_id, stimulus, cause, now_us)
        if state.sagas.find(saga_id) is None:
            # No journal would show it: the dead letter is where somebody can see it.
            unknown = Refused("unknown_saga", f"{saga_id} was never started here", "handle")
            return effect._replace(dead=unknown)
        return effect

    def _of(self, state: _State, saga_id: str) -> Saga[object] | None:
        held = state.sagas.find(saga_id)
        if held is None:
            return self._latest.get(saga_id.partition(":")[0])
        return self.definition(held.instance.definition, held.instance.definition_version)

    def _fired(self, state: _State, item: Fired, now_us: int) -> Plan[Effect]:
        name, step, kind = item.name.split("/")
        saga_id = f"{name}:{item.key}"
        saga = self._of(state, saga_id)
        if saga is None:
            raise OrphanVersion(f"a timer of the saga {name}, which is not in this release")
        cause = _Cause("", "clock", "timer", "timer")
        stimulus = TimerFired(step, Kind(kind))
        return (yield from self._decide(state, saga, saga_id, stimulus, cause, now_us))

    def _told(self, state: _State, item: Arrived, verb: OperatorVerb, now_us: int) -> Plan[Effect]:
        message = item.message
        cause = _Cause(message.id, message.source, message.type, "operator", message.traceparent)
        held = state.sagas.find(verb.saga_id)
        before = 0 if held is None else held.instance.version
        saga = self._of(state, verb.saga_id)
        if message.expires_us and message.expires_us < now_us:
            effect, result = Effect("ignored"), "expired"
        elif saga is None:
            effect, result = Effect("ignored"), Result.NOT_STARTED.value
        else:
            asked = VerbRequested(
                verb.verb,
                verb.actor,
                verb.reason,
                verb.step,
                verb.evidence,
                verb.version_seen,
                item.parked,
                verb.assignee or verb.actor if verb.verb == Verb.ASSIGN.value else "",
            )
            effect = yield from self._decide(state, saga, verb.saga_id, asked, cause, now_us)
            result = _result_of(effect)
            if result == Result.APPLIED and verb.verb in {Verb.ASSIGN, Verb.UNASSIGN}:
                state.sagas.hand(verb.saga_id, (asked.assignee, verb.actor, verb.reason, now_us))
        held = state.sagas.find(verb.saga_id)
        after = 0 if held is None else held.instance.version
        state.sagas.note_verb(
            (
                message.id,
                verb.saga_id,
                verb.verb,
                verb.actor,
                verb.reason,
                result,
                before,
                after,
                now_us,
            )
        )
        return effect

    def _decide(
        self,
        state: _State,
        saga: Saga[object],
        saga_id: str,
        stimulus: Stimulus,
        cause: _Cause,
        now_us: int,
    ) -> Plan[Effect]:
        held = state.sagas.find(saga_id)
        before = None if held is None else held.instance
        if before is not None:
            saga = self.definition(before.definition, before.definition_version)
        decision = decide(saga, before, stimulus, now_us)
        after = decision.instance
        key = saga_id.partition(":")[2] if after is None else after.key
        out: list[Outgoing] = []
        made: list[tuple[str, Outgoing]] = []
        for send in decision.sends:
            message = yield from self._outgoing(state, saga_id, key, send, made, cause, now_us)
            out.append(message)
        if after is not None and after is not before:
            state.sagas.put(state.ids[key], after)
        for name, command in made:
            state.sagas.put_made(saga_id, name, command)
        for entry in decision.entries:
            state.sagas.note(saga_id, _line(entry, after, cause, decision, now_us))
        return _effect(saga, saga_id, before, decision, out, cause, now_us)

    def _outgoing(
        self,
        state: _State,
        saga_id: str,
        key: str,
        send: Send | Resend | Publish,
        made: list[tuple[str, Outgoing]],
        cause: _Cause,
        now_us: int,
    ) -> Plan[Outgoing]:
        if isinstance(send, Resend):
            name = f"{send.step}/{send.kind.value}"
            return (yield from state.sagas.made(saga_id, name, key, send.attempt))
        if isinstance(send, Publish):
            links = Cause(saga_id, cause.id, "", cause.traceparent)
            message_id = f"{saga_id}/{send.id_suffix}"
            made_now = self._maker.message(send.topic, key, send.body, message_id, now_us, links)
            return said_before(state.spoken, made_now) if state.spoken else made_now
        operation = f"{saga_id}/{send.step}"
        links = Cause(saga_id, cause.id, operation, cause.traceparent)
        message = self._maker.message(
            send.topic, key, send.body, f"{operation}/{send.kind.value}", now_us, links
        )
        if state.spoken:
            message = said_before(state.spoken, message)
        made.append((f"{send.step}/{send.kind.value}", message))
        return message


@dataclass(slots=True)
class _State:
    """What one batch of the orchestrator works on."""

    sagas: Sagas
    ids: Mapping[str, int]
    spoken: By


def _effect(
    saga: Saga[object],
    saga_id: str,
    before: Instance[object] | None,
    decision: Decision[object],
    out: Sequence[Outgoing],
    cause: _Cause,
    now_us: int,
) -> Effect:
    timers: list[Timer] = []
    cleared: list[str] = []
    for timer in decision.timers:
        name = f"{saga.name}/{timer.name}"
        if isinstance(timer, SetTimer):
            message_id = f"{saga_id}/{timer.step}/{timer.kind.value}"
            timers.append(Timer(name, timer.due_us, timer.interval_us, timer.awaits, message_id))
        else:
            cleared.append(name)
    dead = None
    if decision.result is Result.CONFLICTING_START:
        dead = Refused("conflicting_start", "this order started with other content", "handle")
    return Effect(
        _COUNTED.get(decision.result, "ignored"),
        out,
        timers,
        cleared,
        dead=dead,
        facts=(Moved(before, decision.instance, decision, cause.trigger, now_us),),
    )


def _line(
    entry: Entry,
    after: Instance[object] | None,
    cause: _Cause,
    decision: Decision[object],
    now_us: int,
) -> Row:
    sent = " ".join(
        f"{each.step}/{each.kind.value}" if isinstance(each, Resend) else type(each.body).__name__
        for each in decision.sends
    )
    return (
        0 if after is None else after.version,
        now_us,
        entry.what,
        entry.result.value,
        entry.from_state,
        entry.to_state,
        entry.step,
        entry.detail,
        entry.actor,
        entry.evidence,
        cause.id,
        cause.source,
        cause.type,
        sent,
    )


def _by_event(
    pairs: Iterable[tuple[type, Saga[object]]],
) -> dict[type, tuple[Saga[object], ...]]:
    found: dict[type, tuple[Saga[object], ...]] = {}
    for event, saga in pairs:
        found[event] = (*found.get(event, ()), saga)
    return found


def _together(effects: Sequence[Effect]) -> Effect:
    """One event that concerns several sagas."""
    return Effect(
        effects[0].result,
        [each for effect in effects for each in effect.out],
        [each for effect in effects for each in effect.timers],
        [each for effect in effects for each in effect.cleared],
        dead=next((each.dead for each in effects if each.dead), None),
        facts=[each for effect in effects for each in effect.facts],
    )


def _result_of(effect: Effect) -> str:
    moved = effect.facts[0]
    assert isinstance(moved, Moved)
    return moved.decision.result.value
