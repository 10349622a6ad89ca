"""The two-lane picture of a saga's states: forward on top, compensation under what it undoes.

A column a position; in it the steps that go on, and below them the commands that undo them, flowing
back to compensated. Every state stands once. `upright` turns the columns into rows, for a narrow
screen. Solid and ▶ is forward, dashed and ↩ is back; how many are there is said in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from orchestrator.operate.svg.elements import element, link, picture, text, titled

LETTER_W, TOLD_W, PAD = 9.0, 7.0, 12.0
MIN_W, TOP, LEFT, RAIL, SIDE = 104.0, 24.0, 12.0, 26.0, 9.0
MANY = 100
Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Size:
    """How high a box is, and how far from the next one, and from the lane below."""

    box_h: float
    gap_x: float
    gap_y: float
    lane: float


WHOLE, SMALL = Size(46.0, 44.0, 18.0, 64.0), Size(42.0, 26.0, 12.0, 34.0)


@dataclass(frozen=True, slots=True)
class FlowState:
    """`here`: the saga whose picture it is stands in it. `heat`: its share of the hottest, 0 to 1.

    `took`: how long nearly all stay, in words.
    """

    name: str
    glyph: str
    label: str
    kind: str  # forward, back, end or bad
    now: int | None = None
    stuck: int = 0
    href: str = ""
    here: bool = False
    took: str = ""
    heat: float = 0.0


@dataclass(frozen=True, slots=True)
class FlowColumn:
    """What stands above and below at one position."""

    above: tuple[FlowState, ...]
    below: tuple[FlowState, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """`edges`: (from, to) → how many went there lately, None where nobody counted.

    Small, it is nearer together, and a state where nothing is says no number.
    """

    title: str
    columns: tuple[FlowColumn, ...]
    edges: Mapping[tuple[str, str], int | None]
    size: Size = WHOLE


@dataclass(frozen=True, slots=True)
class FlowBox:
    x: float
    y: float
    width: float
    state: FlowState
    below: bool
    size: Size

    @property
    def height(self) -> float:
        return self.size.box_h

    @property
    def middle(self) -> Place:
        return self.x + self.width / 2, self.y + self.height / 2


def draw_flow(flow: Flow, *, upright: bool = False) -> str:
    boxes = list(placed(flow, upright=upright))
    by_name = {box.state.name: box for box in boxes}
    width = max(box.x + box.width for box in boxes) + LEFT + RAIL * upright
    height = max(box.y for box in boxes) + flow.size.box_h + TOP + RAIL
    drawn = []
    for (here, there), n in flow.edges.items():
        ends = by_name[here], by_name[there]
        if "bad" in (ends[0].state.kind, ends[1].state.kind):
            rail = width - LEFT - 4 if upright else height - TOP
            drawn.append(_by_rail(*ends, n, rail=rail, upright=upright))
        else:
            drawn.append(_edge(*ends, n, boxes if upright else []))
    name = "flow upright" if upright else "flow"
    return picture(width, height, flow.title, *drawn, *map(_box, boxes), name=name)


def placed(flow: Flow, *, upright: bool = False) -> Iterator[FlowBox]:
    """Where every state stands; none overlaps another."""
    if upright:
        yield from _upright(flow)
        return
    x, lane_y, size = LEFT, _lane_y(flow), flow.size
    for column in flow.columns:
        width = _width((*column.above, *column.below))
        for states, top, below in ((column.above, TOP, False), (column.below, lane_y, True)):
            for n, state in enumerate(states):
                yield FlowBox(x, top + n * (size.box_h + size.gap_y), width, state, below, size)
        x += width + size.gap_x


def _upright(flow: Flow) -> Iterator[FlowBox]:
    """Forward on the left from top to bottom, its undo beside it on the right."""
    left_w = _width([state for column in flow.columns for state in column.above])
    right_w = _width([state for column in flow.columns for state in column.below])
    y, size = TOP, flow.size
    row_h, right = size.box_h + size.gap_y, LEFT + left_w + WHOLE.gap_x / 2
    for column in flow.columns:
        for n, state in enumerate(column.above):
            yield FlowBox(LEFT, y + n * row_h, left_w, state, below=False, size=size)
        for n, state in enumerate(column.below):
            yield FlowBox(right, y + n * row_h, right_w, state, below=True, size=size)
        y += max(len(column.above), len(column.below)) * row_h + size.gap_y * 2


def _width(states: Sequence[FlowState]) -> float:
    named = max((len(f"{each.glyph} {each.label}") for each in states), default=0)
    told = max((len(_shown(each)) for each in states), default=0)
    return max(MIN_W, LETTER_W * named + 2 * PAD, TOLD_W * told + 2 * PAD)


def _lane_y(flow: Flow) -> float:
    rows = max(len(column.above) for column in flow.columns)
    return TOP + rows * (flow.size.box_h + flow.size.gap_y) - flow.size.gap_y + flow.size.lane


def _box(box: FlowBox) -> str:
    state = box.state
    told = _told(state)
    shown = "" if box.size is SMALL and state.now == 0 else _shown(state)
    label = f"{state.label}: {told}" if told else state.label
    shape = [
        element("rect", x=box.x, y=box.y, width=box.width, height=box.height, rx=6, class_="node"),
        text(box.x + PAD, box.y + 19, f"{state.glyph} {state.label}", class_="name"),
        text(box.x + PAD, box.y + 36, shown, class_="told bad" if state.stuck else "told"),
    ]
    if state.heat:
        long = (box.width - 2 * PAD) * state.heat
        bar = element("rect", x=box.x + PAD, y=box.y + 40, width=long, height=4, class_="heat")
        shape.append(bar)
    classes = f"{state.kind} here" if state.here else state.kind
    inside = element("g", titled(label), *shape, class_=classes)
    return link(state.href, label, inside) if state.href else inside


def _told(state: FlowState) -> str:
    if state.here:
        return "it stands here"
    if state.now is None:
        return ""
    sagas = "saga" if state.now == 1 else "sagas"
    took = f", p95 {state.took}" if state.took else ""
    return f"{state.now} {sagas}, {state.stuck} stuck{took}"


def _shown(state: FlowState) -> str:
    """As short as it can be said in the box; `_told` is what it means."""
    if state.here or state.now is None:
        return _told(state)
    sagas = "saga" if state.now == 1 else "sagas"
    told = f"{state.now}, {state.stuck} stuck" if state.stuck else f"{state.now} {sagas}"
    return f"{told} · p95 {state.took}" if state.took else told


def _edge(here: FlowBox, there: FlowBox, n: int | None, stacked: Sequence[FlowBox]) -> str:
    """`stacked`: the boxes of an upright picture, of which one may stand between."""
    upright = bool(stacked)
    if upright and _between(here, there, stacked):
        return _by_side(here, there, n)
    start, end = _ends(here, there, upright=upright)
    path = _path(start, end, straight=upright or _neighbours(here, there))
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    label = text(x, y - 4, str(n), text_anchor="middle", class_="count") if n else ""
    tip = _arrow(end, _way(start, end))
    return _drawn(here, there, n, path, tip + label)


def _between(here: FlowBox, there: FlowBox, boxes: Sequence[FlowBox]) -> bool:
    low, high = sorted((here.y, there.y))
    return here.x == there.x and any(each.x == here.x and low < each.y < high for each in boxes)


def _by_side(here: FlowBox, there: FlowBox, n: int | None) -> str:
    """Around what stands between, on the outer side."""
    edge = here.x + here.width if here.below else here.x
    side = edge + SIDE if here.below else edge - SIDE
    start, end = here.middle[1] - 13, there.middle[1] + 13
    path = f"M{edge:.0f} {start:.0f}H{side:.0f}V{end:.0f}H{edge:.0f}"
    tip = _arrow((edge, end), "left" if here.below else "right")
    label = text(side, (start + end) / 2, str(n), text_anchor="middle", class_="count") if n else ""
    return _drawn(here, there, n, path, tip + label)


def _by_rail(here: FlowBox, there: FlowBox, n: int | None, *, rail: float, upright: bool) -> str:
    """To and from where an operator is needed: all along one line beside the others."""
    if upright:
        starts, ends = here.middle[1] + 6, there.middle[1] - 6
        start_x, end_x = here.x + here.width, there.x + there.width
        path = f"M{start_x:.0f} {starts:.0f}H{rail:.0f}V{ends:.0f}H{end_x:.0f}"
        return _drawn(here, there, n, path, _arrow((end_x, ends), "left"))
    start_x, end_x = here.middle[0] + 6, there.middle[0] - 6
    start_y, end_y = here.y + here.height, there.y + there.height
    path = f"M{start_x:.0f} {start_y:.0f}V{rail:.0f}H{end_x:.0f}V{end_y:.0f}"
    return _drawn(here, there, n, path, _arrow((end_x, end_y), "up"))


def _drawn(here: FlowBox, there: FlowBox, n: int | None, path: str, ends: str) -> str:
    back = there.below or here.below
    classes = "edge" if not n else "edge busy" if n >= MANY else "edge used"
    line = element(
        "path", d=path, class_="line", fill="none", stroke_dasharray="5 4" if back else None
    )
    told = f"{here.state.label} to {there.state.label}" + (f": {n}" if n else "")
    return element("g", titled(told), line, ends, class_=classes)


def _neighbours(here: FlowBox, there: FlowBox) -> bool:
    """Nothing can stand between them."""
    gap = there.x - (here.x + here.width) if there.x > here.x else here.x - (there.x + there.width)
    return gap <= here.size.gap_x or here.below != there.below


def _ends(here: FlowBox, there: FlowBox, *, upright: bool) -> tuple[Place, Place]:
    """On the sides that face each other."""
    (hx, hy), (tx, ty) = here.middle, there.middle
    if (here.below == there.below) != upright and here.x != there.x:
        right = tx > hx
        start_x, end_x = here.x + here.width * right, there.x + there.width * (not right)
        return (start_x, hy), (end_x, ty)
    down = ty > hy
    return (hx, here.y + here.height * down), (tx, there.y + there.height * (not down))


def _path(start: Place, end: Place, *, straight: bool) -> str:
    (sx, sy), (ex, ey) = start, end
    if straight:
        return f"M{sx:.0f} {sy:.0f}L{ex:.0f} {ey:.0f}"
    bow = WHOLE.box_h / 2 + 14
    return f"M{sx:.0f} {sy:.0f}C{sx:.0f} {sy + bow:.0f} {ex:.0f} {ey + bow:.0f} {ex:.0f} {ey:.0f}"


def _way(start: Place, end: Place) -> str:
    across, down = end[0] - start[0], end[1] - start[1]
    if abs(across) >= abs(down):
        return "right" if across > 0 else "left"
    return "down" if down > 0 else "up"


def _arrow(end: Place, way: str) -> str:
    x, y = end
    tips = {
        "right": f"M{x:.0f} {y:.0f}l-8 -4v8z",
        "left": f"M{x:.0f} {y:.0f}l8 -4v8z",
        "down": f"M{x:.0f} {y:.0f}l-4 -8h8z",
        "up": f"M{x:.0f} {y:.0f}l-4 8h8z",
    }
    return element("path", d=tips[way], class_="tip")


SHEET = (
    "text{font:13px system-ui,sans-serif;fill:#16202a}.name{font-weight:600}.node{fill:#f4f6f8;"
    "stroke:#7d8790}.here .node{stroke-width:3}.line{stroke:#4a5763}.tip{fill:#4a5763}"
)


def standalone(svg: str) -> str:
    """With the sheet that it otherwise has from the page: for a file of its own."""
    opening, _, rest = svg.partition(">")
    return f"{opening}>{element('style', escape(SHEET))}{rest}\n"
