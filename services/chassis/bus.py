"""What every Kafka client of a process shares: its faults, its bounds, its connection.

`bus`, `bus_read`, `bus_publish` and `bus_admin` are the modules that know aiokafka; above them
there are only `Record` and `Outgoing`. The invariant here: no await on Kafka lasts for ever,
because aiokafka's do (a silent broker, a lost rejoin), and each failure has a name here.

BusError
├── BrokerSilent    no answer in time; a reader lives on: ask or poll again
├── ClientLost      this client is of no further use: `rebuild()`, then go on
├── PartitionStopped    one partition stands still, with its alarm; the others go on
│   ├── OffsetOutside   its stored position is not in the log
│   └── BatchUnreadable it has a batch that nobody can read, or that would inflate without end
├── PublishRefused  one message can never be sent; the others can, without it
└── TopicsWrong     a topic is missing, or may not be used
"""
# The faults are named for what happened.

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from time import monotonic

from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from services.chassis.messages import TopicPartition

CLOSE_WITHIN_S = 5.0


class BusError(Exception):
    """Kafka, or the way there, failed."""


class BrokerSilent(BusError):
    def __init__(self, address: str, waited_s: float, reason: str = "") -> None:
        self.address, self.waited_s = address, waited_s
        detail = f" ({reason})" if reason else ""
        super().__init__(
            f"Kafka at {address} gave no answer in {waited_s:.1f} s{detail}; "
            "is it running, and is KAFKA_BOOTSTRAP_SERVERS right?"
        )


class ClientLost(BusError):
    """The client gave up or is stuck; only a new one helps."""


class PartitionStopped(BusError):
    """Nothing is skipped: somebody has to look."""

    def __init__(self, tp: TopicPartition, stored: int, reason: str) -> None:
        self.tp, self.stored = tp, stored
        super().__init__(
            f"{tp.topic}[{tp.partition}] stands still at {stored}, nothing is skipped: {reason}"
        )


class OffsetOutside(PartitionStopped):
    """`log_start` and `log_end` are -1 where the broker did not say them in time."""

    def __init__(self, tp: TopicPartition, stored: int, log_start: int, log_end: int) -> None:
        self.log_start, self.log_end = log_start, log_end
        place = f"--topic {tp.topic} --partition {tp.partition}"
        super().__init__(
            tp,
            stored,
            f"the stored position is outside the log ({log_start}..{log_end}), whose records are"
            " gone or whose topic was made anew. Let its readers read on:"
            f" baton offsets accept {place} --reason WHY; then say again what our services had"
            f" said: baton outbox republish {place} --reason WHY   (deploy/RUNBOOK.md)",
        )


class TopicMadeAnew(PartitionStopped):
    def __init__(self, tp: TopicPartition, stored: int) -> None:
        super().__init__(
            tp,
            stored,
            "that position is of another topic of this name, which was made anew since. Let its"
            f" readers read on: baton offsets accept --topic {tp.topic} --reason WHY;"
            " then say again what our services had said:"
            f" baton outbox republish --topic {tp.topic} --reason WHY   (deploy/RUNBOOK.md)",
        )


class BatchUnreadable(PartitionStopped):
    def __init__(self, tp: TopicPartition, stored: int, reason: str) -> None:
        super().__init__(tp, stored, f"the batch there cannot be read: {reason}")


class PublishRefused(BusError):
    """`index` counts in the sequence given to `publish`."""

    def __init__(self, index: int, reason: str) -> None:
        self.index, self.reason = index, reason
        super().__init__(f"message {index} can never be published: {reason}")


class TopicsWrong(BusError):
    def __init__(self, topics: Iterable[str], reason: str) -> None:
        self.topics = tuple(topics)
        named = ", ".join(self.topics)
        super().__init__(f"{named}: {reason}; see `baton topics check`, `baton topics apply`")


def connection(bootstrap: str, answer_within_s: float) -> dict[str, object]:
    """What every client of a process is built with: the one place for TLS and SASL to come."""
    return {
        "bootstrap_servers": bootstrap,
        "request_timeout_ms": round(answer_within_s * 1000),
        "security_protocol": "PLAINTEXT",
    }


@asynccontextmanager
async def answered_within(
    seconds: float, address: str, topics: Iterable[str] = ()
) -> AsyncIterator[None]:
    """Bounds what aiokafka does not, and says whose fault it was."""
    began = monotonic()
    try:
        async with asyncio.timeout(seconds):
            yield
    except UnknownTopicOrPartitionError as error:
        raise TopicsWrong(topics, "does not exist on this cluster") from error
    except TopicAuthorizationFailedError as error:
        raise TopicsWrong(topics, "may not be used by this client") from error
    except (KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError) as error:
        raise BrokerSilent(address, monotonic() - began, type(error).__name__) from error
    except (TimeoutError, RequestTimedOutError) as error:
        raise BrokerSilent(address, monotonic() - began) from error
    except KafkaError as error:
        raise ClientLost(f"Kafka at {address} refused: {error!r}") from error


class Discarded:
    """Closings that go on behind: a client is let go at once, however long its sockets take."""

    def __init__(self) -> None:
        self._closings: set[asyncio.Task[None]] = set()

    def add(self, closing: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(closing)
        self._closings.add(task)
        task.add_done_callback(self._closings.discard)

    async def settle(self, seconds: float) -> None:
        if self._closings:
            await asyncio.wait(self._closings, timeout=seconds)
