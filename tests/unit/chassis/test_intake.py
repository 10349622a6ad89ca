"""The one writer: who is told what and when, and what becomes of a batch that cannot be written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
from company import (
    CHASSIS,
    COMMANDS,
    Broken,
    DirectStore,
    Tally,
    authorise,
    billing,
    command,
    order_id,
)
from writing import SERVED, Ask, Writer, until, working

from schemas.billing import AuthorisePayment, PaymentAuthorised
from services.chassis import intake as intake_module
from services.chassis.handlers import Answer, answers, done
from services.chassis.messages import Record, TopicPartition
from services.chassis.positions import GUARDED_RECORDS, Positions
from services.chassis.store import Conflict, InDoubt, Plan, T, Unavailable
from services.chassis.transaction import Tick

PLACE = TopicPartition(COMMANDS, 0)


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "_BACKOFF_FIRST_S", 0.0)
    monkeypatch.setattr(intake_module, "_BACKOFF_MAX_S", 0.0)


@pytest.fixture
def writer() -> Writer:
    return Writer(billing(handlers=SERVED))


async def test_a_submitter_is_answered_after_the_commit(writer: Writer) -> None:
    """What a submitter hears is in the database; nothing is heard before."""
    heard = list[object]()
    writer.member.store.faults = [Unavailable("busy")]

    async def submit() -> None:
        heard.append(await writer.intake.submit(Ask("a", "r-1", "x")))
        heard.append(writer.tallies())

    async with working(writer):
        waiting = asyncio.create_task(submit())
        await until(lambda: writer.member.store.runs)
        await waiting
    assert heard == ["0", [("a", 1)]]


@pytest.mark.parametrize(("fault", "reloads"), [(InDoubt, 1), (Unavailable, 0)])
async def test_what_a_commit_in_doubt_left_is_read_from_the_database(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, fault: type[Unavailable], reloads: int
) -> None:
    """It landed and its answer was lost: the second try has nothing to say, the outbox has."""
    store, drive = writer.member.store, writer.member.store.run
    lost = [fault("the wire was cut")]

    async def landed(plan: Callable[[], Plan[T]]) -> T:
        result = await drive(plan)
        if lost:
            raise lost.pop()
        return result

    monkeypatch.setattr(store, "run", landed)
    async with working(writer):
        await writer.intake.submit(Ask("a", "r-1", "x"))
        assert (writer.relay.reloads, writer.positions.distrusted) == (reloads, bool(reloads))
        assert writer.intake.in_doubt == reloads
        writer.load()
        await writer.intake.submit(Ask("b", "r-2", "x"))
    assert writer.relay.reloads == reloads


async def test_a_handlers_exception_goes_to_its_submitter_alone(writer: Writer) -> None:
    """The others of the batch are answered and committed."""
    async with working(writer):
        said = await asyncio.gather(
            *[
                writer.intake.submit(Ask(key, key, say))
                for key, say in (("a", "x"), ("b", "raise"), ("c", "no"))
            ],
            return_exceptions=True,
        )
    assert [said[0], type(said[1]), said[2]] == ["0", Broken, "no"]
    assert writer.tallies() == [("a", 1)]
    assert writer.member.parked() == []


async def test_a_broken_rule_of_the_schema_harms_only_the_guilty(writer: Writer) -> None:
    """Replayed one by one: the record that broke it is parked, all others apply, in order."""
    bad = command("b", "tok_illegal")
    writer.put(command("a"), bad, command("b", undo=True), command("c"))
    said = [
        asyncio.ensure_future(writer.intake.submit(Ask(k, k, s)))
        for k, s in (("d", "x"), ("e", "illegal"), ("f", "y"))
    ]
    await asyncio.sleep(0)
    async with working(writer):
        heard = await asyncio.gather(*said, return_exceptions=True)
        await until(lambda: writer.next() == 4)
    assert [heard[0], type(heard[1]).__name__, heard[2]] == ["0", "Constraint", "0"]
    assert writer.tallies() == [("a", 1), ("c", 1), ("d", 1), ("f", 1)]
    assert writer.member.dead("kind, reason, offset") == [
        ("parked", "constraint", 1),
        ("follower", "follower", 2),
    ]


class Odd:
    """A value that no column takes."""


ODD: dict[str, Callable[[], object]] = {
    "an integer of 65 bits": lambda: 1 << 64,
    "a value of no column": Odd,
    "a text with half a character": lambda: "\ud800",
    "a tuple": lambda: (1, 2),
}


@pytest.mark.parametrize("odd", ODD)
async def test_a_row_that_cannot_be_written_at_all_parks_its_key(odd: str) -> None:
    """A value no database takes is the handler's fault: not the store's, nor the process's."""

    def wrong(cmd: AuthorisePayment, rows: Mapping[str, Tally]) -> Answer:
        if cmd.payment_method != "tok_odd":
            return authorise(cmd, rows)
        row = Tally(cmd.order_id, ODD[odd]())  # type: ignore[arg-type]
        return done(PaymentAuthorised(cmd.order_id, "n", cmd.amount), row)

    writer = Writer(billing(handlers=(answers(AuthorisePayment, wrong, loads=Tally, by=order_id),)))
    writer.put(command("a"), command("b", "tok_odd"), command("c"))
    async with working(writer):
        await until(lambda: writer.next() == 3)
    assert writer.tallies() == [("a", 1), ("c", 1)]
    assert writer.member.parked() == ["b"]
    assert writer.intake.unwritable == ""


