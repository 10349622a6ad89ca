"""The inbox: what is stuck, grouped by why, where and on whom, and the members of one group.

A group's name stands in the address, so that a link shows a colleague the same; its members are
paged oldest first by where they stand, so that one which leaves moves no page. What is done about
them is done by `act`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestrator.engine.machine import Verb
from orchestrator.operate.filters import parse
from orchestrator.operate.pages.view import Context, Question, View
from orchestrator.operate.reading import Reading
from orchestrator.operate.shapes import of_member, of_stuck
from orchestrator.operate.stuck import Group, Member

MEMBERS_PAGE: Final = 100
OFFERED: Final = (Verb.RETRY, Verb.COMPENSATE, Verb.RESUME, Verb.ASSIGN, Verb.NOTE)
# What is likely to help; dead letters are helped elsewhere, and a release not from here.
HELPS: Final = {"paused": Verb.RESUME, "contract": Verb.NOTE, "orphan_version": Verb.NOTE}


def stuck_view(reading: Reading) -> View:
    async def context(asked: Question) -> Context:
        text, now_us = asked.get("query"), reading.now_us()
        found = await reading.stuck(parse(text))
        named = {name_of(group): group for group in found.groups}
        shape = of_stuck(found, now_us, members=1)
        shown = shape["groups"]
        assert isinstance(shown, list)
        for name, each in zip(named, shown, strict=True):
            each["name"] = name
        chosen = asked.get("group")
        return {
            "text": text,
            **shape,
            "chosen": chosen,
            "offered": OFFERED,
            "group": _group(named[chosen], asked.get("after"), now_us) if chosen in named else None,
        }

    return View("stuck", "/stuck", "Stuck sagas", context, ("groups", "members"))


def name_of(group: Group) -> str:
    return ":".join(group.place)


def _group(group: Group, after: str, now_us: int) -> Context:
    """One group with a page of its members."""
    left = [each for each in group.members if place_of(each) > _place(after)]
    page = left[:MEMBERS_PAGE]
    return {
        "name": name_of(group),
        "count": len(group.members),
        "shown": [of_member(each, now_us) for each in page],
        "before": len(group.members) - len(left),
        "after": _after(page) if len(left) > len(page) else None,
        "query": group.query,
        "helps": HELPS.get(group.reason, Verb.RETRY),
        "parked": group.reason == "contract",
    }


def place_of(member: Member) -> tuple[int, str]:
    return member.since_us, member.key


def _after(page: Sequence[Member]) -> str:
    since_us, key = place_of(page[-1])
    return f"{since_us}-{key}"


def _place(after: str) -> tuple[int, str]:
    """Nothing that can be read is the beginning."""
    since, _, key = after.partition("-")
    return (int(since), key) if since.isascii() and since.isdigit() and key else (-1, "")
