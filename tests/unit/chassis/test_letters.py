"""What a process tells of its dead letters: metadata, and what a verb would do."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from company import COMMANDS, NOW_US, Member, billing, command
from telling import tell, verbs
from test_redrive import mended, parked

from services.chassis import letters, transaction
from services.chassis.access import Role
from services.chassis.gate import secured
from services.chassis.letters import Letters
from services.chassis.letters_http import letter_routes
from services.chassis.store import Unavailable
from tests.gates import gate_for

TOKEN = "open-sesame"
RAISED = "Broken in the handler of baton.billing.AuthorisePayment"
TYPE = "baton.billing.AuthorisePayment"


async def ask(member: Member[object] | None, path: str) -> httpx.Response:
    told = None
    if member is not None:
        told = Letters(member.store, member.application, member.setting, member.clock)
    with TemporaryDirectory() as folder:
        gate = gate_for(Path(folder), {TOKEN: Role.OPERATOR})
        app = secured(letter_routes("billing", lambda: told), gate)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://billing") as client:
            return await client.get(path, headers={"Authorization": f"Bearer {TOKEN}"})


def dump(member: Member[object]) -> list[str]:
    return list(member.store.connection.iterdump())


def rejecting(member: Member[object]) -> None:
    member.take(member.kafka.append(COMMANDS, b"b", b"{}", command("b").headers))


async def test_parked_keys_and_rejected_records_are_listed() -> None:
    """A line a parked key with its first record, a line a rejected record."""
    member = parked("tok_x")
    rejecting(member)
    entry = {"service": "billing", "topic": COMMANDS, "type": TYPE, "failures": 0}
    held = {
        **entry,
        "kind": "parked",
        "key": "a",
        "reason": "handler_raised",
        "detail": RAISED,
        "since_us": NOW_US,
        "waiting": 2,
        "record": 1,
    }
    wrong = {
        **entry,
        "kind": "rejected",
        "key": "b",
        "reason": "undecodable",
        "detail": "neither Avro single-object nor Confluent framing: 7b7d",
        "since_us": NOW_US,
        "waiting": 0,
        "record": 3,
    }
    assert (await ask(member, "/deadletters")).json() == {"entries": [held, wrong]}
    for query, found in {
        "kind=parked": [held],
        "kind=rejected": [wrong],
        "key=b": [wrong],
        "reason=handler_raised": [held],
        "topic=elsewhere": [],
        f"topic={COMMANDS}&reason=undecodable": [wrong],
        "limit=1": [held, wrong],
    }.items():
        assert (await ask(member, f"/deadletters?{query}")).json() == {"entries": found}, query


@pytest.mark.parametrize("query", ["kind=all", "limit=0", "limit=1001", "limit=x"])
async def test_a_list_that_cannot_be_is_refused(query: str) -> None:
    """With what would be allowed."""
    answer = await ask(billing(), f"/deadletters?{query}")
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "kind, limit: parked or rejected; 1 to 1000",
    )


async def test_a_key_parked_by_hand_is_listed_without_a_record() -> None:
    """Nothing waits yet, and it can be seen all the same."""
    member = billing()
    tell(member, "park")
    (entry,) = (await ask(member, "/deadletters")).json()["entries"]
    assert (entry["key"], entry["reason"], entry["waiting"], entry["record"], entry["topic"]) == (
        "a",
        "operator",
        0,
        None,
        "",
    )


async def test_a_key_is_shown_with_records_and_verbs_and_no_payload() -> None:
    """Position, names of headers, size and digest; who told it what; never a value."""
    member = parked("tok_secret")
    tell(member, "redrive", reason="try", actor="ann")
    answer = await ask(member, "/deadletters/a")
    shown, value = answer.json(), command("a", "tok_broken", step="s0").value
    assert shown["parked"] == {
        "reason": "handler_raised",
        "detail": RAISED,
        "since_us": NOW_US,
    }
    first, second = shown["records"]
    assert first == {
        "record": 1,
        "kind": "parked",
        "state": "open",
        "reason": "handler_raised",
        "detail": RAISED,
        "stage": "handle",
        "topic": COMMANDS,
        "partition": 0,
        "offset": 0,
        "type": TYPE,
        "id": "fulfilment:a/s0/do",
        "source": "orchestrator",
        "operation": "fulfilment:a/s0",
        "written_ms": 1,
        "at_us": NOW_US,
        "bytes": len(value),
        "sha256": hashlib.sha256(value).hexdigest(),
        "headers": [name for name, _ in command("a").headers],
        "failures": 1,
        "release": "1.0",
        "became": "",
        "settled_by": "",
    }
    assert (second["kind"], second["offset"]) == ("follower", 1)
    assert shown["verbs"] == [
        {
            "key": "a",
            "id": "v-1",
            "verb": "redrive",
            "actor": "ann",
            "reason": "try",
            "record": None,
            "result": "failed_again",
            "detail": f"handler_raised: {RAISED}",
            "applied": 0,
            "at_us": NOW_US,
        }
    ]
    assert "tok_secret" not in answer.text
    assert (await ask(member, "/verbs?id=v-1")).json() == {
        "service": "billing",
        **shown["verbs"][0],
    }


async def test_what_is_not_there_is_said() -> None:
    """A key without dead letters, a verb that never came."""
    for path, detail in {
        "/deadletters/z": "billing: z has no dead letters here",
        "/verbs?id=z": "billing: no such verb was taken here",
    }.items():
        answer = await ask(billing(), path)
        assert (answer.status_code, answer.json()["detail"]) == (404, detail)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (
            "verb=redrive",
            ("failed_again", 1, ["applied", f"fails: handler_raised: {RAISED}", "waits"]),
        ),
        (
            "verb=discard",
            ("failed_again", 1, ["discarded", f"fails: handler_raised: {RAISED}", "waits"]),
        ),
        ("verb=park", ("already_parked", 0, ["waits"] * 3)),
        ("verb=redrive&record=1", ("key_is_parked", 0, ["waits"] * 3)),
    ],
)
async def test_a_rehearsal_says_what_would_happen_and_changes_nothing(
    query: str, told: tuple[str, int, list[str]]
) -> None:
    """The whole database is the same afterwards, and the verb then does what was said."""
    member = parked("tok_z", "tok_x")
    mended(member, "tok_z")
    before = dump(member)
    said = (await ask(member, f"/deadletters/a/rehearsal?{query}")).json()
    assert dump(member) == before
    assert (said["result"], said["applied"], [each["would"] for each in said["records"]]) == told
    word, _, record = query.removeprefix("verb=").partition("&record=")
    tell(member, word, record=int(record) if record else None)
    assert verbs(member, "result, detail, applied") == [
        (said["result"], said["detail"], said["applied"])
    ]


async def test_a_rehearsal_says_how_much_of_it_all_it_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It goes no further than one slice."""
    member = parked("tok_z", "tok_x")
    mended(member)
    monkeypatch.setattr(transaction, "REDRIVEN_MAX", 2)
    monkeypatch.setattr(letters, "REHEARSED_MAX", 2)
    said = (await ask(member, "/deadletters/a/rehearsal?verb=redrive")).json()
    assert (said["result"], said["detail"]) == ("going_on", "of 3 records this tells 2")
    assert [each["would"] for each in said["records"]] == ["applied"] * 2


