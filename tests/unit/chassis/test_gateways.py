"""Calls to the outside: one at a time per key, so many at once, until their outcome is known."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import islice

import pytest

from services.chassis import gateways as gateways_module
from services.chassis.gateways import Gateways, rests_s
from services.chassis.handlers import Call, Change, Json, Result, Unknown, changed, sends
from services.chassis.items import Begun, Returned


def begun(key: str, name: str = "") -> Begun:
    call = Call("mail", {"to": key}, f"{key}{name}/mail")
    return Begun(key, "billing", call.id, "send", call, None)


def recorded(call: Call, result: Result) -> Change:
    return changed(*(call, result)[:0])


class Outside:
    """Answers when told to; counts what is under way, by key and in all."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.under_way: list[str] = []
        self.most = 0
        self.side_by_side = False
        self.open: dict[str, asyncio.Future[Result]] = {}
        self.faults: list[Exception] = []
        self.slow_to_leave: asyncio.Event | None = None

    async def call(self, gateway: object, call: Call, key: str) -> Result:
        assert gateway is self, call
        to = str(call.body["to"])
        self.side_by_side |= to in self.under_way
        self.asked.append(key)
        if self.faults:
            raise self.faults.pop(0)
        self.under_way.append(to)
        self.most = max(self.most, len(self.under_way))
        future = self.open[key] = asyncio.get_running_loop().create_future()
        try:
            return await future
        except asyncio.CancelledError:
            if self.slow_to_leave is not None:
                await self.slow_to_leave.wait()
            raise
        finally:
            self.under_way.remove(to)

    def answer(self, key: str, **result: Json) -> None:
        self.open.pop(f"{key}/mail/send").set_result(result)


class Recorder:
    """The intake as gateways see it; `faults` make recording fail."""

    def __init__(self) -> None:
        self.returned: list[Returned] = []
        self.faults: list[Exception] = []

    def put(self, returned: Returned) -> asyncio.Future[object]:
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if self.faults:
            future.set_exception(self.faults.pop(0))
        else:
            self.returned.append(returned)
            future.set_result(None)
        return future


class Desk:
    def __init__(self, calls_max: int = 10) -> None:
        self.outside, self.recorder = Outside(), Recorder()
        handlers = [sends("mail", call=self.outside.call, record=recorded)]
        self.gateways = Gateways(self.outside, handlers, self.recorder.put, calls_max)


@asynccontextmanager
async def desk(calls_max: int = 10) -> AsyncIterator[Desk]:
    made = Desk(calls_max)
    yield made
    if made.outside.slow_to_leave is not None:
        made.outside.slow_to_leave.set()
    await made.gateways.close()
    assert not made.outside.side_by_side, "two calls of one key at a time"


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits of the backoff, which take no time here."""
    waits = list[float]()
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        if seconds:
            waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr(gateways_module.asyncio, "sleep", note)
    return waits


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(2):
        while not true():  # noqa: ASYNC110 - the product's tasks take turns, no time passes
            await asyncio.sleep(0)


async def turn() -> None:
    """One turn of the loop, also while sleep is somebody else's."""
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, None)
    await future


async def answered(d: Desk, key: str) -> None:
    while f"{key}/mail/send" not in d.outside.open:
        await turn()
    d.outside.answer(key, n=1)


async def test_calls_of_one_key_go_one_after_the_other() -> None:
    """The second begins when the first is recorded; another key's goes beside them."""
    async with desk() as d:
        d.gateways.begin([begun("a", "1"), begun("a", "2"), begun("b")])
        await until(lambda: len(d.outside.open) == 2)
        assert d.outside.asked == ["a1/mail/send", "b/mail/send"]
        d.outside.answer("a1", n=1)
        await until(lambda: len(d.outside.asked) == 3)
        assert d.outside.asked[2] == "a2/mail/send"
        assert [each.result for each in d.recorder.returned] == [{"n": 1}]


async def test_no_more_than_so_many_at_once() -> None:
    """Above its bound the process is full; what waits goes on as others end, in order."""
    async with desk(calls_max=2) as d:
        d.gateways.begin([begun(each) for each in "abcde"])
        assert (d.gateways.full, d.gateways.under_way) == (True, 5)
        for each in "abcde":
            await until(lambda each=each: f"{each}/mail/send" in d.outside.open)
            d.outside.answer(each)
        await until(lambda: d.gateways.under_way == 0)
        assert (d.outside.most, d.gateways.full) == (2, False)
        assert [each.key for each in d.recorder.returned] == list("abcde")


async def test_an_unknown_outcome_is_asked_again_ever_more_rarely(slept: list[float]) -> None:
    """The same call under the same key, never a result, until it is known."""
    async with desk() as d:
        d.outside.faults = [Unknown("timeout")] * 10
        d.gateways.begin([begun("a")])
        await until(lambda: d.outside.open)
        d.outside.answer("a", n=1)
        await until(lambda: d.recorder.returned)
    assert d.outside.asked == ["a/mail/send"] * 11
    longest = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    assert [rest <= most for rest, most in zip(slept, longest, strict=True)] == [True] * 10
    assert [rest >= most / 2 for rest, most in zip(slept, longest, strict=True)] == [True] * 10
    assert slept == list(islice(rests_s("a/mail/send"), 10))
    assert (d.gateways.take_unknown(), d.gateways.take_unknown()) == (10, 0)
    assert d.gateways.take_unrecorded() == 0
    assert [each.result for each in d.recorder.returned] == [{"n": 1}]


