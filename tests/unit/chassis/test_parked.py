"""What an operator may tell a key: every verb in every standing, and why not."""

from __future__ import annotations

from itertools import product

import pytest

from services.chassis.parked import (
    FAILURES_MAX,
    Asked,
    Decided,
    First,
    Letter,
    Result,
    Standing,
    Verb,
    decide,
)

NOW, BEFORE = "2.0", "1.0"
FIRST = First(7, "handle", 0, "")
TIRED = First(7, "handle", FAILURES_MAX, NOW)
HEADS = {
    "nothing waits": None,
    "fresh": FIRST,
    "tried twice": FIRST._replace(failures=FAILURES_MAX - 1, release=NOW),
    "tried in vain": TIRED,
    "tried in vain by another release": TIRED._replace(release=BEFORE),
    "a gateway's result": FIRST._replace(stage="record"),
}
GO_ON = Decided(Result.GOING_ON)
VAIN = Decided(Result.FAILED_BEFORE, "3 tries under 2.0 failed alike")
DROPPED = Decided(Result.GOING_ON, discards=7)
ON_PARKED = {
    Verb.PARK: dict.fromkeys(HEADS, Decided(Result.ALREADY_PARKED)),
    Verb.UNPARK: {**dict.fromkeys(HEADS, GO_ON), "tried in vain": VAIN},
    Verb.REDRIVE: {**dict.fromkeys(HEADS, GO_ON), "tried in vain": VAIN},
    Verb.DISCARD: {
        **dict.fromkeys(HEADS, DROPPED),
        "nothing waits": Decided(Result.NOTHING_WAITS),
        "a gateway's result": Decided(Result.GATEWAY_RESULT),
    },
}
REJECTED = Letter(9, "undecodable", "decode", "rejected", "")
LETTERS = {
    "unknown": (None, Decided(Result.UNKNOWN_RECORD)),
    "waits": (REJECTED._replace(state="open"), Decided(Result.NOT_REJECTED, "open")),
    "redriven": (REJECTED._replace(state="redriven"), Decided(Result.NOT_REJECTED, "redriven")),
    "understood and refused": (
        REJECTED._replace(stage="handle", reason="conflicting_start"),
        Decided(Result.DECIDED, "conflicting_start"),
    ),
    "still unreadable": (
        REJECTED._replace(refusal="undecodable: cut"),
        Decided(Result.STILL_REFUSED, "undecodable: cut"),
    ),
    "a killer": (
        REJECTED._replace(reason="killed_process"),
        Decided(Result.FAILED_BEFORE, "killed_process"),
    ),
    "readable now": (REJECTED, Decided(Result.GOING_ON, parks=True, reopens=9)),
}


@pytest.mark.parametrize(("verb", "head"), list(product(Verb, HEADS)))
def test_every_verb_on_a_parked_key(verb: Verb, head: str) -> None:
    """By what waits first: it goes on, it is given up, or the refusal has a name."""
    standing = Standing(parked=True, going_on=False, first=HEADS[head])
    assert decide(Asked(verb, "mended"), standing, NOW) == ON_PARKED[verb][head]


@pytest.mark.parametrize(("verb", "head"), list(product(Verb, HEADS)))
def test_every_verb_on_a_key_that_is_not_parked(verb: Verb, head: str) -> None:
    """It may be parked by hand, and nothing else."""
    standing = Standing(parked=False, going_on=False, first=HEADS[head])
    expected = Decided(Result.NOT_PARKED)
    if verb is Verb.PARK:
        expected = Decided(Result.APPLIED, parks=True)
    assert decide(Asked(verb, "looked at it"), standing, NOW) == expected


@pytest.mark.parametrize("verb", [Verb.UNPARK, Verb.REDRIVE])
def test_force_tries_once_more_what_was_tried_in_vain(verb: Verb) -> None:
    """The guard is against loops, not against a person who insists."""
    standing = Standing(parked=True, going_on=False, first=TIRED)
    assert decide(Asked(verb, "the disk is back", force=True), standing, NOW) == GO_ON


@pytest.mark.parametrize(("verb", "letter", "parked"), list(product(Verb, LETTERS, (True, False))))
def test_one_record_by_its_number(verb: Verb, letter: str, parked: bool) -> None:  # noqa: FBT001
    """Only a redrive names one, only of a free key, and only one that this release can read."""
    found, expected = LETTERS[letter]
    asked, standing = Asked(verb, "a new release", record=9), Standing(parked, False, FIRST, found)
    if verb is Verb.PARK:
        expected = Decided(Result.ALREADY_PARKED if parked else Result.APPLIED, parks=not parked)
    elif parked:
        expected = Decided(Result.KEY_IS_PARKED)
    elif verb is not Verb.REDRIVE:
        expected = Decided(Result.UNKNOWN_RECORD)
    assert decide(asked, standing, NOW) == expected


def test_a_killer_is_tried_again_by_force() -> None:
    """Who knows that the release was mended says so."""
    asked = Asked(Verb.REDRIVE, "mended", record=9, force=True)
    killer = REJECTED._replace(reason="killed_process")
    decided = decide(asked, Standing(False, False, None, killer), NOW)
    assert decided == Decided(Result.GOING_ON, parks=True, reopens=9)


@pytest.mark.parametrize(
    ("verb", "parked", "force"), list(product(Verb, (True, False), (True, False)))
)
def test_what_no_standing_permits(verb: Verb, parked: bool, force: bool) -> None:  # noqa: FBT001
    """Too late, without a reason, or while another verb goes on: whatever stands there."""
    standing = Standing(parked, False, FIRST)
    late = Asked(verb, "slow", expired=True, force=force)
    assert decide(late, standing, NOW) == Decided(Result.EXPIRED)
    assert decide(Asked(verb, " \n", force=force), standing, NOW) == Decided(Result.NO_REASON)
    busy = standing._replace(going_on=True)
    assert decide(Asked(verb, "again", force=force), busy, NOW) == Decided(Result.BUSY)