async def test_a_rehearsal_of_what_cannot_be_written_says_so() -> None:
    """A rule of the schema is met only when rows are written: the rehearsal meets it too."""
    member = parked()
    mended(member)
    member.store.write(
        "CREATE TRIGGER t BEFORE INSERT ON tally BEGIN SELECT raise(ABORT, 'no'); END"
    )
    before = dump(member)
    said = (await ask(member, "/deadletters/a/rehearsal?verb=redrive")).json()
    assert said == {
        "service": "billing",
        "result": "failed_again",
        "detail": "constraint: no",
        "records": [],
    }
    assert dump(member) == before


@pytest.mark.parametrize("query", ["", "verb=retry", "verb=redrive&record=x", "verb=park&record=0"])
async def test_a_rehearsal_of_no_verb_is_refused(query: str) -> None:
    """Verbs about sagas have their own place."""
    answer = await ask(billing(), f"/deadletters/a/rehearsal?{query}")
    assert answer.status_code == 422


async def test_until_the_process_has_begun_nothing_is_told() -> None:
    """Nor while the database cannot be read."""
    answer = await ask(None, "/deadletters")
    assert (answer.status_code, answer.json()["detail"]) == (
        503,
        "process: has not begun; /readyz says what it waits for",
    )
    member = billing()

    async def unreadable(*asked: object) -> list[dict[str, object]]:
        await asyncio.sleep(0)
        assert asked
        raise Unavailable("locked")

    member.store.read = unreadable  # type: ignore[method-assign,assignment]
    answer = await ask(member, "/deadletters")
    assert answer.json()["detail"] == "database: locked"