async def test_keys_that_cannot_be_sorted_or_loaded_park_their_own_record() -> None:
    """A fault while loading is found by replaying one by one, and ends no process."""

    def by(cmd: AuthorisePayment) -> tuple[object, ...]:
        return (None,) if cmd.payment_method == "tok_odd" else (cmd.order_id,)

    handler = answers(AuthorisePayment, authorise, loads=Tally, by=by)  # type: ignore[arg-type]
    writer = Writer(billing(handlers=(handler,)))
    writer.put(command("a"), command("b", "tok_odd"), command("c"))
    async with working(writer):
        await until(lambda: writer.next() == 3)
    assert ("a", 1) in writer.tallies()
    assert ("c", 1) in writer.tallies()


async def test_a_store_that_cannot_write_loses_nothing_and_says_so(writer: Writer) -> None:
    """The batch is tried whole until it is written; meanwhile the process is unready."""
    seen = list[str]()
    drive = writer.member.store.drive

    def watch(plan: Callable[[], Plan[object]]) -> object:
        seen.append(writer.intake.unwritable)
        return drive(plan)

    writer.member.store.drive = watch  # type: ignore[method-assign,assignment]
    writer.member.store.faults = [Unavailable("disk full")] * 3
    writer.put(command("a"), command("b"))
    async with working(writer):
        assert await writer.intake.submit(Ask("c", "r", "x")) == "0"
    assert seen[:4] == ["", "disk full", "disk full", "disk full"]
    assert (writer.intake.unwritable, writer.tallies()) == ("", [("a", 1), ("b", 1), ("c", 1)])
    assert [records for _, records in writer.seen] == [3]


async def test_a_lost_race_drops_records_and_keeps_who_waits(writer: Writer) -> None:
    """Positions are distrusted, the relay reads again, the submitter is answered later."""
    writer.put(command("a"))
    writer.intake.sent([7])
    writer.member.store.faults = [Conflict("moved")]
    submitted = asyncio.ensure_future(writer.intake.submit(Ask("b", "r", "x")))
    await asyncio.sleep(0)
    async with working(writer):
        assert await submitted == "0"
    assert (writer.positions.distrusted, writer.relay.reloads) == (True, 1)
    assert (writer.tallies(), writer.next()) == ([("b", 1)], 0)
    assert writer.relay.marks == [7]


async def test_a_race_lost_while_replaying_keeps_who_waits(writer: Writer) -> None:
    """One by one after a broken rule, a lost race forgets neither submitters nor sent marks."""
    writer.put(command("a", "tok_illegal"), command("b"))
    writer.intake.sent([7])
    drive, runs = writer.member.store.drive, []

    def conflict_third(plan: Callable[[], Plan[object]]) -> object:
        runs.append(1)
        if len(runs) == 3:
            raise Conflict("moved")
        return drive(plan)

    writer.member.store.drive = conflict_third  # type: ignore[method-assign,assignment]
    submitted = [asyncio.ensure_future(writer.intake.submit(Ask(k, k, "x"))) for k in "de"]
    await asyncio.sleep(0)
    async with working(writer), asyncio.timeout(2):
        assert await asyncio.gather(*submitted) == ["0", "0"]
        await until(lambda: writer.relay.marks == [7])
    assert writer.positions.distrusted


async def test_a_single_record_that_cannot_be_written_keeps_what_was_acknowledged(
    writer: Writer,
) -> None:
    """Its batch of one is set aside; the marks that rode with it are made with the next."""
    writer.put(command("a"))
    async with working(writer):
        await until(lambda: writer.next() == 1)
        writer.intake.sent([1])
        writer.put(command("b", "tok_illegal"))
        await until(lambda: writer.next() == 2)
        writer.put(command("c"))
        await until(lambda: writer.relay.marks == [1])
    assert writer.member.store.rows("SELECT seq FROM outbox WHERE sent_us IS NOT NULL") == [(1,)]


