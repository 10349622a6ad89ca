"""The newest records of a topic as lines of its page. Pure.

What is personal is masked for who may not see it, and only what is shown is searched, so that a
filter tells nothing that the page does not. Every text is cut: whoever writes a record may make it
long. A record that cannot be read is a line like another.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from statistics import median
from typing import Final

from orchestrator.operate.outside import Seen, seen
from orchestrator.operate.pages.view import Context, Question
from orchestrator.operate.tailing import Kept, Look
from schemas.catalogue import load_catalogue
from schemas.releases import releases
from services.chassis.codec import Codec
from services.chassis.envelope import timestamp

LINES: Final = (20, 50)
BODY_CHARS, NAME_CHARS, WHOLE_CHARS = 240, 80, 6_000
_QUIET_S, _QUIET_GAPS = 60.0, 10


def tail_of(look: Look, asked: Question, now_us: int) -> Context:
    shown = [_seen(each, may_see=asked.personal) for each in look.kept]
    shown.sort(key=lambda each: (each.at, each.partition, each.offset), reverse=True)
    key, text, lines = asked.get("key"), asked.get("text"), lines_of(asked.get("lines"))
    found = [each for each in shown if key in ("", each.key) and text.lower() in _text(each)]
    times = [round(each.at.timestamp() * 1000) for each in shown]
    return {
        "key": key,
        "text": text,
        "lines": lines,
        "choices": LINES,
        "rows": [_row(each) for each in found[:lines]],
        "found": len(found),
        "looked_at": len(shown),
        "whole": next((_whole(each) for each in found if each.body is not None), None),
        "gap": gap(times, now_us // 1000),
        "fault": look.fault,
        "as_of": timestamp(look.as_of_us) if look.as_of_us else None,
        "masked": not asked.personal,
    }


def lines_of(text: str) -> int:
    return next((each for each in LINES if str(each) == text), LINES[0])


def gap(times_ms: Sequence[int], now_ms: int) -> Context | None:
    """How long nothing has come, how long that is as a rule, and whether it is too long."""
    if not times_ms:
        return None
    newest_first = sorted(times_ms, reverse=True)
    since_s = max(0, now_ms - newest_first[0]) / 1000
    between = [(new - old) / 1000 for new, old in pairwise(newest_first)]
    usual_s = median(between) if between else None
    quiet = usual_s is not None and since_s > max(_QUIET_S, _QUIET_GAPS * usual_s)
    return {"since_s": since_s, "usual_s": usual_s, "quiet": quiet}


def _seen(kept: Kept, *, may_see: bool) -> Seen:
    """Read once for all who look."""
    if may_see not in kept.shown:
        kept.shown[may_see] = seen(kept.record, load_catalogue(), _codec(), may_see=may_see)
    return kept.shown[may_see]


@cache
def _codec() -> Codec:
    return Codec(load_catalogue(), [each.schema for each in releases()])


def _text(record: Seen) -> str:
    return f"{record.type} {record.key} {record.id} {record.source} {_said(record)}".lower()


def _said(record: Seen) -> str:
    if record.body is None:
        return record.unreadable
    return json.dumps(record.body, ensure_ascii=False)


def _row(record: Seen) -> Context:
    name = record.type.rpartition(".")[2]
    return {
        "at": record.at.isoformat(timespec="milliseconds"),
        "day": f"{record.at:%Y-%m-%d}",
        "time": f"{record.at:%H:%M:%S}.{record.at.microsecond // 1000:03}",
        "place": f"{record.partition}/{record.offset}",
        "id": f"r{record.partition}-{record.offset}",
        "type": cut(name, NAME_CHARS) or "no type",
        "key": cut(record.key, NAME_CHARS),
        "source": cut(record.source, NAME_CHARS),
        "said": cut(_said(record), BODY_CHARS),
        "readable": record.body is not None,
    }


def _whole(record: Seen) -> Context:
    told = {**record.as_row(), "body": record.body}
    return {
        **_row(record),
        "json": cut(json.dumps(told, indent=2, ensure_ascii=False), WHOLE_CHARS),
    }


def cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[:chars]}…"
