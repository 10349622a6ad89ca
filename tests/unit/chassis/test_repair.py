"""What is done to a stopped database: said again in order, read on, found out to be older."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Self

import pytest
from company import COMMANDS, REPLIES, Kafka, Member, billing, command

from services.chassis import repair, startup
from services.chassis.messages import TopicPartition
from services.chassis.repair import Author, Chosen
from services.chassis.startup import DatabaseOlder, known_positions, refuse_older, stand_back
from services.chassis.store import Write

PLACE = TopicPartition(COMMANDS, 0)


def spoken() -> Member[object]:
    """Six replies of three orders, all sent, the clock a minute further at each."""
    member = billing(Kafka())
    for at in (1, 2):
        for order in ("a", "b", "c"):
            member.take(member.kafka.publish(command(f"o-{order}{at}")))
            member.clock.move(60)
            member.relay()
    member.store.write("INSERT INTO meta (name, value) VALUES ('partitions', '4')")
    return member


def said_again(member: Member[object], chosen: Chosen) -> tuple[Counter[str], list[str]]:
    found, after, more = Counter[str](), 0, True
    while more:
        some, after = member.store.drive(partial(repair.say_again, chosen, after))
        found += some
        more = after > 0
    member.start()
    return found, [out.key for _, out in member.unsent]


def test_what_was_said_is_said_again_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same ids, keys and bytes, and before anything newer; in slices of two as well."""
    monkeypatch.setattr(repair, "SLICE", 2)
    member = spoken()
    before = member.kafka.all(REPLIES)
    found, keys = said_again(member, Chosen(REPLIES))
    member.take(member.kafka.publish(command("o-new")))

    assert found == Counter({REPLIES: 6})
    assert keys == ["o-a1", "o-b1", "o-c1", "o-a2", "o-b2", "o-c2"]
    again = member.relay()
    assert [(r.key, r.value, r.headers) for r in again[:6]] == [
        (r.key, r.value, r.headers) for r in before
    ]
    assert again[6].key == b"o-new"


def test_a_moment_a_partition_and_a_topic_choose() -> None:
    """Only what was sent since; only keys of that partition; nothing of another topic."""
    member = spoken()
    rows = member.store.rows("SELECT sent_us FROM outbox ORDER BY seq")
    since = int(str(rows[4][0]))
    assert said_again(spoken(), Chosen("", None, since))[1] == ["o-b2", "o-c2"]
    by_partition = [said_again(spoken(), Chosen(REPLIES, each))[1] for each in range(4)]

    assert sorted(key for keys in by_partition for key in keys) == sorted(
        str(key) for (key,) in member.store.rows("SELECT record_key FROM outbox")
    )
    assert max(len(keys) for keys in by_partition) < 6
    assert said_again(spoken(), Chosen("crm.replies.v1")) == (Counter(), [])


def test_a_position_is_moved_only_from_where_it_is_believed() -> None:
    """And that Kafka knows the later one does not make the database an older copy."""
    member = spoken()
    member.store.drive(lambda: repair.accept(PLACE, 6, 0))
    author = Author("ada", "records deleted", 7)
    member.store.drive(lambda: repair.record("accept", "6 to 0", author))

    assert member.store.rows(f"SELECT next FROM offsets WHERE topic = '{COMMANDS}'") == [(0,)]
    assert member.store.drive(known_positions)[PLACE] == 6
    assert member.store.rows("SELECT at_us, what, detail, actor, reason FROM repairs") == [
        (7, "accept", "6 to 0", "ada", "records deleted")
    ]


class Told:
    """Kafka's word of how far the group has read."""

    def __init__(self, bootstrap: str) -> None:
        assert bootstrap == "k:1"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        assert group == "baton.billing"
        return {PLACE: 9}


async def test_a_database_behind_its_own_work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole words with what to type; once it stood back knowingly, or has caught up, no more."""
    monkeypatch.setattr(startup, "Admin", Told)
    member = spoken()
    with pytest.raises(DatabaseOlder) as refused:
        await refuse_older("k:1", "billing", member.store, lambda *_: None)  # type: ignore[arg-type]
    assert str(refused.value) == (
        "this database of billing is older than its work: billing.payment.commands.v1[0] was read"
        " up to 9, it knows 6 (1 partitions so). Was it restored from a copy? Then type: baton"
        " restore --service billing --reason WHY   (deploy/RUNBOOK.md)"
    )
    caught_up = spoken()

    def catch_up():  # type: ignore[no-untyped-def]  # noqa: ANN202
        yield Write(repair.SQL["offsets.accept"], [(9, *PLACE, 6)], expect=1)

    caught_up.store.drive(catch_up)
    assert await refuse_older("k:1", "billing", caught_up.store, lambda *_: None)  # type: ignore[arg-type]
    member.store.drive(lambda: stand_back({PLACE: 9}))
    assert await refuse_older("k:1", "billing", member.store, lambda *_: None)  # type: ignore[arg-type]


def test_when_it_last_spoke() -> None:
    """0 where it never did."""
    member = spoken()
    last = member.store.rows("SELECT made_us FROM outbox ORDER BY seq DESC LIMIT 1")

    assert [(member.store.drive(repair.last_said_us),)] == last
    assert billing(Kafka()).store.drive(repair.last_said_us) == 0
