"""Pictures of sagas: every definition as it was once looked at, and what holds of any picture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from test_pages import HOSTILE

from orchestrator.engine.draw import edges
from orchestrator.operate.flowing import FIRST, Traffic, flow_of
from orchestrator.operate.pictures import draw
from orchestrator.operate.svg.flow import SMALL, WHOLE, FlowBox, Size, draw_flow, placed, standalone
from orchestrator.operate.svg.sequence import Said, draw_sequence
from orchestrator.operate.svg.timeline import (
    DUE,
    FIRED,
    NEEDLESS,
    Bar,
    Clocked,
    draw_timeline,
)
from orchestrator.saga import Compensatable, Pivot, Retriable, Saga, hours, minutes
from orchestrator.sagas import SAGAS
from orchestrator.sagas.fulfilment import (
    FULFILMENT,
    capture_payment,
    dispatch_shipment,
    release_stock,
    reserve_stock,
)

GOLDEN = Path(__file__).parent / "pictures"
S = 1_000_000


def made(name: str, *steps: object) -> Saga[object]:
    """A definition with the fulfilment's events and these steps."""
    given = FULFILMENT
    return Saga(
        name,
        version=1,
        starts_on=given.starts_on,
        key=given.key,
        data=given.data,
        steps=list(steps),  # type: ignore[arg-type]
        completed=given.completed,
        compensated=given.compensated,
        attention=given.attention,
    )


def stock(name: str) -> object:
    return Compensatable(name, reserve_stock, undo=release_stock, within=minutes(1))


DRAWN: dict[str, Saga[object]] = {
    **{saga.name: saga for saga in SAGAS},
    "long_names": made("long", *(stock(f"{c * 19}_of_long_name") for c in "abc")),
    "twelve_steps": made("twelve", *(stock(f"step_{n}") for n in range(12))),
    "no_compensation": made(
        "firm",
        Pivot("capture", capture_payment, within=minutes(2)),
        Retriable("dispatch", dispatch_shipment, within=hours(1)),
    ),
}


@pytest.fixture(params=DRAWN)
def saga(request: pytest.FixtureRequest) -> Saga[object]:
    return DRAWN[request.param]


@pytest.mark.parametrize("name", DRAWN)
def test_a_definition_is_drawn_as_it_was_looked_at(name: str) -> None:
    """The picture of today is the one in `pictures/`; a change of it is looked at."""
    drawn = standalone(draw_flow(flow_of(DRAWN[name], Traffic())))

    assert drawn == (GOLDEN / f"{name}.svg").read_text()


@pytest.mark.parametrize("size", [WHOLE, SMALL], ids=["whole", "small"])
@pytest.mark.parametrize("upright", [False, True])
def test_no_box_overlaps_another(saga: Saga[object], size: Size, *, upright: bool) -> None:
    """Neither lying nor upright, large or small."""
    flow = replace(flow_of(saga, Traffic(counted=True)), size=size)
    boxes = list(placed(flow, upright=upright))

    assert [pair for pair in combinations(boxes, 2) if overlap(*pair)] == []


@pytest.mark.parametrize("size", [WHOLE, SMALL], ids=["whole", "small"])
def test_no_line_passes_behind_a_box(saga: Saga[object], size: Size) -> None:
    """Upright, what stands between two states is gone around."""
    flow = replace(flow_of(saga, Traffic()), size=size)
    boxes = list(placed(flow, upright=True))
    lines = re.findall('d="(M[^"]*)" class="line"', draw_flow(flow, upright=True))

    assert len(lines) == len(flow.edges)
    assert [(line, box.state.name) for line in lines for box in boxes if crosses(line, box)] == []


def crosses(line: str, box: FlowBox) -> bool:
    """Of lines that are straight or have corners; touching is not crossing."""
    places = list(corners(line))
    for (x, y), (to_x, to_y) in pairwise(places):
        for n in range(1, 100):
            at = x + (to_x - x) * n / 100, y + (to_y - y) * n / 100
            inside = box.x + 1 < at[0] < box.x + box.width - 1
            if inside and box.y + 1 < at[1] < box.y + box.height - 1:
                return True
    return False


