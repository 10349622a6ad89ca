"""`baton dlq ...` as typed: real transactions of two services behind the console's real routes."""

from __future__ import annotations

import getpass
import json
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from letterbox import Letterbox
from stage import TOKEN, Said, Stage, Terminal

from orchestrator.operate import dlq_work, telling
from services.chassis.bus import ClientLost
from services.chassis.envelope import time_us
from tests.unit.chassis.company import COMMANDS, command

RAISED = "Broken in the handler of baton.billing.AuthorisePayment"
TYPE = "baton.billing.AuthorisePayment"
AT = "2025-11-23T12:13:20+00:00"


@dataclass
class Desk:
    stage: Stage
    box: Letterbox
    terminal: Terminal
    url: str

    def type(self, *words: str) -> Said:
        return self.terminal.type("dlq", *words)

    def rows(self, *words: str) -> list[dict[str, object]]:
        said = self.type(*words, "-o", "json")
        found = json.loads(said.out)
        assert isinstance(found, list), said
        return found

    def results(self, *words: str) -> list[tuple[object, ...]]:
        return [(row["key"], row["result"], row["applied"]) for row in self.rows(*words)]

    def deliver(self, *messages: tuple[str, str, str]) -> None:
        async def do() -> None:
            self.box.deliver(
                *[command(order, method, step=step) for order, method, step in messages]
            )

        self.stage.run(do())


