"""The one transaction: offsets, inbox, rows, timers and outbox of a whole batch, or nothing.

1. offsets   compare-and-set; a row missed rolls everything back (a former owner cannot speak)
2. inbox     what was applied before is a duplicate
3. load      all rows the batch's keys need, one query per table
4. fold      each item through the application, in order, in memory
5. write     each changed row once, guarded; inbox, timers, dead letters, outbox
Nothing is published here: what is to be said stands in the outbox when this commits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Generic

from schemas.topics import OPERATOR_TOPIC
from services.chassis import deadletters, failpoints, key_verbs, unrecorded
from services.chassis.admission import Admission, Refused
from services.chassis.inbox import Inbox
from services.chassis.items import (
    Application,
    Applied,
    Arrived,
    Effect,
    Fired,
    Item,
    Returned,
    S,
    Submitted,
    Timer,
    Took,
    TurnedAway,
    Unrecorded,
)
from services.chassis.messages import Record, TopicPartition
from services.chassis.outbox import Outbox
from services.chassis.redrive import Redrive
from services.chassis.store import Plan, Row, Select, StoreError, Write, statements

SQL = statements(Path(__file__).parent / "chassis.sql")
FIRED_MAX = 500
REDRIVEN_MAX = 500
PUT_OFF_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Tick:
    """Timers of a partition that are due by `until_us`, everything heard until then.

    `put_off`: they are not fired but set anew, because firing them cannot be written.
    """

    partition: int
    until_us: int
    fires_max: int = FIRED_MAX
    put_off: bool = False


@dataclass(slots=True)
class Batch:
    """What the writer took at once. `advances`: believed next and new next of each partition.

    `sent` are outbox rows that the broker acknowledged since the last transaction. `redrive` is a
    parked key; `unfit` says why the first record that it holds up cannot be written.
    """

    now_us: int
    items: list[Item] = field(default_factory=list)
    advances: dict[TopicPartition, tuple[int, int]] = field(default_factory=dict)
    sent: Sequence[int] = ()
    ticks: Sequence[Tick] = ()
    redrive: str = ""
    redrive_max: int = REDRIVEN_MAX
    unfit: Refused | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What a transaction needs to know of its process: its name, and which release it is."""

    place: Callable[[str], int]
    admission: Admission
    service: str = ""
    release: str = ""
    # topics that do not wait behind a parked key
    never_queued: frozenset[str] = frozenset({OPERATOR_TOPIC})