def corners(line: str) -> Iterator[tuple[float, float]]:
    x = y = 0.0
    for letter, numbers in re.findall("([MLHV])([^MLHV]*)", line):
        told = [float(each) for each in numbers.split()]
        x = told[0] if letter != "V" else x
        y = told[-1] if letter != "H" else y
        yield x, y


def test_small_says_no_number_where_nothing_is() -> None:
    """To the eye; who has it read to him still hears it."""
    numbers = Traffic({"awaiting_payment": 2}, {}, {}, counted=True)

    svg = draw_flow(replace(flow_of(FULFILMENT, numbers), size=SMALL))

    assert re.findall(r'class="told">([^<]*)<', svg) == ["2 sagas"]
    assert 'aria-label="stock: 0 sagas, 0 stuck"' in svg


def overlap(one: FlowBox, other: FlowBox) -> bool:
    beside = one.x + one.width <= other.x or other.x + other.width <= one.x
    above = one.y + one.height <= other.y or other.y + other.height <= one.y
    return not (beside or above)


def test_every_state_is_drawn_once(saga: Saga[object]) -> None:
    """Those that Mermaid and the journal speak of, and the start."""
    names = [box.state.name for box in placed(flow_of(saga, Traffic()))]
    spoken = {state for pair in edges(saga) for state in pair} | {"completed", "compensated"}

    assert sorted(names) == sorted(spoken | {FIRST})


def test_every_undo_stands_under_its_step(saga: Saga[object]) -> None:
    """In the same column, below it."""
    boxes = {box.state.name: box for box in placed(flow_of(saga, Traffic()))}
    undos = [name for name in boxes if name.startswith("undoing_")]

    for undo in undos:
        step = boxes[undo.replace("undoing_", "awaiting_")]
        assert (boxes[undo].x, boxes[undo].y > step.y) == (step.x, True)


def test_the_picture_and_mermaid_have_the_same_edges(saga: Saga[object]) -> None:
    """What one tells, the other does; where the start leads is the picture's own."""
    flow = flow_of(saga, Traffic())
    drawn = {pair for pair in flow.edges if pair[0] != FIRST}

    assert drawn == set(edges(saga))


def test_a_node_leads_to_what_it_counts() -> None:
    """Named with its numbers, linked to the list of exactly those."""
    numbers = Traffic({"awaiting_payment": 74}, {"awaiting_payment": 2}, {}, counted=True)

    svg = draw_flow(flow_of(FULFILMENT, numbers))

    assert (
        'href="/sagas?query=definition%3Dfulfilment+state%3Dawaiting_payment"'
        ' aria-label="payment: 74 sagas, 2 stuck"' in svg
    )


@pytest.mark.parametrize("form", ["text", "mermaid", "svg"])
def test_the_command_line_draws_the_same(form: str) -> None:
    """`baton sagas graph` prints what the module draws; SVG of its own is well-formed."""
    drawn = draw("fulfilment", form)

    if form == "svg":
        assert drawn == (GOLDEN / "fulfilment.svg").read_text()
        assert ET.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"
    assert "capture" in drawn


def test_a_timeline_says_how_each_command_ended() -> None:
    """Bars with retries, a deadline's flag and an end, on an axis of both times."""
    bars = [
        Bar("stock/do", 0, 15 * S, "answered", (10 * S,), 30 * S),
        Bar("payment/do", 15 * S, None, "waiting", (), 135 * S),
        Bar("payment/undo", 20 * S, 30 * S, "timed out", (), None, back=True, failed=True),
    ]

    svg = draw_timeline("Timeline of o-1", bars, 0, 60 * S)

    assert "<title>stock/do: answered after 15 s, sent 2 times</title>" in svg
    assert "<title>payment/do: waiting after 45 s</title>" in svg
    assert "✖ timed out 10 s" in svg
    assert svg.count("⚑") == 2
    assert (">+30 s<" in svg, ">00:00:30<" in svg) == (True, True)


