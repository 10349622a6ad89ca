"""Sagas in words for people at a terminal: glyphs, times, sentences. Knows no server and no form.

A state is never told by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

Object = Mapping[str, object]
GLYPHS = {"completed": "✓", "compensated": "✓", "needs_operator": "✖", "cancelled_early": "…"}
# ISO 4217 currencies whose minor unit is not a hundredth.
_WHOLE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THOUSANDTHS = "BHD IQD JOD KWD LYD OMR TND"
_DECIMALS = dict.fromkeys(_WHOLE.split(), 0) | dict.fromkeys(_THOUSANDTHS.split(), 3)
STUCK_GLYPHS = {"compensation_failed": "✖", "contract": "✖", "orphan_version": "✖"}


class Clock(StrEnum):
    """How times are shown: of day here, as ages, or exactly and in UTC."""

    LOCAL = "local"
    RELATIVE = "relative"
    ISO = "iso"


def state(name: str) -> str:
    """▶ forward, ↩ back, ✓ ended, ✖ a person is needed."""
    glyph = GLYPHS.get(name) or ("↩" if name.startswith("undoing_") else "▶")
    return f"{glyph} {name}"


def reason(name: str) -> str:
    return f"{STUCK_GLYPHS.get(name, '…')} {name}"


def duration(seconds: object) -> str:
    """`4s`, `12m`, `3h05m`, `2d04h`; empty for none."""
    if not isinstance(seconds, int):
        return ""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days}d{hours % 24:02}h"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m" if minutes else f"{seconds}s"


def spell(seconds: int) -> str:
    """`4 s`, `12 min`, `3 h 05 min`, `2 d 4 h`."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60:02} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def brief(seconds: float) -> str:
    """`40 ms`, `2.5 s`, `12 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{round(seconds, 1):g} s" if seconds < 60 else spell(round(seconds))


def money(minor: object, currency: str) -> str:
    """In units of the currency, exactly."""
    decimals = _DECIMALS.get(currency, 2)
    return f"{Decimal(str(minor)).scaleb(-decimals):.{decimals}f} {currency}"


def moment(text: object, *, clock: Clock = Clock.LOCAL, fine: bool = False) -> str:
    """A time of day, with its date when it is not today's; `fine` adds milliseconds."""
    if not isinstance(text, str):
        return ""
    if clock is Clock.ISO:
        return text
    now, at = datetime.now(UTC), datetime.fromisoformat(text)
    if clock is Clock.RELATIVE:
        seconds = round((now - at).total_seconds())
        return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"
    here = at.astimezone()
    shown = f"{here:%H:%M:%S}" + (f".{at.microsecond // 1000:03}" if fine else "")
    return shown if here.date() == now.astimezone().date() else f"{here:%Y-%m-%d} {shown}"


def headline(saga: Object, *, clock: Clock = Clock.LOCAL) -> str:
    """One sentence: who it is, where it stands, and why it waits."""
    words = [
        f"{saga['key']}  {saga['definition']} v{saga['definition_version']}",
        state(str(saga["state"])),
    ]
    if saga["paused"]:
        words.append("‖ paused")
    if saga["reason"]:
        detail = f" ({saga['detail']})" if saga["detail"] else ""
        words.append(f"because of {saga['reason']}{detail}")
    words += [_waiting(each, clock=clock) for each in objects(saga, "waiting")]
    parked = saga.get("parked")
    if isinstance(parked, Mapping):
        since = moment(parked["since"], clock=clock)
        words.append(f"parked since {since}: {parked['reason']}, {parked['detail']}")
    if saga["stuck"]:
        words.append(f"stuck: {saga['stuck']}")
    return "  ".join(words)


def line(entry: Object, *, clock: Clock = Clock.LOCAL) -> str:
    """One line of a journal: when, what came, where it led, what was sent."""
    came = _came(entry)
    before, after = entry["from_state"] or "", entry["to_state"] or ""
    moved = str(after) if before in ("", after) else f"{before} → {after}"
    told = f"  ({entry['result']})" if entry["result"] != "applied" else ""
    sent = "".join(
        f"  → {name} again" if "/" in name else f"  → {name}" for name in strings(entry, "sent")
    )
    return f"{moment(entry['at'], clock=clock, fine=True)}  {came:<38} {moved}{told}{sent}"


def objects(shape: Object, name: str) -> Sequence[Object]:
    found = shape.get(name)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def strings(shape: Object, name: str) -> Sequence[str]:
    found = shape.get(name)
    return [str(each) for each in found] if isinstance(found, list) else []


def _waiting(waiting: Object, *, clock: Clock) -> str:
    awaited = " or ".join(strings(waiting, "answers")) or f"step {waiting['step']}"
    since = moment(waiting["since"], clock=clock)
    until = ""
    if waiting["deadline"]:
        late = waiting["late_s"]
        over = f" ({duration(late)} late)" if isinstance(late, int) and late else ""
        if over and waiting["put_off_to"]:
            until_when = moment(waiting["put_off_to"], clock=clock)
            over += f", put off to {until_when}: the command was not read"
        until = f", deadline {moment(waiting['deadline'], clock=clock)}{over}"
    attempt, tries = waiting["attempt"], waiting["tries"]
    of = f"/{tries}" if isinstance(tries, int) and attempt in range(tries + 1) else ""
    return f"attempt {attempt}{of}  waiting for {awaited} since {since}{until}"


def _came(entry: Object) -> str:
    cause = entry["cause"]
    kind = str(cause["type"]) if isinstance(cause, Mapping) else ""
    what = str(entry["what"])
    if what.startswith("verb_"):
        return f"☞ {what.removeprefix('verb_')} by {entry['actor']}: {entry['detail']}"
    if kind == "timer":
        return f"⏱ {entry['detail'] or entry['step']}"
    return f"← {kind}"