def test_calls_that_failed_together_do_not_come_back_together() -> None:
    """A provider that comes back meets its callers spread over half of the rest."""
    eighth = [next(islice(rests_s(f"o-{at}/payment/do"), 8, None)) for at in range(100)]
    tenths = Counter(int(rest_s / 1.5) for rest_s in eighth)
    assert set(tenths) == set(range(10, 20))
    assert max(tenths.values()) <= 25


async def test_a_fault_of_the_call_or_of_recording_is_no_outcome(slept: list[float]) -> None:
    """Whatever raised, the call is made again and its result recorded in the end."""
    async with desk() as d:
        d.outside.faults = [RuntimeError("bug")]
        d.recorder.faults = [RuntimeError("handler")]
        d.gateways.begin([begun("a")])
        for _ in range(2):
            await until(lambda: d.outside.open)
            d.outside.answer("a", n=1)
            await until(lambda: not d.outside.under_way)
        await until(lambda: d.recorder.returned)
    assert (len(d.outside.asked), len(slept)) == (3, 2)
    assert (d.gateways.take_unknown(), d.gateways.take_unrecorded()) == (1, 1)


async def test_calls_that_back_off_keep_nobody_from_calling(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Results that cannot be recorded are seen at every try, and the others go on."""
    awake = asyncio.Event()

    async def rest(_: float) -> None:
        await awake.wait()

    monkeypatch.setattr(gateways_module.asyncio, "sleep", rest)
    async with desk(calls_max=2) as d, asyncio.timeout(2):
        d.recorder.faults = [RuntimeError("bug")] * 2
        d.gateways.begin([begun(each) for each in "abcd"])
        assert d.gateways.full
        for each in "ab":
            await answered(d, each)
        for each in "cd":
            await answered(d, each)
        while d.gateways.under_way > 2:
            await turn()
        assert [each.key for each in d.recorder.returned] == ["c", "d"]
        assert (d.gateways.full, d.gateways.take_unrecorded()) == (False, 2)
        awake.set()
        for each in "ab":
            await answered(d, each)
        while d.gateways.under_way:
            await turn()
    operations = [vars(each).get("operation_id") for each in caplog.records]
    assert operations == ["a/mail", "b/mail"]


async def test_calls_that_back_off_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that is away for an hour leaves work in the log, not in memory."""
    never = asyncio.Event()

    async def rest(_: float) -> None:
        await never.wait()

    monkeypatch.setattr(gateways_module.asyncio, "sleep", rest)
    most = gateways_module.RESTING_TIMES * 2
    async with desk(calls_max=2) as d, asyncio.timeout(2):
        d.outside.faults = [Unknown("away")] * most
        d.gateways.begin([begun(f"k{each}") for each in range(most - 1)])
        while len(d.outside.asked) < most - 1:
            await turn()
        assert not d.gateways.full
        d.gateways.begin([begun("last")])
        assert d.gateways.full


async def test_nothing_begins_after_the_end() -> None:
    """What a last transaction begins is found `calling` at the next start."""
    async with desk() as d:
        await d.gateways.close()
        d.gateways.begin([begun("a")])
        for _ in range(5):
            await asyncio.sleep(0)
        assert (d.gateways.under_way, d.outside.asked) == (0, [])


async def test_a_call_begun_twice_is_made_once() -> None:
    """Whether both stand in one transaction, or the first is waiting or under way."""
    async with desk(calls_max=1) as d:
        d.gateways.begin([begun("a"), begun("a"), begun("b"), begun("b")])
        d.gateways.begin([begun("a"), begun("b")])
        assert d.gateways.under_way == 2
        for each in "ab":
            await until(lambda each=each: f"{each}/mail/send" in d.outside.open)
            d.outside.answer(each)
        await until(lambda: d.gateways.under_way == 0)
    assert d.outside.asked == ["a/mail/send", "b/mail/send"]


async def test_what_is_forgotten_is_neither_waited_for_nor_recorded() -> None:
    """After a reassignment the calls are another's."""
    async with desk(calls_max=1) as d:
        d.gateways.begin([begun("a"), begun("b")])
        await until(lambda: d.outside.open)
        d.gateways.forget()
        await until(lambda: not d.outside.under_way)
        assert d.gateways.under_way == 0
        assert (d.outside.asked, d.outside.under_way) == (["a/mail/send"], [])
        assert d.recorder.returned == []


async def test_a_call_found_under_way_is_made_although_its_forgotten_one_leaves_slowly() -> None:
    """Begun anew at once after being forgotten, it waits for the old one to end, then is made."""
    async with desk() as d:
        d.outside.slow_to_leave = asyncio.Event()
        d.gateways.begin([begun("a")])
        await until(lambda: d.outside.open)
        d.gateways.forget()
        d.gateways.begin([begun("a")])
        for _ in range(5):
            await asyncio.sleep(0)
        assert d.outside.asked == ["a/mail/send"]
        d.outside.slow_to_leave.set()
        await until(lambda: len(d.outside.asked) == 2)
        await until(lambda: d.outside.under_way == ["a"])
        d.outside.answer("a", n=2)
        await until(lambda: d.gateways.under_way == 0)
    assert [each.result for each in d.recorder.returned] == [{"n": 2}]