def test_a_timeline_says_what_became_of_each_timer() -> None:
    """In a row under its command's, each until it ended, linked to where that is told."""
    timers = (
        Clocked(0, 10 * S, FIRED, "?tab=story#e2"),
        Clocked(10 * S, 15 * S, NEEDLESS, "?tab=story#e3"),
    )
    bars = [
        Bar("stock/do", 0, 15 * S, "answered", (10 * S,), 30 * S, timers=timers),
        Bar("payment/do", 15 * S, None, "waiting", timers=(Clocked(15 * S, 90 * S, DUE),)),
    ]

    svg = draw_timeline("Timeline of o-1", bars, 0, 60 * S)

    assert 'href="?tab=story#e2" aria-label="timer stock/do, set 00:00:00, fired 00:00:10"' in svg
    assert (
        'href="?tab=story#e3" aria-label="timer stock/do, set 00:00:10, not needed 00:00:15"' in svg
    )
    assert "<title>timer payment/do, set 00:00:15, due 00:01:30</title>" in svg
    assert (svg.count(">◷ stock/do<"), svg.count(">… due<")) == (1, 1)
    assert ">+1.33 min<" in svg  # what is due lies in the picture
    assert svg.count('class="timers"') == 2


def test_a_timeline_says_what_is_slow() -> None:
    """A grey band where half and 95 of 100 lie, and words for what took longer."""
    usual = (2 * S, 12_345_678)
    bars = [
        Bar("stock/do", 0, 15 * S, "answered", usual_us=usual),
        Bar("payment/do", 15 * S, 20 * S, "answered", usual_us=usual),
        Bar("capture/do", 20 * S, 60 * S, "answered"),
    ]

    svg = draw_timeline("Timeline of o-1", bars, 0, 60 * S)

    assert (
        "<title>stock/do: answered after 15 s; as a rule 2 s to 12 s, so this is slow</title>"
        in svg
    )
    assert "<title>payment/do: answered after 5 s; as a rule 2 s to 12 s</title>" in svg
    assert "<title>capture/do: answered after 40 s</title>" in svg
    assert (svg.count('class="usual"'), svg.count("⚠ slow")) == (2, 1)
    assert '<rect x="214" y="47" width="124.1" height="26" class="usual"/>' in svg


def test_a_sequence_tells_commands_from_answers() -> None:
    """Solid there, dashed back, ✖ where it was refused; each arrow is named."""
    said = [
        Said("14:00:00", "orchestrator", "billing", "CapturePayment", "command"),
        Said("14:00:01", "billing", "orchestrator", "PaymentDeclined", "event", failed=True),
        Said("14:00:02", "orchestrator", "orchestrator", "timer stock/do", "timer"),
    ]

    svg = draw_sequence("Who said what", ["orchestrator", "billing"], said)

    assert "<title>14:00:00 orchestrator to billing: CapturePayment</title>" in svg
    assert "<title>14:00:01 billing to orchestrator: ✖ PaymentDeclined</title>" in svg
    assert svg.count("stroke-dasharray") == 1
    assert "◷ timer stock/do" in svg


def test_what_is_drawn_is_escaped() -> None:
    """No text of a saga is markup."""
    timer = Clocked(0, S, FIRED, HOSTILE)
    bar = Bar(HOSTILE, 0, S, HOSTILE, href=HOSTILE, usual_us=(1, 2), timers=(timer,))
    said = Said(HOSTILE, "a", "b", HOSTILE, "command", href=HOSTILE)

    drawn = draw_timeline(HOSTILE, [bar], 0, S) + draw_sequence(HOSTILE, ["a", "b"], [said])

    assert "<img" not in drawn
