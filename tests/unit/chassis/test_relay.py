"""Publishing: every committed row reaches the broker, in order, whatever happens between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from company import COMMANDS, DirectStore, HandClock, Member, billing, command

from services.chassis import relay as relay_module
from services.chassis.bus import BrokerSilent, PublishRefused
from services.chassis.messages import Outgoing, pack
from services.chassis.outbox import Outbox
from services.chassis.relay import Relay
from services.chassis.store import Plan, Select, Statement, Unavailable, Write
from services.chassis.transaction import SQL


class Broker:
    """A publisher with a log; `faults` are raised in turn, None for an acknowledgement.

    As the real one: after an error it must be rebuilt, except where it refuses a message whole.
    """

    def __init__(self) -> None:
        self.alive = False
        self.rebuilt = 0
        self.log: list[tuple[str, str]] = []
        self.batches: list[int] = []
        self.faults: list[Exception | None] = []
        self.refuses: set[str] = set()
        self.partly = 0
        self.gate: asyncio.Event | None = None

    async def rebuild(self) -> None:
        self.rebuilt += 1
        self.alive = True

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        assert self.alive, "a dead publisher was used"
        if self.gate is not None:
            await self.gate.wait()
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            self.alive = False
            self.log += [(each.key, each.id) for each in messages[: self.partly]]
            raise fault
        for at, each in enumerate(messages):
            if each.id in self.refuses:
                raise PublishRefused(at, "too large")
        self.log += [(each.key, each.id) for each in messages]
        self.batches.append(len(messages))


class Post:
    """A relay over a real outbox, and a broker."""

    def __init__(self) -> None:
        self.store = DirectStore()
        self.broker = Broker()
        self.acked: list[int] = []
        self.relay = Relay(self.store, self.broker, HandClock(), self._acked)
        self.said = 0

    def _acked(self, numbers: list[int]) -> None:
        self.acked += numbers

    def commit(self, *keys: str, offer: bool = True) -> list[tuple[int, Outgoing]]:
        """A transaction that says something of each key; then offered, as the intake does."""
        made = []
        for key in keys:
            self.said += 1
            made.append(Outgoing("t", key, f"{self.said}", b"v", ()))
        return self.say(*made, offer=offer)

    def say(self, *messages: Outgoing, offer: bool = True) -> list[tuple[int, Outgoing]]:
        outbox = Outbox(0)
        for message in messages:
            outbox.add(1, message)
        rows = self.store.drive(outbox.write)
        if offer:
            self.relay.offer(rows)
        return rows

    def mark(self) -> None:
        """What was acknowledged is written down, as the next transaction would."""
        numbers, self.acked = self.acked, []

        def sent() -> Plan[None]:
            yield Write(SQL["outbox.sent"], [(1, seq) for seq in numbers])

        self.store.drive(sent)
        self.relay.marked(numbers)

    def unsent(self) -> list[object]:
        rows = self.store.rows("SELECT seq FROM outbox WHERE sent_us IS NULL ORDER BY seq")
        return [seq for (seq,) in rows]

    def first(self) -> list[tuple[str, str]]:
        """The log without what stands there a second time."""
        return list(dict.fromkeys(self.broker.log))


@asynccontextmanager
async def running(post: Post) -> AsyncIterator[None]:
    task = asyncio.create_task(post.relay.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(3):
        while not true():  # noqa: ASYNC110 - the product's tasks take turns, no time passes
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "_BACKOFF_FIRST_S", 0.0)
    monkeypatch.setattr(relay_module, "_BACKOFF_MAX_S", 0.0)


def told(*numbers: int, key: str = "k") -> list[tuple[str, str]]:
    return [(key, str(each)) for each in numbers]


async def test_what_was_committed_before_the_start_goes_first() -> None:
    """Rows of the last life are published before those of this one, each once."""
    post = Post()
    post.commit("k", "k", offer=False)
    async with running(post):
        post.commit("k")
        await until(lambda: len(post.broker.log) >= 3)
        post.commit("k")
        await post.relay.drained()
    assert post.broker.log == told(1, 2, 3, 4)
    assert (post.acked, post.relay.acked_through) == ([1, 2, 3, 4], 4)


@pytest.mark.parametrize("partly", [0, 1, 3])
async def test_after_an_error_the_database_is_read_again(partly: int) -> None:
    """Whatever part of a failed batch arrived, first occurrences are in order and none is lost."""
    post = Post()
    async with running(post):
        await post.relay.drained()
        post.broker.faults, post.broker.partly = [BrokerSilent("b", 1.0)] * 2, partly
        post.commit("k", "k", "k")
        post.commit("k")
        await until(lambda: len(post.acked) == 4)
        assert (post.first(), post.broker.rebuilt) == (told(1, 2, 3, 4), 3)
        post.commit("k")
        await post.relay.drained()
    assert post.first() == told(1, 2, 3, 4, 5)
    assert post.acked == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("moment", range(7))
async def test_what_commits_while_the_database_is_read_is_neither_lost_nor_early(
    moment: int,
) -> None:
    """Commits at each moment around the relay's own read keep their order."""
    post = Post()
    run = post.store.run
    turns = 0

    async def slow(plan: Callable[[], Plan[object]]) -> object:
        nonlocal turns
        for _ in range(3):
            await asyncio.sleep(0)
            turns += 1
            if turns == moment:
                post.commit("k")
        found = await run(plan)
        for _ in range(3):
            await asyncio.sleep(0)
            turns += 1
            if turns == moment:
                post.commit("k")
        return found

    post.store.run = slow  # type: ignore[method-assign,assignment]
    post.commit("k", "k", offer=False)
    async with running(post):
        await until(lambda: len(post.acked) >= 2)
        post.commit("k")
        await until(lambda: len(post.first()) == post.said)
    assert post.first() == told(*range(1, post.said + 1))


