"""One slice of what a parked key holds up, applied in order until one fails again.

The row of each record says what became of it, the row of the verb how far it is. Invariant: the
key stays parked until a slice ends with nothing left behind it, so nothing overtakes.
"""

from __future__ import annotations

from services.chassis import key_verbs, unrecorded
from services.chassis.admission import Admission, Refused
from services.chassis.deadletters import record_of
from services.chassis.items import Item, Returned, Unrecorded, arrival
from services.chassis.messages import Record
from services.chassis.parked import RECORD_STAGE
from services.chassis.store import Plan, Row, Select, Write

Results = dict[tuple[str, str, str], int]


class Redrive:
    """`limit` records at most; `unfit`: why the first one cannot be written, whatever is tried."""

    def __init__(self, limit: int, unfit: Refused | None) -> None:
        self._limit, self._unfit = limit, unfit
        self.items: list[Item] = []
        self.more = False
        self._key = 0
        self._numbers: list[int] = []
        self._before: Results = {}
        self._refused: Refused | None = None
        self._failed = False
        self._closed: list[tuple[str, str, int]] = []

    def load(self, key: int, admission: Admission) -> Plan[None]:
        """The records that wait, understood anew by this release."""
        self._key = key
        rows = yield Select(key_verbs.SQL["letters.waiting"], (key, self._limit))
        for seq, stage, *cells in rows:
            self._numbers.append(int(seq or 0))
            self.items.append(self._again(str(stage), record_of(tuple(cells)), admission))
        self.more = len(rows) == self._limit

    def _again(self, stage: str, record: Record, admission: Admission) -> Item:
        if stage != RECORD_STAGE:
            return arrival(record, self._unfit or admission.admit(record))
        item = unrecorded.returned_of(record, admission.decode)
        if self._unfit is None or not isinstance(item, Returned):
            return item
        return Unrecorded(item, self._unfit._replace(stage=RECORD_STAGE))

    def refuse(self, refused: Refused, *, failed: bool) -> None:
        """Of the record that is being folded: it is rejected for good, or `failed` again."""
        self._refused, self._failed = refused, failed

    def folded(self, results: Results) -> bool:
        """Whether the next may follow. `results` as counted so far tell what this one became."""
        refused, self._refused = self._refused, None
        if self._failed:
            self._refused, self.more = refused, False
            return False
        became = [name[2] for name, n in results.items() if n != self._before.get(name)]
        self._before = dict(results)
        row = ("redriven", became[0] if became else "recorded")
        if refused is not None:
            row = ("rejected", f"rejected: {refused.reason}")
        self._closed.append((*row, self._numbers[len(self._closed)]))
        return True

    def end(self, release: str, now_us: int) -> Plan[bool]:
        """Writes what became of all; whether the key is free now."""
        verb = yield from key_verbs.going_on(self._key)
        closed: list[Row] = [(state, became, verb, seq) for state, became, seq in self._closed]
        failure = None
        if self._failed and self._refused is not None:
            failure = key_verbs.Failure(self._numbers[len(closed)], self._refused)
        part = key_verbs.Slice(self._key, verb, closed, failure, self.more)
        yield from key_verbs.settle(part, release)
        if self.more or failure is not None:
            return False
        yield Write(key_verbs.SQL["parked.remove"], [(self._key,)])
        yield Write(key_verbs.SQL["timers.resume"], [(now_us, self._key)])
        return True