async def test_a_batch_that_waited_for_the_disk_lives_by_todays_clock(writer: Writer) -> None:
    """What is written after an hour of full disk is of now: no timer is overdue at its birth."""
    drive, clock = writer.member.store.drive, writer.member.clock

    def an_hour_of_full_disk(_: Callable[[], Plan[object]]) -> object:
        writer.member.store.drive = drive  # type: ignore[method-assign]
        clock.move(3600)
        raise Unavailable("disk full")

    writer.member.store.drive = an_hour_of_full_disk  # type: ignore[method-assign,assignment]
    writer.put(command("a"))
    async with working(writer):
        await until(lambda: writer.next() == 1)
    assert writer.member.store.rows("SELECT made_us FROM outbox") == [(clock.now_us(),)]


async def test_sent_rows_are_marked_within_a_moment_though_nothing_else_happens(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle process still writes down what the broker acknowledged."""
    monkeypatch.setattr(intake_module, "_MARK_WITHIN_S", 0.0)
    async with working(writer):
        writer.put(command("a"))
        await until(lambda: writer.relay.offered)
        await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0))])
        writer.intake.sent([seq for seq, _ in writer.relay.offered])
        await until(lambda: writer.relay.marks == [1])
    rows = writer.member.store.rows("SELECT seq FROM outbox WHERE sent_us IS NULL")
    assert rows == []


async def test_duplicates_of_the_log_are_skipped_by_position(writer: Writer) -> None:
    """Records before the position, read again after a seek, cost nothing and change nothing."""
    records = writer.put(command("a"), command("b"))
    async with working(writer):
        await until(lambda: writer.next() == 2)
        writer.intake.put_records(records)
        writer.put(command("c"))
        await until(lambda: writer.next() == 3)
    assert writer.tallies() == [("a", 1), ("b", 1), ("c", 1)]
    assert [records for _, records in writer.seen if records] == [2, 1]


def test_a_full_queue_says_so() -> None:
    """At four batches in memory the reader is told to hold."""
    writer = Writer(billing(), batch_max=2)
    writer.put(*[command(f"o{each}") for each in range(7)])
    assert not writer.intake.full
    writer.put(command("o7"))
    assert (writer.intake.full, writer.intake.backlog) == (True, 8)
    writer.intake.drop_records()
    assert (writer.intake.full, writer.intake.backlog) == (False, 0)


class PowerCut(BaseException):
    """Stands for a record that kills the process."""


async def test_a_record_that_killed_the_process_three_times_is_rejected() -> None:
    """After unclean ends records go one by one, each attempt written down before it is decoded."""
    deaths = 0

    def deadly(cmd: AuthorisePayment, rows: Mapping[str, Tally]) -> Answer:
        nonlocal deaths
        if cmd.payment_method == "tok_deadly":
            deaths += 1
            raise PowerCut
        return authorise(cmd, rows)

    member = billing(handlers=(answers(AuthorisePayment, deadly, loads=Tally, by=order_id),))
    for made in (command("a"), command("b", "tok_deadly"), command("c")):
        member.kafka.publish(made)
    records = member.kafka.all(COMMANDS)
    for life in range(1, 6):
        writer = Writer(member)
        writer.positions = writer.intake._positions = Positions()
        if life > 1:
            writer.positions.guard()
        writer.load()
        writer.intake.put_records(records)
        task = asyncio.create_task(writer.intake.run())
        writer.intake.stop()
        try:
            await task
        except PowerCut:
            continue
        break
    assert (life, deaths) == (5, 4)
    assert member.dead("kind, reason, offset") == [("rejected", "killed_process", 1)]
    assert writer.tallies() == [("a", 1), ("c", 1)]
    assert member.store.rows("SELECT offset, tries FROM attempts") == [(2, 1)]


async def test_a_guarded_start_survives_a_store_that_cannot_write(writer: Writer) -> None:
    """Careful mode waits for the database as the ordinary one does, and loses no record."""
    writer.positions = writer.intake._positions = Positions()
    writer.positions.guard()
    writer.load()
    writer.put(command("a"), command("b"))
    writer.member.store.faults = [Unavailable("busy"), None, None, Unavailable("busy")]
    async with working(writer):
        await until(lambda: writer.next() == 2)
    assert writer.tallies() == [("a", 1), ("b", 1)]
    assert writer.member.store.rows("SELECT offset, tries FROM attempts") == [(1, 1)]


async def test_a_guarded_start_answers_between_its_records() -> None:
    """After an unclean end a submitter waits for one record, not for all that are guarded."""
    writer = Writer(billing(handlers=SERVED))
    writer.positions = writer.intake._positions = Positions()
    writer.positions.guard()
    writer.load()
    writer.put(*[command(f"o{each}") for each in range(20)])
    async with working(writer):
        await writer.intake.submit(Ask("a", "r", "x"))
        assert 0 < writer.next() < 3
        writer.intake.put_tick(Tick(0, writer.member.clock.now_us()))
        await until(lambda: not writer.intake._ticks)
        assert writer.next() < 5
        await until(lambda: writer.next() == 20)


async def test_ticks_use_up_no_guard(writer: Writer) -> None:
    """A tick confirms positions and moves none: the records to be careful with are still ahead."""
    writer.positions = writer.intake._positions = Positions()
    writer.positions.guard()
    writer.load()
    async with working(writer):
        for _ in range(GUARDED_RECORDS):
            writer.intake.put_tick(Tick(0, writer.member.clock.now_us()))
            await writer.intake.settled()
        (record,) = writer.put(command("a"))
        assert writer.positions.guarded(record)
        await until(lambda: writer.next() == 1)


async def test_a_guarded_record_costs_two_transactions(writer: Writer) -> None:
    """One notes the attempt and forgets the one before it, one applies the record."""
    writer.positions = writer.intake._positions = Positions()
    writer.positions.guard()
    writer.load()
    writer.put(*[command(f"o{each}") for each in range(GUARDED_RECORDS)])
    before = writer.member.store.runs
    async with working(writer):
        await until(lambda: writer.next() == GUARDED_RECORDS)
    assert writer.member.store.runs - before == 2 * GUARDED_RECORDS
    assert writer.member.store.rows("SELECT offset FROM attempts") == [(GUARDED_RECORDS - 1,)]


async def test_a_guard_ends_after_its_records() -> None:
    """After so many records taken one by one, batches are taken as ever."""
    writer = Writer(billing())
    writer.positions = writer.intake._positions = Positions()
    writer.positions.guard()
    writer.load()
    writer.put(*[command(f"o{each}") for each in range(GUARDED_RECORDS + 10)])
    async with working(writer):
        await until(lambda: writer.next() == GUARDED_RECORDS + 10)
    assert [records for _, records in writer.seen if records] == [1] * GUARDED_RECORDS + [10]


async def test_a_record_whose_dead_letter_cannot_be_written_stops_its_partition(
    writer: Writer,
) -> None:
    """Nothing of that log is skipped, all else goes on; the next assignment tries again."""
    out = command("a")
    writer.member.kafka.append(COMMANDS, b"\xff", b"", out.headers)
    writer.member.kafka.publish(command("b"))
    writer.member.store.write(
        "CREATE TRIGGER stuck BEFORE INSERT ON dead_letters BEGIN SELECT raise(ABORT, 'stuck'); END"
    )
    async with working(writer):
        writer.intake.put_records(writer.member.kafka.all(COMMANDS))
        assert await writer.intake.submit(Ask("c", "r", "x")) == "0"
        await until(lambda: writer.positions.stopped)
        writer.put(command("d"))
        await writer.intake.settled()
        assert (writer.next(), writer.tallies()) == (0, [("c", 1)])
        assert writer.intake.unwritable == ""
        assert writer.positions.deaf == {0}
        assert writer.positions.stopped == {
            PLACE: f"{COMMANDS}[0] stands still at 0, nothing is skipped:"
            " a dead letter cannot be written: stuck"
        }
        writer.member.store.write("DROP TRIGGER stuck")
        writer.load()
        writer.intake.put_records(writer.member.kafka.all(COMMANDS))
        await until(lambda: writer.next() == 3)
    assert writer.member.dead("kind, reason") == [("rejected", "bad_key")]
    assert writer.tallies() == [("b", 1), ("c", 1), ("d", 1)]


async def test_a_batch_whose_partition_went_away_is_read_again(writer: Writer) -> None:
    """Taken away while it could not be written, it is not replayed from a place nobody knows."""
    drive, positions = writer.member.store.drive, writer.positions

    def reassigned(plan: Callable[[], Plan[object]]) -> object:
        writer.member.store.drive = drive  # type: ignore[method-assign]
        positions.generation += 1
        positions.loaded({each: at for each, at in positions.all.items() if each != PLACE})
        return drive(plan)

    writer.member.store.drive = reassigned  # type: ignore[method-assign,assignment]
    writer.put(command("a", "tok_illegal"), command("b"))
    async with working(writer):
        assert await writer.intake.submit(Ask("c", "r", "x")) == "0"
    assert (writer.next(), writer.tallies(), positions.distrusted) == (0, [("c", 1)], True)


async def test_an_observer_that_raises_ends_nothing(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    """What is committed is committed, whatever a counter makes of it; it is said once."""

    def observe(*_: object) -> None:
        raise Broken("meters")

    writer.intake._observe = observe
    async with working(writer):
        for key in "ab":
            assert await writer.intake.submit(Ask(key, "r", "x")) == "0"
    said = [each.message for each in caplog.records]
    assert said == ["an observer of commits raised; what it counts is not complete"]


async def test_a_batch_takes_no_longer_to_read_than_the_loop_may_wait(writer: Writer) -> None:
    """A thousand legal but large records are taken in parts: others have their turn between."""
    admission, clock = writer.member.setting.admission, writer.member.clock
    admit = admission.admit

    def slow(record: Record) -> object:
        clock.move(0.01)
        return admit(record)

    admission.admit = slow  # type: ignore[method-assign,assignment]
    writer.put(*[command(f"o{each}") for each in range(30)])
    async with working(writer):
        await until(lambda: writer.next() == 30)
    assert [records for _, records in writer.seen] == [8, 8, 8, 6]


async def test_while_the_store_cannot_write_a_submitter_hears_so_at_once(writer: Writer) -> None:
    """Nobody joins those who wait for a disk."""
    writer.intake.unwritable = "disk full"
    async with working(writer):
        with pytest.raises(Unavailable, match="disk full"):
            await writer.intake.submit(Ask("a", "r", "x"))
        writer.put(command("b"))
        await until(lambda: writer.next() == 1)
        assert await writer.intake.submit(Ask("a", "r", "x")) == "0"


async def test_a_submitter_waits_no_longer_than_he_was_told(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not begun by then is not begun later."""
    monkeypatch.setattr(intake_module, "_SUBMIT_WITHIN_S", 0.0)
    with pytest.raises(Unavailable, match="send it again under the same id"):
        await writer.intake.submit(Ask("a", "r", "x"))
    monkeypatch.undo()
    async with working(writer):
        assert await writer.intake.submit(Ask("b", "r", "x")) == "0"
    assert writer.tallies() == [("b", 1)]


async def test_no_more_submitters_wait_than_can_be_served(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is told to come again, and a place is free when one is answered."""
    monkeypatch.setattr(intake_module, "SUBMITTED_MAX", 2)
    waiting = [asyncio.ensure_future(writer.intake.submit(Ask(each, "r", "x"))) for each in "ab"]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="2 submissions wait"):
        await writer.intake.submit(Ask("c", "r", "x"))
    async with working(writer):
        await asyncio.gather(*waiting)
        assert await writer.intake.submit(Ask("c", "r", "x")) == "0"


async def test_one_timer_that_cannot_be_written_does_not_stop_the_others(writer: Writer) -> None:
    """A timer whose effect breaks a rule is put off; those behind it fire."""
    from test_transaction import Clockwork, do, wait  # noqa: PLC0415

    works = Clockwork()
    writer.intake._application = works  # type: ignore[assignment]
    for order in "abc":
        works.sets[do(order)] = wait()
        works.sets[f"{order}:t"] = wait("next", 5)
    works.sets["b:t"] = wait("next", 5)._replace(out=[command("x")._replace(value=None)])  # type: ignore[arg-type]
    writer.put(*[command(order) for order in "abc"])
    async with working(writer):
        await until(lambda: writer.next() == 3)
        writer.member.clock.move(10)
        writer.intake.put_tick(Tick(0, writer.member.clock.now_us()))
        await until(lambda: not writer.intake._something())
    rows = writer.member.store.rows(
        "SELECT keys.name, timers.name FROM timers JOIN keys ON keys.id = timers.key ORDER BY 1"
    )
    assert rows == [("a", "next"), ("b", "t"), ("c", "next")]


def test_stores_in_memory_are_the_products() -> None:
    """The store of these tests runs the product's transactions over the product's tables."""
    store = DirectStore()
    assert store.rows("SELECT count(*) FROM migrations WHERE owner = 'chassis'") == [
        (len(list(CHASSIS.glob("*.sql"))),)
    ]