async def test_a_message_refused_for_good_blocks_its_key_alone() -> None:
    """Others go on, the key waits, and after a restart it still does."""
    post = Post()
    async with running(post):
        await post.relay.drained()
        post.broker.refuses = {"2"}
        post.commit("a", "b", "c", "b")
        await until(lambda: len(post.acked) == 2)
        post.commit("b", "a")
        await until(lambda: len(post.acked) == 3)
        assert post.relay.blocked == 1
    assert post.broker.log == [("a", "1"), ("c", "3"), ("a", "6")]
    assert post.store.rows("SELECT seq, blocked FROM outbox WHERE blocked IS NOT NULL") == [
        (2, "too large")
    ]
    post.mark()
    post.relay = Relay(post.store, post.broker, HandClock(), post._acked)
    async with running(post):
        post.commit("c")
        await until(lambda: post.acked == [7])
        post.store.write("UPDATE outbox SET blocked = NULL")
        post.broker.refuses.clear()
        post.relay.reload()
        await until(lambda: len(post.acked) == 4)
    assert post.acked == [7, 2, 4, 5]


async def test_a_copy_that_is_refused_for_good_holds_back_nobody() -> None:
    """A dead letter's copy is for outsiders: the commands of its key go on without it."""
    post = Post()
    post.broker.refuses = {"copy"}
    async with running(post):
        post.say(Outgoing("t.dlt", "k", "copy", b"v", ()))
        post.commit("k", "k")
        await until(lambda: len(post.acked) == 2)
    assert (post.broker.log, post.relay.blocked) == (told(1, 2), 0)
    assert post.unsent() == [1, 2, 3]
    post.mark()
    assert post.unsent() == [1]


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("t", "a message is refused by the broker for good; its key waits behind it"),
        (
            "t.dlt",
            "a dead letter's copy is refused by the broker for good; nothing waits behind it",
        ),
    ],
)
async def test_what_is_logged_of_a_refused_message_is_true(
    topic: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A key waits behind its messages, not behind a copy for outsiders."""
    post = Post()
    async with running(post):
        await post.relay.drained()
        post.broker.refuses = {"m"}
        post.say(Outgoing(topic, "k", "m", b"v", ()), Outgoing("t", "k", "n", b"v", ()))
        await until(lambda: caplog.messages and post.relay._idle.is_set())
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == [said]
    assert post.broker.log == ([] if topic == "t" else [("k", "n")])


async def test_a_blocked_keys_many_rows_do_not_stand_in_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More rows behind a blocked one than a batch holds: the other keys' rows are still found."""
    monkeypatch.setattr(relay_module, "BATCH_MAX", 3)
    post = Post()
    post.broker.refuses = {"1"}
    post.commit(*["b"] * 8, "a", offer=False)
    async with running(post):
        await until(lambda: post.acked == [9])
    assert post.broker.log == [("a", "9")]


async def test_a_backlog_of_many_batches_goes_out_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from the database slice by slice though nothing is marked yet, then from memory."""
    monkeypatch.setattr(relay_module, "BATCH_MAX", 3)
    post = Post()
    post.commit(*["k"] * 10, offer=False)
    async with running(post):
        await until(lambda: len(post.broker.log) >= 3)
        post.commit("k", "k")
        await until(lambda: len(post.acked) >= 12)
    assert post.broker.log == told(*range(1, 13))
    assert max(post.broker.batches) <= 3


@pytest.mark.parametrize("kept", ["database", "memory"])
async def test_large_rows_leave_in_batches_that_a_deadline_holds(
    kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes bound a batch as the number of rows does; one row larger than that goes alone."""
    monkeypatch.setattr(relay_module, "BATCH_BYTES", 1000)
    post = Post()
    sizes = [1, 400, 500, 100, 5000, 1, 1, 400, 700, 1]
    made = [Outgoing("t", "k", str(at), b"." * size, ()) for at, size in enumerate(sizes, 1)]
    async with running(post):
        if kept == "memory":
            await post.relay.drained()
        post.say(*made, offer=kept == "memory")
        post.relay.offer([])
        await until(lambda: len(post.acked) == len(sizes))
        await post.relay.drained()
    assert post.broker.log == told(*range(1, len(sizes) + 1))
    assert post.broker.batches == [3, 1, 1, 3, 2]


async def test_headers_count_as_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of records with large headers and no value are large."""
    monkeypatch.setattr(relay_module, "BATCH_BYTES", 1000)
    post = Post()
    headers = (("h", b"." * 600),)
    made = [Outgoing("t", "k", str(at), b"", headers, packed=pack(headers)) for at in range(1, 7)]
    async with running(post):
        await post.relay.drained()
        post.say(*made[:3])
        await post.relay.drained()
        post.say(*made[3:], offer=False)
        post.relay.reload()
        await post.relay.drained()
    assert (post.broker.log, post.broker.batches) == (told(1, 2, 3, 4, 5, 6), [1] * 6)


async def test_rows_that_wait_to_be_marked_do_not_keep_the_relay_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While nobody can write what was acknowledged, the relay rests, and memory serves."""
    monkeypatch.setattr(relay_module, "BATCH_MAX", 3)
    post = Post()
    post.commit(*["k"] * 9, offer=False)
    async with running(post):
        await until(lambda: len(post.acked) == 9)
        async with asyncio.timeout(3):
            await post.relay.drained()
        runs = post.store.runs
        post.commit("k")
        await post.relay.drained()
        assert post.store.runs - runs == 1  # the commit itself
    assert post.broker.log == told(*range(1, 11))


async def test_a_new_producer_after_whatever_makes_memory_doubtful() -> None:
    """What the old one still has under way could come after what another owner said."""
    post = Post()
    async with running(post):
        await post.relay.drained()
        post.commit("k")
        await post.relay.drained()
        assert post.broker.rebuilt == 1
        post.relay.reload()
        post.commit("k")
        await post.relay.drained()
        post.commit("k")
        await post.relay.drained()
    assert (post.first(), post.broker.rebuilt) == (told(1, 2, 3), 2)


async def test_memory_is_bounded_while_the_broker_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above its bound the relay lets go of rows, and finds them in the database."""
    monkeypatch.setattr(relay_module, "WAITING_MAX", 4)
    post = Post()
    async with running(post):
        await post.relay.drained()
        post.broker.gate = asyncio.Event()
        for _ in range(20):
            post.commit("k", "k")
        assert len(post.relay._waiting) <= 6
        post.broker.gate.set()
        await until(lambda: len(post.acked) >= 40)
    assert post.first() == told(*range(1, 41))


async def test_drained_waits_for_what_is_not_acknowledged() -> None:
    """Not while a batch is under way, nor after an error that leaves rows unsent."""
    post = Post()
    async with running(post):
        await post.relay.drained()
        post.broker.gate = asyncio.Event()
        post.commit("k")
        drained = asyncio.ensure_future(post.relay.drained())
        await asyncio.wait({drained}, timeout=0)
        assert not drained.done()
        post.broker.gate.set()
        await drained
        assert post.acked == [1]
        post.commit("k", offer=False)
        post.relay.reload()
        await post.relay.drained()
    assert post.acked == [1, 2]


async def test_a_type_that_is_no_text_is_published_and_counted() -> None:
    """The copy of an outsider's record carries its headers as they came, whatever they hold."""
    post = Post()
    made = [
        Outgoing("t", "k", str(at), b"v", (("ce_id", b"i"), ("ce_type", kind)))
        for at, kind in enumerate([b"\xff", b"baton.x.Y", b"\xff\xfe", b"baton.x.Y"])
    ]
    async with running(post):
        post.say(*made, Outgoing("t.dlt", "k", "4", b"v", ()))
        await until(lambda: len(post.acked) == 5)
    assert post.relay.take_published() == {
        ("t", "\ufffd"): 1,
        ("t", "baton.x.Y"): 2,
        ("t", "\ufffd\ufffd"): 1,
        ("t.dlt", ""): 1,
    }
    assert post.relay.take_published() == {}


async def test_a_store_that_cannot_read_is_asked_again() -> None:
    """A busy database delays publishing and loses nothing."""
    post = Post()
    post.commit("k", offer=False)
    post.store.faults = [Unavailable("busy")] * 3
    async with running(post):
        await until(lambda: post.acked == [1])
    assert (post.broker.log, post.relay.failing_since_s) == (told(1), None)
    assert post.broker.rebuilt == 1


async def test_a_row_is_marked_only_after_it_was_acknowledged() -> None:
    """A life that ends between sending and marking sends again under the same id."""
    member: Member[object] = billing()
    member.take(member.kafka.publish(command("a")))
    first = [record.headers for record in [member.kafka.publish(out) for _, out in member.unsent]]
    member.start()
    member.relay()
    replies = member.kafka.all("billing.replies.v1")
    assert [record.headers for record in replies] == first * 2
    member.start()
    assert member.unsent == []
    assert COMMANDS in {place.topic for place in member.places}


def test_numbers_are_never_used_again() -> None:
    """Retention leaves the last row, so a number is one row's for ever."""
    post = Post()
    post.commit("k", "k")

    def all_sent() -> Plan[None]:
        yield Write(SQL["outbox.sent"], [(1, 1), (1, 2)])

    def sweep() -> Plan[None]:
        last = yield Select(SQL["outbox.last"])
        yield Write(SQL["outbox.sweep"], [(last[0][0], 99)])

    post.store.drive(all_sent)
    post.store.drive(sweep)
    assert [seq for seq, _ in post.commit("k", offer=False)] == [3]
    count = Statement("count", "SELECT count(*) FROM outbox")

    def counted() -> Plan[object]:
        return (yield Select(count))[0][0]

    assert post.store.drive(counted) == 2