@pytest.fixture
def desk(stage: Stage, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Desk:
    monkeypatch.setattr(telling, "WAIT_S", 0.0)

    async def make() -> Letterbox:
        return Letterbox(tmp_path)

    box = stage.run(make())
    url = stage.serve(box.letters().routes())
    monkeypatch.setenv("BATON_URL", url)
    return Desk(stage, box, terminal, url)


@pytest.fixture
def parked(desk: Desk) -> Desk:
    """Keys a and b behind a handler that raises, a with a follower; c parked in crm by hand."""
    desk.deliver(("a", "tok_broken", "s0"), ("a", "tok_ok", "s1"), ("b", "tok_broken", "s0"))
    assert desk.type("park", "c", "--service", "crm", "--reason", "look").code == 0
    return desk


def test_what_keys_are_told_is_audited(desk: Desk) -> None:
    """Who, whom, why: before it is told, and with what became of it."""
    desk.type("park", "c", "--service", "crm", "--reason", "look")
    desk.type("unpark", "c", "--service", "billing", "--reason", "wrong one")

    async def kept() -> list[tuple[object, ...]]:
        sql = "SELECT actor, action, target, reason, result FROM audit ORDER BY seq"
        return desk.box.kept.rows(sql)

    me = f"local/{getpass.getuser()}"
    assert desk.stage.run(kept()) == [
        (me, "park", "crm c", "look", "asked"),
        (me, "park", "crm c", "look", "applied"),
        (me, "unpark", "billing c", "wrong one", "asked"),
        (me, "unpark", "billing c", "wrong one", "not_parked"),
    ]


def test_the_list_is_a_table_of_every_service(parked: Desk) -> None:
    """Whose, why, what waits first and how much; and what to type next."""
    said = parked.type("list", "--time", "iso")
    lines = [line.split() for line in said.out.splitlines()]
    since = lines[3][-1]
    assert lines == [
        ["SERVICE", "KEY", "KIND", "REASON", "TYPE", "TOPIC", "WAITING", "RECORD", "SINCE"],
        ["billing", "a", "parked", "handler_raised", TYPE, COMMANDS, "2", "1", AT],
        ["billing", "b", "parked", "handler_raised", TYPE, COMMANDS, "1", "3", AT],
        ["crm", "c", "parked", "operator", "0", since],
    ]
    assert (said.code, said.err) == (
        0,
        'next: baton dlq redrive a --service billing --reason "..." --dry-run\n',
    )


@pytest.mark.parametrize(
    ("filters", "keys"),
    [
        (["--service", "crm"], ["c"]),
        (["--topic", COMMANDS], ["a", "b"]),
        (["--reason-code", "operator"], ["c"]),
        (["--kind", "rejected"], []),
        (["-n", "1"], ["a", "c"]),
    ],
)
def test_filters_are_asked_of_the_services(
    parked: Desk, filters: list[str], keys: list[str]
) -> None:
    """Service, topic, reason, kind, and how many of each."""
    assert [row["key"] for row in parked.rows("list", *filters)] == keys


def test_an_empty_list_is_said_and_a_full_one_may_fail(desk: Desk) -> None:
    """As a probe: 1 where anything is parked."""
    said = desk.type("list", "--fail-if-any")
    assert (said.code, said.err) == (0, "nothing is parked, nothing was rejected\n")
    desk.deliver(("a", "tok_broken", "s0"))
    assert desk.type("list", "--fail-if-any").code == 1


def test_a_silent_service_is_named(parked: Desk) -> None:
    """The list of the others is given, and nobody takes it for the whole."""
    parked.box.silent.add("crm")
    said = parked.type("list", "-o", "json")
    assert [row["key"] for row in json.loads(said.out)] == ["a", "b"]
    assert said.err == (
        "✖ crm is not in this list: crm does not answer (ConnectError)\n  → baton logs crm\n"
    )


def test_a_key_is_shown_with_its_records_and_verbs(parked: Desk) -> None:
    """Found where it is parked; one sentence, its records, who told it what and why."""
    parked.type("redrive", "a", "--reason", "try it")
    said = parked.type("show", "a", "--time", "iso")
    head, _, *rows = said.out.splitlines()
    assert head == f"a  billing  ✖ parked since {AT}: handler_raised, {RAISED}"
    assert [row.split()[:5] for row in rows[:2]] == [
        ["1", "open", "parked", "handler_raised", TYPE],
        ["2", "open", "follower", "follower", TYPE],
    ]
    failed = f"failed_again: handler_raised: {RAISED}, 0 applied"
    assert rows[2] == f"  {AT}  ☞ redrive by local/{getpass.getuser()} (try it) → {failed}"
    assert parked.type("show", "c", "--time", "iso").out.startswith("c  crm  ✖ parked since 20")


def test_what_is_nowhere_is_said(parked: Desk) -> None:
    """With the code for it, and where to look."""
    said = parked.type("show", "z")
    assert (said.code, said.err.splitlines()) == (
        3,
        [
            "✖ z is parked nowhere, and no record of it was rejected",
            "  → baton dlq list   (what was settled: name its --service)",
        ],
    )
    said = parked.type("show", "a", "--service", "accounts")
    assert (said.code, said.err) == (
        3,
        "✖ dead letters: no process accounts; known are billing, crm\n",
    )


def test_a_discard_frees_the_key(parked: Desk) -> None:
    """The row says how many wait no more; a repeated list is shorter."""
    said = parked.type("discard", "a", "--reason", "a test order", "-o", "json")
    assert json.loads(said.out) == [
        {
            "service": "billing",
            "key": "a",
            "verb": "discard",
            "applied": 2,
            "detail": "",
            "result": "applied",
        }
    ]
    assert (said.code, said.err) == (0, "1/1 a: applied\n")
    assert [row["key"] for row in parked.rows("list")] == ["b", "c"]


def test_a_dry_run_tells_and_changes_nothing(parked: Desk) -> None:
    """What each record would become; the verb is not sent."""
    before = parked.rows("list")
    sent = len(parked.box.sent)
    said = parked.type("discard", "a", "--reason", "try", "--dry-run", "-o", "json")
    told = [(row["record"], row["result"], row["would"]) for row in json.loads(said.out)]
    assert told == [(1, "applied", "discarded"), (2, "applied", "applied")]
    assert (said.code, said.err) == (0, "nothing was changed\n")
    assert (parked.rows("list"), len(parked.box.sent)) == (before, sent)


def test_a_refused_verb_says_why(parked: Desk) -> None:
    """Its own code, and the reason by name."""
    said = parked.type("discard", "c", "--reason", "empty")
    assert said.code == 6
    assert said.err == "1/1 c: crm c: nothing_waits\n"
    failed = parked.type("redrive", "b", "--reason", "try")
    assert failed.code == 6
    assert failed.err == f"1/1 b: billing b: failed_again: handler_raised: {RAISED}\n"


def test_three_failures_alike_need_force(parked: Desk) -> None:
    """The guard is said, and --force passes it."""
    for _ in range(3):
        parked.type("redrive", "b", "--reason", "try")
    refused = parked.type("redrive", "b", "--reason", "try")
    assert refused.err == "1/1 b: billing b: failed_before: 3 tries under 1.0 failed alike\n"
    forced = parked.type("redrive", "b", "--reason", "try", "--force")
    assert "failed_again" in forced.err


def test_all_that_match_are_told_and_one_that_fails_stops_nobody(parked: Desk) -> None:
    """Each has its own result and progress; the code says that not all went well."""
    said = parked.type(
        "unpark", "--reason", "release day", "--reason-code", "operator", "-o", "json"
    )
    assert (said.code, json.loads(said.out)[0]["result"]) == (0, "applied")
    parked.type("park", "c", "--service", "crm", "--reason", "again")
    said = parked.type("unpark", "--reason", "release day", "--service", "billing", "--yes")
    assert said.code == 4
    assert said.err.splitlines() == [
        f"{at}/2 {key}: billing {key}: failed_again: handler_raised: {RAISED}"
        for at, key in ((1, "a"), (2, "b"))
    ]


def test_many_are_not_told_unasked(parked: Desk) -> None:
    """Nobody can be asked here: the dry run and --yes are named, and nothing is sent."""
    sent = len(parked.box.sent)
    said = parked.type("discard", "--service", "billing", "--reason", "all")
    assert (said.code, said.err) == (2, "✖ 2 keys match\n  → --dry-run, then --yes\n")
    said = parked.type("discard", "--reason", "all")
    assert (said.code, said.err) == (
        2,
        "✖ discard whom?\n  → name a key, or --service, --topic or --reason-code\n",
    )
    said = parked.type("discard", "a", "--reason", " ")
    assert (said.code, said.err) == (2, "✖ --reason is empty\n  → say why; it is kept\n")
    assert parked.type("discard", "a").code == 2
    assert len(parked.box.sent) == sent


def test_a_key_parked_in_two_services_is_told_in_one(parked: Desk) -> None:
    """Which one has to be said."""
    parked.type("park", "a", "--service", "crm", "--reason", "look")
    said = parked.type("unpark", "a", "--reason", "ok")
    assert (said.code, said.err) == (2, "✖ a waits in billing, crm\n  → say which: --service\n")
    assert parked.results("unpark", "a", "--service", "crm", "--reason", "ok") == [
        ("a", "applied", 0)
    ]


def test_nothing_is_queued_when_kafka_is_away(parked: Desk) -> None:
    """503 becomes its code; the key is as it was."""
    parked.box.broken = ClientLost("no broker")
    said = parked.type("discard", "a", "--reason", "x")
    assert (said.code, said.err) == (7, "1/1 a: kafka: nothing was told: no broker\n")
    parked.box.broken = None
    assert [row["key"] for row in parked.rows("list", "--service", "billing")] == ["a", "b"]


def test_a_verb_that_nobody_takes_in_time_is_not_done(
    parked: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Followed for a while, then 5: it is taken later, or expires."""
    monkeypatch.setattr(dlq_work, "FOLLOWED_S", 0.0)
    parked.box.asleep = True
    said = parked.type("discard", "a", "--reason", "x", "-o", "json")
    assert (said.code, json.loads(said.out)[0]["result"]) == (5, "not_taken")


def post(desk: Desk, key: str = "a", **changes: object) -> httpx.Response:
    body = {"verb": "discard", "reason": "x", "actor": "ann", **changes}
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "k-1"}
    url = f"{desk.url}/api/deadletters/billing/{key}"
    return httpx.post(url, json=body, headers=headers, trust_env=False)


def test_a_verb_is_done_once_under_one_key_and_expires(parked: Desk) -> None:
    """The same request again gives the same result; the message carries its own end."""
    first, second = post(parked), post(parked)
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert (first.json()["id"], first.json()["actor"]) == ("console/k-1", "local/ann")
    headers = {name: value.decode() for name, value in parked.box.sent[-1].headers}
    age_us = time_us(headers["ce_expirytime"], 0) - time_us(headers["ce_time"], 0)
    assert age_us == telling.EXPIRES_US
    assert headers["ce_source"] == "console"


def test_a_verb_not_taken_yet_says_where_to_look(parked: Desk) -> None:
    """202 with a place; there it is found once it was taken."""
    parked.box.asleep = True
    answer = post(parked)
    place = "/api/verbs/billing/k-1"
    assert (answer.status_code, answer.headers["Location"]) == (202, place)
    assert answer.json() == {
        "service": "billing",
        "key": "a",
        "result": "not_taken",
        "id": "k-1",
        "look": place,
    }
    parked.box.asleep = False
    post(parked)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    taken = httpx.get(f"{parked.url}{place}", headers=headers, trust_env=False)
    assert (taken.status_code, taken.json()["result"]) == (200, "applied")


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        (
            {"verb": "retry"},
            "request: verb: Input should be 'park', 'unpark', 'redrive' or 'discard'",
        ),
        ({"reason": ""}, "request: reason: String should have at least 1 character"),
        ({"payload": 1}, "request: payload: Extra inputs are not permitted"),
    ],
)
def test_a_body_that_is_no_verb_is_refused(
    parked: Desk, changes: dict[str, object], detail: str
) -> None:
    """With the field and what it may be."""
    answer = post(parked, **changes)
    assert (answer.status_code, answer.json()["detail"]) == (422, detail)


def test_what_has_no_id_for_its_key_can_only_be_read(parked: Desk) -> None:
    """No verb can travel under it: said before it is rehearsed or told."""
    answer = post(parked, "odd%20key")
    dry = parked.type("discard", "odd key", "--service", "billing", "--reason", "x", "--dry-run")
    told = (
        "request: the key 'odd key' can only be read: verbs travel under ids of"
        " [A-Za-z0-9._-]{1,64}; publish the record anew under a valid key"
    )

    assert (answer.status_code, answer.json()["detail"]) == (422, told)
    assert (dry.code, dry.err) == (2, f"✖ {told}\n")
    assert [out.key for out in parked.box.sent] == ["c"]


def test_more_than_are_told_at_once_are_spoken_of(
    parked: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that is full may not be whole."""
    whole = parked.type("discard", "--service", "billing", "--reason", "x", "--dry-run")
    monkeypatch.setattr(dlq_work, "MATCHING_MAX", 1)
    cut = parked.type("discard", "--service", "billing", "--reason", "x", "--dry-run")

    told = "1 of a process are taken at once: then look for more\n"
    assert (told in whole.err, told in cut.err) == (False, True)
