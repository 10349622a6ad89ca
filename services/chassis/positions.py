"""Where this process stands in each log: what it believes, as last committed by itself.

Invariant: `next` of a partition is the offset after the last record whose effects are in the
database. It is loaded at every assignment and never guessed; a partition that was never read is
read from its beginning. After an unclean end the first records of each partition are guarded:
taken one by one, so that one which kills the process is found out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path

from services.chassis.messages import Record, TopicPartition
from services.chassis.store import Plan, Select, Write, statements

SQL = statements(Path(__file__).parent / "chassis.sql")
# Of each partition after an unclean end. A killer behind them is reached within a few lives more.
GUARDED_RECORDS = 50


class Positions:
    def __init__(self) -> None:
        self.generation = 0
        self.distrusted = True
        self.deaf: set[int] = set()  # partitions of which a log is stopped
        self.stopped: dict[TopicPartition, str] = {}  # those logs, and why
        self._next: dict[TopicPartition, int] = {}
        self._guards: dict[TopicPartition, int] = {}
        self._unclean = False
        self._said = 0
        self._handed: dict[tuple[str, int], int] = {}
        self._heard_ms: dict[TopicPartition, int] = {}
        self._committable: deque[tuple[int, dict[TopicPartition, int]]] = deque()
        self._since: dict[TopicPartition, int] = {}

    def guard(self) -> None:
        """The last end was unclean: be careful with what comes first."""
        self._unclean = True

    def distrust(self) -> None:
        """Nothing is believed until it is loaded again."""
        self.distrusted = True
        self.generation += 1

    def load(self, starts: Mapping[TopicPartition, int]) -> Plan[dict[TopicPartition, int]]:
        """Rows that are missing begin at their log's start; then all are read."""
        wanted = sorted(starts)
        yield Write(SQL["offsets.begin"], [(*place, starts[place]) for place in wanted])
        rows = yield Select(SQL["offsets.all"])
        last = yield Select(SQL["outbox.last"])
        # What an earlier life left unsaid must be said before Kafka is told that it was read.
        self._said = int(last[0][0] or 0)
        found = {
            TopicPartition(str(topic), int(partition or 0)): int(offset or 0)
            for topic, partition, offset in rows
        }
        return {place: found[place] for place in wanted}

    def identify(self, ids: Mapping[str, str]) -> Plan[set[TopicPartition]]:
        """Notes the id of each topic where none is known; which positions are another topic's."""
        if not ids:
            return set()
        yield Write(SQL["offsets.identify"], [(ids[topic], topic) for topic in sorted(ids)])
        rows = yield Select(SQL["offsets.ids"])
        return {
            TopicPartition(str(topic), int(partition or 0))
            for topic, partition, _, known in rows
            if known and known != ids.get(str(topic), known)
        }

    def loaded(self, found: Mapping[TopicPartition, int]) -> None:
        new = found.keys() - self._next.keys()
        self._next = dict(found)
        self._handed.clear()
        # Kafka may know less: a former life ended before it told, or the group's offsets expired.
        self._committable = deque([(self._said, dict(found))])
        self._since = {}
        if self._unclean:
            self._guards.update(dict.fromkeys(new, GUARDED_RECORDS))
        self.distrusted = False

    def stop(self, place: TopicPartition, reason: str) -> None:
        """Nothing of this log is taken any more, until positions are loaded again."""
        self._next.pop(place, None)
        self.stopped[place] = reason
        self.deaf.add(place.partition)

    def guarded(self, record: Record) -> bool:
        if not self._guards:
            return False
        place = TopicPartition(record.topic, record.partition)
        return self._guards.get(place, 0) > 0

    def advance(self, record: Record, seen: dict[TopicPartition, tuple[int, int]]) -> bool:
        """Whether the record is new; notes the step it makes."""
        place = TopicPartition(record.topic, record.partition)
        believed, at = seen.get(place) or (self._next.get(place, -1),) * 2
        if believed < 0 or record.offset < at:
            return False
        seen[place] = (believed, record.offset + 1)
        return True

    def handed(self, record: Record) -> None:
        """A record was given to the writer: what lies before it and is not one is passed over."""
        self._handed[record.topic, record.partition] = record.offset + 1

    def waits(self, place: TopicPartition) -> bool:
        """Whether a record of it was given to the writer and is not applied yet."""
        return self._handed.get(place, 0) > self._next.get(place, 0)

    def of(self, partition: int) -> dict[TopicPartition, int]:
        return {place: at for place, at in self._next.items() if place.partition == partition}

    @property
    def partitions(self) -> set[int]:
        """Those of which every log is heard."""
        return {place.partition for place in self._next} - self.deaf

    @property
    def all(self) -> Mapping[TopicPartition, int]:
        return self._next

    def heard(self, place: TopicPartition, timestamp_ms: int) -> None:
        """When the last record that was applied had been written to its log."""
        self._heard_ms[place] = timestamp_ms

    def heard_ms(self, place: TopicPartition) -> int:
        return self._heard_ms.get(place, 0)

    def committed(self, place: TopicPartition, new: int) -> None:
        if place not in self._next:
            return  # taken away while its batch was written
        if self._next[place] == new:
            return  # a tick, which moves nothing
        self._next[place] = new
        self._since[place] = new
        left = self._guards.get(place, 0)
        if left > 1:
            self._guards[place] = left - 1
        elif left:
            del self._guards[place]

    def said_through(self, seq: int | None) -> None:
        """Positions may be told to Kafka once what they led to is published through `seq`."""
        self._said = seq or self._said
        if self._since:
            self._committable.append((self._said, self._since))
            self._since = {}

    def committable(self, acked_through: int) -> dict[TopicPartition, int]:
        """For lag tools, and for those who ask whether a command was read and answered."""
        found: dict[TopicPartition, int] = {}
        while self._committable and self._committable[0][0] <= acked_through:
            found.update(self._committable.popleft()[1])
        return found

    def unheard(self, offsets: Mapping[TopicPartition, int], generation: int) -> None:
        """Kafka did not answer: they are told again, unless the assignment was another's then."""
        if generation == self.generation:
            self._committable.appendleft((0, dict(offsets)))

    def begin_attempt(self, record: Record) -> Plan[int]:
        """How often it was begun by now; what lies before it in its log was finished."""
        place = (record.topic, record.partition, record.offset)
        yield Write(SQL["attempts.forget"], [place])
        yield Write(SQL["attempts.begin"], [place])
        rows = yield Select(SQL["attempts.of"], place)
        return int(rows[0][0] or 0)
