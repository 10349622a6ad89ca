"""One saga: where it stands and why it waits, and its story told five ways.

What is shown is what the API says of it, and its journal; data and payloads are never read. The
newest lines stand on the first page, older ones behind `Older lines`, so that no history is cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson
from markupsafe import Markup

from orchestrator.engine.machine import Verb
from orchestrator.operate.flowing import Traffic, flow_of
from orchestrator.operate.pages.rendering import words
from orchestrator.operate.pages.view import Context, NoPage, Question, View
from orchestrator.operate.reading import Reading
from orchestrator.operate.retelling import bars as bars_of
from orchestrator.operate.retelling import clock_skew, compared, conversation
from orchestrator.operate.sagas import SagaView
from orchestrator.operate.shapes import Shape, of_line, of_whole_saga
from orchestrator.operate.story import Moment, story
from orchestrator.operate.svg.flow import draw_flow
from orchestrator.operate.svg.sequence import draw_sequence
from orchestrator.operate.svg.timeline import Bar, draw_timeline
from orchestrator.operate.wording import objects, strings
from orchestrator.saga import Saga
from services.chassis.settings import Settings

LINES: Final = 100
DAYS: Final = Settings.model_fields["journal_days"].default
TABS: Final = ("story", "timeline", "sequence", "state", "raw")
_LAST: Final = 1 << 62


def saga_view(reading: Reading) -> View:
    async def context(asked: Question) -> Context:
        found = await reading.find(asked.get("name"))
        if not found:
            raise await unknown(reading, asked.get("name"))
        saga, now_us = found[0], reading.now_us()
        before = asked.get("before")
        upto = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else _LAST
        rows = await reading.journal_before(saga, upto, LINES)
        lines = [of_line(row) for row in rows]
        shape = of_whole_saga(saga, reading.views, now_us)
        definition = reading.views.definition(saga)
        moments = story(lines, definition, saga.timers)
        tab = asked.get("tab", TABS[0])
        usual = await reading.usual() if tab == "timeline" else {}
        own_bars = list(bars_of(moments, saga, definition, usual))
        return {
            "title": f"{saga.key} · {saga.definition}",
            "saga": shape,
            "why": why(shape),
            "tab": tab if tab in TABS else TABS[0],
            "tabs": TABS,
            "verbs": () if saga.finished else tuple(verb.value for verb in Verb),
            "moments": moments,
            "older": moments[0].seq if len(moments) == LINES else None,
            "newest": upto == _LAST,
            "skew": clock_skew(moments),
            "usual": any(each.usual_us for each in own_bars),
            "others": [each.saga_id for each in found[1:]],
            "raw": raw(shape, lines),
            "picture": picture_of(tab, saga, definition, moments, bars=own_bars, now_us=now_us),
            "other": asked.get("with"),
            "compared": await beside(reading, asked.get("with"), own_bars),
        }

    return View("saga", "/sagas/{name}", "Saga", context, ("head", "body"))


def picture_of(
    tab: str,
    saga: SagaView,
    definition: Saga[object] | None,
    moments: Sequence[Moment],
    *,
    bars: Sequence[Bar],
    now_us: int,
) -> Markup:
    """Of the tab, if it has one and there is something to draw."""
    drawn = ""
    if tab == "timeline" and moments:
        start_us, until_us = moments[0].at_us, saga.updated_us if saga.finished else now_us
        drawn = draw_timeline(f"Timeline of {saga.key}", bars, start_us, until_us)
    elif tab == "sequence" and moments:
        names, said = conversation(moments)
        drawn = draw_sequence(f"Who said what about {saga.key}", names, said)
    elif tab == "state" and definition is not None:
        drawn = draw_flow(flow_of(definition, Traffic(here=saga.state)))
    return Markup(drawn)  # noqa: S704  every module of `svg` escapes what it is given


async def beside(
    reading: Reading, name: str, ours: Sequence[Bar]
) -> Sequence[Mapping[str, str]] | None:
    """Against the saga of that name, if one is named."""
    if not name:
        return None
    found = await reading.find(name)
    if not found:
        raise await unknown(reading, name)
    lines = [of_line(row) for row in await reading.journal_before(found[0], _LAST, LINES)]
    definition = reading.views.definition(found[0])
    moments = story(lines, definition, found[0].timers)
    return compared(ours, list(bars_of(moments, found[0], definition)))


def why(saga: Mapping[str, object]) -> list[str]:
    """Sentences: what it waits for, or that it waits for nothing any more."""
    parked = saga["parked"]
    said = [_waits(each) for each in objects(saga, "waiting")]
    if saga["attention"]:
        said.append(f"an operator is needed: {words(str(saga['attention']))}")
    if isinstance(parked, Mapping):
        since = clock(parked["since"])
        said.append(f"parked since {since}: {words(parked['reason'])}, {parked['detail']}")
    if saga["paused"]:
        said.append("paused: replies are applied, nothing is sent until it is resumed")
    if said:
        return said
    if saga["phase"] in ("completed", "compensated"):
        reason = f" because of {_because(saga)}" if saga["reason"] else ""
        return [f"ended {saga['phase']} at {clock(saga['updated'])}{reason}"]
    return ["waits for nothing that has a deadline"]


def clock(iso: object) -> str:
    """`14:02:11`; pages say once that times are UTC."""
    return str(iso)[11:19]


def _because(saga: Mapping[str, object]) -> str:
    detail = f" ({saga['detail']})" if saga["detail"] else ""
    return f"{words(str(saga['reason']))}{detail}"


def _waits(waiting: Mapping[str, object]) -> str:
    awaited = " or ".join(strings(waiting, "answers")) or f"step {waiting['step']}"
    attempt, tries = waiting["attempt"], waiting["tries"]
    of = f"/{tries}" if isinstance(tries, int) and attempt in range(tries + 1) else ""
    until = f", deadline {clock(waiting['deadline'])}" if waiting["deadline"] else ", held"
    late = waiting["late_s"]
    over = f" ({late} s late)" if isinstance(late, int) and late else ""
    if over and waiting["put_off_to"]:
        over += f", put off to {clock(waiting['put_off_to'])}: the command was not read"
    since = clock(waiting["since"])
    return f"waiting for {awaited} since {since}{until}{over}, attempt {attempt}{of}"


async def unknown(reading: Reading, name: str) -> NoPage:
    near = await reading.near(name)
    links = {each: f"/sagas/{each}" for each in near}
    also = " Keys that begin alike:" if near else ""
    return NoPage(
        "No such saga",
        f"No saga {name} is known here. Older than retention? What has ended is forgotten after"
        f" BATON_JOURNAL_DAYS, {DAYS} days unless set.{also}",
        links={**links, "all sagas": "/sagas"},
    )


def raw(saga: Shape, lines: Sequence[Shape]) -> str:
    """A line of the history a line of the text: so many stand on a page."""
    told = orjson.dumps(saga, option=orjson.OPT_INDENT_2).decode().removesuffix("\n}")
    history = ",\n    ".join(orjson.dumps(line).decode() for line in lines)
    return f'{told},\n  "history": [\n    {history}\n  ]\n}}'