class Transaction(Generic[S]):
    """One batch on its way through the store; made anew for every attempt."""

    def __init__(self, batch: Batch, application: Application[S], setting: Setting) -> None:
        self._batch = batch
        self._application = application
        self._setting = setting
        self._ids: dict[str, int] = {}
        self._parked: set[int] = set()
        self._inbox = Inbox(batch.now_us)
        self._outbox = Outbox(batch.now_us)
        self._timers: dict[tuple[int, str], Row | None] = {}
        self._dead: list[Row] = []
        self._newly_parked: dict[int, tuple[str, str]] = {}
        most = min(batch.redrive_max, REDRIVEN_MAX)
        self._redrive = Redrive(most, batch.unfit) if batch.redrive else None
        self._applied = Applied()

    def plan(self) -> Plan[Applied]:
        batch = self._batch
        failpoints.reached("after_begin")
        yield Write(
            SQL["offsets.advance"],
            [(new, *place, believed) for place, (believed, new) in sorted(batch.advances.items())],
            expect=len(batch.advances),
        )
        failpoints.reached("after_offset_cas")
        if batch.sent:
            yield Write(SQL["outbox.sent"], [(batch.now_us, seq) for seq in sorted(batch.sent)])
        items, others = key_verbs.told_apart(batch.items, self._setting.service)
        for each in others:
            self._count(each, "ignored")
        for tick in batch.ticks:
            items += yield from self._due(tick)
        redrive = self._redrive
        if redrive is not None:
            yield from self._find([batch.redrive])
            if batch.redrive in self._ids:
                yield from redrive.load(self._ids[batch.redrive], self._setting.admission)
            items += redrive.items
        if items:
            yield from self._work(items)
        elif batch.redrive in self._ids:
            yield from self._end_redrive()
        return self._applied

    def _work(self, items: list[Item]) -> Plan[None]:
        yield from self._resolve(items)
        yield from self._inbox.load(items, self._ids)
        failpoints.reached("after_inbox")
        state = yield from self._application.load(items, self._ids, self._batch.now_us)
        failpoints.reached("after_load")
        if self._redrive is not None:
            self._parked.discard(self._ids[self._batch.redrive])
        at_s = perf_counter()
        for item in items:
            yield from self._fold(state, item)
            at_s = self._took(item, at_s)
            if self._redrive is not None and not self._redrive.folded(self._applied.results):
                break
        if self._redrive is not None:
            yield from self._end_redrive()
        failpoints.reached("after_fold")
        yield from self._application.write(state, self._batch.now_us)
        failpoints.reached("after_state")
        yield from self._write()
        failpoints.reached("after_outbox")

    def _due(self, tick: Tick) -> Plan[list[Item]]:
        rows = yield Select(SQL["timers.due"], (tick.partition, tick.until_us, tick.fires_max))
        self._applied.more |= len(rows) == tick.fires_max
        yield Write(
            SQL["timers.take"], [(row[0], row[2], row[3]) for row in rows], expect=len(rows)
        )
        failpoints.reached("timer_after_take")
        unsent = yield Select(SQL["outbox.waiting"], ([(row[0], row[6]) for row in rows],))
        waiting = {row[0] for row in unsent}
        fired: list[Item] = []
        for key, name, timer, _, interval_us, awaits, message_id in rows:
            said = str(timer), int(interval_us or 0), str(awaits), str(message_id)
            each = Fired(str(name), *said, tick.partition)
            if tick.put_off or message_id in waiting:
                # A command still unsent is not a try: its time starts again.
                due_us = self._batch.now_us + (each.interval_us or PUT_OFF_US)
                self._timers[int(key or 0), each.name] = _again(int(key or 0), each, due_us)
                self._ids[each.key] = int(key or 0)
                continue
            fired.append(each)
        if not fired:
            yield from self._write_timers()
        return fired

    def _end_redrive(self) -> Plan[None]:
        assert self._redrive is not None
        self._applied.more = self._redrive.more
        free = yield from self._redrive.end(self._setting.release, self._batch.now_us)
        if not free:
            # For its timers: it is parked until the last slice.
            self._parked.add(self._ids[self._batch.redrive])

    def _resolve(self, items: Sequence[Item]) -> Plan[None]:
        names = sorted({item.key for item in items})
        yield from self._find(names)
        missing = [(name,) for name in names if name not in self._ids]
        if missing:
            yield Write(SQL["keys.add"], missing)
            yield from self._find([name for (name,) in missing])

    def _find(self, names: Sequence[str]) -> Plan[None]:
        yield Select(SQL["keys.lock"], (names,))
        rows = yield Select(SQL["keys.find"], (names,))
        self._ids.update((str(name), int(number or 0)) for name, number, _ in rows)
        self._parked.update(int(parked) for *_, parked in rows if parked is not None)

    def _fold(self, state: S, item: Item) -> Plan[None]:
        key, now_us = self._ids[item.key], self._batch.now_us
        if isinstance(item, (TurnedAway, Unrecorded)):
            self._turned_away(key, item)
            return
        if isinstance(item, Arrived):
            if key in self._parked:
                if item.message.topic not in self._setting.never_queued:
                    self._park(key, item.record, Refused("follower", "its key is parked", "handle"))
                    self._count(item, "parked")
                    return
                item = item._replace(parked=True)
            if self._inbox.knows(key, item.message):
                effect = yield from self._application.again(state, item, now_us)
                self._keep(key, item, effect)
                return
        elif isinstance(item, Fired) and self._needless(key, item):
            return
        try:
            effect = yield from self._work_of(state, key, item)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001
            self._raised(key, item, error)
            return
        if isinstance(item, Arrived):
            self._inbox.add(key, item.message)
        self._keep(key, item, effect)

    def _work_of(self, state: S, key: int, item: Item) -> Plan[Effect]:
        if isinstance(item, Arrived) and key_verbs.is_key_verb(item.message.body):
            return self._told(key, item)
        return self._application.apply(state, item, self._batch.now_us)

    def _told(self, key: int, item: Arrived) -> Plan[Effect]:
        """An operator's verb about the key itself, decided here for every service alike."""
        setting = self._setting
        told = key_verbs.Told(item.message, key, item.parked)
        decided = yield from key_verbs.obey(
            told, setting.admission, setting.release, self._batch.now_us
        )
        if decided.parks:
            self._parked.add(key)
            self._newly_parked[key] = told.why
        if decided.goes_on:
            self._applied.redrives.append(item.key)
        return Effect("applied" if decided.accepted else "ignored")

    def _needless(self, key: int, fired: Fired) -> bool:
        """Its row is taken already, but an earlier item of this batch had a say about it."""
        if (key, fired.name) in self._timers:
            return True  # set anew or cleared
        if key in self._parked:
            self._timers[key, fired.name] = _again(key, fired, self._batch.now_us)
            return True  # held, with no time left
        return False

    def _keep(self, key: int, item: Item, effect: Effect) -> None:
        for name in effect.cleared:
            self._timers[key, name] = None
        partition = self._setting.place(item.key) if effect.timers else 0
        for timer in effect.timers:
            self._timers[key, timer.name] = timer.row(key, partition)
        for out in effect.out:
            self._outbox.add(self._ids.get(out.key, key), out)
        if effect.dead is not None and isinstance(item, Arrived):
            self._bury(key, item.record, "rejected", effect.dead)
        self._applied.facts.extend(effect.facts)
        self._applied.calls.extend(effect.calls)
        self._count(item, effect.result)
        self._respond(item, effect.response)

    def _raised(self, key: int, item: Item, error: Exception) -> None:
        """A fault of a handler harms its own key: parked, asked again later, or told the caller."""
        self._applied.errors.append((item.key, error))
        if isinstance(item, Arrived):
            detail = f"{type(error).__name__} in the handler of {item.message.type}"
            self._park(key, item.record, Refused("handler_raised", detail, "handle", final=False))
            self._count(item, "parked")
        elif isinstance(item, Returned):
            refused = unrecorded.refused_by(item.begun, "record_raised", type(error).__name__)
            self._set_aside(key, item, refused)
        elif isinstance(item, Fired):
            due_us = self._batch.now_us + item.interval_us
            self._timers[key, item.name] = _again(key, item, due_us)
        self._respond(item, None if isinstance(item, Returned) else error)

    def _set_aside(self, key: int, returned: Returned, refused: Refused) -> None:
        """What the outside world said waits with its key; see `unrecorded`."""
        record = unrecorded.letter_of(returned, self._setting.place(returned.key))
        if self._redrive is not None:
            self._redrive.refuse(refused, failed=True)
            return
        self._dead.append(deadletters.row_of(key, record, "parked", refused, self._batch.now_us))
        self._lost_one(record.topic, refused.reason)
        if key not in self._parked:
            self._parked.add(key)
            self._newly_parked[key] = (refused.reason, refused.detail)

    def _turned_away(self, key: int, item: TurnedAway | Unrecorded) -> None:
        if isinstance(item, Unrecorded):
            self._set_aside(key, item.returned, item.refused)
            self._respond(item, None)
            return
        record, refused = item.record, item.refused
        if refused.final or record.topic in self._setting.never_queued:
            self._bury(key, record, "rejected", refused)
        else:
            self._park(key, record, refused)
        result = "rejected" if refused.final else "parked"
        self._tally((record.topic, "", "forged" if refused.reason == "wrong_writer" else result))

    def _park(self, key: int, record: Record, refused: Refused) -> None:
        if self._redrive is not None:
            self._redrive.refuse(refused, failed=True)
            return
        if key in self._parked:
            self._bury(key, record, "follower", refused)
            return
        self._parked.add(key)
        self._bury(key, record, "parked", refused)
        self._newly_parked[key] = (refused.reason, refused.detail)

    def _bury(self, key: int, record: Record, kind: str, refused: Refused) -> None:
        """Followers have no copy on the dead letter topic: nothing is wrong with them."""
        if self._redrive is not None:
            self._redrive.refuse(refused, failed=False)
            return  # its row stands there already
        now_us = self._batch.now_us
        self._dead.append(deadletters.row_of(key, record, kind, refused, now_us))
        if kind == "follower":
            return
        self._outbox.add(key, deadletters.copy_of(record, kind, refused, now_us))
        self._lost_one(record.topic, refused.reason)

    def _lost_one(self, topic: str, reason: str) -> None:
        place = (topic, reason)
        self._applied.dead[place] = self._applied.dead.get(place, 0) + 1

    def _count(self, item: Item, result: str) -> None:
        if isinstance(item, Arrived):
            topic = item.message.topic
            self._tally((topic, item.message.type, result))
            if item.record.partition != self._setting.place(item.key):
                self._applied.misplaced[topic] = self._applied.misplaced.get(topic, 0) + 1
        elif isinstance(item, Fired):
            self._applied.fired += 1

    def _took(self, item: Item, since_s: float) -> float:
        now_s = perf_counter()
        if isinstance(item, Arrived):
            message = item.message
            took = Took(message.topic, message.type, message.time_us, now_s - since_s)
            self._applied.took.append(took)
        return now_s

    def _tally(self, name: tuple[str, str, str]) -> None:
        self._applied.results[name] = self._applied.results.get(name, 0) + 1

    def _respond(self, item: Item, response: object) -> None:
        if isinstance(item, (Submitted, Returned, Unrecorded)) and not self._batch.redrive:
            self._applied.responses.append(response)

    def _write(self) -> Plan[None]:
        yield from self._inbox.write()
        held = self._parked & {key for key, _ in self._timers} | self._newly_parked.keys()
        yield from self._write_timers()
        if self._dead:
            yield Write(SQL["dead.add"], self._dead, expect=len(self._dead))
        if self._newly_parked:
            yield Write(
                SQL["parked.add"],
                [(key, *why, self._batch.now_us) for key, why in self._newly_parked.items()],
                expect=len(self._newly_parked),
            )
        if held:
            yield Write(SQL["timers.hold"], [(self._batch.now_us, key) for key in held])
        self._applied.out = yield from self._outbox.write()
        self._applied.behind = self._outbox.behind

    def _write_timers(self) -> Plan[None]:
        gone = [place for place, row in self._timers.items() if row is None]
        kept = [row for row in self._timers.values() if row is not None]
        if gone:
            yield Write(SQL["timers.clear"], gone)
        if kept:
            yield Write(SQL["timers.set"], kept, expect=len(kept))
        self._timers.clear()


def _again(key: int, fired: Fired, due_us: int) -> Row:
    """The row of a timer that was taken, to be due then."""
    timer = Timer(fired.name, due_us, fired.interval_us, fired.awaits, fired.message_id)
    return timer.row(key, fired.partition)
